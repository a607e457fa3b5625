"""Whether something besides the subject gives a picture's label away: size, format, size of the file, or mean colour.

A small decision tree, cross-validated, sees one of these alone. Where it tells a class nearly always, a network can, too, and
will learn this instead of what is to be seen (Geirhos et al. 2020, https://arxiv.org/abs/2004.07780).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np

from data.pictures import MULTI_LABEL, REGRESSION, UNKNOWN, PictureSet

_FOLDS = 5
_LEAST = 10  # pictures of a class: what is said of fewer may be chance
_MOST = 20_000  # pictures that are looked at
_TELLING = 0.7  # share of a class that is found, less the share of the others that is taken for it; chance gives 0
_TELLING_R2 = 0.5  # of a number's variance that is explained
_DEPTH = 4


def shortcuts(pictures: PictureSet, statistics: np.ndarray) -> list[tuple[str, str]]:
    """What gives labels away.

    Args:
        pictures: the pictures.
        statistics: of each, `data.auditing.statistics.STATISTICS` (n,).

    Returns:
        (class name, what was found), the most telling first; for regression, the name is empty.
    """
    some = _sample(len(pictures))
    labels = pictures.labels[some]
    found = [
        one for name, feature in FEATURES.items() for one in _telling(pictures, labels, feature(statistics[some]), name)
    ]
    return [(name, note) for _, name, note in sorted(found, key=lambda one: -one[0])]


def _sample(count: int) -> np.ndarray:
    if count <= _MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, _MOST, replace=False))


def _telling(
    pictures: PictureSet, labels: np.ndarray, feature: np.ndarray, name: str
) -> Iterator[tuple[float, str, str]]:
    """How telling, of which class, and in words; nothing if a feature is the same for all, or pictures are too few."""
    if len(labels) < 2 * _LEAST or (feature == feature[0]).all():
        return
    if pictures.task == REGRESSION:
        yield from _telling_numbers(pictures, labels, feature, name)
        return
    multi = pictures.task == MULTI_LABEL
    members = [labels[:, label] > 0 if multi else labels == label for label in range(len(pictures.class_names))]
    large = [label for label, is_of in enumerate(members) if _LEAST <= is_of.sum() <= len(labels) - _LEAST]
    if not large:
        return
    predicted = _predicted(labels, feature, classes=True)
    for label in large:
        is_of, is_said = members[label], predicted[:, label] > 0 if multi else predicted == label
        is_other = ~is_of & (labels[:, label] != UNKNOWN) if multi else ~is_of
        found, false = float(is_said[is_of].mean()), float(is_said[is_other].mean())
        if found - false >= _TELLING:
            class_name = pictures.class_names[label]
            yield (
                found - false,
                class_name,
                f"class {class_name!r}: {name} alone finds {found:.0%} of it, and takes {false:.0%} of the others for it",
            )


def _telling_numbers(
    pictures: PictureSet, labels: np.ndarray, feature: np.ndarray, name: str
) -> Iterator[tuple[float, str, str]]:
    from sklearn.metrics import r2_score

    predicted = _predicted(labels, feature, classes=False).reshape(labels.shape)
    for column, number in enumerate(pictures.class_names):
        if (labels[:, column] == labels[0, column]).all():  # there is nothing to be explained
            continue
        explained = float(r2_score(labels[:, column].astype(np.float64), predicted[:, column]))
        if explained >= _TELLING_R2:
            yield explained, "", f"{number!r}: {name} alone explains {explained:.0%} of its variance"


def _predicted(labels: np.ndarray, feature: np.ndarray, *, classes: bool) -> np.ndarray:
    """What a tree says of each picture that it has not seen."""
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    folds: KFold | StratifiedKFold = KFold(_FOLDS, shuffle=True, random_state=0)
    if classes and labels.ndim == 1:
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    options = {"max_depth": _DEPTH, "min_samples_leaf": 5, "random_state": 0}
    tree = DecisionTreeClassifier(class_weight="balanced", **options) if classes else DecisionTreeRegressor(**options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # which nothing is said of
        return cross_val_predict(tree, feature, labels, cv=folds)


def _size(statistics: np.ndarray) -> np.ndarray:
    width, height = statistics["width"].astype(np.float64), statistics["height"].astype(np.float64)
    return np.stack([width, height, width / height], axis=1)


def _format(statistics: np.ndarray) -> np.ndarray:
    kinds = np.char.add(np.char.add(statistics["format"], b" "), statistics["mode"])
    names, kind = np.unique(kinds, return_inverse=True)
    return np.eye(len(names))[kind]


def _file_size(statistics: np.ndarray) -> np.ndarray:
    return statistics["bytes"].astype(np.float64)[:, None]


def _colour(statistics: np.ndarray) -> np.ndarray:
    return statistics["colour"].astype(np.float64)


# By name, what a tree sees: float (n, features).
FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the size in pixels": _size,
    "the file's format": _format,
    "the file's size": _file_size,
    "the mean colour": _colour,
}
