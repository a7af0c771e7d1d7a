"""Judging samples: exact Fréchet distances, a calibrated classifier, and forgeries found out."""

import math
import re
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import scipy.linalg

from diffcore.training import classifier, evaluation, features, frechet
from diffcore.training.data import load_images
from diffcore.training.evaluation import Comparison, compare, format_scores, judge
from diffcore.training.forgeries import forgeries
from diffcore.training.frechet import Gaussian
from diffcore.training.images import Images

EPS = float(np.finfo(np.float64).eps)


@pytest.fixture(scope="module")
def digits() -> tuple[Images, Images]:
    return load_images("digits", channels=1).split(0.2)


@pytest.fixture(scope="module")
def appointed(digits: tuple[Images, Images]) -> evaluation.Judge:
    return evaluation.appoint(*digits)


@pytest.fixture(scope="module")
def comparison(digits: tuple[Images, Images]) -> Comparison:
    reference, held_out = digits
    return compare({"training": reference.all()[::2]}, reference, held_out)


# The Fréchet distance, held to its closed form by other roads.


def covariance(rng: np.random.Generator, d: int, condition: float = 1e2) -> np.ndarray:
    basis, _ = np.linalg.qr(rng.standard_normal((d, d)))
    result = (basis * np.geomspace(1.0, 1.0 / condition, d)) @ basis.T
    return (result + result.T) / 2.0


def exact_distance(mean_1, cov_1, mean_2, cov_2) -> float:  # type: ignore[no-untyped-def]
    """The definition at 50 digits; (C_1 C_2)^(1/2)'s trace is the sum of eigenvalues' roots."""
    with mpmath.workdps(50):
        product = mpmath.matrix(cov_1.tolist()) * mpmath.matrix(cov_2.tolist())
        values, _ = mpmath.eig(product)
        root = sum(mpmath.re(mpmath.sqrt(value)) for value in values)
        apart = sum(
            (mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(mean_1, mean_2, strict=True)
        )
        trace = sum(map(mpmath.mpf, np.diag(cov_1))) + sum(map(mpmath.mpf, np.diag(cov_2)))
        return float(apart + trace - 2 * root)


def gaussian(mean: np.ndarray, cov: np.ndarray) -> Gaussian:
    return Gaussian(mean=mean, factor=np.linalg.cholesky(cov))


@pytest.mark.parametrize("d", [1, 2, 6])
def test_distance_is_the_definition_at_50_digits(d: int) -> None:
    rng = np.random.default_rng(d)
    one, two = covariance(rng, d), 3.0 * covariance(rng, d, 1e4)
    mean_1, mean_2 = rng.standard_normal((2, d))
    got = frechet.distance(gaussian(mean_1, one), gaussian(mean_2, two))
    expected = exact_distance(mean_1, one, mean_2, two)
    # The Cholesky factor of a matrix of norm 3 is off by some d eps.
    assert got == pytest.approx(expected, abs=100 * d * EPS)
    root = scipy.linalg.sqrtm(one @ two)
    trace = np.trace(one + two - 2.0 * np.real(root))
    assert got == pytest.approx(np.sum((mean_1 - mean_2) ** 2) + trace, rel=1e-10)
    if d > 1:
        # The square root taken element by element is another number.
        wrong = np.trace(one + two) - 2.0 * np.sum(np.sqrt(np.diag(one) * np.diag(two)))
        assert abs(np.sum((mean_1 - mean_2) ** 2) + wrong - got) > 1e-3


def test_diagonal_gaussians_have_the_distance_of_their_axes() -> None:
    a = Gaussian(mean=np.array([1.0, -2.0]), factor=np.diag([3.0, 0.5]))
    b = Gaussian(mean=np.array([0.0, 2.0]), factor=np.diag([1.0, 2.0]))
    assert frechet.distance(a, b) == pytest.approx(1 + 16 + 4 + 2.25, rel=10 * EPS)
    turned = replace(b, factor=b.factor @ np.array([[0.6, -0.8], [0.8, 0.6]]))  # same covariance
    assert frechet.distance(a, turned) == pytest.approx(23.25, rel=10 * EPS)


def test_distance_of_the_same_set_is_zero_to_the_square_of_rounding() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 60))  # fewer than features: a singular covariance
    one, two = frechet.fitted(x), frechet.fitted(x[rng.permutation(40)])
    got = frechet.distance(one, two)
    assert 0.0 <= got < (1000 * EPS) ** 2 * 60
    # The textbook order of operations leaves rounding itself, or its square root.
    c = np.cov(x.T)
    values = np.linalg.eigvalsh(c)
    roots = np.sqrt(np.abs(np.linalg.eigvals(c @ np.cov(x[::-1].T))))
    textbook = abs(2.0 * values.sum() - 2.0 * roots.sum())
    assert textbook > 1e6 * max(got, EPS**2)


