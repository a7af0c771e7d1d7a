"""Rescaled and projected guidance: what they promise, by other roads, and the published code."""

import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from strategies import normal

from diffcore import guidance, plan, predictions, samplers, schedules
from diffcore.predictions import V

EPS = np.finfo(np.float64).eps
C, U, X = normal(0, (4, 3, 5, 5), count=3)
AXES = (1, 2, 3)


def std(x):
    return np.sqrt(np.mean((x - x.mean(axis=AXES, keepdims=True)) ** 2, axis=AXES))


def ruled(rule, c=C, u=U):
    return rule(c, u, X, 1)


def test_rescaling_gives_each_sample_the_conditional_deviation():
    guided = ruled(guidance.Linear(5.0))
    assert (std(guided) > 2.0 * std(C)).all()
    whole = ruled(guidance.Rescaled(5.0, 1.0))
    np.testing.assert_allclose(std(whole), std(C), rtol=16 * EPS)
    np.testing.assert_array_equal(ruled(guidance.Rescaled(5.0, 0.0)), guided)
    some = ruled(guidance.Rescaled(5.0, 0.7))
    np.testing.assert_allclose(some, 0.7 * whole + 0.3 * guided, rtol=0, atol=64 * EPS)
    # One deviation for the whole batch is another rule.
    scales = np.array([1.0, 2.0, 4.0, 8.0])[:, None, None, None]
    uneven = ruled(guidance.Rescaled(5.0, 1.0), C * scales)
    guided = ruled(guidance.Linear(5.0), C * scales)
    assert np.abs(uneven - guided * np.std(C * scales) / np.std(guided)).max() > 0.1


def test_rescaling_leaves_a_flat_image_flat():
    flat = np.full_like(C, 0.5)
    np.testing.assert_array_equal(ruled(guidance.Rescaled(3.0), flat, flat), flat)
    line = normal(1, (4,))[0]
    np.testing.assert_allclose(guidance.Rescaled(3.0)(line, line, line, 1), line, rtol=8 * EPS)


def test_rescaling_is_the_published_code_on_what_the_network_puts_out():
    """Lin et al. rescale the output v; their code is in diffusers."""
    torch = pytest.importorskip("torch")
    published = pytest.importorskip("diffusers.guiders.guider_utils").rescale_noise_cfg
    schedule, t, w = schedules.zero_terminal_snr(schedules.linear(100)), 60, 7.5
    alpha, sigma = schedule(t)

    def output(x_0):
        return alpha * (X - alpha * x_0) / sigma - sigma * x_0

    c, u = (torch.from_numpy(output(x_0)) for x_0 in (C, U))
    v = published(u + w * (c - u), c, guidance_rescale=0.7).numpy()
    wanted = alpha * X - sigma * v
    rule = guidance.on_outputs(guidance.Rescaled(w, 0.7), schedule, V)
    np.testing.assert_allclose(rule(C, U, X, t), wanted, rtol=0, atol=512 * EPS * w)
    # At zero terminal SNR v is -x_0, and both are one.
    last = guidance.on_outputs(guidance.Rescaled(w, 0.7), schedule, V)(C, U, X, 100)
    np.testing.assert_allclose(last, ruled(guidance.Rescaled(w, 0.7)), rtol=0, atol=64 * EPS * w)
    assert np.abs(rule(C, U, X, t) - ruled(guidance.Rescaled(w, 0.7))).max() > 0.1


def test_an_output_that_says_nothing_of_x_0_is_an_error():
    schedule = schedules.zero_terminal_snr(schedules.linear(100))
    rule = guidance.on_outputs(guidance.Linear(2.0), schedule, predictions.EPS)
    with pytest.raises(ValueError, match="x_0 is not defined"):
        rule(C, U, X, 100)


@pytest.mark.parametrize("t", [0.0, np.array([0.5, 0.0, 0.5, 0.5])], ids=["one", "each"])
def test_at_data_there_is_no_noise_for_a_network_to_put_out(t):
    rule = guidance.on_outputs(guidance.Rescaled(2.0), schedules.flow(), V)
    with pytest.raises(ValueError, match="t must have sigma > 0 to tell x_t's noise, got t = "):
        rule(C, U, X, t)


