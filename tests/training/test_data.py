"""Data: exact levels, a split that never moves, and errors that name the file."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffcore import _optional
from diffcore.training import data, decode, images
from diffcore.training.data import load_images, load_train_and_held_out
from diffcore.training.images import Images


def encoded(array: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format, **options)
    return buffer.getvalue()


def noise_image(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def classes_folder(tmp_path: Path) -> Path:
    """Two classes of RGB pictures of 6 x 6 pixels, with files that are not pictures among them."""
    root = tmp_path / "pictures"
    for c, name in enumerate(("zebra", "ant")):
        (root / name / "deep").mkdir(parents=True)
        for i in range(3):
            Image.fromarray(noise_image(10 * c + i, 6, 6, 3)).save(root / name / f"{i}.png")
        Image.fromarray(noise_image(10 * c + 5, 6, 6, 3)).save(root / name / "deep" / "5.PNG")
    (root / "notes.txt").write_text("not a picture")
    (root / ".thumbnails").mkdir()
    (root / ".thumbnails" / "t.png").write_bytes(b"not a picture either")
    return root


def write_parquet(
    path: Path, table: dict[str, Any], metadata: dict[str, str] | None = None
) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(table).replace_schema_metadata(metadata), path)
    return path


# Digits: the seventeen levels are exact, and no digit is lost.


def test_digits_are_scikit_learns_with_exact_levels() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    digits = load_images("digits", channels=1)
    assert digits.shape == (1, 8, 8)
    assert digits.classes == tuple("0123456789")
    np.testing.assert_array_equal(digits.all()[:, 0], bunch.images / 8 - 1)
    np.testing.assert_array_equal(digits.labels, bunch.target)
    assert digits.x.dtype == np.uint8
    assert not np.array_equal(digits.all()[:, 0], bunch.images / 127.5 - 1)  # the wrong white


def test_digits_can_be_padded_resized_and_coloured() -> None:
    plain = load_images("digits", channels=1)
    padded = load_images("digits", channels=3, size=12, fit="pad")
    assert padded.shape == (3, 12, 12)
    np.testing.assert_array_equal(padded.all()[:, :1, 2:-2, 2:-2], plain.all())
    assert np.all(padded.all()[:, :, :2] == -1)
    larger = load_images("digits", channels=1, size=16, fit="resize")
    blocks = larger.all().reshape(-1, 8, 2, 8, 2).mean((2, 4))
    assert np.corrcoef(blocks.ravel(), plain.all().ravel())[0, 1] > 0.97
    assert len(np.unique(larger.x)) > 100


def test_labels_are_left_out_on_request() -> None:
    digits = load_images("digits", channels=1, labels=False)
    assert digits.labels is None
    assert digits.classes == ()


# The split.


def test_split_is_a_partition_that_never_changes() -> None:
    digits = load_images("digits", channels=1)
    train, held = digits.split(0.1)
    assert (len(train), len(held)) == (1617, 180)
    together = np.concatenate([train.x, held.x]).reshape(1797, -1)
    np.testing.assert_array_equal(
        together[np.lexsort(together.T)],
        digits.x.reshape(1797, -1)[np.lexsort(digits.x.reshape(1797, -1).T)],
    )
    again = load_images("digits", channels=1).split(0.1)[1]
    np.testing.assert_array_equal(held.x, again.x)
    # Recorded, because a run that is resumed with another NumPy must hold out the same images.
    assert held.digest()[:16] == "27fa96f3938c53cb"


def test_split_gives_every_class_its_share() -> None:
    rng = np.random.default_rng(3)
    labels = np.sort(rng.choice(4, 1000, p=[0.7, 0.2, 0.09, 0.01]))
    whole = Images(x=np.zeros((1000, 1, 1, 1), np.uint8), labels=labels, classes=tuple("abcd"))
    for held_out in (0.1, 100, 0.25, 333):
        train, held = whole.split(held_out)
        count = held_out if isinstance(held_out, int) else round(1000 * held_out)
        assert (len(train), len(held)) == (1000 - count, count)
        share = np.bincount(labels) * count / 1000
        assert np.all(np.abs(np.bincount(held.labels, minlength=4) - share) <= 1)
    # Taking the last images, as a split that is not stratified might, gives some classes nothing.
    assert np.any(np.abs(np.bincount(labels[-100:], minlength=4) - np.bincount(labels) / 10) > 1)


def test_split_without_labels_is_spread_and_keeps_order() -> None:
    x = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1)
    train, held = Images(x=x).split(0.2)
    values = held.x.ravel().astype(int)
    assert len(values) == 40
    assert np.all(np.diff(values) > 0)
    assert 60 < values.mean() < 140
    assert sorted([*values, *train.x.ravel()]) == list(range(200))


@pytest.mark.parametrize("held_out", [0, 0.0, 1.0, 1.5, -0.1, 10, -1])
def test_split_needs_a_part_of_the_images(held_out: float) -> None:
    whole = Images(x=np.zeros((10, 1, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="held_out must be a share in"):
        whole.split(held_out)


def test_one_image_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="images must be two at least, one of them held out, got"):
        Images(x=np.zeros((1, 1, 2, 2), np.uint8)).split(0.5)


def test_a_small_share_still_holds_one_image_out() -> None:
    train, held = Images(x=np.zeros((10, 1, 2, 2), np.uint8)).split(0.001)
    assert (len(train), len(held)) == (9, 1)
    train, held = Images(x=np.zeros((10, 1, 2, 2), np.uint8)).split(0.999)
    assert (len(train), len(held)) == (1, 9)


def test_the_order_of_the_split_is_splitmix64() -> None:
    # First outputs of SplitMix64 from state 0, by Python's unbounded ints.
    def reference(state: int) -> int:
        mask = 2**64 - 1
        z = state & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    expected = [reference(i * 0x9E3779B97F4A7C15) for i in range(1, 6)]
    assert images._hash(np.arange(5, dtype=np.uint64)).tolist() == expected
    assert expected[0] == 0xE220A8397B1DCDAF  # the published first output


def test_held_out_images_may_come_from_a_second_source(tmp_path: Path) -> None:
    x = noise_image(0, 20, 4, 4)
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(20) % 3)
    np.savez(tmp_path / "b.npz", images=x[:4], labels=np.array([0, 1, 0, 1]))
    np.savez(tmp_path / "wide.npz", images=noise_image(0, 4, 5, 4))
    np.savez(tmp_path / "more.npz", images=x[:4], labels=np.array([0, 1, 3, 1]))
    options: dict[str, Any] = {"channels": 1, "held_out": 0.1}
    train, held = load_train_and_held_out(
        tmp_path / "a.npz", held_out_source=str(tmp_path / "b.npz"), **options
    )
    assert (len(train), len(held)) == (20, 4)
    assert held.classes == train.classes == ("0", "1", "2")
    train, held = load_train_and_held_out(tmp_path / "a.npz", **options)
    assert (len(train), len(held)) == (18, 2)
    for other, message in (("wide", "images of shape"), ("more", "classes 0, 1, 2, 3; those of")):
        with pytest.raises(ValueError, match=rf"{other}\.npz: {message}"):
            load_train_and_held_out(
                tmp_path / "a.npz", held_out_source=str(tmp_path / f"{other}.npz"), **options
            )


# Batches.


def test_batch_maps_bytes_to_the_nearest_floats() -> None:
    x = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    batch = Images(x=x).batch(np.arange(256))
    assert batch.dtype == np.float32
    exact = np.array([2 * b / 255 - 1 for b in range(256)])
    np.testing.assert_array_equal(batch.ravel(), exact.astype(np.float32))
    assert batch.min() == -1
    assert batch.max() == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_batch_mirrors_what_is_marked_and_leaves_the_set_alone(dtype: Any) -> None:
    x = noise_image(1, 5, 2, 3, 4)
    whole = Images(x=x if dtype == np.uint8 else (x / 127.5 - 1).astype(np.float32))
    before = whole.x.copy()
    flips = np.array([True, False, True])
    batch = whole.batch([4, 0, 4], flips)
    plain = whole.batch([4, 0, 4])
    np.testing.assert_array_equal(batch[0], plain[0][:, :, ::-1])
    np.testing.assert_array_equal(batch[1], plain[1])
    np.testing.assert_array_equal(batch[2], batch[0])
    np.testing.assert_array_equal(whole.x, before)


def test_digest_tells_sets_apart() -> None:
    x = noise_image(1, 5, 1, 3, 3)
    labels = np.zeros(5, np.int64)
    sets = [
        Images(x=x),
        Images(x=x, white=16),
        Images(x=x[::-1]),
        Images(x=x.reshape(5, 1, 1, 9)),
        Images(x=x, labels=labels, classes=("a",)),
        Images(x=x, labels=labels + 1, classes=("a", "b")),
    ]
    assert len({s.digest() for s in sets}) == len(sets)
    assert Images(x=x.copy()).digest() == sets[0].digest()


def test_images_check_their_arrays() -> None:
    with pytest.raises(ValueError, match=r"x must be uint8 or float32 of shape \(N, C, H, W\)"):
        Images(x=np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"x must be .* got float64"):
        Images(x=np.zeros((3, 1, 4, 4)))
    with pytest.raises(ValueError, match=r"labels must have shape \(3,\), got \(2,\)"):
        Images(x=np.zeros((3, 1, 4, 4), np.uint8), labels=np.zeros(2, np.int64))


# A folder of images.


def test_subfolders_are_classes(classes_folder: Path) -> None:
    loaded = load_images(classes_folder, channels=3)
    assert loaded.shape == (3, 6, 6)
    assert loaded.classes == ("ant", "zebra")
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(loaded.x[0], noise_image(10, 6, 6, 3).transpose(2, 0, 1))
    np.testing.assert_array_equal(loaded.x[7], noise_image(5, 6, 6, 3).transpose(2, 0, 1))
    assert load_images(classes_folder, channels=3, labels=False).labels is None


def test_one_class_or_none(classes_folder: Path) -> None:
    loaded = load_images(classes_folder / "ant" / "deep", channels=1)
    assert loaded.labels is None
    assert loaded.shape == (1, 6, 6)
    red, green, blue = (noise_image(15, 6, 6, 3)[:, :, c].astype(float) for c in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R 601
    assert np.abs(loaded.x[0, 0] - luma).max() <= 1


def test_an_image_beside_the_class_folders(classes_folder: Path) -> None:
    Image.fromarray(noise_image(0, 6, 6)).save(classes_folder / "stray.png")
    with pytest.raises(ValueError, match=r"stray\.png: lies beside the class folders ant, zebra"):
        load_images(classes_folder, channels=1)
    assert len(load_images(classes_folder, channels=1, labels=False)) == 9


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", encoded(noise_image(0, 32, 32, 3))[:300]]
)
def test_a_broken_image_is_named(classes_folder: Path, content: bytes) -> None:
    (classes_folder / "ant" / "1.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"ant/1\.png: not a readable image"):
        load_images(classes_folder, channels=3)


def test_a_truncated_jpeg_is_named(classes_folder: Path) -> None:
    (classes_folder / "ant" / "9.jpg").write_bytes(encoded(noise_image(0, 64, 64, 3), "JPEG")[:900])
    with pytest.raises(ValueError, match=r"9\.jpg: not a readable image \(image file is truncated"):
        load_images(classes_folder, channels=3)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing here")
    with pytest.raises(ValueError, match=r"empty: no images in this folder \(looked for \.bmp"):
        load_images(tmp_path / "empty", channels=3)


def test_a_wrong_size_is_named(classes_folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"ant/0\.png: the image is 6 x 6 pixels, not 8 x 8; fit = 'resize' or"
    ):
        load_images(classes_folder, channels=3, size=8)
    with pytest.raises(ValueError, match=r"not 4 x 4; fit = 'resize' makes it fit"):
        load_images(classes_folder, channels=3, size=4, fit="pad")
    Image.fromarray(noise_image(0, 5, 7, 3)).save(classes_folder / "ant" / "2.png")
    with pytest.raises(ValueError, match=r"2\.png: the image is 7 x 5 pixels, the first one 6 x 6"):
        load_images(classes_folder, channels=3)


@pytest.mark.parametrize("source", ["no/such/folder", "no-such.npz", "no-such.parquet"])
def test_a_source_that_is_not_there(source: str) -> None:
    with pytest.raises(
        ValueError, match=rf"{source}: no such file or folder \(looked in .*'digits'"
    ):
        load_images(source, channels=3)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"a\.csv: must be a \.parquet or \.npz file, or a folder"):
        load_images(tmp_path / "a.csv", channels=3)


# One image.


def test_pad_centres_on_black_and_resize_keeps_the_middle() -> None:
    image = np.full((28, 28), 200, np.uint8)
    padded = decode.pixels(image, "x", decode.Target(size=32, channels=1, fit="pad"))
    expected = np.zeros((1, 32, 32), np.uint8)
    expected[:, 2:30, 2:30] = 200
    np.testing.assert_array_equal(padded, expected)
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 4:12] = 255  # the middle square
    middle = decode.pixels(wide, "x", decode.Target(size=4, channels=1, fit="resize"))
    assert middle.min() == 255
    same = noise_image(0, 8, 8, 3)
    for fit in ("exact", "resize", "pad"):
        kept = decode.pixels(same, "x", decode.Target(size=8, channels=3, fit=fit))
        np.testing.assert_array_equal(kept, same.transpose(2, 0, 1))


def test_modes_of_images() -> None:
    grey = decode.Target(channels=1)
    rgb = decode.Target(channels=3)
    wide = np.array([[0, 257, 65535, 32896]], np.uint16)
    assert decode.pixels(encoded(wide), "x", grey).tolist() == [[[0, 1, 255, 128]]]
    clear = np.zeros((1, 2, 4), np.uint8)
    clear[0, 1] = (10, 20, 30, 255)
    laid = decode.pixels(encoded(clear), "x", rgb)
    assert laid[:, 0, 0].tolist() == [255, 255, 255]
    assert laid[:, 0, 1].tolist() == [10, 20, 30]
    palette = io.BytesIO()
    Image.fromarray(noise_image(0, 3, 3) // 16, "L").convert("P").save(palette, "PNG")
    assert decode.pixels(palette.getvalue(), "x", rgb).shape == (3, 3, 3)
    np.testing.assert_array_equal(
        decode.pixels(noise_image(0, 2, 2, 1), "x", rgb),
        np.stack([noise_image(0, 2, 2, 1)[..., 0]] * 3),
    )
    floating = encoded(np.zeros((2, 2), np.float32), "TIFF")
    with pytest.raises(ValueError, match="x: pixels of mode F have no fixed white"):
        decode.pixels(floating, "x", grey)


def test_a_cameras_orientation_is_obeyed() -> None:
    image = Image.fromarray(np.array([[0, 255], [0, 255]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    turned = decode.pixels(buffer.getvalue(), "x", decode.Target(channels=1))
    assert turned.tolist() == [[[0, 0], [255, 255]]]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"channels": 2}, "channels must be 1 or 3, got 2"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": 8, "fit": "crop"}, "fit must be one of exact, resize, pad; got 'crop'"),
        ({"fit": "pad"}, "size must be given for fit = 'pad'"),
    ],
)
def test_targets_are_checked(target: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode.Target(**target)


# Parquet.


def test_parquet_with_structs_bytes_and_names(tmp_path: Path) -> None:
    pictures = [noise_image(i, 4, 4, 3) for i in range(6)]
    cells = [{"bytes": encoded(p), "path": f"{i}.png"} for i, p in enumerate(pictures)]
    info = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    folder = tmp_path / "parts"
    folder.mkdir()
    write_parquet(
        folder / "b.parquet",
        {"img": cells[3:], "label": [1, 0, 0]},
        {"huggingface": json.dumps(info)},
    )
    write_parquet(
        folder / "a.parquet", {"image": [c["bytes"] for c in cells[:3]], "label": [1, 1, 0]}
    )
    loaded = load_images(folder, channels=3)
    np.testing.assert_array_equal(loaded.x, np.stack(pictures).transpose(0, 3, 1, 2))
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [1, 1, 0, 1, 0, 0]
    assert loaded.classes == ("cat", "dog")
    single = load_images(folder / "a.parquet", channels=3)
    assert single.classes == ("0", "1")
    assert load_images(folder, channels=3, labels=False).labels is None


def test_parquet_columns_by_name_and_string_labels(tmp_path: Path) -> None:
    image = encoded(noise_image(0, 4, 4))
    path = write_parquet(
        tmp_path / "t.parquet",
        {"photo": [image] * 3, "kind": ["b", "a", "b"], "n": [0.5, 1.0, 2.0]},
    )
    loaded = load_images(path, channels=1, image_column="photo", label_column="kind")
    assert loaded.classes == ("a", "b")
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [1, 0, 1]
    assert load_images(path, channels=1, image_column="photo").labels is None
    with pytest.raises(ValueError, match=r"t\.parquet: no column 'image' or 'img' for the images;"):
        load_images(path, channels=1)
    with pytest.raises(ValueError, match=r"no column 'foto' .* its columns are photo, kind, n"):
        load_images(path, channels=1, image_column="foto")
    with pytest.raises(ValueError, match=r"no column 'klass' for the labels"):
        load_images(path, channels=1, image_column="photo", label_column="klass")
    with pytest.raises(ValueError, match=r"labels must be all ints or all strings, got float"):
        load_images(path, channels=1, image_column="photo", label_column="n")


def test_parquet_rows_that_are_broken_are_named(tmp_path: Path) -> None:
    good = {"bytes": encoded(noise_image(0, 4, 4)), "path": "good.png"}
    bad = {"bytes": b"broken", "path": "bad.png"}
    path = write_parquet(tmp_path / "t.parquet", {"image": [good, bad]})
    with pytest.raises(ValueError, match=r"t\.parquet, row 1 \(bad\.png\): not a readable image"):
        load_images(path, channels=1)
    path = write_parquet(tmp_path / "n.parquet", {"image": [good, None]})
    with pytest.raises(ValueError, match=r"n\.parquet, row 1: an image must be encoded bytes"):
        load_images(path, channels=1)
    path = write_parquet(tmp_path / "i.parquet", {"image": [1, 2]})
    with pytest.raises(ValueError, match=r"i\.parquet, row 0: .* got int"):
        load_images(path, channels=1)
    path = write_parquet(tmp_path / "l.parquet", {"image": [good] * 2, "label": [0, None]})
    with pytest.raises(ValueError, match=r"l\.parquet: labels must be all ints .* NoneType, int"):
        load_images(path, channels=1)
    path = write_parquet(tmp_path / "m.parquet", {"image": [good] * 2, "label": [0, -1]})
    with pytest.raises(
        ValueError, match=r"m\.parquet: labels must count the classes from 0, got -1"
    ):
        load_images(path, channels=1)
    assert len(load_images(path, channels=1, labels=False)) == 2


def test_parquet_files_that_are_not_one_set(tmp_path: Path) -> None:
    image = encoded(noise_image(0, 4, 4))
    write_parquet(tmp_path / "a.parquet", {"image": [image], "label": [1]})
    write_parquet(tmp_path / "b.parquet", {"image": [image]})
    with pytest.raises(ValueError, match=r"a\.parquet: some of the parquet files have labels"):
        load_images(tmp_path, channels=1)
    empty = write_parquet(tmp_path / "b.parquet", {"image": []})
    with pytest.raises(ValueError, match=r"b\.parquet: no rows"):
        load_images(empty, channels=1)
    empty.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match=r"b\.parquet: not a readable parquet file"):
        load_images(empty, channels=1)


def test_a_path_in_a_cell_is_beside_its_parquet_file(tmp_path: Path) -> None:
    picture = noise_image(0, 4, 4)
    Image.fromarray(picture).save(tmp_path / "p.png")
    path = write_parquet(tmp_path / "t.parquet", {"image": [{"bytes": None, "path": "p.png"}]})
    np.testing.assert_array_equal(load_images(path, channels=1).x[0, 0], picture)


# Arrays in .npz.


@pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y")])
@pytest.mark.parametrize("layout", ["NHW", "NCHW", "NHWC"])
def test_npz_layouts(tmp_path: Path, keys: tuple[str, str], layout: str) -> None:
    channels = 1 if layout == "NHW" else 3
    first = noise_image(0, 5, channels, 4, 6)
    stored = {"NHW": first[:, 0], "NCHW": first, "NHWC": first.transpose(0, 2, 3, 1)}[layout]
    np.savez(tmp_path / "a.npz", **{keys[0]: stored, keys[1]: np.array([0, 2, 1, 0, 0], np.uint8)})
    loaded = load_images(tmp_path / "a.npz", channels=channels)
    np.testing.assert_array_equal(loaded.x, first)
    assert loaded.labels is not None
    assert loaded.labels.dtype == np.int64
    assert loaded.labels.tolist() == [0, 2, 1, 0, 0]
    assert loaded.classes == ("0", "1", "2")


def test_npz_floats_are_kept(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (5, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=np.array(list("abcab")))
    loaded = load_images(tmp_path / "a.npz", channels=3, size=4)
    assert loaded.x.dtype == np.float32
    for channel in range(3):
        np.testing.assert_array_equal(loaded.batch(np.arange(5))[:, channel], x)
    assert loaded.classes == ("a", "b", "c")


def test_npz_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"

    def refuses(message: str, channels: int = 1, size: int | None = None, **arrays: Any) -> None:
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=r"a\.npz.*: .*" + message):
            load_images(path, channels=channels, size=size)

    zeros = np.zeros((2, 4, 4), np.uint8)
    floats = np.linspace(-1, 1, 32).reshape(2, 4, 4)
    refuses("must hold an array 'images' or 'x', holds pictures", pictures=zeros)
    refuses("must hold an array 'images' or 'x', holds nothing")
    refuses(r"shape \(N, H, W\), .* got \(2, 4\)", x=zeros[0, :2])
    refuses(r"got \(2, 2, 4, 4\)", x=np.zeros((2, 2, 4, 4), np.uint8))
    refuses(r"got \(0, 4, 4, 1\)", x=zeros[:0])
    refuses("must be uint8 or floating, got int64", x=zeros.astype(np.int64))
    refuses(r"must lie in \[-1, 1\] and use both signs, got 0..1", x=(floats + 1) / 2)
    refuses(r"must lie in \[-1, 1\]", x=floats * 2)
    refuses(r"must lie in \[-1, 1\]", x=np.where(floats > 0.9, np.nan, floats))
    refuses("4 x 4 pixels, not 8 x 8; floating images are not resized", size=8, x=floats)
    refuses("not turned grey", x=np.stack([floats] * 3, 1))
    refuses("the image is 4 x 4 pixels, not 8 x 8", size=8, x=zeros)
    refuses(r"labels must have shape \(2,\), got \(3,\)", x=zeros, y=np.arange(3))
    refuses("labels must be all ints or all strings, got float", x=zeros, y=np.zeros(2))
    refuses("not a readable .npz file", x=np.array([{}, None], object))
    whole = path.read_bytes()
    np.save(tmp_path / "a.npy", zeros)
    for content in (b"broken", b"", whole[: len(whole) // 2], (tmp_path / "a.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz: not a readable \.npz file \(no zip archive"):
            load_images(path, channels=1)


# Hugging Face `datasets`, offline.


def test_datasets_saved_to_disk_and_loaded_by_name(tmp_path: Path, monkeypatch: Any) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    pictures = [noise_image(i, 4, 4, 3) for i in range(6)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog", "cow"])}
    )

    def rows(start: int, stop: int) -> Any:
        columns = {
            "image": [Image.fromarray(p) for p in pictures[start:stop]],
            "label": [i % 2 for i in range(start, stop)],
        }
        return datasets.Dataset.from_dict(columns, features)

    both = datasets.DatasetDict({"train": rows(0, 4), "test": rows(4, 6)})
    both.save_to_disk(tmp_path / "both")
    rows(1, 3).save_to_disk(tmp_path / "one")
    expected = np.stack(pictures).transpose(0, 3, 1, 2)
    for source, part in (
        (str(tmp_path / "both"), slice(0, 4)),
        (f"hf:{tmp_path / 'both'}", slice(0, 4)),
        (f"hf:{tmp_path / 'both'}:test", slice(4, 6)),
        (str(tmp_path / "one"), slice(1, 3)),
    ):
        loaded = load_images(source, channels=3)
        np.testing.assert_array_equal(loaded.x, expected[part])
        assert loaded.classes == ("cat", "dog", "cow")
        assert loaded.labels is not None
        assert loaded.labels.tolist() == [i % 2 for i in range(6)][part]

    # `load_dataset` itself, on a folder of parquet files as the hub stores them.
    hub = tmp_path / "hub"
    hub.mkdir()
    rows(0, 4).to_parquet(hub / "train.parquet")
    loaded = load_images(f"hf:{hub}:train[:3]", channels=3)
    np.testing.assert_array_equal(loaded.x, expected[:3])
    assert load_images(hub, channels=3).classes == ("cat", "dog", "cow")  # read by pyarrow alone
    for name in (f"{hub}:nosuch", f"{tmp_path / 'both'}:nosuch", f"{tmp_path / 'nowhere'}"):
        with pytest.raises(ValueError, match=r"Hugging Face data set .* could not be loaded"):
            load_images(f"hf:{name}", channels=3)
    # A folder that was saved is read whole, rather than whatever part of it was asked for.
    for name, message in (
        (f"{tmp_path / 'both'}:train[:2]", "saved as train, test, which"),
        (f"{tmp_path / 'one'}:train[:1]", "saved as one, without splits"),
        (f"{tmp_path / 'one'}:test", "saved as one, without splits"),
        ("", "hf:NAME"),
    ):
        with pytest.raises(ValueError, match=message):
            load_images(f"hf:{name}", channels=3)
    with pytest.raises(ValueError, match=r"one: no column 'pixels' for the images"):
        load_images(tmp_path / "one", channels=3, image_column="pixels")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist", ("mnist", "train")),
        ("owner/name:test", ("owner/name", "test")),
        ("owner/name:train[:10%]", ("owner/name", "train[:10%]")),
        ("C:\\sets\\one", ("C:\\sets\\one", "train")),
        ("/tmp/a:b/set", ("/tmp/a:b/set", "train")),
        ("/tmp/a:b/set:test", ("/tmp/a:b/set", "test")),
    ],
)
def test_names_and_splits(name: str, expected: tuple[str, str]) -> None:
    assert data.sources._name_and_split(name) == expected


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(ImportError, match=r'no_such_package .* pip install "diffcore\[data\]"'):
        _optional.optional("no_such_package", "data")
