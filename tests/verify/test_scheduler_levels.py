"""How a step scheduler is read: its shape, its levels, and what its network is told."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from mutants import module

from diffcore import verify
from diffcore.verify.adapters import scheduler
from diffcore.verify.adapters.scheduler import levels, shape, values

ZOO = module("step_scheduler.py")


def set_to(n, name, **config):
    made = getattr(ZOO, name)(**config)
    made.set_timesteps(n)
    return made


def table(sigmas, timesteps, **more):
    """A scheduler of these levels, with the usual table of a thousand betas."""
    betas = np.linspace(1e-4, 0.02, 1000)
    made = SimpleNamespace(
        sigmas=np.array(sigmas), timesteps=np.array(timesteps), config=more, init_noise_sigma=1.0
    )
    if "sigma_data" not in more:
        made.alphas_cumprod = np.cumprod(1.0 - betas)
    return made


def ratio(t):
    bar = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
    return float(np.sqrt((1.0 - bar[t]) / bar[t]))


def test_a_scheduler_is_known_by_its_shape():
    assert scheduler.matches(ZOO.DDIMScheduler)
    assert scheduler.matches(ZOO.DDIMScheduler())
    assert not scheduler.matches(ZOO.Tables)
    assert not scheduler.matches(lambda model, x, sigmas: x)
    assert not scheduler.matches(SimpleNamespace(set_timesteps=print, step=lambda x, t: x))


def test_timestep_i_is_time_i_plus_1():
    track = levels.track(set_to(4, "DDIMScheduler"))
    assert track.grid == (40, 30, 20, 10, 0)
    assert track.used == track.told == (40, 30, 20, 10)
    one = levels.track(set_to(4, "DDIMScheduler", set_alpha_to_one=False))
    assert one.grid == (40, 30, 20, 10, 1)


def test_states_over_alpha_have_alpha_1_and_a_scaled_input():
    made = set_to(4, "EulerDiscreteScheduler")
    track = levels.track(made)
    assert track.grid == tuple(made.sigmas.tolist())
    assert track.schedule(track.grid[1]) == (1.0, track.grid[1])
    assert track.gains == tuple(math.hypot(1.0, s) for s in track.used)
    kept = levels.track(set_to(4, "DPMSolverMultistepScheduler"))
    assert kept.schedule(kept.grid[0]).alpha == pytest.approx(1 / math.hypot(1, kept.grid[0]))
    assert set(kept.gains) == {1.0}


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_between_whole_times_every_interpolation_counts(weight):
    """Linear, logarithmic and what is between are one; the level of another time is not."""
    a, b = ratio(500), ratio(501)
    used = weight * (a + 0.3 * (b - a)) + (1.0 - weight) * a * (b / a) ** 0.3
    assert levels.track(table([used, 0.0], [500.3])).told == (used,)
    off = levels.track(table([used, 0.0], [500.0])).told[0]
    assert off == pytest.approx(a, rel=1e-6)
    assert off != used


def test_what_edm_tells_is_a_quarter_of_the_logarithm():
    right = table([80.0, 1.0, 0.0], [0.25 * math.log(80.0), 0.0], sigma_data=0.5)
    assert levels.track(right).told == (80.0, 1.0)
    wrong = table([80.0, 1.0, 0.0], [0.5 * math.log(80.0), 0.0], sigma_data=0.5)
    assert levels.track(wrong).told == (pytest.approx(6400.0), 1.0)


def test_a_share_of_a_quarter_turn_is_a_level_too():
    levels_, times = [500.0, 5.0, 0.3], np.arctan(np.array([500.0, 5.0, 0.3])) * 2.0 / math.pi
    right = table([*levels_, 0.0], times.astype(np.float32), sigma_data=1.0)
    assert levels.track(right).told == tuple(levels_)
    wrong = table([*levels_, 0.0], [*times[:2], times[2] + 1e-3], sigma_data=1.0)
    assert levels.track(wrong).told[2] == pytest.approx(
        math.tan(0.5 * math.pi * (times[2] + 1e-3)), rel=1e-12
    )


def test_a_midpoint_that_is_in_no_table_is_the_geometric_mean():
    made = table([8.0, 2.0, 2.0, 0.5, 0.0], [0, 0, 0, 0])
    assert levels.track(made).used == (8.0, 2.0, 2.0, 0.5)
    made.mid_point_sigma = None
    assert levels.track(made).used == (8.0, 4.0, 2.0, 1.0)
    assert levels.track(made).grid == (8.0, 2.0, 0.5, 0.0)


class Bridged:
    """DDPM's step from x_0 to the next level, its noise from a path that it makes for itself."""

    def __init__(self):
        self.alphas_cumprod = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
        self.init_noise_sigma = 1.0

    def set_timesteps(self, n):
        self.timesteps = np.arange(n)[::-1] * (1000 // n)
        self.next = dict(pairwise([*self.timesteps.tolist(), None]))
        self.noise_sampler = None

    def step(self, model_output, timestep, sample):
        if self.noise_sampler is None:
            draws = np.random.standard_normal((20, *sample.shape))  # noqa: NPY002
            draws = draws.astype(sample.dtype)
            self.noise_sampler = lambda *_: draws.sum(axis=0) / math.sqrt(20.0)
        t, s = int(timestep), self.next[int(timestep)]
        a, b = self.alphas_cumprod[t], 1.0 if s is None else self.alphas_cumprod[s]
        x_0 = (sample - math.sqrt(1.0 - a) * model_output) / math.sqrt(a)
        mean = math.sqrt(b) * (1.0 - a / b) * x_0 + math.sqrt(a / b) * (1.0 - b) * sample
        deviation = math.sqrt((1.0 - b) * (1.0 - a / b) / (1.0 - a))
        end = mean / (1.0 - a) + deviation * self.noise_sampler(t, s)
        return (end.astype(sample.dtype),)


def test_a_path_of_its_own_gives_way_to_plain_noise():
    report = verify.check(Bridged, claims="ddpm", steps=(5,), parts=("steps", "state"))
    assert report.ok, str(report)


def test_without_betas_sigmas_are_those_of_flow():
    made = SimpleNamespace(
        sigmas=np.array([1.0, 0.5, 0.0]), timesteps=np.array([1000.0, 400.0]), config={}
    )
    track = levels.track(made)
    assert track.schedule(0.5) == (0.5, 0.5)
    assert track.told == (1.0, pytest.approx(0.4))


def test_a_level_twice_is_one_of_the_grid():
    made = table([ratio(900), ratio(500), ratio(500) * (1 + 1e-16)], [900, 500])
    assert len(levels.track(made).grid) == 2


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (SimpleNamespace(timesteps=np.array([1])), "target must have sigmas or alphas_cumprod"),
        (table([1.0, 2.0, 3.0], [1, 2]), "timesteps must fall"),
    ],
)
def test_what_has_no_levels_is_named(made, message):
    with pytest.raises(ValueError, match=message):
        levels.track(made)


def test_an_option_is_refused_in_words_only():
    assert shape.refused(ValueError("prediction_type must be epsilon"), "prediction_type")
    assert shape.refused(NotImplementedError("heun is not there"), "solver_type", "heun")
    assert not shape.refused(ValueError("operands have other shapes"), "solver_type", "heun")
    assert not shape.refused(KeyError("heun"), "solver_type", "heun")


def test_the_values_of_an_option_are_those_listed_or_known():
    recipe = shape.recipe(ZOO.DPMSolverMultistepScheduler, {"solver_order": 1})
    assert values.of(recipe, "timestep_spacing") == ("linspace", "leading", "trailing")
    assert list(values.others(recipe, "solver_order")) == [2, 3]
    assert values.of(recipe, "lower_order_final") == (False, True)
    assert values.of(recipe, "num_train_timesteps") == ()
    assert recipe.make().config.solver_order == 1
    assert recipe.but(solver_order=2).make().config.solver_order == 2