def dot(a, b):
    return np.sum(a * b, axis=AXES)


def test_projected_guidance_moves_at_right_angles_to_the_conditional_output():
    moved = ruled(guidance.Projected(4.0)) - C
    size = np.sqrt(dot(moved, moved) * dot(C, C))
    assert (np.abs(dot(moved, C)) <= 64 * EPS * size).all()
    # ... and as far as classifier-free guidance does in that direction.
    d = 3.0 * (C - U)
    np.testing.assert_allclose(dot(moved, moved), dot(moved, d), rtol=1e-12)
    whole = ruled(guidance.Projected(4.0, eta=1.0))
    np.testing.assert_allclose(whole, ruled(guidance.Linear(4.0)), rtol=0, atol=64 * EPS)
    half = ruled(guidance.Projected(4.0, eta=0.5))
    middle = 0.5 * (ruled(guidance.Projected(4.0)) + whole)
    np.testing.assert_allclose(half, middle, rtol=0, atol=64 * EPS)
    # Projecting on the unconditional output is another rule.
    along_u = (dot(d, U) / dot(U, U))[:, None, None, None] * U
    assert np.abs(C + d - along_u - ruled(guidance.Projected(4.0))).max() > 0.1


def test_the_radius_shortens_long_differences_alone():
    lengths = np.array([0.1, 1.0, 3.0, 10.0])
    d = C / np.sqrt(dot(C, C))[:, None, None, None] * lengths[:, None, None, None]
    rule = guidance.Projected(2.0, eta=1.0, radius=2.0)
    moved = ruled(rule, C, C - d) - C
    np.testing.assert_allclose(np.sqrt(dot(moved, moved)), [0.1, 1.0, 2.0, 2.0], rtol=1e-12)


def test_momentum_sums_the_differences_of_a_run():
    rule = guidance.Projected(2.0, eta=1.0, momentum=-0.5)
    outputs = [normal(k, C.shape)[0] for k in range(3)]
    d = [C - u for u in outputs]
    for run in range(2):  # The second run starts at a noisier time than the first one ended.
        got = [rule(C, u, X, t) - C for u, t in zip(outputs, (9.0, 5.0, 5.0), strict=True)]
        wanted = [d[0], d[1] - 0.5 * d[0], d[2] - 0.5 * d[1] + 0.25 * d[0]]
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=32 * EPS, err_msg=str(run))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((9.0,), (9.0, 5.0)),
        ((9.0, 5.0, 5.0), (9.0, 5.0)),
        (("stack", 9.0, 5.0), (5.0, 1.0)),
        ((9.0, 5.0), ("stack", 5.0, 1.0)),
        (("stack", 9.0), ("stack", 9.0, 5.0)),
        (("torch", 9.0, 5.0), (5.0, 1.0)),
        (("float32", 9.0, 5.0), (5.0, 1.0)),
    ],
    ids=str,
)
def test_no_run_goes_on_with_the_sum_of_another(before, after):
    """Of one step, stopped half-way, of a stack, of another library or dtype."""

    def ran(rule, how, *times):
        stacked, torch = how == "stack", how == "torch"
        times = (how, *times) if isinstance(how, float) else times
        xp = namespace_of("torch" if torch else "numpy")
        dtype = "float32" if how == "float32" else "float64"
        ends = []
        for k, t in enumerate(times):
            c, u = (make(xp, x, dtype) for x in normal(k, C.shape, count=2))
            ends.append(as_numpy(rule(c, u, c, np.full(len(C), t) if stacked else t)))
        return ends

    rule, fresh = (guidance.Projected(2.0, momentum=-0.5) for _ in range(2))
    ran(rule, *before)
    got, wanted = ran(rule, *after), ran(fresh, *after)
    np.testing.assert_array_equal(got, wanted)
    without = ran(guidance.Projected(2.0), *after)
    assert np.abs(np.array(wanted[1]) - without[1]).max() > 0.1


