"""Recipes: the published numbers, files that come back equal, and errors that name the key."""

import dataclasses
import inspect
import math
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffcore import losses, predictions, samplers, schedules, times, unet
from diffcore.schedules import DiscreteSchedule
from diffcore.training import recipe, sections
from diffcore.training.images import Images
from diffcore.training.recipe import Data, Evaluation, Loss, Recipe, Training
from diffcore.training.settings import unknown

NAMES = ("cifar10", "digits", "digits-sr", "faces-64", "mnist-32")


def images(chosen: Recipe, classes: int = 10, size: int | None = None) -> Images:
    side = size or chosen.data.size
    return Images(
        x=np.zeros((classes, chosen.data.channels, side, side), np.uint8),
        labels=np.arange(classes),
        classes=tuple(map(str, range(classes))),
    )


def count_by_hand(
    *,
    width: int,
    multipliers: list[int],
    attention: list[int],
    size: int,
    channels: int,
    condition: int,
    rows: int,
) -> int:
    """The number of weights of DDPM's UNet, block by block, by its text."""

    def conv(i: int, o: int, side: int = 3) -> int:
        return side * side * i * o + o

    def residual(i: int, o: int) -> int:
        shortcut = conv(i, o, 1) if i != o else 0
        return 2 * i + conv(i, o) + conv(4 * width, o, 1) + 2 * o + conv(o, o) + shortcut

    def attend(c: int) -> int:
        return 2 * c + 4 * conv(c, c, 1)

    total = conv(width, 4 * width, 1) + conv(4 * width, 4 * width, 1) + rows * 4 * width
    c = width * multipliers[0]
    total += conv(channels + condition, c)
    skips = [c]
    last = len(multipliers) - 1
    for level, m in enumerate(multipliers):
        for _ in range(2):
            total += residual(c, width * m) + (size >> level in attention) * attend(width * m)
            c = width * m
            skips.append(c)
        if level < last:
            total += conv(c, c)
            skips.append(c)
    total += 2 * residual(c, c) + attend(c)
    for level, m in reversed(list(enumerate(multipliers))):
        for _ in range(3):
            total += residual(c + skips.pop(), width * m)
            total += (size >> level in attention) * attend(width * m)
            c = width * m
        if level > 0:
            total += conv(c, c)
    return total + 2 * c + conv(c, channels)


def parameter_count(name: str, overrides: tuple[str, ...] = ()) -> int:
    chosen = recipe.load(name, overrides)
    return unet.count(chosen.unet_config(images(chosen)))


def test_the_recipes_of_the_package() -> None:
    assert recipe.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_all_it_names(name: str) -> None:
    chosen = recipe.load(name)
    schedule = chosen.make_schedule()
    assert chosen.name == name
    assert schedules.from_config(chosen.schedule) == schedule
    assert chosen.make_prediction() in predictions.NAMES.values()
    assert chosen.make_weighting() == losses.CONSTANT
    config = chosen.unet_config(images(chosen))
    assert (config.image_size, config.channels) == (chosen.data.size, chosen.data.channels)
    assert config.classes == (10 if chosen.data.labels else 0)
    assert isinstance(schedule, DiscreteSchedule)
    grid = times.trailing(schedule, chosen.evaluation.steps)
    assert len(samplers.ddim(schedule, grid).stages) == chosen.evaluation.steps


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_what_it_is(name: str) -> None:
    text = (resources.files("diffcore.training") / "recipes" / f"{name}.toml").read_text("utf-8")
    assert text.startswith("# ")
    assert len(text.split("\n", 1)[0]) > 40


