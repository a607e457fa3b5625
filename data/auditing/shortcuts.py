"""Find out whether something besides the subject gives a label away: image size, format, file size, or mean colour.

A small decision tree, cross-validated, sees one of these features alone. Where it nearly always tells a class, a network can,
too, and learns this instead of the subject (Geirhos et al. 2020, https://arxiv.org/abs/2004.07780).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from data.examples import Examples
from data.labels import Labels

_FOLDS = 5
_LEAST = 10  # images of a class; results for fewer may be chance
_MOST = 20_000  # the most images that are examined
_TELLING = 0.7  # share of a class that is found, minus the share of the others taken for it; chance gives 0
_TELLING_R2 = 0.5  # share of a number's variance that is explained
_DEPTH = 4


def shortcuts(examples: Examples, statistics: np.ndarray) -> list[tuple[str, str]]:
    """Find classes and numbers that one feature besides the subject gives away.

    Args:
        examples: the images.
        statistics: of each, `data.auditing.statistics.STATISTICS` (n,).

    Returns:
        (class name, description) of each, the most telling first; for regression, the name is "".

    Examples:
        >>> from data.auditing.statistics import STATISTICS
        >>> from data.sources.folder import open_folder
        >>> examples = open_folder("images").subset([*range(24), *range(24)])
        >>> statistics = np.ones(48, STATISTICS)
        >>> statistics["width"] = np.where(examples.labels.has(0), 640, 480)
        >>> shortcuts(examples, statistics)
        [('apple', "class 'apple': the size in pixels alone finds 100% of it, and takes 0% of the others for it")]
        >>> shortcuts(examples.subset(range(24)), statistics[:24])  # too few images per class
        []
    """
    some = _sample(len(examples))
    labels = examples.labels.taken(some)
    found = [one for name, feature in FEATURES.items() for one in _telling(labels, feature(statistics[some]), name)]
    return [(name, note) for _, name, note in sorted(found, key=lambda one: -one[0])]


def _sample(count: int) -> np.ndarray:
    if count <= _MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, _MOST, replace=False))


def _telling(labels: Labels, feature: np.ndarray, name: str) -> Iterator[tuple[float, str, str]]:
    """Yield how telling a feature is, for which class, and in words; nothing if it is constant or images are too few."""
    if len(labels) < 2 * _LEAST or (feature == feature[0]).all():
        return
    if not labels.classes:
        yield from _telling_numbers(labels, feature, name)
        return
    members = [labels.has(label) for label in range(len(labels.classes))]
    large = [label for label, is_of in enumerate(members) if _LEAST <= is_of.sum() <= len(labels) - _LEAST]
    if not large:
        return
    predicted = replace(labels, array=_predicted(labels, feature))
    for label in large:
        is_of, is_said = members[label], predicted.has(label)
        is_other = ~is_of & labels.known(label)
        found, false = float(is_said[is_of].mean()), float(is_said[is_other].mean())
        if found - false >= _TELLING:
            class_name = labels.classes[label]
            yield (
                found - false,
                class_name,
                f"class {class_name!r}: {name} alone finds {found:.0%} of it, and takes {false:.0%} of the others for it",
            )


def _telling_numbers(labels: Labels, feature: np.ndarray, name: str) -> Iterator[tuple[float, str, str]]:
    from sklearn.metrics import r2_score

    predicted = _predicted(labels, feature)
    for number, values, found in zip(labels.names, labels.array.T, predicted.T, strict=True):
        if (values == values[0]).all():  # there is no variance to explain
            continue
        explained = float(r2_score(values.astype(np.float64), found))
        if explained >= _TELLING_R2:
            yield explained, "", f"{number!r}: {name} alone explains {explained:.0%} of its variance"


def _predicted(labels: Labels, feature: np.ndarray) -> np.ndarray:
    """Return the out-of-fold predictions of a tree, in the form of the labels' array."""
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    folds: KFold | StratifiedKFold = KFold(_FOLDS, shuffle=True, random_state=0)
    if labels.exclusive:
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    options = {"max_depth": _DEPTH, "min_samples_leaf": 5, "random_state": 0}
    tree = (
        DecisionTreeClassifier(class_weight="balanced", **options)
        if labels.classes
        else DecisionTreeRegressor(**options)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # no finding is about such classes
        predicted: np.ndarray = cross_val_predict(tree, feature, labels.array, cv=folds)
    return predicted.reshape(labels.array.shape)  # for one column, a tree predicts a flat array


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


# Name -> what a tree sees: float (n, features).
FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the size in pixels": _size,
    "the file's format": _format,
    "the file's size": _file_size,
    "the mean colour": _colour,
}
