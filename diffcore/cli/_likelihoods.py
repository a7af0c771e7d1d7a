"""Bits per dimension of images under a trained network, for `diffcore evaluate nll`.

The state is a host array, the noise `diffcore.noise.portable`: image i's figures depend on the seed
and on i, but for the rounding of the network's arithmetic not on the batch or the device.
"""

import argparse
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import likelihood, noise
from .._optional import optional
from ..gaussians import discretised_log_likelihood
from ..plan import Denoised, Plan
from ..samplers.runge_kutta import runge_kutta
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ..training import recipe
from ..training.data import load_images
from ..training.images import Images
from ..training.run_folder import RunFolder
from . import _backends, _sampling
from ._batches import batches, evaluated
from ._tasks import own_conditions

Schedule = DiscreteSchedule | ContinuousSchedule
Double = npt.NDArray[np.float64]

LEAST_NOISE = 0.002
"""sigma / alpha at which a continuous schedule counts as at data: half of one of 256 levels."""
MOST_NOISE = math.exp(5.0)
"""sigma / alpha up to which steps are even in log SNR; from there to the end is one step."""
CONTINUOUS_STEPS = 1000
FIRST_PROBE = 2**30
"""The step of the portable noise that the first probe is; the bound's terms count from 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """What is judged, by which network."""

    trained: Any
    divergences: Any
    x_0: Double
    labels: npt.NDArray[np.int64] | None
    condition: npt.NDArray[np.float32] | None
    bin_width: float
    args: argparse.Namespace

    @property
    def schedule(self) -> Schedule:
        schedule: Schedule = self.trained.schedule
        return schedule


def measured(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The table of figures, and the figures in full."""
    task = _task(args)
    figures: dict[str, Any] = {
        "source": str(args.source),
        "data": args.data,
        "n": len(task.x_0),
        "seed": args.seed,
        "bin_width": task.bin_width,
    }
    rows = []
    if args.method in ("both", "bound"):
        bound, times = _bound(task)
        last = float(np.mean(bound.terms[-1]))
        parts = f"L_T {np.mean(bound.prior):.4f}, L_0 {last:.4f}, {len(bound.terms)} terms"
        rows.append(("variational bound", bound.total, parts))
        figures["bound"] = {
            "times": list(times),
            "terms": bound.terms.mean(axis=1).tolist(),
            "prior": float(np.mean(bound.prior)),
            "images": bound.total.tolist(),
        }
    if args.method in ("both", "flow"):
        plan = _flow_plan(task.schedule, args.steps)
        bits = _flow(task, plan)
        probes = f"{args.probes} probe{'s' if args.probes > 1 else ''}" if args.probes else "exact"
        parts = f"order {plan.order}, {plan.evaluations} calls, divergence: {probes}"
        rows.append(("probability flow", bits, parts))
        figures["flow"] = {"evaluations": plan.evaluations, "images": bits.tolist()}
    lines = [f"{'':<20}{'bits/dim':>9}  {'± s.e.':>7}"]
    for name, bits, parts in rows:
        error = float(np.std(bits, ddof=1)) / math.sqrt(len(bits))
        lines.append(f"{name:<20}{np.mean(bits):>9.4f}  {error:>7.4f}  {parts}")
    shape = " x ".join(map(str, task.x_0.shape[1:]))
    levels = round(2.0 / task.bin_width) + 1
    lines.append(f"{len(task.x_0)} images, {shape}, {levels} levels; seed {args.seed}")
    if task.condition is not None:
        lines.append("each given its own condition, as in training")
    return "\n".join(lines), figures


def _task(args: argparse.Namespace) -> _Task:
    if not args.source.exists():
        raise FileNotFoundError(f"{args.source}: no such run or checkpoint")
    if args.data is None and not args.source.is_dir():
        raise ValueError("--data must be given for a checkpoint, which knows no data")
    trained = _backends.loading(args.backend).load(
        args.source, weights=args.weights, device=args.device
    )
    unet = trained.unet
    if args.variance == "learned" and not unet.learned_variance:
        raise ValueError("--variance learned needs a network that has learnt one; this has not")
    images = _images(args.source, args.data, unet)
    if args.n > len(images):
        raise ValueError(f"-n must be at most {len(images)}, the images there, got {args.n}")
    chosen = np.sort(np.random.default_rng(args.seed).permutation(len(images))[: args.n])
    images = images.subset(chosen)
    labels = None
    if unet.classes and images.labels is not None:
        names = _sampling.class_names(trained)
        if list(images.classes) != names:
            raise ValueError(
                f"--data must have the network's classes, {', '.join(names)}, "
                f"got {', '.join(images.classes)}"
            )
        labels = images.labels
    x_0 = images.all()
    return _Task(
        trained=trained,
        divergences=_backends.divergence(args.backend),
        x_0=x_0.astype(np.float64),
        labels=labels,
        condition=own_conditions(trained, x_0),
        bin_width=2.0 / images.white,
        args=args,
    )