def test_cifar10_is_that_of_ho_et_al() -> None:
    chosen = recipe.load("cifar10")
    assert parameter_count("cifar10") == 35_746_307
    training = chosen.training
    assert (training.steps, training.batch, training.lr) == (800_000, 128, 2e-4)
    assert (training.warmup, training.ema, training.clip) == (5000, 0.9999, 1.0)
    assert (training.decay, training.weight_decay) == ("constant", 0.0)
    assert (chosen.unet["dropout"], chosen.data.flips) == (0.1, True)
    assert (chosen.data.labels, chosen.predicts) == (False, "eps")
    assert chosen.loss == Loss(objective="simple", weighting="constant")
    schedule = chosen.make_schedule()
    assert isinstance(schedule, DiscreteSchedule)
    # The text: beta_1 = 1e-4 to beta_T = 0.02, T = 1000; the prior's KL is then about 1e-5 bits.
    np.testing.assert_array_equal(schedule.beta[1:], np.linspace(1e-4, 0.02, 1000))


def test_mnist_32() -> None:
    chosen = recipe.load("mnist-32")
    assert chosen.data == Data(source="", size=32, channels=1, fit="pad", held_out=500)
    assert [64 * m for m in chosen.unet["multipliers"]] == [64, 128, 256, 512]
    assert (chosen.unet["width"], chosen.unet["heads"]) == (64, 4)
    training = chosen.training
    assert (training.lr, training.clip, training.batch) == (2e-4, 1.0, 128)
    assert chosen.predicts == "x_0"
    assert (chosen.loss.objective, chosen.loss.variance) == ("mu", "small")
    assert chosen.make_schedule() == schedules.linear(T=1000)


