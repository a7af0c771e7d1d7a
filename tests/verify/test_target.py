"""Plain functions by name: how they are told times, and what a `Target` accepts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from diffcore import predictions, samplers, schedules, verify
from diffcore._arrays import expand, namespace
from diffcore.verify import Target, Verdict, claim
from diffcore.verify.adapters import functions, functions_called, functions_stepped, indexed
from diffcore.verify.libraries import guess, of

SCHEDULE = schedules.cosine(12)
BAR = SCHEDULE.alpha_bar[1:]


def column(values, x):
    """The values beside x, in its dtype."""
    return np.asarray(values, x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def q_sample(x_0, t, eps):
    """Of index t."""
    return column(np.sqrt(BAR[t]), x_0) * x_0 + column(np.sqrt(1.0 - BAR[t]), x_0) * eps


def q_mean_variance(x_0, t):
    """Of one index t."""
    assert isinstance(t, int)
    return math.sqrt(BAR[t]) * x_0, 1.0 - BAR[t]


def verdict(report, *checks):
    return [str(report[check].verdict) for check in checks]


def test_functions_that_take_one_time():
    report = verify.check(Target(alpha_bar=BAR, q_mean_variance=q_mean_variance, times="scalar"))
    assert verdict(report, "q_mean_variance", "arrays") == ["holds", "holds"]

    def one(x_0, t: int, eps):
        return math.sqrt(BAR[t]) * x_0 + math.sqrt(1.0 - BAR[t]) * eps

    assert verdict(verify.check(Target(alpha_bar=BAR, q_sample=one)), "q_sample", "batches") == [
        "holds",
        "holds",
    ]


def test_times_are_indices_from_the_first_entry():
    def from_0(x_0, t, eps):
        alpha, sigma = SCHEDULE.alpha[t], SCHEDULE.sigma[t]
        return column(alpha, x_0) * x_0 + column(sigma, x_0) * eps

    right = verify.check(Target(alpha_bar=SCHEDULE.alpha_bar, first=0, q_sample=from_0))
    assert right["q_sample"].verdict is Verdict.HOLDS
    wrong = verify.check(Target(alpha_bar=BAR, q_sample=from_0))
    assert wrong["q_sample"].cause == "off by one in time: its entries are those of t - 1"


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
def test_any_library(library):
    xp = pytest.importorskip(library)

    def sample(x_0, t, eps):
        schedule = schedules.cosine(12)
        alpha, sigma = (expand(c, x_0) for c in schedule(t + 1, x_0))
        return alpha * x_0 + sigma * eps

    def guide(c, u, w):
        return u + w * (c - u)

    target = Target(alpha_bar=BAR, q_sample=sample, guide=guide, library=library)
    assert guess(target) == library
    report = verify.check(target)
    assert report.ok, str(report)
    assert verdict(report, "q_sample", "batches", "arrays", "guidance") == ["holds"] * 4
    table = of(library).make(BAR, of(library).dtypes[-1])
    assert Target(alpha_bar=table).library == library
    assert namespace(table) is not None
    assert xp is not None


def test_tables_may_be_functions():
    held = Target(alpha_bar=lambda t: BAR[t], T=12, tables={"sqrt_alpha_bar": lambda t: BAR[t]})
    failed = verify.check(held)["tables"]
    assert failed.cause == "it is alpha_bar where sqrt_alpha_bar belongs"
    beside = Target(betas=SCHEDULE.beta[1:], alpha_bar=lambda t: BAR[t])
    assert verify.check(beside)["alpha_bar"].verdict is Verdict.HOLDS
    with pytest.raises(ValueError, match="T must be given where alpha_bar is a function"):
        verify.check(Target(alpha_bar=lambda t: BAR[t]))


def test_epsilon_is_that_of_the_tables():
    torch = pytest.importorskip("torch")
    library = of("torch")

    def sample(x_0, t, eps):
        return x_0

    def epsilon(**options):
        return functions.subject(Target(q_sample=sample, **options), library=library).epsilon

    assert epsilon(schedule=SCHEDULE) == 2.0**-23
    assert epsilon(alpha_bar=torch.tensor(BAR)) == 2.0**-52
    assert epsilon(alpha_bar=torch.tensor(BAR).float()) == 2.0**-23
    assert epsilon(alpha_bar=BAR.tolist(), epsilon=1e-3) == 1e-3


CONTINUOUS = schedules.flow()


def euler(model, x_t, t, s):
    """A step of rectified flow, whose network predicts eps - x_0."""
    return x_t + column(s - t, x_t) * model(x_t, t)


def test_a_continuous_schedule_is_told_its_own_times():
    def sample(x_0, t, eps):
        return column(1.0 - t, x_0) * x_0 + column(t, x_0) * eps

    target = Target(schedule=CONTINUOUS, q_sample=sample, step=euler, predicts="velocity")
    report = verify.check(target, claims="flow_euler")
    assert report.ok, str(report)
    assert verdict(report, "q_sample", "batches", "calls", "plan") == ["holds"] * 4
    assert verify.check(target, claims="flow_heun")["plan"].verdict is Verdict.FAILS

    def transition(x_s, s, t):
        scale = column((1.0 - t) / (1.0 - s), x_s)
        return scale * x_s, column(t, x_s) ** 2 - scale**2 * column(s, x_s) ** 2

    def loses_the_old(x_s, s, t):
        return transition(x_s, s, t)[0], column(t, x_s) ** 2

    for function, says in ((transition, "holds"), (loses_the_old, "fails")):
        found = verify.check(Target(schedule=CONTINUOUS, q_transition=function))
        assert found["composition"].verdict == says

    def wrong(x_0, t, eps):
        return column(1.0 - t, x_0) * x_0 + column(np.sqrt(t), x_0) * eps

    found = verify.check(Target(schedule=CONTINUOUS, q_sample=wrong))
    assert found["q_sample"].verdict is Verdict.FAILS


def test_steps_by_the_names_of_their_arguments():
    plan = samplers.ddim(SCHEDULE, range(12, -1, -1))

    def from_x_0(prediction, i: int, z_t):
        stage = plan.stages[11 - i]
        out = stage.x[0] * z_t + stage.m[0] * prediction
        return SimpleNamespace(prev_sample=out)

    report = verify.check(Target(alpha_bar=BAR, step=from_x_0, predicts="x_0"), claims="ddim")
    assert report.ok, str(report)
    assert report["plan"].verdict is Verdict.HOLDS

    def with_noise(sample, timestep: int, t_prev: int, network, noise):
        alpha, sigma = SCHEDULE(timestep + 1)
        alpha_s, sigma_s = SCHEDULE(t_prev + 1)
        eps = network(sample, timestep)
        x_0 = (sample - sigma * eps) / alpha
        return alpha_s * x_0 + sigma_s * noise, "more"

    target = Target(alpha_bar=BAR, step=with_noise, steps=(2, 4))
    found = functions.subject(target, library=of("numpy"))
    assert [s.label for s in found.samplers] == ["2 steps", "4 steps"]
    assert found.with_steps is not None
    assert found.with_steps(3).grid == (12.0, 8.0, 4.0, 0.0)
    checked = verify.check(target)
    assert verdict(checked, "runs", "mean", "variance") == ["holds"] * 3


def test_a_long_walk_is_tried_in_windows():
    target = Target(alpha_bar=schedules.linear(200).alpha_bar[1:], step=lambda output, t, x: x)
    found = functions.subject(target, library=of("numpy"))
    middle = (200 + indexed.WINDOW) // 2
    assert [s.grid[0] for s in found.samplers] == [200, middle, indexed.WINDOW]
    assert {len(s.grid) for s in found.samplers} == {indexed.WINDOW + 1}


def test_steps_that_cannot_be_run():
    def check(step, **options):
        return functions.subject(Target(step=step, **options), library=of("numpy"))

    with pytest.raises(ValueError, match=r"step must have arguments of .*got guess"):
        check(lambda x, t, guess, model: x, alpha_bar=BAR)
    with pytest.raises(ValueError, match=r"a state, a time, and the network or its output"):
        check(lambda x, t: x, alpha_bar=BAR)
    with pytest.raises(ValueError, match="step must take the next time, s, on a continuous"):
        check(lambda x, t, model: x, schedule=CONTINUOUS)
    assert check(lambda x, t, model: x).samplers == ()
    roles = functions_stepped.roles(lambda x_t, t, s, denoiser, rng=None, clip=True, **more: x_t)
    assert roles == {"x_t": "state", "t": "time", "s": "next", "denoiser": "network"}


def test_a_loss_tells_the_network_our_times():
    told = []

    def loss(network, x_0, t, eps):
        out = network(q_sample(x_0, t, eps), t)
        return np.mean((out - eps) ** 2, axis=(1, 2))

    found = functions.subject(Target(alpha_bar=BAR, loss=loss), library=of("numpy"))

    def network(x_t, times):
        told.append(times)
        return 0.0 * x_t

    x_0 = np.zeros((2, 1, 3))
    value = found.losses["simple"](network, x_0, (3, 12), x_0 + 2.0)
    assert told == [(3.0, 12.0)]
    assert value.tolist() == [4.0, 4.0]
    one = Target(alpha_bar=BAR, loss=lambda net, x_0, t, eps: float(t), times="scalar")
    found = functions.subject(one, library=of("numpy"))
    assert found.losses["simple"](network, x_0, (3, 12), x_0).tolist() == [2.0, 11.0]


def test_what_a_target_refuses():
    with pytest.raises(ValueError, match="give at least one of beta, betas, alpha_bar"):
        Target()
    with pytest.raises(ValueError, match="give beta or betas, not both"):
        Target(beta=BAR, betas=BAR)
    with pytest.raises(TypeError, match="q_sample must be a function, got float"):
        Target(q_sample=1.0)
    with pytest.raises(ValueError, match="times must be 'batch' or 'scalar', got 'row'"):
        Target(alpha_bar=BAR, times="row")
    with pytest.raises(ValueError, match="first must be 0 or 1"):
        Target(alpha_bar=BAR, first=2)
    with pytest.raises(ValueError, match="prediction must be one of"):
        Target(alpha_bar=BAR, predicts="noise")
    with pytest.raises(ValueError, match=r"alpha_bar must have one axis, got shape \(12, 1\)"):
        verify.check(Target(alpha_bar=BAR[:, None]))
    with pytest.raises(ValueError, match="tables has no"):
        Target(tables={"sqrt_alpha": BAR})


def test_levels_that_make_no_schedule_are_said_by_their_check():
    report = verify.check(Target(alpha_bar=BAR[::-1], q_sample=q_sample))
    assert verdict(report, "levels", "q_sample") == ["fails", "not applicable"]
    both = verify.check(Target(betas=SCHEDULE.beta[1:], alpha_bar=BAR[::-1], q_sample=q_sample))
    assert verdict(both, "levels", "alpha_bar", "q_sample") == ["fails", "fails", "holds"]


def test_the_names_of_a_target():
    made = Target(alpha_bar=BAR, predicts="v", name="mine")
    assert made.predicts is predictions.V
    assert verify.check(made, claims=claim("ddim")).target == "mine"
    assert functions.matches(made)
    assert not functions.matches(q_sample)
    assert functions_called.takes_number(q_mean_variance, made) is False
