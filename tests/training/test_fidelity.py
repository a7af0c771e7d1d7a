"""Comparing features: MMD and KID against closed forms, precision and recall by brute force."""

import math
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from diffcore.training import extractors, features, fidelity, frechet, manifolds, mmd
from diffcore.training.extractors import extractor
from diffcore.training.images import Images
from diffcore.training.manifolds import precision_recall
from diffcore.training.mmd import gaussian, polynomial, squared_mmd

EPS = float(np.finfo(np.float64).eps)


def points(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# MMD.


def by_hand(kernel, x, y) -> float:
    """The definition of the unbiased estimate, pair by pair."""

    def k(a, b) -> float:
        return float(kernel(a[None], b[None])[0, 0])

    m, n = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j)
    within_y = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j)
    across = sum(k(a, b) for a in x for b in y)
    return within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2.0 * across / (m * n)


@pytest.mark.parametrize("kernel", [polynomial, gaussian(0.7)])
def test_mmd_is_its_definition_and_its_error_the_jackknife_s(kernel, monkeypatch) -> None:
    x, y = points(0, 7, 3), 0.5 + points(1, 5, 3)
    monkeypatch.setattr(mmd, "ROWS", 3)
    got = squared_mmd(kernel, x, y)
    assert got.value == pytest.approx(by_hand(kernel, x, y), rel=1e-12)
    without_x = [by_hand(kernel, np.delete(x, i, axis=0), y) for i in range(7)]
    without_y = [by_hand(kernel, x, np.delete(y, i, axis=0)) for i in range(5)]
    variance = 6 * np.var(without_x) + 4 * np.var(without_y)
    assert got.error == pytest.approx(math.sqrt(variance), rel=1e-10)
    # With the diagonal, as in the biased estimate, it is another number.
    biased = kernel(x, x).mean() + kernel(y, y).mean() - 2.0 * kernel(x, y).mean()
    assert abs(biased - got.value) > 0.1


def test_the_kernels_are_theirs() -> None:
    x, y = points(2, 4, 5), points(3, 3, 5)
    for i in range(4):
        for j in range(3):
            dot, apart = float(x[i] @ y[j]), float(np.sum((x[i] - y[j]) ** 2))
            assert polynomial(x, y)[i, j] == pytest.approx((dot / 5 + 1) ** 3, rel=1e-12)
            assert gaussian(2.0)(x, y)[i, j] == pytest.approx(math.exp(-apart / 8), rel=1e-12)


def spread(estimates) -> tuple[float, float]:
    return float(np.mean(estimates)), float(np.std(estimates) / math.sqrt(len(estimates)))


def test_kid_of_normal_features_is_the_closed_form_at_every_number() -> None:
    """(x y + 1)^3 = 1 + 3 x y + 3 x^2 y^2 + x^3 y^3: the differences of three moments, squared."""
    mean, deviation = 0.4, 1.3
    wanted = 3 * mean**2 + 3 * (mean**2 + deviation**2 - 1) ** 2
    wanted += (mean**3 + 3 * mean * deviation**2) ** 2
    rng = np.random.default_rng(4)
    found, biased = [], []
    for _ in range(1500):
        x, y = rng.standard_normal((20, 1)), mean + deviation * rng.standard_normal((12, 1))
        found.append(squared_mmd(polynomial, x, y).value)
        biased.append(polynomial(x, x).mean() + polynomial(y, y).mean())
        biased[-1] -= 2.0 * polynomial(x, y).mean()
    middle, error = spread(found)
    assert abs(middle - wanted) < 4.0 * error
    assert error < 0.1 * wanted
    # The estimate with the diagonals in it is found to be off.
    assert np.mean(biased) - wanted > 8.0 * error


def test_mmd_of_gaussians_with_a_gaussian_kernel_is_the_closed_form() -> None:
    d, scale, shift, bandwidth = 2, 0.5, 0.8, 0.9

    def expected(total: float, apart: float) -> float:
        share = bandwidth**2 / (bandwidth**2 + total)
        return share ** (d / 2) * math.exp(-(apart**2) / (2 * (bandwidth**2 + total)))

    wanted = expected(2.0, 0.0) + expected(2 * scale**2, 0.0)
    wanted -= 2 * expected(1 + scale**2, shift)
    rng = np.random.default_rng(5)
    estimates = []
    for _ in range(400):
        x, y = rng.standard_normal((30, d)), scale * rng.standard_normal((40, d))
        y[:, 0] += shift
        estimates.append(squared_mmd(gaussian(bandwidth), x, y))
    found = [estimate.value for estimate in estimates]
    middle, error = spread(found)
    # The jackknife's variance is the estimate's, or a little more.
    assert 0.9 < np.mean([e.error**2 for e in estimates]) / np.var(found) < 1.4
    assert abs(middle - wanted) < 4.0 * error < 0.1 * wanted
    same = [
        squared_mmd(gaussian(bandwidth), *rng.standard_normal((2, 30, d))).value for _ in range(400)
    ]
    middle, error = spread(same)
    assert abs(middle) < 4.0 * error
    assert min(same) < 0.0


