"""Out-of-fold predictions of a linear head: the head that training would fit on the same features."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from app.interface.stages import track
from app.tasks import TASKS, Task
from app.training.linear import LinearHead, fit_linear_head
from data.cache.shards import Rows
from data.examples import Examples
from data.stratification import units_of

FOLDS = 5
_MOST = 20_000  # images that a head is fitted on: more take longer, and change little
_BLOCK = 4096  # images


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions: each image is predicted by a head that was fitted without it.

    Attributes:
        predictions: float32 (n, outputs): probabilities of the classes, or numbers; NaN for images that are not evaluated.
        evaluated: bool (n,); false for images of classes with too few images.
        outputs: positions in `class_names` of the evaluated classes or numbers, which are the columns of `predictions`.
    """

    predictions: np.ndarray
    evaluated: np.ndarray
    outputs: np.ndarray


def cross_validate(examples: Examples, features: Rows) -> OutOfFold | None:
    """Fit a head without each fifth of the images, and predict that fifth.

    Duplicates, and images of one group, are in the same fifth: otherwise the copy of a wrong label would confirm it.

    Args:
        examples: examples with `duplicates`.
        features: of each image, float16 (n, width).

    Returns:
        The out-of-fold predictions; None if there are too few images.

    Examples:
        >>> from types import SimpleNamespace
        >>> from app.interface.events import listening
        >>> from data.labels import SingleLabel
        >>> labels, names = np.arange(40) % 2, tuple(f"{number}.png" for number in range(40))
        >>> examples = Examples("memory", names, SingleLabel(labels, ("apple", "pear")), bytes, duplicates=np.arange(40))
        >>> features = SimpleNamespace(take=lambda positions: np.eye(2)[labels[positions]])
        >>> with listening([].append, alone=True):  # prints nothing
        ...     found = cross_validate(examples, features)
        >>> np.array_equal(found.predictions.argmax(axis=1), labels)
        True
        >>> cross_validate(examples.subset(np.arange(6)), features) is None
        True
    """
    labels, task, units = examples.labels, TASKS[examples.task], units_of(examples)
    outputs, evaluated = task.evaluated(labels.array, units, len(labels.names), FOLDS)
    if not len(outputs) or len(np.unique(units[evaluated])) < 2 * FOLDS:
        return None
    targets, restore = task.audit_targets(labels.array, len(labels.names), evaluated)
    targets = targets[:, outputs]
    fold = _folds(examples, units, evaluated)
    predictions = np.full((len(examples), len(outputs)), np.nan, np.float32)

    def ask(number: int) -> None:
        held_out = np.flatnonzero(fold == number)
        others = np.flatnonzero((fold != number) & (fold >= 0))
        predictions[held_out] = _predict(task, features, targets, others, held_out)

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(FOLDS, os.cpu_count() or 1)) as pool:
        list(track(pool.map(ask, range(FOLDS)), FOLDS, "evaluating", unit="folds"))
    return OutOfFold(restore(predictions), evaluated, outputs)


def _folds(examples: Examples, units: np.ndarray, evaluated: np.ndarray) -> np.ndarray:
    """Return the fold of each image, int (n,); -1 for images that are not evaluated."""
    from sklearn.model_selection import KFold, StratifiedKFold

    members = np.flatnonzero(evaluated)
    _, first, unit = np.unique(units[members], return_index=True, return_inverse=True)
    labels = examples.labels.taken(members[first])
    # Duplicates with several labels count for the first: a class may have too few images left to be stratified.
    if labels.exclusive and labels.counts().max() >= FOLDS:
        parts = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels.array, labels.array)
    else:
        parts = KFold(FOLDS, shuffle=True, random_state=0).split(first)
    fold_of_unit = np.zeros(len(first), np.int64)
    for number, (_, held_out) in enumerate(parts):
        fold_of_unit[held_out] = number
    fold = np.full(len(examples), -1)
    fold[members] = fold_of_unit[unit]
    return fold


def _predict(task: Task, features: Rows, targets: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Return logits of the held-out images. They also choose the penalty: one number of seven, chosen by all of them."""
    if len(train) > _MOST:
        train = np.sort(np.random.default_rng(0).choice(train, _MOST, replace=False))
    loss = task.linear_loss
    seen = [
        (features.take(some).astype(np.float32), targets[some], np.ones(len(some), np.float32))
        for some in _blocks(train)
    ]
    evaluated_on = held_out[:: -(-len(held_out) // _BLOCK)]
    unseen = features.take(evaluated_on).astype(np.float32)

    def validation_loss(head: LinearHead) -> float:
        return float(loss(head.logits(unseen), targets[evaluated_on])[0].mean())

    head = fit_linear_head(lambda: seen, loss, validation_loss)
    return np.concatenate([head.logits(features.take(some)) for some in _blocks(held_out)])


def _blocks(members: np.ndarray) -> list[np.ndarray]:
    return [members[start : start + _BLOCK] for start in range(0, len(members), _BLOCK)]
