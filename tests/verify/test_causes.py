"""What a failure is put down to: only what is wrong, and nearer than what was claimed."""

from dataclasses import replace

import numpy as np
import planned
import pytest

from diffcore import samplers, schedules
from diffcore.verify import checks, claim, examine
from diffcore.verify.checks import bound, bound_total

SCHEDULE = schedules.linear(1000)
PLAN = [c for c in checks.CHECKS if c.name == "plan"]


def window(schedule, n):
    return tuple(range(504, 503 - n, -1))


def large(schedule, times):
    return samplers.ddpm(schedule, times, "large")


def changed(change):
    """DDPM with the large variance, with its stages changed."""

    def planner(schedule, times):
        made = large(schedule, times)
        return replace(made, stages=tuple(map(change, made.stages)))

    return planner


def scaled(stage, part, factor):
    """The stage with one of its weights times a factor."""
    (weight,) = getattr(stage, part)
    return replace(stage, **{part: (weight * factor,)})


def cause(planner, claimed):
    made = planned.subject(planner, SCHEDULE, window, claim=claimed, steps=(4,))
    return examine(made, PLAN)["plan"].cause


LARGE = claim("ddpm", variance="large")


def test_noise_is_named_where_it_is_wrong():
    squared = changed(lambda stage: replace(stage, z=stage.z**2))
    assert cause(squared, LARGE) == "it is beta where the noise's weight belongs"


@pytest.mark.parametrize("part", ["x", "m"])
def test_noise_is_not_named_where_another_weight_is_wrong(part):
    """The noise's is the square root of beta, which it must be."""
    off = changed(lambda stage: scaled(stage, part, 1.0 - 4e-4))
    assert cause(off, LARGE) == ""


def test_a_sampler_that_is_slightly_off_is_not_told_to_be_what_it_claims():
    made = changed(lambda stage: scaled(stage, "m", 1.0 - 2e-3))
    assert cause(made, claim("ddpm", variance="large")) == ""


@pytest.mark.parametrize("check", ["mean", "variance"])
def test_the_level_that_a_state_is_at_is_named(check):
    def past_its_time(schedule, times):
        """DDIM by way of 403, where the network is told 400."""
        first, second = samplers.ddim(schedule, (times[0], 403, times[2])).stages
        return replace(
            samplers.ddim(schedule, times),
            stages=(replace(first, time_next=400), replace(second, time=400)),
        )

    def found(planner):
        made = planned.subject(planner, SCHEDULE, lambda schedule, n: (500, 400, 300), steps=(2,))
        return examine(made, [c for c in checks.CHECKS if c.name == check])[check].cause

    assert found(past_its_time) == "the state is at the level of time 403, not of 400"
    off = changed(lambda stage: scaled(stage, "x", 1.0 - 4e-4))
    assert found(off) == found(samplers.ddim) == ""


def test_a_kl_that_is_slightly_off_is_not_told_to_be_another():
    """Where the variances are alike the KL is nearly the same both ways round."""
    logs = bound.Logs(np.zeros((3, 2)), np.full((3, 2), 1e-7), np.full((3, 2), 0.3))
    wanted = bound.per_sample(bound.kl(logs))
    assert bound._cause(anyone(), wanted * (1.0 + 3e-4), wanted, logs) == ""
    reverse = bound.Logs(logs.true, logs.true + 0.5, logs.offset)
    wanted = bound.per_sample(bound.kl(reverse))
    other = bound.per_sample(bound.kl(bound.Logs(reverse.model, reverse.true, reverse.offset)))
    assert "other way round" in bound._cause(anyone(), other, wanted, reverse)


def anyone():
    return planned.subject(large, SCHEDULE, window, steps=(1,))


def test_a_sum_of_terms_lacks_the_prior_only_if_it_is_off_by_that():
    """Where the last level is nearly pure noise, the prior's term is next to nothing."""
    wanted, prior = np.array([7.0, 5.0]), np.array([1e-5, 2e-5])
    assert "lacks the prior" in bound_total._cause(wanted - prior, wanted, prior, 100)
    assert bound_total._cause(wanted * (1.0 + 3e-4), wanted, prior, 100) == ""
    mean = (wanted - prior) / 100 + prior
    assert "the mean of its terms" in bound_total._cause(mean, wanted, prior, 100)
