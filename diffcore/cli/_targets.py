"""What a command names as `module:Name`: importing it, and whether it takes what it is given."""

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Modules of the folder come first while the block runs, which may import more of them."""
    if not folder.is_dir():
        raise NotADirectoryError(f"--path {folder} is not a folder")
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))


def imported(text: str) -> Any:
    """The object of `module:Name`, Name a path of attributes.

    Raises ValueError for another text and for a name that is not there, ImportError where the
    module cannot be imported, whatever it raises.
    """
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ValueError(f"TARGET must be module:Name, got {text!r}")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"TARGET {text}: {error}") from error
    except SystemExit as error:
        raise ImportError(f"TARGET {text}: importing {module} ends the program") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ImportError(f"TARGET {text}: importing {module} raises {reason}") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(f"TARGET {text}: there is no {part} in {module}") from None
    return found


def require_known(
    target: Any, taken: Mapping[str, inspect.Parameter], kwargs: Mapping[str, Any]
) -> None:
    """ValueError for an argument that neither the adapter nor the target takes."""
    known = dict(taken)
    if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        known |= inspect.signature(target).parameters
        if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values()):
            return
    own = ("target", "library", "claim", "order")
    for name in kwargs:
        if name in own or name not in known or known[name].kind is inspect.Parameter.VAR_KEYWORD:
            raise ValueError(f"--kwargs must have arguments of the target, got {name!r}")


def require_arguments(text: str, target: Any, kwargs: dict[str, Any]) -> None:
    """TypeError where what is to be called does not take the arguments."""
    try:
        inspect.signature(target).bind(**kwargs)
    except TypeError as error:
        raise TypeError(
            f"TARGET {text} is of no known kind, and cannot be called for one: {error}; "
            "see --kwargs"
        ) from None
    except ValueError:  # A built-in without a signature.
        return
