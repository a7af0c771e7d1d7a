"""Pictures: values to bytes and back, grids pixel by pixel, animations as Pillow reads them."""

import io
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffcore import _files
from diffcore.training import pictures
from diffcore.training.data import load_images
from diffcore.training.images import Images
from diffcore.training.pictures import animation, encode_png, filmstrip, grid, save_png, to_uint8


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pixels(source: Path | bytes) -> np.ndarray:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        assert image.format == "PNG"
        return np.asarray(image)


# Values and bytes.


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_byte_comes_back(dtype: type) -> None:
    bytes_ = np.arange(256, dtype=np.uint8)
    x = (bytes_ / 127.5 - 1.0).astype(dtype)
    assert np.array_equal(to_uint8(x), bytes_)
    assert np.array_equal(to_uint8(bytes_), bytes_)
    # Cutting off instead of rounding loses levels, as does rounding 128 (x + 1).
    assert not np.array_equal(((x.astype(np.float64) + 1.0) * 127.5).astype(np.uint8), bytes_)
    assert not np.array_equal(np.clip(np.rint((x + 1.0) * 128.0), 0, 255).astype(np.uint8), bytes_)


def test_a_batch_of_images_is_shown_with_its_own_bytes() -> None:
    images = Images(x=noise(0, 5, 3, 7, 7))
    assert np.array_equal(to_uint8(images.all()), images.x)


def test_digits_levels_are_the_nearest_of_256() -> None:
    digits = load_images("digits", channels=1)
    level = [round(Fraction(255 * k, 16)) for k in range(17)]  # a half, at k = 8, goes to even
    got = to_uint8(digits.all())
    assert all(np.unique(got[digits.x == k]).tolist() == [level[k]] for k in range(17))


def test_values_outside_are_clipped_and_nan_is_black() -> None:
    x = np.array([-np.inf, -7.0, -1.0, 0.0, 1.0, 1.2, np.inf, np.nan])
    assert to_uint8(x).tolist() == [0, 0, 0, 128, 255, 255, 255, 0]


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.int8])
def test_integers_that_are_no_bytes_are_refused(dtype: type) -> None:
    with pytest.raises(TypeError, match=r"floating in \[-1, 1\] or uint8, got"):
        to_uint8(np.zeros(3, dtype))


# Grids.


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("n", "columns", "width"), [(1, None, 1), (7, 3, 3), (7, None, 3), (5, 9, 5), (4, 1, 1)]
)
def test_grid_holds_each_image_where_it_belongs(
    channels: int, n: int, columns: int | None, width: int
) -> None:
    images, scale, gap = noise(1, n, channels, 4, 6), 3, pictures.GAP
    picture = grid(images, columns, scale=scale)
    rows = -(-n // width)
    size = (gap + rows * (4 * scale + gap), gap + width * (6 * scale + gap))
    assert picture.shape == (size if channels == 1 else (*size, 3))
    assert picture.dtype == np.uint8
    left = np.ones(picture.shape, bool)
    for i, image in enumerate(images):
        top = gap + (i // width) * (4 * scale + gap)
        side = gap + (i % width) * (6 * scale + gap)
        block = picture[top : top + 4 * scale, side : side + 6 * scale]
        big = np.kron(image.transpose(1, 2, 0), np.ones((scale, scale, 1), np.uint8))
        assert np.array_equal(block, big if channels == 3 else big[:, :, 0])
        left[top : top + 4 * scale, side : side + 6 * scale] = False
    assert np.all(picture[left] == pictures.BACKGROUND)
    assert left.any()


def test_grid_is_square_and_small_images_grow() -> None:
    assert grid(np.zeros((100, 1, 8, 8))).shape == (10 * 68 + 4, 10 * 68 + 4)
    assert grid(np.zeros((1, 3, 64, 64))).shape == (72, 72, 3)
    assert grid(np.zeros((1, 3, 200, 100))).shape == (208, 108, 3)


def test_white_and_black_images_are_told_from_what_is_between_them() -> None:
    for value in (-1.0, 1.0):
        picture = grid(np.full((4, 1, 8, 8), value))
        assert len(np.unique(picture)) == 2
        assert np.abs(np.diff(np.unique(picture).astype(int))).min() > 64


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (0, 1, 8, 8), (2, 2, 8, 8), (2, 8, 8, 3)])
def test_grid_refuses_what_is_no_batch_of_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images must have shape \(N, 1, H, W\)"):
        grid(np.zeros(shape))


@pytest.mark.parametrize("options", [{"columns": 0}, {"scale": 0}, {"columns": -2}])
def test_grid_refuses_sizes_below_one(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="columns and scale must be at least 1"):
        grid(np.zeros((2, 1, 4, 4)), **options)


# PNG files.


