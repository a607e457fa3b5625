"""Labels that are probably wrong, and pictures unlike all others: what `cleanlab` finds in opinions and features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.auditing.opinions import Opinions
from data.auditing.findings import NOTE, WARNING, Check, Example
from data.auditing.groups import find_conflicts
from data.cache.shards import Rows
from data.pictures import LABEL_SEPARATOR, MULTI_LABEL, REGRESSION, SINGLE_LABEL, UNKNOWN, PictureSet

_NEIGHBOURS = 10
_MOST = 10_000  # pictures that all are compared with; with more, the search takes the square of their number
_BLOCK = 4096  # pictures
_MEGABYTES = 64  # of distances at once; scikit-learn's own is a gigabyte
_FAR = 1 / 0.37037 - 1  # interquartile ranges above the third quartile, as cleanlab's Datalab has it
_LOW = 0.05  # of the median quality of numbers' labels, as there


@dataclass(frozen=True)
class Judged:
    """Pictures with what a network makes of them.

    Attributes:
        pictures: the pictures.
        features: of each, float16 (n, width).
        opinions: what cross-validated heads say; None where there are too few pictures to tell.
    """

    pictures: PictureSet
    features: Rows
    opinions: Opinions | None

    @cached_property
    def quality(self) -> np.ndarray:
        """How well each label fits, from 0 to 1, float (n,); NaN where it was not judged. The lowest are probably wrong."""
        quality = np.full(len(self.pictures), np.nan)
        if self.opinions is not None:
            members = np.flatnonzero(self.opinions.judged)
            quality[members] = _QUALITIES[self.pictures.task](self, self.opinions, members)
        return quality

    @cached_property
    def suspects(self) -> np.ndarray:
        """Positions of the pictures whose label is probably wrong, the most suspicious first."""
        if self.opinions is None:
            return np.zeros(0, np.int64)
        members = np.flatnonzero(self.opinions.judged)
        found = members[_SUSPECTS[self.pictures.task](self, self.opinions, members)]
        found = found[~self.told_by_turning[found]]
        return found[np.argsort(self.quality[found], kind="stable")]

    @cached_property
    def told_by_turning(self) -> np.ndarray:
        """Which images only turning or mirroring tells from those of another label, bool (n,): hardly seen in features."""
        pictures = self.pictures
        if pictures.duplicates is None or pictures.upright is None:
            return np.zeros(len(pictures), bool)
        return find_conflicts(pictures, pictures.upright, pictures.duplicates).told_by_turning


# --- One class a picture --------------------------------------------------------------------------------------------------


def _labels_among(judged: Judged, opinions: Opinions, members: np.ndarray) -> np.ndarray:
    """Labels as positions among the classes that are judged."""
    return np.searchsorted(opinions.outputs, judged.pictures.labels[members])


def _single_quality(judged: Judged, opinions: Opinions, members: np.ndarray) -> np.ndarray:
    from cleanlab.rank import get_label_quality_scores

    labels = _labels_among(judged, opinions, members)
    return get_label_quality_scores(labels, opinions.answers[members].astype(np.float64))


def _single_suspects(judged: Judged, opinions: Opinions, members: np.ndarray) -> np.ndarray:
    from cleanlab.filter import find_label_issues

    labels = _labels_among(judged, opinions, members)
    # "both" lists the fewest and loses the least of them (measured on flowers with a twentieth of its labels swapped).
    issues = find_label_issues(labels, opinions.answers[members].astype(np.float64), filter_by="both", n_jobs=1)
    return np.flatnonzero(issues)


# --- Several classes a picture --------------------------------------------------------------------------------------------


def _lists(judged: Judged, opinions: Opinions, members: np.ndarray) -> list[list[int]]:
    """Of what is not known, what the heads say: nothing is held against it."""
    labels, answers = judged.pictures.labels[members][:, opinions.outputs], opinions.answers[members]
    return [np.flatnonzero(row > 0).tolist() for row in np.where(labels == UNKNOWN, answers > 0.5, labels)]


def _multi_quality(judged: Judged, opinions: Opinions, members: np.ndarray) -> np.ndarray:
    from cleanlab.multilabel_classification import get_label_quality_scores

    labels = _lists(judged, opinions, members)
    return get_label_quality_scores(labels, opinions.answers[members].astype(np.float64))


def _multi_suspects(judged: Judged, opinions: Opinions, members: np.ndarray) -> np.ndarray:
    from cleanlab.multilabel_classification.filter import find_label_issues

    labels = _lists(judged, opinions, members)
    answers = opinions.answers[members].astype(np.float64)
    return np.flatnonzero(find_label_issues(labels, answers, filter_by="both", n_jobs=1))


# --- Numbers --------------------------------------------------------------------------------------------------------------


def _number_quality(judged: Judged, opinions: Opinions, members: np.ndarray) -> np.ndarray:
    from cleanlab.regression.rank import get_label_quality_scores

    labels, answers = judged.pictures.labels[members], opinions.answers[members]
    columns = [
        get_label_quality_scores(labels[:, column].astype(np.float64), answers[:, column].astype(np.float64))
        for column in range(labels.shape[1])
    ]
    return np.min(columns, axis=0)


def _number_suspects(judged: Judged, opinions: Opinions, members: np.ndarray) -> np.ndarray:
    quality = judged.quality[members]
    return np.flatnonzero(quality < _LOW * np.median(quality))


_Judge = Callable[[Judged, Opinions, np.ndarray], np.ndarray]
_QUALITIES: dict[str, _Judge] = {
    SINGLE_LABEL: _single_quality,
    MULTI_LABEL: _multi_quality,
    REGRESSION: _number_quality,
}
_SUSPECTS: dict[str, _Judge] = {
    SINGLE_LABEL: _single_suspects,
    MULTI_LABEL: _multi_suspects,
    REGRESSION: _number_suspects,
}

# --- Findings -------------------------------------------------------------------------------------------------------------


def _suspected(judged: Judged) -> list[Example]:
    if judged.opinions is None:
        return []
    pictures = judged.pictures
    return [
        Example(
            (pictures.keys[one],),
            f"labelled {pictures.label_text(one)}, looks like {_seen(judged.opinions, pictures, one)}",
        )
        for one in judged.suspects
    ]


def _seen(opinions: Opinions, pictures: PictureSet, index: int) -> str:
    """What a head takes a picture for."""
    answer = opinions.answers[index]
    names = [pictures.class_names[output] for output in opinions.outputs]
    if pictures.task == REGRESSION:
        return LABEL_SEPARATOR.join(f"{number:.4g}" for number in answer)
    if pictures.task == MULTI_LABEL:
        return LABEL_SEPARATOR.join(name for name, share in zip(names, answer, strict=True) if share > 0.5) or "none"
    return f"{names[answer.argmax()]} ({answer.max():.0%})"


def _outliers(judged: Judged) -> list[Example]:
    """Pictures that are far from their nearest ones: Kuan and Mueller 2022, https://arxiv.org/abs/2207.03061."""
    count = len(judged.pictures)
    if count < 4 * _NEIGHBOURS:
        return []
    distances = _distances(judged.features, count)
    low, middle, high = np.percentile(distances, [25, 50, 75])
    far = np.flatnonzero(distances > high + _FAR * (high - low))
    far = far[np.argsort(-distances[far], kind="stable")]
    return [
        Example(
            (judged.pictures.keys[one],), f"{distances[one] / max(middle, 1e-12):.1f} times as far from others as usual"
        )
        for one in far
    ]