def test_distance_is_symmetric_and_takes_sets_of_different_rank() -> None:
    rng = np.random.default_rng(1)
    few, many = frechet.fitted(rng.standard_normal((3, 8))), frechet.fitted(rng.random((50, 8)))
    assert few.factor.shape == (8, 3)
    assert frechet.distance(few, many) == pytest.approx(frechet.distance(many, few), rel=1e-12)
    x = rng.standard_normal((3, 8))
    root = scipy.linalg.sqrtm(np.cov(x.T) + 1e-14 * np.eye(8))
    one, other = frechet.fitted(x), frechet.fitted(x + 2.0)
    assert np.allclose(one.factor @ one.factor.T, root @ root, atol=1e-12)
    assert frechet.distance(one, other) == pytest.approx(8 * 4.0, rel=1e-12)


def test_bias_is_the_stated_one() -> None:
    rng = np.random.default_rng(2)
    spread = np.array([2.0, 1.0, 1.0, 0.3])
    n_1, n_2, repeats = 150, 300, 400
    found = np.array(
        [
            frechet.distance(
                frechet.fitted(spread * rng.standard_normal((n_1, 4))),
                frechet.fitted(spread * rng.standard_normal((n_2, 4))),
            )
            for _ in range(repeats)
        ]
    )
    values = spread**2
    pairs = np.outer(values, values) / np.add.outer(values, values) * (1.0 + np.eye(4))
    stated = (1.0 / n_1 + 1.0 / n_2) * (values.sum() + pairs.sum() / 2.0)
    error = found.std() / math.sqrt(repeats)
    assert abs(found.mean() - stated) < 4.0 * error
    assert error < 0.05 * stated
    # Without the covariances' share the formula is found wrong.
    assert abs(found.mean() - (1.0 / n_1 + 1.0 / n_2) * values.sum()) > 10.0 * error


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 3)), np.zeros(4), np.full((3, 2), np.nan), np.full((3, 2), np.inf)]
)
def test_what_has_no_gaussian_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="features must be finite, of shape"):
        frechet.fitted(bad)


def test_gaussians_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one number of features, got 2 and 3"):
        frechet.distance(frechet.fitted(np.eye(2)), frechet.fitted(np.eye(3)))


# Features.


def test_features_are_pixels_of_small_images_and_block_means_of_large_ones() -> None:
    rng = np.random.default_rng(3)
    small = rng.random((2, 3, 8, 8))
    assert np.array_equal(features.features(small), small.reshape(2, -1))
    large = rng.random((2, 3, 64, 48))  # 9216 values: 4 x 4 blocks leave 576
    expected = large.reshape(2, 3, 16, 4, 12, 4).mean(axis=(3, 5)).reshape(2, -1)
    assert np.allclose(features.features(large), expected, rtol=0, atol=8 * EPS)
    odd = rng.random((1, 1, 29, 30))  # 2 x 2, the last row of blocks one pixel high
    got = features.features(odd).reshape(15, 15)
    assert np.isclose(got[14, 3], odd[0, 0, 28, 6:8].mean(), rtol=8 * EPS)


def test_nearest_two_are_the_brute_force_ones_and_zero_for_copies() -> None:
    rng = np.random.default_rng(4)
    x, others = rng.standard_normal((700, 5)), rng.standard_normal((90, 5)).astype(np.float32)
    apart = np.sort(np.sqrt(((x[:, None] - others) ** 2).mean(axis=2)), axis=1)
    assert np.allclose(features.nearest_two(x, others), apart[:, :2], rtol=1e-12)
    copies = features.nearest_two(others.astype(np.float64), others)
    assert np.all(copies[:, 0] == 0.0)
    assert np.all(copies[:, 1] > 0.0)


# The classifier.


def test_classifier_knows_digits_and_its_confidence_is_earned(
    digits: tuple[Images, Images], appointed: evaluation.Judge
) -> None:
    held_out = digits[1]
    assert appointed.classifier is not None
    x = features.features(held_out.all())
    margins = appointed.classifier.margins(x)
    p = appointed.classifier.probabilities(margins)
    assert np.allclose(p.sum(axis=1), 1.0)
    right = p.argmax(axis=1) == held_out.labels
    assert appointed.accuracy == right.mean() > 0.97
    sure = p.max(axis=1) > 0.9
    assert right[sure].mean() >= 0.99
    assert right[~sure].mean() < 0.99
    assert margins.shape == (len(x), 10)
    # The largest mean margin and the most votes mostly agree; a sign the wrong way round would not.
    votes = appointed.classifier.machine.predict(x)
    assert (margins.argmax(axis=1) == votes).mean() > 0.95
    assert (margins.argmin(axis=1) == votes).mean() == 0.0