def test_faces_64() -> None:
    chosen = recipe.load("faces-64")
    config = chosen.unet_config(images(chosen))
    assert config.widths == (64, 128, 256, 512)
    assert config.sides == (64, 32, 16, 8)
    assert set(config.attention) == {16, 8}, "the two lowest resolutions"
    assert (config.image_size, config.channels, config.classes) == (64, 3, 0)
    assert (chosen.training.ema, chosen.training.batch) == (0.999, 32)
    schedule = chosen.make_schedule()
    assert isinstance(schedule, DiscreteSchedule)
    f = [math.cos((t / 300 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(301)]
    raw = np.array([1.0 - f[t] / f[t - 1] for t in range(1, 301)])
    assert raw.min() > 1e-4, "the lower clip is there, but the curve does not reach it"
    assert raw[-1] > 0.9999
    np.testing.assert_allclose(schedule.beta[1:], np.minimum(raw, 0.9999), rtol=1e-9)
    assert (schedule.config["min_beta"], schedule.config["max_beta"]) == (1e-4, 0.9999)


def test_digits_is_small_enough_for_a_demo() -> None:
    chosen = recipe.load("digits")
    assert chosen.data.source == "digits"
    assert (chosen.data.size, chosen.data.channels) == (8, 1)
    assert parameter_count("digits") < 3_000_000
    assert chosen.training.steps <= 5000


@pytest.mark.parametrize("name", NAMES)
def test_parameter_counts_by_hand(name: str) -> None:
    chosen = recipe.load(name)
    expected = count_by_hand(
        width=chosen.unet["width"],
        multipliers=chosen.unet["multipliers"],
        attention=chosen.unet["attention"],
        size=chosen.data.size,
        channels=chosen.data.channels,
        condition=chosen.data.channels if chosen.data.condition_size else 0,
        rows=11 if chosen.data.labels else 0,
    )
    assert parameter_count(name) == expected
    assert parameter_count(name, (f"unet.attention=[{chosen.data.size}]",)) != expected


def test_classes_and_size_come_from_the_images() -> None:
    chosen = recipe.load("digits", ["data.size=16", "unet.attention=[8]"])
    config = chosen.unet_config(images(chosen, classes=3))
    assert (config.image_size, config.classes, config.label_rows) == (16, 3, 4)
    unlabelled = dataclasses.replace(images(chosen), labels=None)
    assert chosen.unet_config(unlabelled).classes == 0
    without = recipe.load("digits", ["data.labels=false"])
    assert without.unet_config(images(without)).classes == 0


def test_learned_variance_comes_from_the_objective() -> None:
    chosen = recipe.load("digits", ["loss.objective=hybrid"])
    assert chosen.unet_config(images(chosen)).out_channels == 2
    assert recipe.load("digits").unet_config(images(chosen)).out_channels == 1


def reloaded(chosen: Recipe, path: Path) -> Recipe:
    path.write_text(chosen.to_toml(), encoding="utf-8")
    return recipe.load(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_written_recipe_comes_back(name: str, tmp_path: Path) -> None:
    chosen = recipe.load(name)
    assert reloaded(chosen, tmp_path / "other.toml") == chosen
    assert chosen != recipe.load(name, ["seed=1"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["schedule=flow"],
        ["schedule=edm", 'predicts={kind="edm", sigma_data=0.7}'],
        ['schedule={kind="shift", factor=3.0, schedule={kind="linear", T=50}}'],
        ['schedule={kind="from_betas", betas=[0.1, 0.2]}', "evaluation.steps=2"],
        ['schedule={kind="zero_terminal_snr", schedule={kind="linear"}}'],
        ['loss.weighting={kind="min_snr", gamma=3.0}'],
        ["loss.weighting=snr", "loss.objective=hybrid"],
        ["unet.heads=1", "unet.head_width=16", "unet.multipliers=[1, 1.5]", "unet.width=64"],
        ["training.betas=[0.5, 0.9]", "data.held_out=100"],
    ],
)
def test_other_recipes_come_back(overrides: list[str], tmp_path: Path) -> None:
    chosen = recipe.load("digits", overrides)
    assert chosen != recipe.load("digits")
    again = reloaded(chosen, tmp_path / "digits.toml")
    assert again == chosen
    assert again.make_schedule() == chosen.make_schedule()
    assert again.make_prediction() == chosen.make_prediction()
    assert again.make_weighting() == chosen.make_weighting()
    assert again.training.betas == chosen.training.betas


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    source=texts,
    name=st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True),
    lr=st.floats(min_value=5e-324, allow_infinity=False),
    seed=st.integers(0, 2**62),
    held_out=st.integers(1) | st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_any_values_come_back(
    tmp_path: Path, source: str, name: str, lr: float, seed: int, held_out: float
) -> None:
    held_out = min(held_out, 2**63 - 1)
    chosen = Recipe(
        name=name,
        seed=seed,
        data=Data(source=source, held_out=held_out),
        training=Training(lr=lr),
    )
    assert reloaded(chosen, tmp_path / "a.toml") == chosen


def test_every_value_is_written_out() -> None:
    written = tomllib.loads(recipe.load("digits").to_toml())
    for section in (Data, Loss, Training, Evaluation):
        table = written[section.__name__.lower()]
        assert list(table) == [f.name for f in dataclasses.fields(section)]
    rest = {f.name for f in dataclasses.fields(unet.UNetConfig)} - set(recipe.PER_DATA)
    assert set(written["unet"]) == rest - {"head_width"}
    assert written["schedule"].keys() >= {"kind", "T", "offset", "max_beta", "min_beta"}


def test_every_field_is_explained() -> None:
    for cls in (Recipe, Data, Loss, Training, Evaluation):
        lines = inspect.getsource(cls).splitlines()
        for field in dataclasses.fields(cls):
            at = next(i for i, line in enumerate(lines) if line.startswith(f"    {field.name}: "))
            assert lines[at + 1].startswith('    """'), f"{cls.__name__}.{field.name}"
        assert cls.__doc__
        assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_a_file_takes_defaults_and_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('schedule = "cosine"\n[training]\nlr = 1\n')
    chosen = recipe.load(path)
    assert chosen.name == "mine"
    assert chosen.training == Training(lr=1.0)
    assert type(chosen.training.lr) is float
    assert chosen.schedule == dict(schedules.cosine().config)
    assert chosen.data == Data()


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["training.lr=3"], "training.lr", 3.0),
        (["training.lr=1e-5 # small"], "training.lr", 1e-5),
        ([" training.batch = 64 "], "training.batch", 64),
        (["training.batch=64", "training.batch=32"], "training.batch", 32),
        (["data.source=/some/where else"], "data.source", "/some/where else"),
        (["data.source='quoted#path'"], "data.source", "quoted#path"),
        (["data.source=a=b"], "data.source", "a=b"),
        (["data.source=2024"], "data.source", "2024"),
        (["data.source=2024-01-31"], "data.source", "2024-01-31"),
        (["data.source=true"], "data.source", "true"),
        (["data.source=1\nseed=3"], "data.source", "1\nseed=3"),
        (["data.source="], "data.source", ""),
        (["name=007"], "name", "007"),
        (["predicts=eps"], "predicts", "eps"),
        (["unet.multipliers=[1, 2, 2]"], "unet.multipliers", [1, 2, 2]),
        (["data.flips=true"], "data.flips", True),
        (["schedule.T=500"], "schedule.T", 500),
        (["schedule.T=500"], "schedule.kind", "cosine"),
        (["schedule.kind=cosine", "schedule.T=500"], "schedule.T", 500),
        (["schedule.T=500", "schedule.kind=sigmoid"], "schedule.T", 500),
        (["schedule.T=500", "schedule=sigmoid"], "schedule.T", 500),
        (["loss.weighting=p2"], "loss.weighting", "p2"),
    ],
)
def test_overrides(overrides: list[str], key: str, value: Any) -> None:
    found: Any = recipe.load("digits", overrides)
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_another_kind_of_schedule_starts_from_its_own_defaults() -> None:
    chosen = recipe.load("faces-64", ["schedule.kind=sigmoid"])
    assert chosen.make_schedule() == schedules.sigmoid()


