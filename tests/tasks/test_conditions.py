"""Low-resolution images as conditions."""

import numpy as np
import pytest
from conftest import as_numpy, make
from strategies import normal

from diffcore import tasks

IMAGES = normal(0, (2, 3, 8, 8))[0]


def test_area_averages_are_the_means_of_blocks(xp):
    x = make(xp, IMAGES, "float32")
    got = tasks.area_average(x, 4)
    assert got.dtype == xp.float32
    wanted = np.empty((2, 3, 4, 4))
    for i in range(4):
        for j in range(4):
            wanted[:, :, i, j] = IMAGES[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((2, 3))
    np.testing.assert_allclose(as_numpy(got), wanted, rtol=0, atol=2**-21)
    large = as_numpy(tasks.enlarged(got, 8))
    np.testing.assert_array_equal(large, np.kron(as_numpy(got), np.ones((2, 2), np.float32)))
    # Every second pixel is not the mean.
    assert np.abs(wanted - IMAGES[:, :, ::2, ::2]).max() > 0.1


def test_a_condition_is_the_same_from_either_size(xp):
    x = make(xp, IMAGES, "float32")
    low = tasks.low_resolution(x, 4)
    assert low.shape == x.shape
    np.testing.assert_array_equal(as_numpy(tasks.low_resolution(low, 4)), as_numpy(low))
    np.testing.assert_array_equal(as_numpy(tasks.low_resolution(x, 8)), as_numpy(x))
    np.testing.assert_allclose(
        as_numpy(tasks.low_resolution(x, 1)),
        np.broadcast_to(IMAGES.mean((2, 3), keepdims=True), IMAGES.shape),
        rtol=0,
        atol=2**-20,
    )


def test_conditions_are_concatenated_behind_the_state(xp):
    seen = []

    def network(x, t):
        seen.append((x, t))
        return x[:, :1, ...]

    state = make(xp, normal(1, (2, 1, 8, 8))[0], "float32")
    for condition in (make(xp, IMAGES, "float32"), make(xp, IMAGES[:1], "float64")):
        seen.clear()
        got = tasks.concatenated(network, condition)(state, 7)
        ((x, t),) = seen
        assert t == 7
        assert x.dtype == xp.float32
        host = np.broadcast_to(as_numpy(condition), IMAGES.shape).astype(np.float32)
        np.testing.assert_array_equal(as_numpy(x), np.concatenate([as_numpy(state), host], axis=1))
        np.testing.assert_array_equal(as_numpy(got), as_numpy(state))


def beside(condition, x_t):
    return tasks.concatenated(lambda x, t: x, condition)(x_t, 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.area_average(IMAGES, 3), "side must divide 8 and 8, got 3"),
        (lambda: tasks.area_average(IMAGES, 0), "side must divide 8 and 8, got 0"),
        (lambda: tasks.enlarged(IMAGES, 12), "side must be a multiple of 8 and 8, got 12"),
        (lambda: tasks.low_resolution(IMAGES[0], 4), r"x must have shape \(batch, channels"),
        (lambda: tasks.concatenated(None, IMAGES[0]), r"condition must have shape \(batch"),
        (lambda: beside(IMAGES, IMAGES[:, :, :4]), r"condition must have shape \(2, 3, 4, 8\)"),
        (
            lambda: beside(IMAGES, np.tile(IMAGES, (2, 1, 1, 1))),
            r"shape \(4, 3, 8, 8\), or a batch",
        ),
        (lambda: beside(IMAGES, IMAGES[0]), r"x_t must have shape \(batch, channels"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_network_is_a_function():
    with pytest.raises(TypeError, match="network must be a function, got None"):
        tasks.concatenated(None, IMAGES)
