"""Labels that are probably wrong, and images unlike all others: what `cleanlab` finds in opinions and features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.auditing.opinions import Opinions
from app.tasks import TASKS
from data.auditing.findings import NOTE, WARNING, Check, Example
from data.auditing.groups import find_conflicts
from data.cache.shards import Rows
from data.examples import Examples

_NEIGHBOURS = 10
_MOST = 10_000  # images that all are compared with; with more, the search takes the square of their number
_BLOCK = 4096  # images
_MEGABYTES = 64  # of distances at once; scikit-learn's own is a gigabyte
_FAR = 1 / 0.37037 - 1  # interquartile ranges above the third quartile, as cleanlab's Datalab has it


@dataclass(frozen=True)
class Judged:
    """Images with what a network makes of them.

    Attributes:
        examples: the images.
        features: of each, float16 (n, width).
        opinions: what cross-validated heads say; None where there are too few images to tell.
    """

    examples: Examples
    features: Rows
    opinions: Opinions | None

    @cached_property
    def quality(self) -> np.ndarray:
        """How well each label fits, from 0 to 1, float (n,); NaN where it was not judged. The lowest are probably wrong."""
        quality = np.full(len(self.examples), np.nan)
        if self.opinions is not None:
            quality[self.opinions.judged] = TASKS[self.examples.task].label_quality(*self._judged(self.opinions))
        return quality

    @cached_property
    def suspects(self) -> np.ndarray:
        """Positions of the images whose label is probably wrong, the most suspicious first."""
        if self.opinions is None:
            return np.zeros(0, np.int64)
        members = np.flatnonzero(self.opinions.judged)
        found = members[TASKS[self.examples.task].suspects(*self._judged(self.opinions))]
        found = found[~self.told_by_turning[found]]
        return found[np.argsort(self.quality[found], kind="stable")]

    def _judged(self, opinions: Opinions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels and answers of the images that are judged, and the outputs that these are of."""
        return self.examples.labels.array[opinions.judged], opinions.answers[opinions.judged], opinions.outputs

    @cached_property
    def told_by_turning(self) -> np.ndarray:
        """Which images only turning or mirroring tells from those of another label, bool (n,): hardly seen in features."""
        examples = self.examples
        if examples.duplicates is None or examples.upright is None:
            return np.zeros(len(examples), bool)
        return find_conflicts(examples, examples.upright, examples.duplicates).told_by_turning


# --- Findings -------------------------------------------------------------------------------------------------------------


def _suspected(judged: Judged) -> list[Example]:
    if judged.opinions is None:
        return []
    examples, task = judged.examples, TASKS[judged.examples.task]
    names = [examples.class_names[output] for output in judged.opinions.outputs]
    return [
        Example(
            (examples.keys[one],),
            f"labelled {examples.labels.text(one)}, looks like {task.seen(judged.opinions.answers[one], names)}",
        )
        for one in judged.suspects
    ]


def _outliers(judged: Judged) -> list[Example]:
    """Images that are far from their nearest ones: Kuan and Mueller 2022, https://arxiv.org/abs/2207.03061."""
    count = len(judged.examples)
    if count < 4 * _NEIGHBOURS:
        return []
    distances = _distances(judged.features, count)
    low, middle, high = np.percentile(distances, [25, 50, 75])
    far = np.flatnonzero(distances > high + _FAR * (high - low))
    far = far[np.argsort(-distances[far], kind="stable")]
    return [
        Example(
            (judged.examples.keys[one],), f"{distances[one] / max(middle, 1e-12):.1f} times as far from others as usual"
        )
        for one in far
    ]


def _distances(features: Rows, count: int) -> np.ndarray:
    """How far each image is from those most like it, in any unit: float (n,)."""
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
        "images unlike all others",
        NOTE,
        "Remove those that show none of the classes.",
        _outliers,
    ),
}