def _images(source: Path, data: str | None, unet: Any) -> Images:
    if data is not None:
        return load_images(data, channels=unet.channels, size=unet.image_size)
    return recipe.load(RunFolder.read(source).recipe).data.load()[1]


def _parts(task: _Task) -> list[tuple[slice, Any, Any]]:
    """Slices of the images, `batch` at most each, with the network's labels and conditions."""
    parts = batches(len(task.x_0), task.args.batch)
    labels, conditions = (
        [None if of is None else of[part] for part in parts] for of in (task.labels, task.condition)
    )
    return list(zip(parts, labels, conditions, strict=True))


def _bar(task: _Task, calls: int, what: str) -> Any:
    total = calls * len(_parts(task))
    return optional("tqdm", "torch").tqdm(
        total=total, desc=what, unit="batch", disable=None, leave=False
    )


def _bound(task: _Task) -> tuple[likelihood.Bound[Any], tuple[float, ...]]:
    schedule, args, trained = task.schedule, task.args, task.trained
    times = _bound_times(schedule, args.bound_steps)
    fixed = args.variance not in (None, "learned")
    with _bar(task, len(times) - 1, "bound") as bar:
        denoisers = [
            (part, trained.denoise(labels, condition=condition))
            for part, labels, condition in _parts(task)
        ]

        def denoise(x_t: Double, t: float, /) -> Any:
            found = evaluated(trained, denoisers, x_t, t, bar)
            joined = [array.astype(np.float64) for array in found]
            return Denoised(*joined) if len(joined) == 2 and not fixed else joined[0]

        bound = likelihood.variational_bound(
            schedule,
            denoise,
            task.x_0,
            noise.portable(args.seed),
            times=times,
            variance=args.variance if fixed else "small",
            likelihood=partial(discretised_log_likelihood, bin_width=task.bin_width),
        )
    return bound, times


def _bound_times(schedule: Schedule, steps: int | None) -> tuple[float, ...]:
    if isinstance(schedule, DiscreteSchedule):
        steps = schedule.T if steps is None else steps
        if steps > schedule.T:
            raise ValueError(
                f"--bound-steps must be at most {schedule.T}, the steps of the network's "
                f"schedule, got {steps}"
            )
        return tuple(round(schedule.T * (steps - k) / steps) for k in range(steps + 1))
    if schedule(0.0).sigma > 0.0:
        raise ValueError(
            f"--method must be flow for the schedule {schedule.config['kind']!r}, whose time 0 is "
            "not data"
        )
    steps = CONTINUOUS_STEPS if steps is None else steps
    return (*reversed(_even(schedule, max(steps - 1, 1))), 0.0)


def _flow_plan(schedule: Schedule, steps: int) -> Plan:
    """From data, or next to it, up to noise; by Heun's method where times must be whole."""
    if isinstance(schedule, ContinuousSchedule):
        return runge_kutta(schedule, _even(schedule, steps))
    log_snr = np.linspace(schedule.log_snr[1], max(schedule.log_snr[-1], -10.0), steps + 1)
    nearest = {int(np.argmin(np.abs(schedule.log_snr[1:] - v))) + 1 for v in log_snr}
    return runge_kutta(schedule, sorted(nearest | {1, schedule.T}), 2)


def _even(schedule: ContinuousSchedule, steps: int) -> tuple[float, ...]:
    """Ascending times, even in log SNR, from least noise to the last time."""
    top = schedule.curve.t_max
    high = min(-2.0 * math.log(LEAST_NOISE), schedule.log_snr_at(0.0))
    low = max(-2.0 * math.log(MOST_NOISE), schedule.log_snr_at(top))
    inner = [schedule.time_at(float(v)) for v in np.linspace(high, low, steps + 1)[:-1]]
    return (*inner, top)


def _flow(task: _Task, plan: Plan) -> Double:
    schedule, args, trained = task.schedule, task.args, task.trained
    n, d = len(task.x_0), math.prod(task.x_0.shape[1:])
    place = noise.uniform(args.seed, 0, n * d).reshape(task.x_0.shape)
    x_0 = task.x_0 + (place - 0.5) * task.bin_width
    source = noise.portable(args.seed)
    probes = likelihood.rademacher(lambda like, k: source(like, FIRST_PROBE + k), x_0, args.probes)
    alpha = schedule(plan.stages[0].time).alpha
    with _bar(task, plan.evaluations, "flow") as bar:
        of_parts = []
        for part, labels, condition in _parts(task):
            pullback = task.divergences.pullback(trained, labels, condition)
            vectors = [trained.array(v[part]) for v in probes]
            of_parts.append(
                (
                    part,
                    likelihood.hutchinson(pullback, vectors)
                    if vectors
                    else likelihood.exact_divergence(pullback),
                )
            )

        def divergence(x: Double, t: float) -> tuple[Double, Double]:
            x_0, trace = evaluated(trained, of_parts, x, t, bar)
            return x_0.astype(np.float64), trace.astype(np.float64)

        flow = likelihood.flow_log_likelihood(schedule, divergence, plan, alpha * x_0)
    return likelihood.bits_per_dimension(flow.log_density + d * math.log(alpha), d, task.bin_width)
