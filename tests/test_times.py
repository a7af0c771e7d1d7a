import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffcore import schedules, times


def test_the_three_rules_of_lin_et_al_table_2():
    """Their example, T = 1000 and 10 steps, in times 1..T."""
    schedule = schedules.linear()
    assert times.leading(schedule, 10) == (901, 801, 701, 601, 501, 401, 301, 201, 101, 1, 0)
    assert times.linspace(schedule, 10) == (1000, 889, 778, 667, 556, 445, 334, 223, 112, 1, 0)
    assert times.trailing(schedule, 10) == (1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0)


@given(st.integers(1, 1000), st.data())
def test_discrete_grids_are_valid(T, data):
    schedule = schedules.linear(T)
    n = data.draw(st.integers(1, T))
    for rule in (times.linspace, times.trailing, times.leading):
        grid = rule(schedule, n)
        assert len(grid) == n + 1
        assert grid[-1] == 0
        assert np.all(np.diff(grid) < 0)
        assert all(isinstance(t, int) for t in grid)
    assert times.linspace(schedule, n)[0] == times.trailing(schedule, n)[0] == T
    assert times.trailing(schedule, T) == times.every(schedule)


def test_continuous_grids():
    assert times.trailing(schedules.flow(), 4) == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert times.linspace(schedules.edm(), 2) == (80.0, 40.0, 0.0)
    with pytest.raises(TypeError, match="schedule must be discrete"):
        times.leading(schedules.flow(), 4)


@pytest.mark.parametrize("n", [0, -1, 11, 2.5, True])
def test_bad_counts_are_named(n):
    with pytest.raises(ValueError, match=r"n must be a whole number of steps in 1..10"):
        times.trailing(schedules.linear(10), n)
