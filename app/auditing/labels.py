"""Labels that are probably wrong, and outliers, found by `cleanlab` in out-of-fold predictions and features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.auditing.out_of_fold import OutOfFold
from app.tasks import TASKS
from data.auditing.findings import NOTE, WARNING, Case, Check
from data.auditing.groups import find_conflicts
from data.cache.shards import Rows
from data.examples import Examples

_NEIGHBOURS = 10
_MOST = 10_000  # images that are compared with all others; the time of the search is quadratic in their number
_BLOCK = 4096  # images
_MEGABYTES = 64  # of distances at once; scikit-learn's default is a gigabyte
_FAR = 1 / 0.37037 - 1  # interquartile ranges above the third quartile, as in cleanlab's Datalab


@dataclass(frozen=True)
class LabelAudit:
    """Images with their features and out-of-fold predictions.

    Attributes:
        examples: the images.
        features: of each image, float16 (n, width).
        out_of_fold: predictions of cross-validated heads; None if there are too few images.
    """

    examples: Examples
    features: Rows
    out_of_fold: OutOfFold | None

    @cached_property
    def quality(self) -> np.ndarray:
        """How well each label fits, from 0 to 1, float (n,); NaN if it was not evaluated. The lowest are probably wrong."""
        quality = np.full(len(self.examples), np.nan)
        if self.out_of_fold is not None:
            quality[self.out_of_fold.evaluated] = TASKS[self.examples.task].label_quality(
                *self._evaluated(self.out_of_fold)
            )
        return quality

    @cached_property
    def suspects(self) -> np.ndarray:
        """Positions of the images whose label is probably wrong, the most suspicious first."""
        if self.out_of_fold is None:
            return np.zeros(0, np.int64)
        members = np.flatnonzero(self.out_of_fold.evaluated)
        found: np.ndarray = members[TASKS[self.examples.task].suspects(*self._evaluated(self.out_of_fold))]
        found = found[~self.told_by_turning[found]]
        return found.take(np.argsort(self.quality[found], kind="stable"))

    def _evaluated(self, out_of_fold: OutOfFold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return labels and predictions of the evaluated images, and the positions of the evaluated outputs."""
        return (
            self.examples.labels.array[out_of_fold.evaluated],
            out_of_fold.predictions[out_of_fold.evaluated],
            out_of_fold.outputs,
        )

    @cached_property
    def told_by_turning(self) -> np.ndarray:
        """Which images differ only by orientation from those of another label, bool (n,): features hardly show that."""
        examples = self.examples
        if examples.duplicates is None or examples.upright is None:
            return np.zeros(len(examples), bool)
        return find_conflicts(examples, examples.upright, examples.duplicates).told_by_turning


# --- Findings -------------------------------------------------------------------------------------------------------------


def _suspected(evaluated: LabelAudit) -> list[Case]:
    if evaluated.out_of_fold is None:
        return []
    examples, task = evaluated.examples, TASKS[evaluated.examples.task]
    names = [examples.class_names[output] for output in evaluated.out_of_fold.outputs]
    return [
        Case(
            (examples.keys[one],),
            f"labelled {examples.labels.text(one)}, looks like {task.seen(evaluated.out_of_fold.predictions[one], names)}",
        )
        for one in evaluated.suspects
    ]


def _outliers(evaluated: LabelAudit) -> list[Case]:
    """Find images that are far from their nearest neighbours: Kuan and Mueller 2022, https://arxiv.org/abs/2207.03061."""
    count = len(evaluated.examples)
    if count < 4 * _NEIGHBOURS:
        return []
    distances = _distances(evaluated.features, count)
    low, middle, high = np.percentile(distances, [25, 50, 75])
    far = np.flatnonzero(distances > high + _FAR * (high - low))
    far = far[np.argsort(-distances[far], kind="stable")]
    return [
        Case(
            (evaluated.examples.keys[one],),
            f"{distances[one] / max(middle, 1e-12):.1f} times as far from others as usual",
        )
        for one in far
    ]


def _distances(features: Rows, count: int) -> np.ndarray:
    """Return how far each image is from its nearest neighbours, in any unit: float (n,)."""
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
    return -np.log(np.maximum(np.asarray(scores, np.float64), 1e-30))  # a score is exp(-distance)


LABEL_CHECKS: dict[str, Check[LabelAudit]] = {
    "label_noise": Check(
        "labels that are probably wrong",
        WARNING,
        "Look at them, the first ones above all, and correct those that are wrong; --fix --drop-suspects leaves them out.",
        _suspected,
    ),
    "outliers": Check(
        "images unlike all others",
        NOTE,
        "Remove those that show none of the classes.",
        _outliers,
    ),
}
