"""Where times lie in half log SNR, lambda = log(alpha / sigma), and times inside a step."""

from ..schedules import ContinuousSchedule, DiscreteSchedule, Schedule


def interior(schedule: Schedule, t: float, s: float) -> bool:
    """Whether both ends have signal and noise."""
    return all(part > 0.0 for time in (t, s) for part in schedule(time))


def half_log_snr(schedule: Schedule, t: float) -> float:
    """lambda at time t."""
    return 0.5 * float(schedule.log_snr_at(t))


def half_gap(schedule: Schedule, t: float, u: float) -> float:
    """lambda_u - lambda_t."""
    return 0.5 * float(schedule.log_snr_gap(u, t))


def fraction(schedule: Schedule, t: float, u: float, s: float) -> float:
    """Where u lies between t and s, in lambda."""
    return half_gap(schedule, t, u) / half_gap(schedule, t, s)


def between(schedule: Schedule, t: float, s: float, at: float) -> float | None:
    """The time between s and t, whichever is later, at which lambda is `at`.

    On a discrete schedule it is the nearest whole time strictly between them, None where there is
    none; an interpolated schedule (`schedules.interpolate`) has all.
    """
    if isinstance(schedule, ContinuousSchedule):
        return schedule.time_at(2.0 * at)
    assert isinstance(schedule, DiscreteSchedule)
    inside = range(int(min(s, t)) + 1, int(max(s, t)))
    return min(inside, key=lambda u: abs(schedule.log_snr_at(u) - 2.0 * at), default=None)
