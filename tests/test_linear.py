"""The direct fit of a linear head: scikit-learn's solution, from blocks that are read one after another."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge

from app.tasks import TASKS
from app.training import linear
from app.training.linear import PENALTIES, Blocks, LinearHead, fit_linear_head
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from tests.handmade import softmax

CLASSES = 4
PENALTY = 0.03
LOSS = TASKS[SINGLE_LABEL].linear_loss


def examples(count: int = 240, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, float32 (count, width), of four classes that overlap, and labels; no feature is scaled like another."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    centres = np.random.default_rng(99).normal(0, 0.8, (CLASSES, width))
    features = random.normal(centres[labels], 1.0) * np.linspace(0.3, 3, width) + np.linspace(-2, 5, width)
    return features.astype(np.float32), labels


def blocks_of(
    features: np.ndarray, targets: np.ndarray, size: int = 10**6, weights: np.ndarray | None = None
) -> Blocks:
    weights = np.ones(len(features), np.float32) if weights is None else weights

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for start in range(0, len(features), size):
            some = slice(start, start + size)
            yield features[some], targets[some], weights[some]

    return blocks


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[labels]


def anything(head: LinearHead) -> float:
    """An evaluation that does not mind."""
    return 0.0


def log_loss_on(features: np.ndarray, labels: np.ndarray) -> linear.Callable[[LinearHead], float]:
    def evaluate(head: LinearHead) -> float:
        return -float(log_softmax(head.logits(features), axis=1)[np.arange(len(labels)), labels].mean())

    return evaluate


def scale_of(features: np.ndarray) -> float:
    """What gives the features a mean variance of one."""
    return 1 / float(np.sqrt(features.astype(np.float64).var(axis=0).mean()))


def by_scikit_learn(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, penalty: float, scale: float
) -> np.ndarray:
    """Its logits, with each class' mean over the classes taken off: what the softmax does not see."""
    model = LogisticRegression(C=1 / (penalty * weights.sum()), tol=1e-8, max_iter=10_000)
    model.fit(features.astype(np.float64) * scale, labels, sample_weight=weights)
    return centred(model.decision_function(features.astype(np.float64) * scale))


def centred(logits: np.ndarray) -> np.ndarray:
    return logits - logits.mean(axis=1, keepdims=True)


@pytest.fixture
def one_penalty(monkeypatch: pytest.MonkeyPatch) -> float:
    """The only penalty there is."""
    monkeypatch.setattr(linear, "PENALTIES", (PENALTY,))
    return PENALTY


# --- The solution -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [1.0, PENALTY, 0.001])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_it_is_the_solution_of_scikit_learn(penalty: float, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (penalty,))
    features, labels = examples()
    features = features.astype(dtype)
    head = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, anything)
    expected = by_scikit_learn(features, labels, np.ones(len(labels)), penalty, scale_of(features))

    assert head.penalty == penalty
    assert head.kernel.shape == (12, CLASSES) and head.kernel.dtype == np.float32
    assert head.bias.shape == (CLASSES,) and head.bias.dtype == np.float32
    np.testing.assert_allclose(softmax(head.logits(features)), softmax(expected), atol=1e-3)
    np.testing.assert_allclose(centred(head.logits(features)), expected, atol=1e-2)


def test_examples_count_by_their_weights(one_penalty: float) -> None:
    features, labels = examples()
    weights = np.array([0.2, 1.0, 1.0, 3.0])[labels] * np.random.default_rng(1).uniform(0.5, 2, len(labels))
    head = fit_linear_head(blocks_of(features, one_hot(labels), weights=weights.astype(np.float32)), LOSS, anything)
    expected = by_scikit_learn(features, labels, weights, one_penalty, scale_of(features))
    unweighted = by_scikit_learn(features, labels, np.ones(len(labels)), one_penalty, scale_of(features))

    np.testing.assert_allclose(softmax(head.logits(features)), softmax(expected), atol=1e-3)
    assert np.abs(softmax(unweighted) - softmax(expected)).max() > 0.1


def test_soft_targets_count_for_each_class_by_their_share(one_penalty: float) -> None:
    features, labels = examples()
    smoothed = (0.7 * one_hot(labels) + 0.3 / CLASSES).astype(np.float32)
    head = fit_linear_head(blocks_of(features, smoothed), LOSS, anything)
    every_class = np.tile(np.arange(CLASSES), len(labels))  # scikit-learn takes labels only: each example four times
    repeated = np.repeat(features, CLASSES, axis=0)
    expected = by_scikit_learn(repeated, every_class, smoothed.ravel().astype(float), one_penalty, scale_of(features))

    np.testing.assert_allclose(softmax(head.logits(features)), softmax(expected[::CLASSES]), atol=1e-3)