def test_classifier_of_two_classes_and_of_numbers_that_skip_one() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 2], 30)
    x = rng.standard_normal((60, 3)) + labels[:, None]
    fitted = classifier.fit(x, labels, 4)
    p = fitted.probabilities(fitted.margins(x))
    assert p.shape == (60, 4)
    assert np.all(p[:, [1, 3]] == 0.0)
    assert (p.argmax(axis=1) == labels).mean() > 0.9
    assert fitted.margins(x).shape == (60, 2)
    again = classifier.fit(x, labels, 4)
    assert np.array_equal(again.probabilities(again.margins(x)), p)


def test_classifier_finds_classes_among_many_pixels_that_only_vary_a_little() -> None:
    rng = np.random.default_rng(8)
    labels = np.arange(200) % 2
    x = 0.01 * rng.standard_normal((200, 300))
    x[:, 17] += labels
    fitted = classifier.fit(x[:100], labels[:100], 2)
    assert fitted.axes.shape == (300, classifier.AXES)
    assert np.allclose(fitted.axes.T @ fitted.axes, np.eye(classifier.AXES), atol=1e-12)
    assert abs(fitted.axes[17, 0]) > 0.99  # the first axis is the one of largest variance
    p = fitted.probabilities(fitted.margins(x[100:]))
    assert np.array_equal(p.argmax(axis=1), labels[100:])


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 0, 1]])
def test_classifier_needs_two_classes_of_two(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="labels must have two classes or more"):
        classifier.fit(np.eye(4), np.array(labels), 2)


# Judging: real digits score high, what is wrong is found out.


def test_real_digits_score_high(comparison: Comparison) -> None:
    real, training = comparison.rows["real images"], comparison.rows["training"]
    assert comparison.accuracy is not None
    assert comparison.accuracy > 0.97
    assert real.confident is not None
    assert real.confident > 0.75
    assert real.classes == 10
    assert real.imbalance is not None
    assert real.imbalance < 0.05
    assert sum(real.counts) == real.n == 359
    assert real.frechet_pixels < 1.0
    assert real.frechet_margins is not None
    assert real.frechet_margins < 0.05
    assert real.copies == 0.0
    assert 0.2 < real.nearest < 0.35
    # The same number of training images has the same distances.
    assert training.n == 719
    assert training.frechet_pixels == pytest.approx(real.frechet_pixels, rel=0.2)
    # Copies of training images pass every test but one.
    assert (training.copies, training.nearest) == (1.0, 0.0)


def test_copies_are_found_out_even_with_a_little_noise_and_nothing_else_is(
    digits: tuple[Images, Images], appointed: evaluation.Judge, comparison: Comparison
) -> None:
    reference, held_out = digits
    x = reference.all()[::3].astype(np.float64)
    noise = np.random.default_rng(9).standard_normal(x.shape)
    assert appointed(x + 0.05 * noise).copies > 0.95
    assert appointed(np.concatenate([x[:200], held_out.all()[:200]])).copies == 0.5
    assert all(row.copies == 0.0 for name, row in comparison.rows.items() if name != "training")


@pytest.mark.parametrize("name", ["fitted Gaussian", "blurred images", "mean image", "noise"])
def test_forgeries_are_found_out(comparison: Comparison, name: str) -> None:
    real, forged = comparison.rows["real images"], comparison.rows[name]
    assert forged.n == 719
    assert forged.confident is not None
    assert real.confident is not None
    assert forged.confident < real.confident / 4.0
    assert forged.frechet_pixels > 2.0 * real.frechet_pixels
    assert forged.frechet_margins is not None
    assert real.frechet_margins is not None
    assert forged.frechet_margins > 5.0 * real.frechet_margins
    assert forged.nearest > 1.3 * real.nearest