BAD = [
    ("training.lr=-1", "training.lr must be positive, got -1"),
    ("training.lr=nan", "training.lr must be a finite number, got nan"),
    ("training.lr=fast", "training.lr must be a finite number, got 'fast'"),
    ("training.batch=1.5", "training.batch must be a whole number, got 1.5"),
    ("name=../else", "name must be one that a folder can have, got '../else'"),
    ("schedule.kind=shift", "schedule.schedule, schedule.factor must be given for schedule.kind"),
    ("training.batch=true", "training.batch must be a whole number, got True"),
    ("training.batch=0", "training.batch must be positive, got 0"),
    ("training.steps=0", "training.steps must be positive, got 0"),
    ("training.accumulate=3", "training.accumulate must divide training.batch = 64, got 3"),
    ("training.betas=[0.9]", "training.betas must be a list of 2 numbers, got (0.9,)"),
    ("training.betas=[0.9, 1]", "training.betas must be in [0, 1), got (0.9, 1.0)"),
    ("training.weight_decay=-1", "training.weight_decay must be at least 0, got -1"),
    ("training.warmup=-1", "training.warmup must be at least 0, got -1"),
    ("training.clip=-1", "training.clip must be at least 0, got -1"),
    ("training.ema=1", "training.ema must be in [0, 1), got 1"),
    ("training.label_dropout=1.5", "training.label_dropout must be in [0, 1], got 1.5"),
    ("training.decay=lin", "training.decay must be one of constant, cosine; got 'lin'"),
    (
        "training.precision=half",
        "training.precision must be one of auto, float32, bfloat16; got 'half'",
    ),
    ("training.compile=1", "training.compile must be true or false, got 1"),
    ("training.lrr=3", "unknown key training.lrr; did you mean training.lr?"),
    ("lr=3", "unknown key lr; did you mean training.lr?"),
    ("batch=3", "unknown key batch; did you mean training.batch?"),
    ("training=3", "training must be a table, got 3"),
    ("foo", "an override must read KEY=VALUE, as training.lr=1e-4; got 'foo'"),
    (".=1", "an override must read KEY=VALUE, as training.lr=1e-4; got '.=1'"),
    ("seed=-1", "seed must be in 0..2^62, got -1"),
    ("seed.x=1", "seed is 0, which has no 'x' to set"),
    ("data.flips=True", "data.flips must be true or false, got 'True'"),
    ("data.size=0", "data.size must be positive, got 0"),
    ("data.size=9", "data.size must be divisible by 2 for 2 levels, got 9"),
    ("data.channels=2", "data.channels must be 1 or 3, got 2"),
    ("data.fit=crop", "data.fit must be one of exact, resize, pad; got 'crop'"),
    ("data.held_out=1.5", "data.held_out must be a share in (0, 1) or a number of images, got 1.5"),
    ("data.held_out=0", "data.held_out must be a share in (0, 1) or a number of images, got 0"),
    ("data.held_out=a", "data.held_out must be a finite number or a whole number, got 'a'"),
    ("data.sorce=a", "unknown key data.sorce; did you mean data.source?"),
    ("data.held=a", "unknown key data.held; did you mean data.held_out?"),
    ("unet.widht=8", "unknown key unet.widht; did you mean unet.width?"),
    ("unet.width=33", "unet.width must be even, got 33"),
    ("unet.width=wide", "unet.width must be an integer, got 'wide'"),
    ("unet.attention=8", "unet.attention must be a list of integers, got 8"),
    ("unet.channels=3", "unet.channels cannot be set: it follows from the data and loss.objective"),
    ("unet=3", "unet must be a table, got 3"),
    ("schedule.TT=5", "unknown key schedule.TT; did you mean schedule.T?"),
    (
        "schedule.beta_end=0.1",
        "unknown key schedule.beta_end; schedule has T, offset, max_beta, min_beta",
    ),
    ("schedule.T=0", "schedule.T must be a positive int, got 0"),
    ("schedule.T=many", "schedule.T must be a number, got 'many'"),
    ("schedule.kind=3", "schedule.kind must be one of linear, "),
    ("schedule=line", "schedule.kind must be one of linear, "),
    ("schedule={T=3}", "schedule.kind must be one of linear, "),
    ("predicts=noise", "predicts: prediction must be one of eps, x_0, v, "),
    ('predicts={kind="edm", sigma_data=-1}', "predicts: sigma_data must be positive"),
    ("loss.objective=l2", "loss.objective must be one of simple, mu, hybrid; got 'l2'"),
    ("loss.weighting=heavy", "loss.weighting: weighting must be one of constant, snr, "),
    ("loss.weighting.gamma=5", "loss.weighting is 'constant', which has no 'gamma' to set"),
    ("loss.vlb_weight=0", "loss.vlb_weight must be positive, got 0"),
    ("evaluation.sampler=ddmi", "evaluation.sampler must be one of ddpm, ddim, euler, heun"),
    ("evaluation.sampler=flow_euler", "evaluation.sampler = 'flow_euler' is not for this run: sch"),
    ("evaluation.steps=1001", "evaluation.steps must be at most schedule.T = 1000, got 1001"),
    ("evaluation.log_every=0", "evaluation.log_every must be positive, got 0"),
    ("evaluation.samples_every=-1", "evaluation.samples_every must be at least 0, got -1"),
    ("evaluation.eta=-0.5", "evaluation.eta must be at least 0, got -0.5"),
]