# Precision and recall.


def share_by_hand(x, y, k) -> float:
    """The share of x that lies within the distance of some y to its k-th neighbour among y."""
    inside = 0
    for a in x:
        for i, b in enumerate(y):
            others = sorted(np.linalg.norm(b - c) for j, c in enumerate(y) if j != i)
            if np.linalg.norm(a - b) <= others[k - 1]:
                inside += 1
                break
    return inside / len(x)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_are_the_paper_s_by_brute_force(k, monkeypatch) -> None:
    x, y = 1.5 * points(6, 40, 3), points(7, 30, 3) + 0.7
    monkeypatch.setattr(manifolds, "ROWS", 7)
    got = precision_recall(x, y, k)
    assert got == (share_by_hand(x, y, k), share_by_hand(y, x, k))
    assert got.precision != got.recall
    # A point counted as its own neighbour shrinks every ball.
    if k > 1:
        assert got != (share_by_hand(x, y, k - 1), share_by_hand(y, x, k - 1))


def test_precision_misses_what_is_bad_and_recall_what_is_left_out() -> None:
    left, right = points(8, 60, 2), points(9, 60, 2) + 100.0
    both = np.concatenate([left, right])
    assert precision_recall(both, both) == (1.0, 1.0)
    assert precision_recall(left, right) == (0.0, 0.0)
    one = precision_recall(points(10, 120, 2), both)
    assert one.precision > 0.9
    assert 0.4 < one.recall <= 0.5
    more = precision_recall(both, points(10, 120, 2))
    assert (more.recall, more.precision) == one


def test_copies_are_inside_wherever_the_origin_lies() -> None:
    """Distances from squares lose digits far from the origin; the copies stay copies."""
    y = 1e6 + points(11, 50, 4)
    assert precision_recall(y[:20], y) == (1.0, share_by_hand(y, y[:20], 3))


# Both, and their table.