def _distances(features: Rows, count: int) -> np.ndarray:
    """How far each picture is from those most like it, in any unit: float (n,)."""
    from cleanlab.outlier import OutOfDistribution
    from sklearn import config_context

    detector = OutOfDistribution({"k": _NEIGHBOURS})
    with config_context(working_memory=_MEGABYTES):
        if count <= _MOST:
            scores = detector.fit_score(features=features.take(np.arange(count)).astype(np.float32), verbose=False)
        else:
            some = np.sort(np.random.default_rng(0).choice(count, _MOST, replace=False))
            detector.fit(features=features.take(some).astype(np.float32), verbose=False)
            blocks = (np.arange(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
            scores = np.concatenate([detector.score(features=features.take(one).astype(np.float32)) for one in blocks])
    return -np.log(np.maximum(scores.astype(np.float64), 1e-30))  # a score is the exponential of minus the distance


LABEL_CHECKS: dict[str, Check[Judged]] = {
    "label_noise": Check(
        "labels that are probably wrong",
        WARNING,
        "Look at them, the first ones above all, and correct those that are wrong; --fix --drop-suspects leaves them out.",
        _suspected,
    ),
    "outliers": Check(
        "pictures unlike all others",
        NOTE,
        "Remove those that show none of the classes.",
        _outliers,
    ),
}