def test_samples_of_one_class_are_found_out(
    digits: tuple[Images, Images], appointed: evaluation.Judge
) -> None:
    reference = digits[0]
    assert reference.labels is not None
    scores = appointed(reference.all()[reference.labels == 3])
    assert scores.confident is not None
    assert scores.confident > 0.75  # each is a fine digit
    assert scores.classes == 1
    assert scores.imbalance == pytest.approx(0.9, abs=0.02)
    assert scores.frechet_pixels > 10.0
    assert scores.frechet_margins is not None
    assert scores.frechet_margins > 1.0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: -x,  # black on white
        lambda x: np.roll(x, 2, axis=3),
        lambda x: x.transpose(0, 1, 3, 2),
        lambda x: (x + x[::-1]) / 2.0,  # two digits in one
        lambda x: x + 0.6 * np.random.default_rng(6).standard_normal(x.shape),
        lambda x: 0.3 * x,
    ],
    ids=["negative", "shifted", "transposed", "mixed", "noisy", "faint"],
)
def test_digits_spoilt_in_other_ways_are_found_out(
    digits: tuple[Images, Images], appointed: evaluation.Judge, comparison: Comparison, spoil
) -> None:  # type: ignore[no-untyped-def]
    x = digits[0].all()[::2].astype(np.float64)
    real, spoilt = comparison.rows["real images"], appointed(spoil(x))
    assert spoilt.confident < 0.7 * real.confident
    assert spoilt.frechet_pixels > 2.0 * real.frechet_pixels
    assert spoilt.frechet_margins > 5.0 * real.frechet_margins


def test_judging_is_deterministic_and_takes_any_float(digits: tuple[Images, Images]) -> None:
    reference, held_out = digits
    x = reference.all()[:50] + np.float32(0.5)
    first = judge(x, reference, held_out)
    assert judge(x.astype(np.float64), reference, held_out) == first
    assert judge(np.clip(x, -1.0, 1.0), reference, held_out) == first


def test_images_without_labels_are_judged_without_a_classifier(
    digits: tuple[Images, Images],
) -> None:
    bare = [replace(images, labels=None, classes=()) for images in digits]
    result = compare({"samples": bare[1].all()}, *bare)
    scores = result.rows["samples"]
    assert scores.confident is scores.classes is scores.imbalance is scores.frechet_margins is None
    assert scores.counts == ()
    assert scores.frechet_pixels < EPS
    assert result.accuracy is None
    assert "-/" not in format_scores(result)
    assert "classifier" not in format_scores(result)


def test_wrong_samples_are_refused(appointed: evaluation.Judge) -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 1, 8, 8\), n at least 2, got \(4, 8, 8\)"):
        appointed(np.zeros((4, 8, 8)))
    with pytest.raises(ValueError, match="n at least 2"):
        appointed(np.zeros((1, 1, 8, 8)))
    with pytest.raises(TypeError, match=r"must be floating in .* got uint8"):
        appointed(np.zeros((4, 1, 8, 8), np.uint8))
    broken = np.zeros((4, 1, 8, 8))
    broken[[1, 3], 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="2 of 4 are not"):
        appointed(broken)


def test_images_that_do_not_fit_are_refused(digits: tuple[Images, Images]) -> None:
    reference, held_out = digits
    other = Images(x=np.zeros((4, 1, 9, 9), np.uint8))
    with pytest.raises(ValueError, match=r"held_out must have images of shape \(1, 8, 8\)"):
        evaluation.appoint(reference, other)
    with pytest.raises(ValueError, match="two images or more, got 1438 and 1"):
        evaluation.appoint(reference, held_out.subset([0]))
    with pytest.raises(ValueError, match="at least one set"):
        compare({}, reference, held_out)


def test_forgeries_are_what_they_say() -> None:
    rng = np.random.default_rng(7)
    x = 0.1 * rng.standard_normal((400, 1, 4, 4)) @ rng.standard_normal((4, 4))
    x = np.clip(x, -1.0, 1.0)
    made = forgeries(x, 20_000)
    flat, real = made["fitted Gaussian"].reshape(20_000, 16), x.reshape(400, 16)
    error = np.abs(np.cov(flat.T) - np.cov(real.T)).max()
    assert error < 5.0 * np.cov(real.T).max() * math.sqrt(2.0 / 20_000)
    assert np.allclose(made["mean image"], x.mean(axis=0))
    blurred = made["blurred images"]
    assert np.array_equal(blurred[:400], blurred[400:800])
    assert blurred.var() < 0.8 * x.var()
    constant = forgeries(np.full((2, 3, 16, 16), 0.25), 3)
    assert np.allclose(constant["blurred images"], 0.25, atol=8 * EPS)
    assert all(np.abs(images).max() <= 1.0 for images in made.values())
    with pytest.raises(ValueError, match="images must be two or more"):
        forgeries(x[:1], 3)


def test_table_is_aligned_and_names_every_row(comparison: Comparison) -> None:
    text = format_scores(comparison)
    table = text.splitlines()
    lines = table[: 2 + len(comparison.rows)]
    assert len({len(line) for line in lines}) == 1
    assert re.split(r"\s{2,}", lines[0].strip()) == list(evaluation.HEADS[1:])
    assert "real images" in text
    assert "10/10" in text
    assert f"{comparison.accuracy:.1%}" in table[-1]
    assert max(map(len, table)) <= 100
