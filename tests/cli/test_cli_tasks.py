"""`diffcore sample` guided, from an image, with a mask and with conditions; `diffcore invert`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import ANIMALS, assert_one_line, good, pixels, run, write_checkpoint
from PIL import Image

from diffcore import checkpoint, guidance, plan, samplers, tasks
from diffcore.denoisers import Clip, thresholded
from diffcore.noise import portable
from diffcore.predictions import V
from diffcore.times import trailing
from diffcore_torch.loading import load

EPS = float(np.finfo(np.float32).eps)
TOLERANCE = 2**11 * EPS
"""20 steps of a network of random weights, whose rounding depends on the size of a batch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A picture, a mask of its right half, others that do not fit, and networks."""
    path = tmp_path_factory.mktemp("tasks")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(path / "image.png")
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 2:] = 255
    Image.fromarray(mask).save(path / "mask.png")
    Image.fromarray(0 * mask).save(path / "black.png")
    Image.fromarray(rng.integers(0, 256, (3, 3), np.uint8)).save(path / "odd.png")
    (path / "low").mkdir()
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (2, 2), np.uint8)).save(path / "low" / f"{k}.png")
    (path / "empty").mkdir()
    (path / "text.png").write_text("no picture")
    write_checkpoint(path / "plain.safetensors")
    write_checkpoint(path / "animals.safetensors", classes=ANIMALS)
    write_checkpoint(path / "strict.safetensors", classes=ANIMALS, null_class=False)
    stored = checkpoint.load(write_checkpoint(path / "large.safetensors", condition_channels=1))
    training = {**stored.training, "condition_size": 2}
    checkpoint.save(path / "large.safetensors", replace(stored, training=training))
    return path


@pytest.fixture
def drawn(capsys, tmp_path):
    """A function: the images that options give, through an .npz."""

    def draw(*words):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        good(capsys, "sample", *words, "--out", out)
        with np.load(out, allow_pickle=False) as arrays:
            return arrays["images"]

    return draw


def image(path):
    return (pixels(path) / 127.5 - 1.0).astype(np.float32)[None, None]


def close(a, b):
    return a.shape == b.shape and bool(np.abs(a - b).max() <= TOLERANCE)


def noise_like(n):
    return portable(0)(torch.zeros(n, 1, 4, 4), 0)


def by_hand(denoise, schedule, x, made=None):
    made = made or samplers.ddim(schedule, trailing(schedule, 20))
    return plan.sample(denoise, made, x, portable(0)).numpy()


def test_guidance_is_that_of_the_library(drawn, folder):
    trained = load(folder / "animals.safetensors", device="cpu")
    labels = torch.tensor([0, 1, 2, 0])
    c, u = (trained.denoise(k, threshold=None) for k in (labels, 3))
    sigma = trained.schedule(20).sigma

    def wanted(denoise):
        return by_hand(thresholded(denoise, Clip()), trained.schedule, sigma * noise_like(4))

    words = (folder / "animals.safetensors", "-n", 4, "--guidance")
    both = guidance.two_pass(c, u, 3.0)
    whole = drawn(*words, 3)
    assert close(whole, wanted(both))
    assert close(drawn(*words, 1), wanted(c))
    assert close(drawn(*words, 0), wanted(u))
    assert not close(whole, wanted(c))
    assert close(drawn(*words, 3, "--guidance-interval", 0, "inf"), whole)
    assert close(
        drawn(*words, 3, "--guidance-interval", 0.5, 2),
        wanted(guidance.interval(both, c, trained.schedule, 0.5, 2.0)),
    )
    rule = guidance.on_outputs(guidance.Rescaled(3.0, 0.7), trained.schedule, V)
    rescaled = drawn(*words, 3, "--guidance-rescale", 0.7)
    assert close(rescaled, wanted(guidance.two_pass(c, u, rule)))
    assert not close(rescaled, whole)
    assert close(drawn(*words, 3, "--guidance-rescale", 0), whole)
    assert close(drawn(*words, 3, "--batch", 3), whole)


def test_a_learned_variance_can_be_guided(drawn, tmp_path):
    path = write_checkpoint(tmp_path / "n.safetensors", classes=ANIMALS, learned_variance=True)
    words = (path, "-n", 3, "--sampler", "ddpm")
    assert close(drawn(*words, "--guidance", 1), drawn(*words))
    assert not close(drawn(*words, "--guidance", 2), drawn(*words))


def test_an_image_is_changed_by_its_strength(drawn, folder):
    words = (folder / "plain.safetensors", "-n", 3, "--init", folder / "image.png", "--strength")
    trained = load(folder / "plain.safetensors", device="cpu")
    x_0 = image(folder / "image.png")
    for strength, first in ((0.25, 5), (1, 20)):
        made = samplers.ddim(trained.schedule, range(first, -1, -1))
        start = tasks.noised(
            trained.schedule, made, torch.from_numpy(x_0).repeat(3, 1, 1, 1), noise_like(3)
        )
        wanted = by_hand(trained.denoise(), trained.schedule, start, made)
        assert close(drawn(*words, strength), wanted)
    assert not close(drawn(*words, 0.25), drawn(*words, 0.3))


def test_what_the_mask_leaves_is_kept(drawn, folder):
    words = (folder / "plain.safetensors", "--init", folder / "image.png")
    words += ("--inpaint", folder / "mask.png")
    x_0 = image(folder / "image.png")
    many = drawn(*words, "-n", 5)
    for options in ((), ("--sampler", "ddpm"), ("--resamples", 1), ("--strength", 0.5)):
        images = drawn(*words, "-n", 5, *options)
        assert (images[..., :2] == x_0[..., :2]).all()
        assert not close(images[..., 2:], np.broadcast_to(x_0[..., 2:], (5, 1, 4, 2)))
        assert np.abs(images[0] - images[1]).max() > 0.01
    assert close(drawn(*words, "-n", 2), many[:2])
    assert close(drawn(*words, "-n", 5, "--batch", 2), many)


def test_inpainting_is_that_of_the_library(drawn, folder):
    trained = load(folder / "plain.safetensors", device="cpu")
    known = torch.from_numpy(image(folder / "image.png"))
    keep = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 4, 4)
    made = tasks.repaint(
        trained.schedule, samplers.ddpm, range(20, -1, -1), jump=4, resamples=3, variance="small"
    )

    def wanted(first, start):
        denoise = tasks.known_region(
            trained.denoise(), trained.schedule, known, keep,
            lambda like, k: portable(0)(like, first + k),
        )  # fmt: skip
        start = tasks.noised(trained.schedule, made, start.expand(3, 1, 4, 4), noise_like(3))
        return by_hand(denoise, trained.schedule, start, made)

    words = (folder / "plain.safetensors", "-n", 3, "--init", folder / "image.png", "--inpaint")
    words += (folder / "mask.png", "--sampler", "ddpm", "--resamples", 3, "--jump", 4)
    got = drawn(*words)
    assert close(got, wanted(len(made.stages) + 1, keep * known))
    # Noise that the plan draws too would not be independent of it.
    assert not close(got, wanted(1, keep * known))


def test_conditions_are_taken_in_turn(drawn, folder):
    network, low = folder / "large.safetensors", folder / "low"
    trained = load(network, device="cpu")
    shown = np.concatenate([image(low / f"{k}.png") for k in (0, 1, 2, 0)])
    condition = torch.from_numpy(np.kron(shown, np.ones((2, 2), np.float32)))
    sigma = trained.schedule(20).sigma
    denoise = trained.denoise(condition=condition)
    wanted = by_hand(denoise, trained.schedule, sigma * noise_like(4))
    got = drawn(network, "-n", 4, "--condition", low)
    assert close(got, wanted)
    assert close(drawn(network, "-n", 4, "--condition", low, "--batch", 3), wanted)
    assert len(drawn(network, "--condition", low)) == 3
    assert len(drawn(network, "--condition", low / "1.png")) == 1
    # A picture of the network's own size is reduced.
    large = image(folder / "image.png")
    condition = torch.from_numpy(tasks.low_resolution(large, 2))
    denoise = trained.denoise(condition=condition)
    wanted = by_hand(denoise, trained.schedule, sigma * noise_like(1))
    assert close(drawn(network, "--condition", folder / "image.png"), wanted)


def test_inversion_is_that_of_the_library(capsys, tmp_path, folder):
    trained = load(folder / "animals.safetensors", device="cpu")
    out = tmp_path / "noise.npz"
    words = ("invert", folder / "animals.safetensors", folder / "image.png", "--class", "dog")
    printed = good(capsys, *words, "--iterations", 2, "--out", out).splitlines()
    assert printed[:2] == [str(out), str(tmp_path / "noise.png")]
    x_0 = torch.from_numpy(image(folder / "image.png"))
    with np.load(out) as arrays:
        latent, back, times = arrays["latent"], arrays["round_trip"], arrays["times"]
    assert times.tolist() == list(range(20, -1, -1))
    denoise = trained.denoise(1)
    up = tasks.invert(trained.schedule, range(21), 2)
    assert close(latent, plan.sample(denoise, up, x_0).numpy())
    down = samplers.ddim(trained.schedule, range(20, -1, -1))
    assert close(back, plan.sample(denoise, down, torch.from_numpy(latent)).numpy())
    error = float(np.sqrt(np.mean((back - x_0.numpy()) ** 2)))
    assert printed[2] == f"round trip: off by {error:.4f}, root mean square in [-1, 1]"
    first = pixels(tmp_path / "noise.png")[4 : 4 + 64 : 16, 4 : 4 + 64 : 16]
    np.testing.assert_array_equal(first, pixels(folder / "image.png"))


def test_several_images_and_a_condition(capsys, tmp_path, folder):
    picture, low = folder / "image.png", folder / "low"
    words = ("invert", folder / "large.safetensors", picture, picture, picture)
    out = tmp_path / "a.npz"
    good(capsys, *words, "--condition", low, "--out", out, "--picture", tmp_path / "b.png")
    with np.load(out) as arrays:
        latent = arrays["latent"]
    assert latent.shape == (3, 1, 4, 4)
    assert not close(latent[:1], latent[1:2])
    assert (tmp_path / "b.png").exists()
    assert_one_line(run(capsys, *words[:4], "--condition", low, "--out", out), "--condition", "3")


def test_what_is_there_stays_unless_forced(capsys, tmp_path, folder):
    words = ("invert", folder / "plain.safetensors", folder / "image.png")
    words += ("--steps", 2, "--out", tmp_path / "a.npz", "--picture", tmp_path / "b.png")
    for name in ("a.npz", "b.png"):
        (tmp_path / name).write_text("precious")
        assert_one_line(run(capsys, *words), name, "--force")
        assert (tmp_path / name).read_text() == "precious"
        good(capsys, *words, "--force")
        for path in ("a.npz", "b.png"):
            assert (tmp_path / path).read_bytes() != b"precious"
            (tmp_path / path).unlink()


def test_an_inverted_image_is_not_drawn_over(capsys, tmp_path, folder):
    picture = tmp_path / "image.png"
    picture.write_bytes((folder / "image.png").read_bytes())
    words = ("invert", folder / "plain.safetensors", picture, "--steps", 2, "--force")
    before = picture.read_bytes()
    result = run(capsys, *words, "--out", tmp_path / "image.npz")
    assert_one_line(result, "--picture must be another file", str(picture))
    assert picture.read_bytes() == before
    assert not (tmp_path / "image.npz").exists()


def test_errors_of_sampling_name_what_is_wrong(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, animals = folder / "plain.safetensors", folder / "animals.safetensors"
    large, picture, white = folder / "large.safetensors", folder / "image.png", folder / "mask.png"
    edit = (plain, "--init", picture)
    for words, named in (
        ((plain, "--guidance", 2), ["--guidance", "classes"]),
        ((folder / "strict.safetensors", "--guidance", 2), ["--guidance"]),
        ((animals, "--guidance", "much"), ["--guidance", "'much'"]),
        ((animals, "--guidance", "nan"), ["--guidance", "nan"]),
        ((animals, "--guidance", "inf"), ["--guidance", "finite"]),
        ((animals, "--guidance-rescale", 0.5), ["--guidance-rescale", "--guidance"]),
        ((animals, "--guidance-interval", 1, 2), ["--guidance-interval", "--guidance"]),
        ((animals, "--guidance", 2, "--guidance-interval", 2, 1), ["LOW < HIGH", "2 1"]),
        ((plain, "--strength", 0.5), ["--strength", "--init"]),
        ((plain, "--inpaint", white), ["--inpaint", "--init"]),
        (edit, ["--init", "--strength", "--inpaint"]),
        ((*edit, "--strength", 1.5), ["--strength", "1.5"]),
        ((*edit, "--strength", 0), ["--strength", "above 0"]),
        ((*edit, "--strength", 0.5, "--jump", 2), ["--jump", "--inpaint"]),
        ((*edit, "--strength", 0.5, "--resamples", 2), ["--resamples", "--inpaint"]),
        ((*edit, "--inpaint", white, "--jump", 20), ["--jump", "at most 19", "20"]),
        (
            (*edit, "--inpaint", white, "--sampler", "unipc:order=9"),
            ["--sampler unipc: order must be"],
        ),
        ((*edit, "--inpaint", folder / "black.png"), ["black.png", "nothing to paint"]),
        ((*edit, "--inpaint", folder / "none.png"), ["none.png"]),
        ((plain, "--init", folder / "text.png", "--strength", 1), ["text.png", "readable"]),
        ((plain, "--init", folder / "none.png", "--strength", 1), ["none.png"]),
        ((plain, "--condition", picture), ["--condition", "left out"]),
        ((large,), ["--condition", "given"]),
        ((large, "--condition", folder / "odd.png"), ["odd.png", "4 x 4 or 2 x 2", "3 x 3"]),
        ((large, "--condition", folder / "none.png"), ["none.png"]),
        ((large, "--condition", folder / "empty"), ["empty", "no images"]),
    ):
        assert_one_line(run(capsys, "sample", *words), *named)
        assert not list(tmp_path.iterdir()), words


def test_errors_of_inversion_name_what_is_wrong(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, picture = folder / "plain.safetensors", folder / "image.png"
    for words, named in (
        (("none.safetensors", picture), ["none.safetensors"]),
        ((plain, "none.png"), ["none.png"]),
        ((plain, picture, "--class", "cat"), ["--class", "without classes"]),
        ((folder / "strict.safetensors", picture), ["--class", "given"]),
        ((plain, picture, "--steps", 21), ["--steps", "20"]),
        ((plain, picture, "--iterations", -1), ["--iterations", "-1"]),
        ((plain, picture, "--out", "a.png"), ["a.png", ".npz"]),
        ((plain, picture, "--picture", "a.jpg"), ["a.jpg", ".png"]),
        ((folder / "large.safetensors", picture), ["--condition", "given"]),
    ):
        assert_one_line(run(capsys, "invert", *words), *named)
        assert not list(tmp_path.iterdir()), words


def test_an_image_of_another_size_or_colour_is_made_to_fit(drawn, folder, tmp_path):
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "photo.jpg")
    words = (folder / "plain.safetensors", "-n", 2, "--strength", 0.5)
    assert np.isfinite(drawn(*words, "--init", tmp_path / "photo.jpg")).all()