@pytest.mark.parametrize(("assignment", "message"), BAD, ids=[a for a, _ in BAD])
def test_a_bad_value_is_named_in_one_line(assignment: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)) as error:
        recipe.load("digits", [assignment])
    assert "\n" not in str(error.value)
    recipe.load("digits", [])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["unet.null_class=false"], "training.label_dropout must be 0 for a network without"),
        (["schedule=flow", "loss.objective=mu"], "loss.objective must be 'simple' on the contin"),
        (["loss.objective=mu", "loss.weighting=snr"], "loss.weighting must be 'constant' with"),
        (["schedule=flow", "predicts=eps"], "predicts = 'eps' does not go with schedule: x_0 is"),
        (["schedule=flow", "predicts=mean"], "predicts = 'mean' does not go with schedule: s must"),
        (
            ['schedule={kind="zero_terminal_snr", schedule={kind="linear"}}', "predicts=eps"],
            "predicts = 'eps' does not go with schedule: x_0 is not defined",
        ),
    ],
)
def test_values_that_do_not_go_together_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        recipe.load("digits", overrides)
    for k in range(len(overrides)):
        if len(overrides) > 1 and overrides[k] != "loss.weighting=snr":
            recipe.load("digits", overrides[:k])


def test_a_network_without_null_class_and_dropout_is_fine() -> None:
    chosen = recipe.load("digits", ["unet.null_class=false", "training.label_dropout=0"])
    assert chosen.unet_config(images(chosen)).label_rows == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "not TOML: Invalid value"),
        ("seed = 1\nseed = 2", "not TOML: Cannot overwrite"),
        ("[trainig]\nlr = 1", "unknown key trainig; did you mean training?"),
        ("[training]\nlr = '1'", "training.lr must be a finite number, got '1'"),
        ("[data]\nsource = 3", "data.source must be a string, got 3"),
        ("data = 3", "data must be a table, got 3"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        recipe.load(path)
    assert "\n" not in str(error.value)


def test_no_recipe_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of cifar10, .* got 'digts'; did you mean digits\?"):
        recipe.load("digts")
    with pytest.raises(FileNotFoundError):
        recipe.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ValueError, match=r"latin\.toml: not TOML"):
        recipe.load(tmp_path / "latin.toml")


