"""Labels that are arrays, as Keras takes them: which kind they are, and their text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.errors import DataError
from data.labels.multi_label import MULTI_LABEL
from data.labels.names import SEPARATOR
from data.labels.regression import REGRESSION
from data.labels.single_label import SINGLE_LABEL


def task_of_array(labels: np.ndarray, class_names: Sequence[str] | None) -> str:
    """Return the kind of labels, a key of `data.labels.LABELS`.

    Args:
        labels: (n, values): numbers of classes, vectors of 0 and 1, or numbers.
        class_names: names of the classes or numbers, if they are given.

    Examples:
        >>> task_of_array(np.array([[0], [2]]), None), task_of_array(np.array([[0.5], [2.0]]), None)
        ('single_label', 'regression')
        >>> task_of_array(np.array([[1, 0], [1, 1]]), None)
        'multi_label'
    """
    are_flags = bool(np.isin(labels, (0, 1)).all())
    if labels.shape[1] > 1:
        if not are_flags:
            return REGRESSION
        return SINGLE_LABEL if (labels.sum(axis=1) == 1).all() else MULTI_LABEL
    are_numbers = labels.dtype.kind == "f" and not (are_flags and class_names is not None and len(class_names) == 2)
    return REGRESSION if are_numbers else SINGLE_LABEL


def names_of_array(labels: np.ndarray, class_names: Sequence[str] | None, task: str) -> list[str]:
    """Return a name for each class or number: the given ones, or their numbers.

    Raises:
        DataError: there are too many or too few names, or a name is there twice.

    Examples:
        >>> names_of_array(np.array([[0], [2]]), None, "single_label")
        ['0', '1', '2']
        >>> names_of_array(np.array([[0], [2]]), ["cat", "dog"], "single_label")
        Traceback (most recent call last):
        data.errors.DataError: class_names has 2 names, and the labels stand for 3
    """
    one_value = labels.shape[1] == 1
    count = int(labels.max()) + 1 if one_value and task == SINGLE_LABEL else labels.shape[1]
    if class_names is None:
        return [str(label) for label in range(count)] if task != REGRESSION else [f"value_{at}" for at in range(count)]
    if len(class_names) != count and not (one_value and task == SINGLE_LABEL and len(class_names) > count):
        raise DataError(f"class_names has {len(class_names)} names, and the labels stand for {count}")
    if len(set(class_names)) < len(class_names):
        raise DataError("class_names has a name twice; give each class a name of its own")
    return list(class_names)


def cells_of_array(labels: np.ndarray, names: Sequence[str], task: str) -> list[list[str]]:
    """Return the cells of a list for the labels of each example: one, or one per number.

    Raises:
        DataError: the number of a class is negative.

    Examples:
        >>> cells_of_array(np.array([[1], [0]]), ["cat", "dog"], "single_label")
        [['dog'], ['cat']]
        >>> cells_of_array(np.array([[1, 1]]), ["cat", "dog"], "multi_label")
        [['cat|dog']]
    """
    if task == REGRESSION:
        return [[repr(float(number)) for number in row] for row in labels]
    if task == MULTI_LABEL:
        return [[SEPARATOR.join(names[int(at)] for at in np.flatnonzero(row))] for row in labels]
    chosen = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    if (chosen < 0).any():
        raise DataError(f"a label is {int(chosen.min())}; the number of a class is 0 or more")
    return [[names[int(label)]] for label in chosen]


def columns_of_array(names: Sequence[str], task: str) -> list[str]:
    """Return the titles of the columns that hold `cells_of_array`.

    Examples:
        >>> columns_of_array(["cat", "dog"], "multi_label")
        ['label']
        >>> columns_of_array(["width", "height"], "regression")
        ['width', 'height']
    """
    return list(names) if task == REGRESSION else ["label"]