@pytest.mark.parametrize("shape", [(5, 9), (5, 9, 3), (1, 1)])
def test_png_is_read_back_exactly(tmp_path: Path, shape: tuple[int, ...]) -> None:
    picture = noise(2, *shape)
    save_png(tmp_path / "new" / "a.png", picture)
    assert np.array_equal(pixels(tmp_path / "new" / "a.png"), picture)
    assert np.array_equal(pixels(encode_png(picture)), picture)
    assert np.array_equal(pixels(encode_png(picture[:, ::-1])), picture[:, ::-1])
    # A lossy format would have been noticed.
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=50)
    if picture.size > 1:
        assert not np.array_equal(np.asarray(Image.open(buffer)), picture)


@pytest.mark.parametrize("bad", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(4)])
def test_what_is_no_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="picture must be uint8 of shape"):
        encode_png(bad)


def test_a_failed_write_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    save_png(path, noise(3, 4, 4))

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full_disk)
    for write in (
        lambda: save_png(path, noise(4, 4, 4)),
        lambda: animation(path, [noise(4, 4, 4), noise(5, 4, 4)]),
    ):
        with pytest.raises(OSError, match="No space"):
            write()
    assert np.array_equal(pixels(path), noise(3, 4, 4))
    assert list(tmp_path.iterdir()) == [path]


# Animations.


def shown(path: Path) -> tuple[list[np.ndarray], list[float], int | None]:
    """The frames of an animation, how long each is shown, and how often it repeats (0: for ever).

    An animated PNG may begin with a picture that is no frame.
    """
    with Image.open(path) as image:
        first = 1 if getattr(image, "default_image", False) else 0
        frames, durations = [], []
        for k in range(first, getattr(image, "n_frames", 1)):
            image.seek(k)
            frames.append(np.asarray(image.convert("RGB")))
            image.load()
            durations.append(float(image.info.get("duration", 0)))
        return frames, durations, image.info.get("loop")


def as_rgb(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture


@pytest.mark.parametrize("suffix", [".png", ".apng", ".gif", ".webp", ".PNG"])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_animation_has_its_frames_and_their_times(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    frames = [noise(k, *shape) for k in range(4)]
    path = tmp_path / f"a{suffix}"
    animation(path, frames, milliseconds=50, hold=700)
    got, durations, loop = shown(path)
    assert durations == [50, 50, 50, 700]
    assert loop == 0
    assert len(got) == 4
    # 30 pixels have at most 30 colours, so that even a GIF's palette holds them all.
    for frame, expected in zip(got, frames, strict=True):
        assert np.array_equal(frame, as_rgb(expected))
    assert not np.array_equal(got[0], as_rgb(frames[-1]))


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp"])
def test_frames_that_repeat_keep_their_time(tmp_path: Path, suffix: str) -> None:
    a, b = noise(1, 6, 6), noise(2, 6, 6)
    path = tmp_path / f"a{suffix}"
    animation(path, [a, a, b, b], milliseconds=40, hold=200)
    got, durations, _ = shown(path)
    # An encoder may join equal neighbours: what is seen when stays the same.
    assert sum(durations) == 40 + 40 + 40 + 200
    start = np.cumsum([0.0, *durations[:-1]])
    for moment, expected in ((0, a), (79, a), (80, b), (319, b)):
        assert np.array_equal(got[int(np.sum(start <= moment)) - 1], as_rgb(expected))


def test_an_animated_png_shows_its_last_frame_where_animation_is_unknown(tmp_path: Path) -> None:
    frames = [noise(k, 6, 6) for k in range(3)]
    animation(tmp_path / "a.png", frames)
    assert np.array_equal(pixels(tmp_path / "a.png"), frames[-1])


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp"])
def test_one_frame_is_a_still(tmp_path: Path, suffix: str) -> None:
    frame = noise(0, 6, 6)
    animation(tmp_path / f"a{suffix}", [frame])
    got, _, _ = shown(tmp_path / f"a{suffix}")
    assert len(got) == 1
    assert np.array_equal(got[0], as_rgb(frame))


def test_animation_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    frame = noise(0, 4, 4)
    with pytest.raises(ValueError, match=r"must end in \.png, \.apng, \.gif, \.webp; got .*a\.mp4"):
        animation(tmp_path / "a.mp4", [frame])
    with pytest.raises(ValueError, match="at least one picture"):
        animation(tmp_path / "a.png", [])
    with pytest.raises(ValueError, match=r"one shape, got \(4, 4\), \(4, 5\)"):
        animation(tmp_path / "a.png", [frame, noise(0, 4, 5)])
    assert list(tmp_path.iterdir()) == []


def test_filmstrip_has_a_row_an_image_and_a_column_a_moment() -> None:
    moments = [noise(k, 2, 1, 3, 3) for k in range(4)]
    picture = filmstrip(moments, scale=1)
    gap = pictures.GAP
    step = 3 + gap
    assert picture.shape == (2 * step + gap, 4 * step + gap)
    for moment, batch in enumerate(moments):
        for i, image in enumerate(batch):
            top, left = gap + i * step, gap + moment * step
            assert np.array_equal(picture[top : top + 3, left : left + 3], image[0])
    transposed = filmstrip([np.stack([m[i] for m in moments]) for i in range(2)], scale=1)
    assert transposed.shape != picture.shape


def test_missing_pillow_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r'pip install "diffcore\[data\]"'):
        encode_png(noise(0, 2, 2))
