"""What the checks of losses stand on: scripted times, told times, weightings by name, the bound."""

import mpmath
import numpy as np
import pytest

from diffcore import losses, schedules
from diffcore.predictions import EPS, MEAN, X_0, V
from diffcore.verify import libraries
from diffcore.verify.adapters.indexed import Indexed, schedule_of
from diffcore.verify.checks import bound, decoder, weightings
from diffcore.verify.integers import integers
from diffcore.verify.subject import Loss, Subject, Table

SCHEDULE = schedules.from_betas(np.linspace(0.01, 0.4, 9))


def subject(**parts):
    library = libraries.of("numpy")
    return Subject(
        name="own",
        kind="own",
        make=library.make,
        epsilon=library.epsilon,
        schedule=SCHEDULE,
        tables={"alpha_bar": Table(SCHEDULE.alpha_bar[1:], 1, library.epsilon)},
        **parts,
    )


def steps(told):
    return Indexed(schedule=SCHEDULE, told=np.asarray(told), library=libraries.of("numpy"))


def test_times_are_handed_out_in_the_range_that_is_asked_for():
    torch = pytest.importorskip("torch")
    with integers(lambda shape: np.array([0, 3, 9])):
        assert torch.randint(0, 10, (3,)).tolist() == [0, 3, 9]
        assert torch.randint(10, (3,)).tolist() == [0, 3, 9]
        assert torch.randint(1, 10, size=(3,)).tolist() == [1, 4, 9]
        assert torch.randint(low=0, high=5, size=(3,)).tolist() == [0, 3, 4]
        assert torch.randint_like(torch.zeros(3), 10).tolist() == [0.0, 3.0, 9.0]
        assert torch.zeros(3, dtype=torch.int64).random_(2, 20).tolist() == [2, 5, 11]
        assert np.random.randint(0, 10, size=3).tolist() == [0, 3, 9]  # noqa: NPY002
        assert torch.randint(0, 2, (4,)).shape == (4,)
    assert max(torch.randint(0, 2, (3,)).tolist()) < 2


def test_times_are_handed_out_in_jax():
    jax = pytest.importorskip("jax")
    with integers(lambda shape: np.array([0, 3, 9])):
        assert jax.random.randint(jax.random.key(0), (3,), 0, 10).tolist() == [0, 3, 9]


def test_what_the_network_is_told_is_a_time():
    every = steps(np.arange(9.0))
    assert [every.time(told) for told in (0.0, 4.0, 8.0)] == [1, 5, 9]
    assert [every.time(told) for told in (-1.0, 9.0, 2.5)] == [0.0, 10.0, 3.5]
    spaced = steps(100.0 * np.arange(9.0) + 7.0)
    assert spaced.time(207.0) == 3
    assert spaced.time(257.0) == 3.5


def test_levels_that_make_no_schedule_are_those_of_the_betas():
    beta = [0.1, 0.2]
    assert np.allclose(schedule_of([0.9, 0.95], beta).alpha_bar, [1.0, 0.9, 0.72])


@pytest.mark.parametrize("predicts", [EPS, X_0, MEAN])
def test_the_output_for_an_answer_is_what_gives_it_back(predicts):
    rng = np.random.default_rng(0)
    x_t, x_0 = rng.standard_normal((2, 3, 4))
    for t in (1, 4, 9):
        output = steps(np.arange(9.0)).output(predicts, lambda *_: x_0)(x_t, t, 0)
        assert np.allclose(predicts.x_0(SCHEDULE, output, x_t, t), x_0, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("predicts", [EPS, X_0, V])
@pytest.mark.parametrize(
    ("words", "weighting"),
    [
        ("min-SNR", losses.min_snr(5.0)),
        ("max(SNR, 1)", losses.truncated_snr()),
        ("P2", losses.p2()),
        ("P2", losses.sigmoid()),
        ("1 on the error of v", losses.edm(1.0)),
    ],
)
def test_weightings_are_named(words, weighting, predicts):
    times = (1, 3, 6, 9)
    claimed = Loss(of=lambda *_: None, predicts=predicts)
    found = np.array([weighting.weight(SCHEDULE, t, np.zeros(1), predicts) for t in times])
    wanted = 7.0 + np.array(times)
    assert words in weightings.name(subject(), claimed, times, found, wanted, 3)
    found[1] *= 1.1
    assert weightings.name(subject(), claimed, times, found, wanted, 3) == ""


def test_constant_factors_are_named():
    for factor, words in ((12.0, "12 elements"), (3.0, "batch of 3"), (-1.0, "sign")):
        assert words in weightings.constant(np.full(4, factor), 12, 3)
    assert weightings.constant(np.array([12.0, 12.0, 12.1]), 12, 3) == ""


def test_the_posteriors_kl_weighs_as_its_closed_form():
    rng = np.random.default_rng(0)
    x_0, guess, x_t = rng.standard_normal((3, 1, 5))
    for t in (2, 5, 9):
        exact = losses.posterior_mean_kl(SCHEDULE, X_0, guess, x_0, x_t, t)[0]
        weight = weightings.posterior_mean(SCHEDULE, t)
        assert np.isclose(exact, weight * np.mean((x_0 - guess) ** 2), rtol=1e-12)


@pytest.mark.parametrize("variance", ["small", "large", 0.25])
def test_the_bound_agrees_with_the_closed_form_and_not_with_its_reverse(variance):
    def term(network, x_0, x_t, times):
        t = np.array(times)
        output = network(x_t, times)
        fraction = {"small": 0.0, "large": 1.0}.get(variance, variance)
        learned = losses.learned_variance(SCHEDULE, np.full_like(x_0, fraction), t)
        return losses.vlb_term(SCHEDULE, EPS, output, x_0, x_t, t, variance=learned)

    held = subject(losses={"vlb": Loss(of=term, variance=variance)})
    assert all(o.holds for o in bound.vlb(held))
    assert all(o.holds for o in decoder.decoder(held))
    other = subject(losses={"vlb": Loss(of=lambda *a: 1.001 * term(*a), variance=variance)})
    assert not all(o.holds for o in bound.vlb(other))
    assert not all(o.holds for o in decoder.decoder(other))


def test_the_decoders_tanh_is_off_by_what_is_published():
    _, tanh = decoder.RIGHT
    for x in np.linspace(-4.0, 4.0, 33):
        # The bin at -1 is open, so that its mass is the CDF.
        nats = tanh.nats(np.array([-1.0]), np.array([-1.0 + 1.0 / 255.0 - x]), np.array([1.0]))
        with mpmath.workdps(30):
            assert abs(float(np.exp(-nats[0])) - float(mpmath.ncdf(x))) < 2e-4