def test_a_run_with_momentum_is_compiled_as_a_whole():
    jax = pytest.importorskip("jax")
    schedule = schedules.edm()
    made = samplers.heun(schedule, (4.0, 2.0, 1.0, 0.0))
    x = normal(0, (2, 3))[0]

    def run():
        rule = guidance.Projected(3.0, momentum=-0.5)
        guided = guidance.two_pass(lambda x, t: 1.0 + 0.1 * x**2, lambda x, t: 0.5 * x, rule)
        return lambda x: plan.sample(guided, made, x)

    wanted = run()(x)
    compiled = jax.jit(run())
    for batch in (x, x, x[:1]):
        got = as_numpy(compiled(make(namespace_of("jax"), batch)))
        np.testing.assert_allclose(got, wanted[: len(batch)], rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("momentum", [0.0, -0.5])
@pytest.mark.parametrize("radius", [np.inf, 2.5])
def test_projected_guidance_is_the_published_algorithm(momentum, radius):
    """Sadat et al., algorithm 1, which diffusers has as its original formulation in w - 1."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("diffusers.guiders.adaptive_projected_guidance")
    w, eta = 6.0, 0.25
    buffer = module.MomentumBuffer(momentum) if momentum else None
    rule = guidance.Projected(w, eta=eta, radius=radius, momentum=momentum)
    for k, t in enumerate((9.0, 5.0, 1.0)):
        c, u = normal(k, C.shape, count=2)
        theirs = module.normalized_guidance(
            torch.from_numpy(c),
            torch.from_numpy(u),
            w - 1.0,
            momentum_buffer=buffer,
            eta=eta,
            norm_threshold=0.0 if np.isinf(radius) else radius,
            use_original_formulation=True,
        ).numpy()
        np.testing.assert_allclose(rule(c, u, X, t), theirs, rtol=0, atol=256 * EPS)


def test_diffusers_default_formulation_of_it_is_not_the_conditional_model_at_w_1():
    """It takes a share 1 - eta of the difference along c from c itself: u + w (d_perp + eta d_par).

    Whatever the weight, it is off from the paper by that share.
    """
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("diffusers.guiders.adaptive_projected_guidance")
    c, u = torch.from_numpy(C), torch.from_numpy(U)
    along = (dot(C - U, C) / dot(C, C))[:, None, None, None] * C
    for w in (1.0, 4.0):
        theirs = module.normalized_guidance(c, u, w, eta=0.25).numpy()
        ours = ruled(guidance.Projected(w, eta=0.25))
        np.testing.assert_allclose(ours - theirs, 0.75 * along, rtol=0, atol=256 * EPS)
        assert np.abs(ours - theirs).max() > 0.01


def test_each_denoiser_has_a_momentum_of_its_own():
    rule = guidance.Projected(2.0, eta=1.0, momentum=-0.5)
    first = guidance.two_pass(lambda x, t: C, lambda x, t: U, rule)
    wanted = first(X, 1.0)
    assert np.abs(first(X, 0.5) - wanted).max() > 0.1
    again = guidance.two_pass(lambda x, t: C, lambda x, t: U, rule)
    np.testing.assert_array_equal(again(X, 1.0), wanted)


def test_an_output_of_zeros_has_no_direction():
    got = ruled(guidance.Projected(2.0), 0.0 * C)
    np.testing.assert_array_equal(got, 0.0 * C - U)


@pytest.mark.parametrize(
    "rule",
    [
        guidance.Linear(3.0),
        guidance.Rescaled(3.0, 0.5),
        guidance.Projected(3.0, eta=0.5, radius=2.0, momentum=-0.5),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_every_library_gives_numpys_answer(xp, rule):
    wanted = guidance.two_pass(lambda x, t: C, lambda x, t: U, rule)(X, 1)
    c, u, x = (make(xp, host, "float32") for host in (C, U, X))
    got = guidance.two_pass(lambda x, t: c, lambda x, t: u, rule)(x, 1)
    assert got.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(got), wanted, rtol=0, atol=2**6 * 2**-23)
