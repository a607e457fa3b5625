"""Task: any number of classes per image, each an independent yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from app.evaluation import plots
from app.evaluation.calibration import ANY_CLASSES
from app.evaluation.metrics import measure_multi_label
from app.evaluation.thresholds import best_f1_threshold, threshold_for
from app.interface.errors import UsageError
from app.tasks import pairing
from app.tasks.intervals import interval, mean_interval
from app.tasks.task import Metrics, OperatingPoint, Task, shares
from data.labels import MULTI_LABEL, SEPARATOR, UNKNOWN
from models.objectives import known_crossentropy, known_precision

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

# A probability this close to its threshold is a near tie, up to a tenth of the way from the threshold to 0 or 1: many classes
# have low thresholds, and all of their probabilities are near them.
TIE = 0.01
TIE_OF_THRESHOLD = 0.1

_HALF = 0.5


class MultiLabelTask(Task):
    """Any number of classes per image: one sigmoid each; a class is predicted from its threshold up."""

    name = MULTI_LABEL
    description = "any number of classes per image"
    noun = "an image tagger"
    metric = "map"
    calibrator = ANY_CLASSES
    comparer = pairing.ANY_CLASSES
    columns: ClassVar = {
        "mAP": lambda one: f"{one['map']:.3f}",
        "95 % interval": lambda one: interval(one["map_ci95"]),
        "macro F1": lambda one: f"{one['macro_f1']:.3f}",
        "micro F1": lambda one: f"{one['micro_f1']:.3f}",
        "all classes right": lambda one: f"{one['accuracy']:.3f}",
        "log loss": lambda one: f"{one['log_loss']:.3f}",
        "calibration error": lambda one: f"{one['ece']:.3f}",
    }
    pooled = ("accuracy", "All classes right", ".3f")
    score = "label_accuracy"
    score_title = "right yes or no"
    same_answer = "decision_agreement"
    strictly_same = "strict_yes_agreement"
    strict_text = "differs from the Keras model in {} of {} yes answers"
    threshold_text = (
        "A class counts where its score reaches its value in `thresholds.json`, which lies beside the file and in it."
    )

    # --- Training -------------------------------------------------------------------------------------------------------

    def new_metric(self, outputs: int) -> keras.metrics.Metric:
        """Mean average precision over the known labels."""
        return known_precision(outputs)

    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        """Binary cross-entropy of the known labels."""
        return known_crossentropy(label_smoothing)

    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Binary cross-entropy in NumPy."""
        from scipy.special import expit

        known = ~np.isnan(targets)
        losses = np.logaddexp(0, logits) - targets * logits
        return np.where(known, losses, 0.0).sum(axis=1), np.where(known, expit(logits) - targets, 0.0)

    def targets(self, labels: np.ndarray, outputs: int) -> np.ndarray:
        """Return the labels; NaN means unknown, and stays NaN when it is smoothed or mixed."""
        return np.where(labels == UNKNOWN, np.nan, labels).astype(np.float32)

    def smooth(self, targets: np.ndarray, share: float) -> np.ndarray:
        """Move half of the share from yes to no, and from no to yes."""
        return (1 - share) * targets + share / 2

    # --- Decisions ------------------------------------------------------------------------------------------------------

    def check_operating_point(self, point: OperatingPoint, option: str, source: str) -> None:
        """Accept any goal, since every class can have a threshold; refuse a positive class."""
        if point.positive is not None:
            raise UsageError(
                f"--positive must be one of two classes ({' or '.join(point.class_names[:2])}), not {point.positive}"
            )

    def choose_thresholds(self, predictions: np.ndarray, labels: np.ndarray, point: OperatingPoint) -> np.ndarray:
        """Choose a threshold for each class: for the goal if there is one, otherwise for the best F1."""

        def choose(probabilities: np.ndarray, truth: np.ndarray) -> float:
            if point.precision is None and point.recall is None:
                return best_f1_threshold(probabilities, truth)
            if not truth.any():
                return _HALF
            return threshold_for(probabilities, truth, precision=point.precision, recall=point.recall)

        known = labels != UNKNOWN
        every = zip(predictions.T, labels.T, known.T, strict=True)
        return np.array([choose(one[some], label[some] > 0.5) for one, label, some in every])

    def usual_thresholds(self, outputs: int) -> np.ndarray:
        """Return a half for each class."""
        return np.full(outputs, _HALF)

    def choose(self, predictions: np.ndarray, thresholds: np.ndarray | None, least: float) -> list[tuple[int, ...]]:
        """Return all classes whose probability reaches their threshold."""
        limits = np.full(predictions.shape[1], least or _HALF) if thresholds is None else np.fmax(thresholds, least)
        order = np.argsort(-predictions, axis=1, kind="stable")
        return [
            tuple(label for label in row if predictions[i, label] >= limits[label])
            for i, row in enumerate(order.tolist())
        ]

    def answer_text(self, predictions: Mapping[str, float], chosen: Sequence[str], top: int) -> str:
        """Return the predicted classes."""
        return shares(predictions, chosen) or "none"

    def answer_json(self, predictions: Mapping[str, float], chosen: Sequence[str]) -> dict[str, Any]:
        """Return the probabilities and the predicted classes."""
        return {"probabilities": predictions, "labels": list(chosen)}

    # --- Tests ----------------------------------------------------------------------------------------------------------

    def measure(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> Metrics:
        """See `app.evaluation.metrics.measure_multi_label`."""
        return measure_multi_label(predictions, labels, class_names, thresholds)

    def highlights(self, test: Metrics) -> list[tuple[str, str]]:
        """Mean average precision, macro F1, and the share of images with all classes right."""
        low, high = test["map_ci95"]
        unknown = f" ({test['unknown']:,} unknown labels left out)" if "unknown" in test else ""
        of_what = f"mean average precision of {test['n']} test images{unknown}"
        return [
            (f"{100 * test['map']:.1f} %", f"{of_what}, 95 % interval {100 * low:.1f} – {100 * high:.1f} %"),
            (f"{test['macro_f1']:.3f}", "macro F1"),
            (f"{100 * test['accuracy']:.1f} %", "of the images with all classes right"),
        ]

    def details(self, test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
        """Average precision of each class, and its threshold with precision, recall and F1 there."""
        names = sorted(test["classes"], key=lambda name: test["classes"][name]["f1"])
        keys = ("average_precision", "threshold", "precision", "recall", "f1")
        rows: list[Sequence[Any]] = [
            (name, one["n"], *(f"{one[key]:.3f}" for key in keys)) for name in names for one in [test["classes"][name]]
        ]
        return ("class", "images", "average precision", "threshold", "precision", "recall", "F1"), rows

    def figures(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> dict[str, Figure]:
        """The curves of precision and recall."""
        return {"precision_recall": plots.precision_recall(predictions, labels, class_names, thresholds)}

    def caption(self, answer: np.ndarray, label: Any, class_names: Sequence[str], thresholds: Any) -> tuple[str, bool]:
        """Return the predicted classes, and below them the true ones if they differ."""
        decided, truth = (answer >= thresholds) & (label != UNKNOWN), label > 0.5

        def names(chosen: np.ndarray) -> str:
            return plots.short(", ".join(class_names[one] for one in np.flatnonzero(chosen).tolist()) or "none", 28)

        return (names(decided), True) if (decided == truth).all() else (f"{names(decided)}\nis {names(truth)}", False)

    def per_example_loss(self, predictions: np.ndarray, labels: np.ndarray, thresholds: Any) -> np.ndarray:
        """Rate how near its threshold the least certain right decision is, and how far from it the worst wrong one."""
        known = labels != UNKNOWN
        wrong = known & ((predictions >= thresholds) != (labels > 0.5))
        distance = np.abs(predictions - thresholds)
        nearest = np.where(known, distance, 1.0).min(axis=1)
        loss: np.ndarray = np.where(wrong.any(axis=1), 1 + (distance * wrong).max(axis=1), 1 - nearest)
        return loss

    # --- Exports --------------------------------------------------------------------------------------------------------

    def agreement(
        self,
        predictions: np.ndarray,
        expected: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
        thresholds: Any,
        spread: np.ndarray | None = None,
    ) -> Metrics:
        """`decision_agreement` is the share of images with the same decisions, near ties aside.

        `strict_yes_agreement` is the share of the predicted classes of either model that both predict, near ties included.
        """
        truth, known = labels > 0.5, labels != UNKNOWN
        decided, expected_decided = predictions >= thresholds, expected >= thresholds
        right, expected_right = (decided == truth) & known, (expected_decided == truth) & known
        difference = np.abs(predictions - expected).max(axis=1)
        lost = (expected_right.sum(axis=1) - right.sum(axis=1)) / (known.sum() / len(known))  # of an image's decisions
        ties = np.minimum(TIE, TIE_OF_THRESHOLD * np.minimum(thresholds, 1 - thresholds))
        same = (decided == expected_decided) | (np.abs(expected - thresholds) <= ties)
        either, both = (decided | expected_decided).sum(), (decided & expected_decided).sum()
        per_class = (expected_right.sum(axis=0) - right.sum(axis=0)) / np.maximum(known.sum(axis=0), 1)
        drops = dict(zip(class_names, per_class.tolist(), strict=True))
        losing = sorted((name for name in drops if drops[name] > 0), key=lambda name: -drops[name])
        return {
            "label_accuracy": float(right[known].mean()),
            "keras_label_accuracy": float(expected_right[known].mean()),
            "label_accuracy_drop": float(lost.mean()),
            "label_accuracy_drop_ci95": mean_interval(lost),
            "decision_agreement": float(same.all(axis=1).mean()),
            "strict_yes_agreement": float(both / either) if either else 1.0,
            "compared_answers": int(either),
            "max_probability_difference": float(difference.max()),
            "mean_probability_difference": float(difference.mean()),
            "class_drops": {name: drops[name] for name in losing},
        }

    def purpose(self, names: Sequence[str]) -> str:
        """Return a phrase: the model says which classes an image has."""
        return f"Says which of {len(names)} classes an image has"

    def card_text(self, names: Sequence[str]) -> str:
        """Return a sentence: the model says which of the named classes an image has."""
        return f"It says which of {len(names)} classes an image has, any number of them: {', '.join(names)}."

    def card_output(self, *, has_thresholds: bool) -> str:
        """Describe probabilities with thresholds."""
        return (
            "one probability per class, each by itself, in the order of `labels.txt`; a class counts from its value in "
            "`thresholds.json` up"
        )

    def output_text(self, names: Sequence[str]) -> str:
        """Describe probabilities that do not add up to 1."""
        return "one a class, each by itself from 0 to 1"

    # --- Audits ---------------------------------------------------------------------------------------------------------

    def evaluated(
        self, labels: np.ndarray, units: np.ndarray, outputs: int, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes that enough examples have and enough lack, and all examples."""
        have = np.array([len(np.unique(units[column > 0])) for column in labels.T])
        others = np.array([len(np.unique(units[column == 0])) for column in labels.T])
        enough = np.flatnonzero((have >= least) & (others >= least))
        return enough if len(enough) > 1 else enough[:0], np.ones(len(labels), bool)

    def label_quality(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return how likely the labelled classes are."""
        from cleanlab.multilabel_classification import get_label_quality_scores

        quality: np.ndarray = get_label_quality_scores(
            _lists(labels[:, outputs], predictions), predictions.astype(np.float64)
        )
        return quality

    def suspects(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the positions that confident learning finds."""
        from cleanlab.multilabel_classification.filter import find_label_issues

        options: dict[str, Any] = {"filter_by": "both", "n_jobs": 1}
        found = find_label_issues(_lists(labels[:, outputs], predictions), predictions.astype(np.float64), **options)
        return np.flatnonzero(found)

    def seen(self, answer: np.ndarray, names: Sequence[str]) -> str:
        """Return all classes with a probability above one half."""
        return SEPARATOR.join(name for name, share in zip(names, answer, strict=True) if share > _HALF) or "none"


def _lists(labels: np.ndarray, predictions: np.ndarray) -> list[list[int]]:
    """Return the classes of each example; for unknown labels the predicted ones, so that they count as agreement."""
    return [np.flatnonzero(row > 0).tolist() for row in np.where(labels == UNKNOWN, predictions > _HALF, labels)]
