"""Result of verifying an exported file, and the figures in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.exporting.evaluation_sets import EvaluationSet


@dataclass
class Verification:
    """Result of verifying one file.

    Attributes:
        figures: its part of `parity.json`.
        predictions: its predictions for the pixels, float32 (n, outputs); None if it cannot be run.
        golden: its predictions for the pixels of the golden images, float32 (n, outputs), if it was given any.
        client_golden: MediaPipe's probabilities for the files of the golden images, for files for phones.
    """

    figures: dict[str, Any]
    predictions: np.ndarray | None = None
    golden: np.ndarray | None = None
    client_golden: np.ndarray | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no failure was found."""
        return not self.failures

    def leave_out(self, check: str, count: int, total: int, reason: str) -> None:
        """Record how many of the test images a check leaves out, and why."""
        if count:
            left_out = {"check": check, "pictures": count, "of": total, "reason": reason}
            self.figures.setdefault("left_out", []).append(left_out)


def agreement(predictions: np.ndarray, images: EvaluationSet) -> dict[str, Any]:
    """Measure how far a file's predictions are from the Keras model's.

    Args:
        predictions: float32 (n, outputs).
        images: the same n images.

    Returns:
        By the name of the task's score, which is `accuracy` for single-label: SCORE, `keras_SCORE` and `SCORE_drop`, all parts
        of 1, and `SCORE_drop_ci95`; `top1_agreement`, the share of images with the same predicted class, near ties aside, and
        `strict_top1_agreement`, including near ties, of `compared_answers`; `top5_agreement`, the share with the same five
        likeliest classes, if there are more; `max_probability_difference` and `mean_probability_difference`, the maximum and
        the mean over the images of each image's largest difference; `class_drops`, the loss of each class that loses, largest
        first. `app.tasks.regression` describes the figures for numbers.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> loader, keras = Loader(open_source("images"), ImageTransform(32, "stretch")), [[0.9, 0.1, 0.0], [0.3, 0.6, 0.1]]
        >>> figures = agreement(np.array([[0.8, 0.2, 0], [0.6, 0.3, 0.1]]), EvaluationSet(loader, [0, 8], np.array(keras)))
        >>> figures["top1_agreement"], round(figures["max_probability_difference"], 3)
        (0.5, 0.3)
        >>> figures["keras_accuracy"], figures["accuracy"]
        (1.0, 0.5)
    """
    return agreement_of(predictions, images, slice(None))


def agreement_of(predictions: np.ndarray, images: EvaluationSet, chosen: Any) -> dict[str, Any]:
    """Measure `agreement` on some of the images only.

    Args:
        predictions: float32 (n, outputs).
        images: images that include the n.
        chosen: their positions.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> loader, keras = Loader(open_source("images"), ImageTransform(32, "stretch")), [[0.9, 0.1, 0.0], [0.3, 0.6, 0.1]]
        >>> images = EvaluationSet(loader, [0, 8], np.array(keras))
        >>> agreement_of(np.array([[0.3, 0.6, 0.1]]), images, [1])["top1_agreement"]
        1.0
        >>> agreement_of(np.array([[0.6, 0.3, 0.1]]), images, [1])["top1_agreement"]
        0.0
    """
    return images.task.agreement(
        predictions,
        images.reference[chosen],
        images.labels[chosen],
        images.class_names,
        images.thresholds,
        images.spread,
    )