def test_an_unknown_key_without_neighbours_lists_what_there_is() -> None:
    assert str(unknown("data.zzz", ["data.size", "data.fit", "seed"])) == (
        "unknown key data.zzz; data has size, fit"
    )
    assert str(unknown("zzz", ["data.size", "data.fit", "seed"])) == (
        "unknown key zzz; a recipe has data, seed"
    )


def test_every_key_can_be_set() -> None:
    listed = recipe.keys()
    assert len(listed) == len(set(listed))
    for key in listed:
        words = {"unet": "unknown key unet.wrong"}.get(key, key)
        with pytest.raises(ValueError, match="^" + re.escape(words)):
            recipe.load("cifar10", [f"{key}={{wrong = 1}}"])


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"digits", "digits-sr"}))
def test_data_of_ones_own_must_be_given(name: str) -> None:
    with pytest.raises(ValueError, match=r"data.source is empty.*--set data\.source=PATH"):
        recipe.load(name).data.load()


def test_the_data_section_loads(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 256, (30, 28, 28), np.uint8), y=np.arange(30) % 3)
    overrides = [f"data.source={path}", "data.held_out=6"]
    train, held_out = recipe.load("mnist-32", overrides).data.load()
    assert (len(train), len(held_out)) == (24, 6)
    assert train.shape == held_out.shape == (1, 32, 32)
    assert train.classes == ("0", "1", "2")
    train, _ = recipe.load("mnist-32", [*overrides, "data.labels=false"]).data.load()
    assert train.labels is None
    train, held_out = recipe.load(
        "mnist-32", [*overrides, f"data.held_out_source={path}"]
    ).data.load()
    assert len(train) == len(held_out) == 30


def test_the_data_options_are_those_of_the_loader() -> None:
    from diffcore.training.data import load_images, load_train_and_held_out

    accepted = {*inspect.signature(load_images).parameters}
    accepted |= {*inspect.signature(load_train_and_held_out).parameters} - {"options"}
    own = {"flips", "condition_size"}
    assert {f.name for f in dataclasses.fields(sections.Data)} - own == accepted


def test_recipes_need_numpy_alone() -> None:
    script = """
import sys
for name in ("torch", "safetensors", "PIL", "sklearn", "tomli_w"):
    sys.modules[name] = None
from diffcore.training import recipe
for name in recipe.names():
    recipe.load(name, ["seed=1"])
try:
    recipe.load("digits").to_toml()
except ImportError as error:
    assert 'pip install "diffcore[train]"' in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", script], check=True)
