"""Mutants of a module: each differs from it by one of mutmut's operators, applied once.

mutmut's own runner collects the tests anew for each mutant, and leaves decorated functions and a
module's own statements alone. Here its operators are applied to all of them, and a mutant can be
installed in a running process, by its function's code, or before the module is imported.
"""

import difflib
import importlib
import importlib.machinery
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

UNTOUCHED_CALLS = ("len", "isinstance")
"""Calls that mutmut leaves alone."""
CHECKS = ("beside", "function", "non_negative", "number", "numbers", "one_of", "positive", "switch")
"""Calls that check an argument, which they are told the name of; besides those named require_..."""

EQUIVALENT = {
    "copy": r",? ?copy=(True|False|None)",
    "strict": r",? ?strict=(True|False|None)",
    "cast": r"cast\(\w+, ",
}
"""What may change without effect: whether `astype` copies what it need not, whether `zip` checks
lengths that are equal already, and the type that `typing.cast` names."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change.

    lines: those of the statement; scope: a function, Class.method, or nothing; default: whether
    the change is in a parameter; text: whether it is to an error's message alone, within what an
    exception is made of, or in the name that a check calls its argument. definition: the mutated
    function's source, empty outside of functions; source: the mutated module's.
    """

    path: str
    scope: str
    number: int
    lines: tuple[int, int]
    scope_lines: tuple[int, int]
    default: bool
    change: tuple[str, ...]
    text: bool
    definition: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.scope or '-'}:{self.number}"

    @property
    def site(self) -> str:
        """Where and what, which other changes to the file leave as it is."""
        return f"{self.path}:{self.scope or '-'}  {'  '.join(self.change)}"

    @property
    def rule(self) -> str | None:
        """Why the mutant is not counted: its text alone differs, or it is equivalent by a rule."""
        if self.text:
            return "text"
        sides = ["".join(c[1:] for c in self.change if c[0] == sign) for sign in "-+"]
        for name, pattern in EQUIVALENT.items():
            before, after = (re.sub(pattern, "", side).replace(", )", ")") for side in sides)
            if before == after:
                return name
        return None

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def mutants_of(path: str) -> list[Mutant]:
    """All mutants of the file at `path`, in its order."""
    wrapper = MetadataWrapper(cst.parse_module(Path(path).read_text()))
    lines = wrapper.module.code.split("\n")
    finder = _Finder(wrapper.resolve(PositionProvider))
    wrapper.module.visit(finder)
    counts: dict[str, int] = {}
    found = []
    for site in finder.sites:
        number = counts[site.scope] = counts.get(site.scope, 0) + 1
        found.append(_mutant(path, wrapper.module, lines, site, number))
    return found


@dataclass(frozen=True)
class _Site:
    old: cst.CSTNode
    new: cst.CSTNode
    scope: str
    function: cst.FunctionDef | None
    lines: tuple[int, int]
    scope_lines: tuple[int, int]
    default: bool
    text: bool


class _Finder(cst.CSTVisitor):
    """Gathers where the operators apply."""

    def __init__(self, positions: Any) -> None:
        super().__init__()
        self.sites: list[_Site] = []
        self._positions = positions
        self._stack: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator) or _untouched(node):
            return False
        if _for_readers(node) and not self._stack[1:-1]:
            return False
        self._stack.append(node)
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for new in operator(node):
                    self.sites.append(self._site(node, new))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._stack and self._stack[-1] is original_node:
            self._stack.pop()

    def _site(self, old: cst.CSTNode, new: cst.CSTNode) -> _Site:
        nested = [n for n in self._stack if isinstance(n, cst.ClassDef | cst.FunctionDef)]
        depth = next((k for k, n in enumerate(nested) if isinstance(n, cst.FunctionDef)), None)
        function = None if depth is None else nested[depth]
        names = [] if depth is None else [n.name.value for n in nested[: depth + 1]]
        statement = next(
            (n for n in reversed(self._stack) if isinstance(n, cst.SimpleStatementLine)), old
        )
        text = any(isinstance(n, cst.Raise) for n in self._stack) or self._names(old, new)
        return _Site(
            old=old,
            new=new,
            scope=".".join(names),
            function=function,
            lines=self._lines(statement),
            scope_lines=self._lines(function),
            default=any(isinstance(n, cst.Param) for n in self._stack),
            text=text,
        )

    def _names(self, old: cst.CSTNode, new: cst.CSTNode) -> bool:
        """Whether the change is to the name by which a check calls its argument."""
        if isinstance(old, cst.SimpleString):
            parents = self._stack[-3:-1]
            return len(parents) == 2 and isinstance(parents[1], cst.Arg) and _checks(parents[0])
        if not (_checks(old) and isinstance(new, cst.Call) and len(old.args) == len(new.args)):
            return False
        pairs = zip(old.args, new.args, strict=True)
        changed = [a.value for a, b in pairs if a is not b]
        return all(isinstance(value, cst.SimpleString) for value in changed)

    def _lines(self, node: cst.CSTNode | None) -> tuple[int, int]:
        if node is None:
            return (1, 1)
        place = self._positions[node]
        return (place.start.line, place.end.line)


