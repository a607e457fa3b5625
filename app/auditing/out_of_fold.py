"""What a linear head thinks of images that it has not seen: the head that training would put on the same features."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from app.interface.events import track
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
    """What heads, each fitted without them, say of images.

    Attributes:
        predictions: float32 (n, outputs): probabilities of the classes, or numbers; NaN for images that are not evaluated.
        evaluated: bool (n,); images of classes with too few images are not.
        outputs: which classes or numbers are evaluated: positions in `class_names`, as the columns of `predictions`.
    """

    predictions: np.ndarray
    evaluated: np.ndarray
    outputs: np.ndarray


def cross_validate(examples: Examples, features: Rows) -> OutOfFold | None:
    """Fit a head without each fifth of the images, and ask it about these.

    Images that show the same, or are of one group, are in the same fifth: else a wrong label would be confirmed by its copy.

    Args:
        examples: with `duplicates`.
        features: of each image, float16 (n, width).

    Returns:
        What they say; None if there are too few images to tell.
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
    """The fold of each image, int (n,); -1 for those that are not evaluated."""
    from sklearn.model_selection import KFold, StratifiedKFold

    members = np.flatnonzero(evaluated)
    _, first, unit = np.unique(units[members], return_index=True, return_inverse=True)
    labels = examples.labels.taken(members[first])
    # What shows the same and has several labels counts for the first: too few may be left of each class to be stratified.
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
    """Logits of the images held out. The penalty is chosen by them too: one number of seven, by all of them."""
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