def test_no_step_from_the_solution_is_better(one_penalty: float) -> None:
    features, labels = examples()
    scale = scale_of(features)
    mean = features.mean(axis=0)
    standard = (features.astype(np.float64) - mean) * scale
    targets = 0.9 * one_hot(labels) + 0.1 / CLASSES

    def objective(kernel: np.ndarray, bias: np.ndarray) -> float:
        logs = log_softmax(standard @ kernel + bias, axis=1)
        return -float((targets * logs).sum(axis=1).mean()) + one_penalty / 2 * float(np.square(kernel).sum())

    head = fit_linear_head(blocks_of(features, targets.astype(np.float32)), LOSS, anything)
    solution = np.vstack([head.kernel / scale, head.bias + mean @ head.kernel]).astype(np.float64)
    least = objective(solution[:-1], solution[-1])
    random, step = np.random.default_rng(0), 1e-3
    for _ in range(50):
        way = random.normal(size=solution.shape)
        way *= step / np.linalg.norm(way)
        there, back = (objective((solution + one)[:-1], (solution + one)[-1]) for one in (way, -way))
        assert abs(there - back) / (2 * step) < 1e-4  # the slope
    assert objective(np.zeros_like(solution[:-1]), solution[-1]) > least + 0.1


def several(features: np.ndarray) -> np.ndarray:
    """Labels of any number of classes per image, float32 (n, classes), by what the features say and by chance."""
    random = np.random.default_rng(3)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    says = standard[:, :CLASSES] + random.normal(size=(len(features), CLASSES))
    return (says > [0.0, 0.5, 1.0, 1.5]).astype(np.float32)


@pytest.mark.parametrize("penalty", [1.0, PENALTY, 0.001])
@pytest.mark.parametrize("weighted", [False, True])
def test_of_several_labels_each_is_a_regression_of_its_own(
    weighted: bool, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (penalty,))
    features, _ = examples()
    labels, scale = several(features), scale_of(features)
    weights = np.random.default_rng(1).uniform(0.5, 3, len(features)) if weighted else np.ones(len(features))
    blocks = blocks_of(features, labels, weights=weights.astype(np.float32))
    head = fit_linear_head(blocks, TASKS[MULTI_LABEL].linear_loss, anything)
    for label in range(CLASSES):
        model = LogisticRegression(C=1 / (penalty * weights.sum()), tol=1e-8, max_iter=10_000)
        model.fit(features.astype(np.float64) * scale, labels[:, label], sample_weight=weights)
        expected = model.decision_function(features.astype(np.float64) * scale)
        np.testing.assert_allclose(head.logits(features)[:, label], expected, atol=2e-2)


@pytest.mark.parametrize("penalty", [1.0, PENALTY, 0.001])
@pytest.mark.parametrize("weighted", [False, True])
def test_of_numbers_it_is_ridge_regression(weighted: bool, penalty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (penalty,))
    features, _ = examples()
    random = np.random.default_rng(2)
    numbers = features @ random.normal(size=(12, 2)) / 10 + random.normal(size=(len(features), 2))
    weights = random.uniform(0.5, 3, len(features)) if weighted else np.ones(len(features))
    blocks = blocks_of(features, numbers.astype(np.float32), weights=weights.astype(np.float32))
    head = fit_linear_head(blocks, TASKS[REGRESSION].linear_loss, anything)
    standard = features.astype(np.float64) * scale_of(features)
    expected = Ridge(alpha=penalty / 2 * weights.sum()).fit(standard, numbers, sample_weight=weights).predict(standard)
    np.testing.assert_allclose(head.logits(features), expected, atol=5e-3)
    assert np.abs(expected - numbers.mean(axis=0)).max() > 0.5  # it says something


# --- The penalty ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "chosen"),
    [
        ((3, 2, 1, 1.5), 2),
        ((1, 2), 0),
        ((3, 2, 2), 1),  # no better is no reason for a weaker one
        ((7, 6, 5, 4, 3, 2, 1), 6),
    ],
)
def test_it_goes_from_strong_to_weak_until_the_evaluation_finds_it_worse(
    verdicts: tuple[float, ...], chosen: int
) -> None:
    features, labels = examples(80, 5)
    evaluated: list[LinearHead] = []

    def evaluate(head: LinearHead) -> float:
        evaluated.append(head)
        return verdicts[len(evaluated) - 1]

    head = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, evaluate)

    assert [one.penalty for one in evaluated] == list(PENALTIES[: len(verdicts)])
    assert head is evaluated[chosen]
    assert all(one < other for other, one in pairwise(PENALTIES))
    norms = [float(np.square(one.kernel).sum()) for one in evaluated]
    assert norms == sorted(norms)  # each is bound less than the one before


