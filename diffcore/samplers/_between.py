"""Times inside a step, for the methods that call the denoiser there."""

from ..schedules import ContinuousSchedule, DiscreteSchedule, Schedule


def between(schedule: Schedule, t: float, s: float, half_log_snr: float) -> float | None:
    """The time between s and t, whichever is later, at which log(alpha / sigma) is `half_log_snr`.

    On a discrete schedule it is the nearest whole time strictly between them, None where there is
    none; an interpolated schedule (`schedules.interpolate`) has all.
    """
    if isinstance(schedule, ContinuousSchedule):
        return schedule.time_at(2.0 * half_log_snr)
    assert isinstance(schedule, DiscreteSchedule)
    inside = range(int(min(s, t)) + 1, int(max(s, t)))
    return min(inside, key=lambda u: abs(schedule.log_snr_at(u) - 2.0 * half_log_snr), default=None)
