"""The options of a sampler function that are no numbers: each tried once, and held to its word."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..._arrays import Host, to_host
from ..libraries import Library
from .function_runs import SIGMAS
from .network import Network, eager
from .randomness import sources

Attempt = Callable[[], None]

_SIGMAS = (*np.geomspace(*SIGMAS, 4).tolist(), 0.0)


def attempts(
    target: Callable[..., Any], library: Library, options: Mapping[str, Any]
) -> Iterator[tuple[str, Attempt]]:
    """What there is to try, by label; an attempt raises for what is wrong."""
    takes = inspect.signature(target).parameters
    if "sigmas" not in takes:
        return
    if "callback" in takes:
        yield "callback", partial(_callback, target, library, options)
    if "extra_args" in takes:
        yield "extra_args", partial(_extra_args, target, library, options)
    if "noise_sampler" in takes and "noise_sampler" not in options:
        yield "noise_sampler=None", partial(_own_noise, target, library, options)


def _callback(target: Callable[..., Any], library: Library, options: Mapping[str, Any]) -> None:
    """It tells the state, the levels and x_0 of the call that it reports."""
    told: list[tuple[int, Mapping[str, Any]]] = []
    network = Network(_answer, library)

    def model(x_t: Any, sigma: Any, **_: Any) -> Any:
        return network(x_t, sigma)

    def callback(info: Mapping[str, Any]) -> None:
        told.append((len(network.times) - 1, dict(info)))

    _run(target, library, model, {**options, "callback": callback})
    if len(told) != len(_SIGMAS) - 1:
        raise ValueError(f"callback is called {len(told)} times in {len(_SIGMAS) - 1} steps")
    for step, (newest, info) in enumerate(told):
        calls = [k for k in range(newest + 1) if _same(info.get("x"), network.states[k])]
        if "x" in info and not calls:
            raise ValueError(f"callback's 'x' in step {step} is no state that the network saw")
        call = calls[-1] if calls else newest
        time = network.times[call]
        answer = _answer(to_host(network.states[call]), time, call)
        wanted = {"i": step, "sigma": _SIGMAS[step], "sigma_hat": time, "denoised": answer}
        for key, value in wanted.items():
            if key in info and not _same(info[key], value):
                raise ValueError(f"callback's {key!r} in step {step} is not that of its 'x'")


def _extra_args(target: Callable[..., Any], library: Library, options: Mapping[str, Any]) -> None:
    """Every call of the network gets them."""
    network = Network(_answer, library)

    def model(x_t: Any, sigma: Any, **extra: Any) -> Any:
        if extra != {"label": 3}:
            raise ValueError(f"extra_args do not reach call {len(network.times)}: it got {extra}")
        return network(x_t, sigma)

    _run(target, library, model, {**options, "extra_args": {"label": 3}})


def _own_noise(target: Callable[..., Any], library: Library, options: Mapping[str, Any]) -> None:
    """Its own noise is drawn, also where all levels but 0 are one."""
    network = Network(_answer, library)
    for sigmas in (_SIGMAS, (SIGMAS[0], 0.0)):
        _run(target, library, network, {**options, "noise_sampler": None}, sigmas)


def _run(
    target: Callable[..., Any],
    library: Library,
    model: Callable[..., Any],
    options: Mapping[str, Any],
    sigmas: tuple[float, ...] = _SIGMAS,
) -> None:
    dtype = library.dtypes[-1]
    x = library.make(np.linspace(-12.0, 12.0, 6).reshape(2, 3, 1, 1), dtype)
    given = {**sources(target, library, x, 0), **options}
    with eager(library):
        end = target(model, x, library.make(sigmas, dtype), **given)
    if not np.all(np.isfinite(to_host(end))):
        raise ValueError("the result is not finite")


def _answer(x_t: Host, t: float, k: int) -> Host:
    """The exact denoiser of standard normal data."""
    return np.asarray(x_t / (1.0 + t * t), dtype=np.float64)


def _same(found: Any, wanted: Any) -> bool:
    if found is None:
        return False
    a, b = (np.asarray(to_host(v) if hasattr(v, "dtype") else v) for v in (found, wanted))
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-5, atol=0.0))