def _checks(node: cst.CSTNode) -> bool:
    named = isinstance(node, cst.Call) and isinstance(node.func, cst.Name)
    return named and (
        node.func.value in CHECKS or node.func.value.lstrip("_").startswith("require_")
    )


def _untouched(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value in UNTOUCHED_CALLS
    )


def _for_readers(node: cst.CSTNode) -> bool:
    """Whether a module's statement says no more than a type, or what the module makes public."""
    if isinstance(node, cst.AnnAssign):
        annotation = node.annotation.annotation
        return isinstance(annotation, cst.Name) and annotation.value == "TypeAlias"
    if not isinstance(node, cst.Assign):
        return False
    target, value = node.targets[0].target, node.value
    public = isinstance(target, cst.Name) and target.value == "__all__"
    while isinstance(value, cst.BinaryOperation):
        value = value.right
    named = isinstance(value, cst.Subscript) and isinstance(value.value, cst.Name)
    return public or (named and value.value.value in ("Callable", "Literal", "tuple"))


def _mutant(path: str, module: cst.Module, lines: list[str], site: _Site, number: int) -> Mutant:
    definition = ""
    if site.function is None:
        source = module.deep_replace(site.old, site.new).code
        change = _change("\n".join(lines), source)
    else:
        bare = site.function.with_changes(decorators=[], leading_lines=[])
        definition = module.code_for_node(bare.deep_replace(site.old, site.new))
        change = _change(module.code_for_node(bare), definition)
        first, last = site.scope_lines
        margin = " " * (len(lines[first - 1]) - len(lines[first - 1].lstrip()))
        source = "\n".join(
            [*lines[: first - 1], textwrap.indent(definition, margin).rstrip(), *lines[last:]]
        )
    return Mutant(
        path=path,
        scope=site.scope,
        number=number,
        lines=site.lines,
        scope_lines=site.scope_lines,
        default=site.default,
        change=change,
        text=site.text,
        definition=definition,
        source=source,
    )


def _change(before: str, after: str) -> tuple[str, ...]:
    """The lines that differ, as in a diff."""
    found = difflib.unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm="")
    return tuple(line[0] + line[1:].strip() for line in found if line[:2] not in ("--", "++", "@@"))


def install(mutant: Mutant) -> None:
    """Give the function, wherever it is held already, the mutant's code and defaults."""
    module = importlib.import_module(mutant.module)
    *classes, name = mutant.scope.split(".")
    there = dict(vars(module))
    exec(compile(mutant.definition, str(module.__file__), "exec"), there)
    new = there[name]
    holder = vars(vars(module)[classes[0]]) if classes else vars(module)
    for old in _functions(holder[name]):
        old.__code__ = new.__code__
        old.__defaults__ = new.__defaults__
        old.__kwdefaults__ = new.__kwdefaults__


def _functions(value: Any) -> Iterator[FunctionType]:
    """The plain function within a property, a class method or a wrapper."""
    while not isinstance(value, FunctionType):
        value = getattr(value, "fget", None) or getattr(value, "__func__", None)
    yield value


def install_source(mutant: Mutant) -> None:
    """Let the module, not imported yet, be the mutant."""
    assert mutant.module not in sys.modules, mutant.module
    real = importlib.machinery.SourceFileLoader.get_code
    target = str(Path(mutant.path).resolve())

    def get_code(self: Any, fullname: str) -> CodeType | None:
        if fullname == mutant.module:
            return compile(mutant.source, target, "exec")
        return real(self, fullname)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]


def all_mutants(patterns: Sequence[str]) -> list[Mutant]:
    """The mutants of every file that one of the `patterns` matches."""
    files = sorted({str(path) for pattern in patterns for path in Path().glob(pattern)})
    return [mutant for file in files for mutant in mutants_of(file)]
