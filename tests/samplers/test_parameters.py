"""Parameters that are not what they should be are named, and NumPy's numbers count as Python's."""

import math

import numpy as np
import pytest

from diffcore import samplers, schedules
from diffcore.samplers import Interval, restart

VP = schedules.vp_linear()
GRID = (0.9, 0.7, 0.4, 0.1)
WHOLE = [
    ("dpm_solver", "order"),
    ("dpm_solver_pp", "order"),
    ("dpm_solver_pp_sde", "order"),
    ("unipc", "order"),
    ("deis", "order"),
    ("lms", "order"),
    ("runge_kutta", "order"),
    ("sa_solver", "predictor"),
    ("sa_solver", "corrector"),
]
REAL = [
    ("euler_ancestral", "eta"),
    ("euler_ancestral", "s_noise"),
    ("dpm2_ancestral", "eta"),
    *((name, key) for name in ("euler", "heun", "dpm2") for key in ("s_churn", "s_tmin", "s_tmax")),
    ("heun", "s_noise"),
    ("sa_solver", "tau"),
    ("dpm_solver", "r1"),
]
SWITCHES = [
    *((name, "lower_order_end") for name in ("dpm_solver", "dpm_solver_pp", "dpm_solver_pp_sde")),
    *((name, "lower_order_end") for name in ("unipc", "deis", "lms", "sa_solver")),
    ("unipc", "corrector"),
]


def planned(name, **parameters):
    return samplers.PLANNERS[name](VP, GRID, **parameters)


@pytest.mark.parametrize("value", [2.0, True, "2", None, [2], np.array(2), math.nan, 99])
@pytest.mark.parametrize(("name", "key"), WHOLE)
def test_whole_numbers_are_whole_numbers(name, key, value):
    with pytest.raises(ValueError, match=rf"{key} must be .*1, 2.* or \d, got"):
        planned(name, **{key: value})


@pytest.mark.parametrize(("name", "key"), WHOLE)
def test_numpys_whole_numbers_are_pythons(name, key):
    made = planned(name, **{key: np.int64(2)})
    assert made == planned(name, **{key: 2})
    assert type(made.parameters[key]) is int


@pytest.mark.parametrize("value", ["1", True, [0.5], np.array(0.5), 1j])
@pytest.mark.parametrize(("name", "key"), REAL)
def test_numbers_are_numbers(name, key, value):
    with pytest.raises(TypeError, match=f"{key} must be a number, got "):
        planned(name, **{key: value})


def test_the_second_share_of_a_third_order_is_a_number():
    with pytest.raises(TypeError, match="r2 must be a number, got 'a'"):
        planned("dpm_solver", order=3, r1=0.3, r2="a")


@pytest.mark.parametrize(("name", "key"), REAL)
def test_numpys_numbers_lend_no_precision_of_their_own(name, key):
    churn = {"s_churn": 1.0} if key in ("s_tmin", "s_tmax") else {}
    made = planned(name, **churn, **{key: np.float32(0.3)})
    assert made == planned(name, **churn, **{key: float(np.float32(0.3))})
    assert all(type(c) is float for s in made.stages for c in (*s.x, *s.m, s.z))


@pytest.mark.parametrize("value", ["False", 1, None])
@pytest.mark.parametrize(("name", "key"), SWITCHES)
def test_only_a_bool_is_yes_or_no(name, key, value):
    with pytest.raises(TypeError, match=f"{key} must be True or False, got {value!r}"):
        planned(name, **{key: value})
    assert planned(name, **{key: np.False_}) == planned(name, **{key: False})


@pytest.mark.parametrize(
    ("name", "key"), [("unipc", "solver"), ("deis", "variable"), ("plms", "start")]
)
def test_words_are_words(name, key):
    with pytest.raises(ValueError, match=rf"{key} must be '.*' or '.*', got \['x'\]"):
        planned(name, **{key: ["x"]})


@pytest.mark.parametrize("name", samplers.PLANNERS)
def test_times_may_be_counted_through_once(name):
    assert samplers.PLANNERS[name](VP, iter(GRID)) == planned(name)


def test_the_strengths_of_a_plan_with_noise_are_those_of_its_steps():
    made = samplers.sa_solver(VP, iter(GRID), tau=lambda t: t)
    assert made.order is None
    assert made.parameters["tau"] == list(GRID[:-1])
    whole = samplers.sa_solver(
        schedules.linear(10), (3, 2, 1), tau=lambda t: [0.0, 0.1, 0.2, 0.3][t]
    )
    assert whole.parameters["tau"] == [0.3, 0.2]
    with pytest.raises(TypeError, match="tau must be a number, got '1'"):
        samplers.sa_solver(VP, GRID, tau=lambda t: "1")


@pytest.mark.parametrize("name", samplers.PLANNERS)
def test_schedules_and_times_are_named(name):
    for wrong in (5, 0.5):
        with pytest.raises(TypeError, match=f"times must be a sequence of numbers, got {wrong}"):
            samplers.PLANNERS[name](VP, wrong)
    for wrong in ("abc", [0.5, True], np.array([[0.5, 0.1]])):
        with pytest.raises(ValueError, match="times must be at least two numbers, got"):
            samplers.PLANNERS[name](VP, wrong)


@pytest.mark.parametrize("wrong", [None, schedules.linear])
@pytest.mark.parametrize("name", samplers.PLANNERS)
def test_a_schedule_is_asked_for(name, wrong):
    with pytest.raises((TypeError, ValueError), match=r"schedule must be|on a discrete schedule"):
        samplers.PLANNERS[name](wrong, GRID)


INTERVAL = Interval(t_min=0.4, t_max=0.7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: restart(VP, "heun", GRID, INTERVAL), "planner must be a function such as"),
        (lambda: restart(VP, GRID, samplers.heun), "planner must be a function such as"),
        (lambda: restart(VP, samplers.heun, GRID, (0.4, 0.7)), "intervals must be Interval"),
        (
            lambda: restart(VP, samplers.heun, GRID, Interval(t_min=0.4, t_max="b")),
            "t_max must be a number, got 'b'",
        ),
        (
            lambda: restart(VP, samplers.heun, GRID, INTERVAL, s_noise=True),
            "s_noise must be a number, got True",
        ),
    ],
)
def test_what_a_restart_lacks_is_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_repetitions_are_counted_in_whole_numbers():
    def made(count):
        return restart(VP, samplers.heun, GRID, Interval(t_min=0.4, t_max=0.7, repetitions=count))

    assert made(np.int64(2)) == made(2)
    for wrong in (True, 2.0):
        with pytest.raises(ValueError, match="repetitions must be a positive whole number, got"):
            made(wrong)