def test_real_images_score_as_real_ones_and_worse_ones_worse() -> None:
    rng = np.random.default_rng(12)
    real = rng.standard_normal((400, 4)) * [2.0, 1.0, 0.5, 0.5]
    first, rest = fidelity.halves(real, 150, seed=3)
    assert (len(first), len(rest)) == (150, 250)
    assert {tuple(row) for row in first} | {tuple(row) for row in rest} == set(map(tuple, real))
    assert not np.array_equal(fidelity.halves(real, 150, seed=4)[0], first)
    assert len(fidelity.halves(real, 1000)[0]) == 200
    good, bad = fidelity.fidelity(first, rest), fidelity.fidelity(1.5 + first, rest)
    assert abs(good.kid.value) < 4.0 * good.kid.error
    assert bad.kid.value > 6.0 * bad.kid.error
    assert bad.frechet == pytest.approx(good.frechet + 4 * 1.5**2, abs=3.0)
    assert good.precision > 0.85 > bad.precision
    assert (good.n, good.reference) == (150, 250)
    lines = fidelity.format_fidelity({"good": good, "bad": bad}).splitlines()
    assert lines[2].split()[:3] == ["good", "150", "250"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: squared_mmd(polynomial, np.zeros((2, 3)), np.zeros((5, 3))), "x must be finite"),
        (lambda: squared_mmd(polynomial, np.zeros((5, 3)), np.zeros(5)), "y must be finite"),
        (lambda: squared_mmd(polynomial, np.zeros((5, 3)), np.zeros((5, 2))), "y must have 3 col"),
        (lambda: squared_mmd(polynomial, np.full((4, 1), np.nan), np.zeros((4, 1))), "x must be"),
        (lambda: gaussian(0.0), "bandwidth must be positive and finite, got 0.0"),
        (lambda: precision_recall(points(0, 4, 2), points(0, 9, 2), 4), "k must be from 1 to 3"),
        (lambda: precision_recall(points(0, 4, 2), points(0, 9, 2), 0), "k must be from 1 to 3"),
        (lambda: precision_recall(points(0, 4, 2), points(0, 9, 2), 1.5), "k must be from 1 to 3"),
        (lambda: frechet.fitted(np.zeros((4, 0))), r"d 1, got shape \(4, 0\)"),
        (lambda: squared_mmd(polynomial, np.zeros((4, 0)), np.zeros((4, 0))), r"got \(4, 0\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# Features by name.


@pytest.fixture
def striped() -> Images:
    """Two classes of images that a glance tells apart."""
    rng = np.random.default_rng(13)
    x = (0.2 * rng.standard_normal((40, 1, 4, 4))).astype(np.float32)
    x[::2, :, :2] += 0.7
    x[1::2, :, 2:] += 0.7
    labels = np.arange(40) % 2
    return Images(x=np.clip(x, -1, 1), labels=labels, classes=("top", "bottom"))


def column_means(images):
    """A stranger's features."""
    assert images.dtype == np.float32
    assert len(images) <= 7
    return torch.from_numpy(images).mean(dim=(1, 2))


class Stranger:
    mean = staticmethod(column_means)
    wrong = staticmethod(lambda images: images.mean())
    number = 3
    tensor = staticmethod(lambda images: column_means(images).requires_grad_())
    broken = staticmethod(lambda images: np.full((len(images), 2), np.nan))
    ragged = staticmethod(lambda images: [[1.0], [1.0, 2.0]])
    complex = staticmethod(lambda images: 1j * column_means(images))
    nothing = staticmethod(lambda images: np.zeros((len(images), 0)))
    uneven = staticmethod(lambda images: np.zeros((len(images), len(images))))


def test_pixels_and_margins(striped) -> None:
    x = striped.all()
    np.testing.assert_array_equal(extractor("pixels", striped)(x), features.features(x))
    margins = extractor("classifier", striped)(x)
    assert margins.shape == (40, 2)
    assert np.array_equal(margins.argmax(axis=1), striped.labels)
    with pytest.raises(ValueError, match="needs a reference with labels"):
        extractor("classifier", Images(x=striped.x))


def test_a_callable_of_anybody_s(striped) -> None:
    of = extractor(f"{__name__}:Stranger.mean", striped, batch=7)
    got = of(striped.all())
    assert (got.dtype, got.shape) == (np.float64, (40, 4))
    np.testing.assert_allclose(got, striped.all().mean(axis=(1, 2)), rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match=r"must return shape \(40, d\), got \(\)"):
        extractor(f"{__name__}:Stranger.wrong", striped)(striped.all())
    with_gradients = extractor(f"{__name__}:Stranger.tensor", striped, batch=7)(striped.all())
    np.testing.assert_array_equal(with_gradients, got)
    for name, message in (
        ("broken", "'.*:Stranger.broken': must be finite; those of 7 of 7 are not"),
        ("ragged", "must return an array, got a list$"),
        ("complex", "must return real numbers, got complex64"),
        ("nothing", r"must return shape \(7, d\), got \(7, 0\)"),
        ("uneven", "must return as many numbers for each image, got 7 and 5"),
    ):
        with pytest.raises(ValueError, match=message):
            extractor(f"{__name__}:Stranger.{name}", striped, batch=7)(striped.all())
    for name, message in (
        ("colours", "features must be pixels, classifier, inception or module:callable"),
        ("nowhere:f", "features 'nowhere:f': No module named 'nowhere'"),
        (f"{__name__}:nothing", "has no nothing"),
        (f"{__name__}:Stranger.number", "must be callable, is int"),
        (":f", "module:callable"),
    ):
        with pytest.raises((ValueError, ImportError), match=message):
            extractor(name, striped)


class FakeInception(torch.nn.Module):
    """What torchmetrics' network is called with, and what it gives."""

    def __init__(self, name, features_list):
        super().__init__()
        assert (name, features_list) == ("inception-v3-compat", ["2048"])

    def forward(self, x):
        assert x.dtype == torch.uint8
        assert x.shape[1] == 3
        return x.float().mean(dim=(2, 3))


def fake_torchmetrics(monkeypatch, network) -> None:
    for name in ("torchmetrics", "torchmetrics.image", "torchmetrics.image.fid"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["torchmetrics.image.fid"].NoTrainInceptionV3 = network


def test_inception_gets_rgb_bytes(monkeypatch, striped) -> None:
    fake_torchmetrics(monkeypatch, FakeInception)
    images = np.stack([np.full((1, 4, 4), v, np.float32) for v in (-1.0, 0.0, 1.0)])
    got = extractor("inception", striped)(images)
    np.testing.assert_array_equal(got, [[0.0] * 3, [128.0] * 3, [255.0] * 3])


def test_where_inception_cannot_be_had_it_says_why(monkeypatch, striped) -> None:
    def unreachable(**options):
        raise OSError("no route to host")

    fake_torchmetrics(monkeypatch, unreachable)
    with pytest.raises(ImportError, match=r"cannot be had \(no route to host\); pixels, classif"):
        extractor("inception", striped)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(ImportError, match=r'pip install "diffcore\[inception\]"'):
        extractor("inception", striped)


def test_the_classifier_learns_from_no_more_than_it_can(monkeypatch, striped) -> None:
    seen = []

    def fit(x, labels, classes):
        seen.append((len(x), classes))
        raise ValueError("enough")

    monkeypatch.setattr(extractors, "CLASSIFIED", 10)
    monkeypatch.setattr(extractors.classifiers, "fit", fit)
    with pytest.raises(ValueError, match="enough"):
        extractor("classifier", striped)
    assert seen == [(10, 2)]
