"""What a task is: all that training, tests, reports and proofs need to know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.evaluation.calibration import Calibrator

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is learned from labels, and how it is judged. Answers are what `models.builder.with_answers` gives.

    Attributes:
        description: what it is, in a few words.
        metric: what the best weights are chosen by: its name in the history; the higher, the better.
        new_metric: that, as a metric of Keras on the last layer's values, for so many outputs.
        loss: of Keras, on the last layer's values, with so much label smoothing, in [0, 1).
        targets: of labels as `data.pictures` has them, float32 (n, outputs), for so many outputs.
        smooth: targets with so much label smoothing.
        linear_loss: of logits and targets, float (n, outputs): the losses of the examples, (n,), summed over the outputs, and
            their gradients, (n, outputs).
        averages_outputs: Keras' loss is the mean over the outputs, and not their sum.
        calibrator: makes probabilities say how often they are right; None where predictions are no probabilities.
        choose_thresholds: what to answer from, by validation: from answers, labels and `Goal` to float (outputs,), NaN where
            there is none; None where nothing is to be decided.
        measure: answers, labels, class names and thresholds to what `metrics.json` holds of a split.
        columns: the main figures as a table: title to text.
        highlights: the same in large: a text and what it is.
        details: figures of each class or number, weakest first: columns and rows.
        figures: plots of the test split by name: answers, labels, class names and thresholds to figures.
        caption: what the model says of a picture and whether that is right: an answer, its label, class names and thresholds.
        surprise: how unexpected each answer is, float (n,): from 0 for what is right or nearly so; mistakes above all others.
        score: what the accuracy of an exported file is judged by: its name in `parity.json`.
        score_title: the same for people.
        agreement: answers of a file, those of the Keras model, labels and class names, and thresholds or the `spread` of
            numbers, to figures that `parity.json` holds: at least the score, `keras_` and it, it and `_drop` and
            `_drop_ci95`, in parts of 1.
        same_answer: which of these is the part of the pictures with the same answer, near ties aside; None where answers are
            numbers.
        strictly_same: which is the part of `compared_answers` that is the same, near ties or not; None for numbers.
        strict_text: what differs strictly, with a place for how many differ and of how many.
        difference: which of these is the largest difference.
    """

    description: str
    metric: str
    new_metric: Callable[[int], keras.metrics.Metric]
    loss: Callable[[float], keras.losses.Loss]
    targets: Callable[[np.ndarray, int], np.ndarray]
    smooth: Callable[[np.ndarray, float], np.ndarray]
    linear_loss: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    averages_outputs: bool
    calibrator: Calibrator | None
    choose_thresholds: Callable[[np.ndarray, np.ndarray, Goal], np.ndarray | None]
    measure: Callable[[np.ndarray, np.ndarray, Sequence[str], Any], Metrics]
    columns: Mapping[str, Callable[[Metrics], str]]
    highlights: Callable[[Metrics], list[tuple[str, str]]]
    details: Callable[[Metrics], tuple[Sequence[str], list[Sequence[Any]]]]
    figures: Callable[[np.ndarray, np.ndarray, Sequence[str], Any], dict[str, Figure]]
    caption: Callable[[np.ndarray, Any, Sequence[str], Any], tuple[str, bool]]
    surprise: Callable[[np.ndarray, np.ndarray, Any], np.ndarray]
    score: str
    score_title: str
    agreement: Callable[..., Metrics]
    same_answer: str | None
    strictly_same: str | None
    strict_text: str
    difference: str


@dataclass(frozen=True)
class Goal:
    """What a threshold is chosen for: at most one of the two is given.

    Attributes:
        positive: the class that is to be found, of two; None for the second.
        precision: which part of what is found is to be right, at least.
        recall: which part of what there is is to be found, at least.
        class_names: one a label.
    """

    class_names: Sequence[str]
    positive: str | None = None
    precision: float | None = None
    recall: float | None = None


def interval(low_high: Sequence[float]) -> str:
    """The text of a 95 % interval."""
    low, high = low_high
    return f"{low:.3f} – {high:.3f}"


def paired_interval(lost: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a drop in accuracy between two models on the same pictures.

    Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
    J. Educ. Behav. Stat. 37 (2012): the Wald interval after adding one picture to each kind of disagreement.

    Args:
        lost: for each picture 1 where only the first is right, -1 where only the second is, else 0.

    Returns:
        Both ends, parts of 1.
    """
    total = len(lost) + 2
    only_first, only_second = ((lost == 1).sum() + 1) / total, ((lost == -1).sum() + 1) / total
    middle = only_first - only_second
    half = 1.959964 * np.sqrt((only_first + only_second - middle**2) / total)
    return max(-1.0, float(middle - half)), min(1.0, float(middle + half))


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """The normal 95 % interval of a mean drop over pictures, float (n,), in parts of 1; a single picture says nothing."""
    if len(values) == 1:
        return -1.0, 1.0
    half = 1.959964 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half