def test_validation_images_choose_a_penalty_between_too_strong_and_too_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = examples(60, 30)
    evaluate = log_loss_on(*examples(400, 30, seed=1))
    chosen = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, evaluate)

    assert PENALTIES[-1] < chosen.penalty < PENALTIES[0]
    for penalty in (PENALTIES[0], PENALTIES[-1]):
        monkeypatch.setattr(linear, "PENALTIES", (penalty,))
        assert evaluate(fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, evaluate)) > evaluate(chosen)


# --- Awkward features -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_the_unit_of_the_features_does_not_matter(factor: float) -> None:
    (features, labels), (others, truth) = examples(60, 30), examples(400, 30, seed=1)
    plain = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, log_loss_on(others, truth))
    scaled = fit_linear_head(blocks_of(factor * features, one_hot(labels)), LOSS, log_loss_on(factor * others, truth))

    assert scaled.penalty == plain.penalty
    np.testing.assert_allclose(softmax(scaled.logits(factor * others)), softmax(plain.logits(others)), atol=2e-3)


def test_constant_features_say_nothing(one_penalty: float) -> None:
    features, labels = examples()
    constant = np.column_stack([features, np.full((len(features), 3), [0.0, 7.0, 4000.0])]).astype(np.float32)
    head = fit_linear_head(blocks_of(constant, one_hot(labels)), LOSS, anything)
    # The mean variance, and so the scale, is that of all features.
    expected = by_scikit_learn(features, labels, np.ones(len(labels)), one_penalty, scale_of(constant))

    assert np.abs(head.kernel[12:]).max() < 1e-3 * np.abs(head.kernel).max()
    np.testing.assert_allclose(softmax(head.logits(constant)), softmax(expected), atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 5.3, 4000.0])
def test_where_all_features_are_constant_the_frequencies_of_the_classes_are_left(value: float) -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 3])
    features = np.full((10, 6), value, np.float32)
    head = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, anything)

    np.testing.assert_allclose(softmax(head.logits(features)), np.tile([0.5, 0.3, 0.1, 0.1], (10, 1)), atol=0.01)


def test_more_features_than_examples() -> None:
    features, labels = examples(20, 500)
    head = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, lambda head: head.penalty)  # the weakest

    assert head.penalty == PENALTIES[-1]
    assert np.isfinite(head.kernel).all() and np.isfinite(head.bias).all()
    assert (head.logits(features).argmax(axis=1) == labels).all()


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL, REGRESSION])
@pytest.mark.parametrize("penalty", [1.0, 0.001])
def test_features_that_say_nearly_the_same_do_not_take_more_passes(
    task: str, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (penalty,))
    random = np.random.default_rng(0)
    mixing = random.normal(size=(40, 40)) * np.geomspace(1, 1e-3, 40)[:, None]
    features = (random.normal(size=(1000, 40)) @ mixing).astype(np.float32)
    says = features @ random.normal(size=(40, CLASSES)) + 5 * random.normal(size=(1000, CLASSES))
    targets = {SINGLE_LABEL: one_hot(says.argmax(axis=1)), MULTI_LABEL: says > 0, REGRESSION: says / says.std(axis=0)}
    passes = 0

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        nonlocal passes
        passes += 1
        yield features, targets[task].astype(np.float32), np.ones(len(features), np.float32)

    fit_linear_head(blocks, TASKS[task].linear_loss, anything)
    assert passes < 40


def test_a_class_without_examples_is_improbable() -> None:
    features, labels = examples()
    labels[labels == 2] = 1
    head = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, log_loss_on(features, labels))

    assert softmax(head.logits(features))[:, 2].max() < 0.01


# --- Blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100])
def test_how_the_examples_are_cut_into_blocks_does_not_matter(size: int) -> None:
    (features, labels), evaluate = examples(), log_loss_on(*examples(seed=1))
    whole = fit_linear_head(blocks_of(features, one_hot(labels)), LOSS, evaluate)
    cut = fit_linear_head(blocks_of(features, one_hot(labels), size), LOSS, evaluate)

    assert cut.penalty == whole.penalty
    np.testing.assert_allclose(softmax(cut.logits(features)), softmax(whole.logits(features)), atol=1e-3)


def test_blocks_are_let_go_one_after_another() -> None:
    features, labels = examples()
    alive: weakref.WeakSet[Tracked] = weakref.WeakSet()
    most = 0

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        nonlocal most
        for start in range(0, len(features), 20):
            block = features[start : start + 20].copy().view(Tracked)
            alive.add(block)
            most = max(most, len(alive))
            yield block, one_hot(labels[start : start + 20]), np.ones(20, np.float32)

    fit_linear_head(blocks, LOSS, anything)
    assert 1 <= most <= 3  # the one before, until the next is there; of twelve


class Tracked(np.ndarray):
    """An array that a set can hold weakly."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return self is other
