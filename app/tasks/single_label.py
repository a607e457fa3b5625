"""Task: one class per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from app.evaluation import plots
from app.evaluation.calibration import ONE_CLASS
from app.evaluation.metrics import measure_single_label
from app.evaluation.thresholds import decide, threshold_for
from app.interface.errors import UsageError
from app.tasks import pairing
from app.tasks.intervals import interval, paired_interval
from app.tasks.task import Metrics, OperatingPoint, Task, evenly, shares
from data.labels import SINGLE_LABEL, Labels

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

# A class whose probability is this close to the highest one, or to its threshold, is a near tie, up to a tenth of the chance
# level of each class: of a thousand classes, all may be within a hundredth of the highest.
TIE = 0.01
TIE_OF_CHANCE = 0.1
TOP = 5

_MOST_SAMPLES = 54
_OF_A_CLASS = (9, 4, 3, 2, 1)  # counts that fill a row


class SingleLabelTask(Task):
    """One class per image: a softmax; the likeliest class is predicted."""

    name = SINGLE_LABEL
    description = "one class per image"
    noun = "an image classifier"
    metric = "accuracy"
    averages_outputs = False
    calibrator = ONE_CLASS
    comparer = pairing.ONE_CLASS
    columns: ClassVar = {
        "accuracy": lambda one: f"{one['accuracy']:.3f}",
        "95 % interval": lambda one: interval(one["accuracy_ci95"]),
        "balanced accuracy": lambda one: f"{one['balanced_accuracy']:.3f}",
        "macro F1": lambda one: f"{one['macro_f1']:.3f}",
        "log loss": lambda one: f"{one['log_loss']:.3f}",
        "calibration error": lambda one: f"{one['ece']:.3f}",
    }
    pooled = ("accuracy", "Accuracy", ".3f")
    score = "accuracy"
    score_title = "accuracy"
    same_answer = "top1_agreement"
    strictly_same = "strict_top1_agreement"
    strict_text = "names another class than the Keras model for {} of {} images"
    threshold_text = (
        "The class in `thresholds.json`, which lies beside the file and in it, is the answer where its score reaches that "
        "value."
    )

    # --- Training -------------------------------------------------------------------------------------------------------

    def new_metric(self, outputs: int) -> keras.metrics.Metric:
        """Accuracy."""
        import keras

        return keras.metrics.CategoricalAccuracy(name="accuracy")

    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        """Cross-entropy of logits."""
        import keras

        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cross-entropy in NumPy."""
        from scipy.special import log_softmax

        logs = log_softmax(logits, axis=1)
        return -(targets * logs).sum(axis=1), np.exp(logs) - targets

    def targets(self, labels: np.ndarray, outputs: int) -> np.ndarray:
        """Return one-hot targets."""
        return np.asarray(labels[:, None] == np.arange(outputs), np.float32)

    def smooth(self, targets: np.ndarray, share: float) -> np.ndarray:
        """Spread a share over all classes."""
        smooth: np.ndarray = (1 - share) * targets + share / targets.shape[1]
        return smooth

    def class_weights(self, labels: np.ndarray) -> np.ndarray:
        """Weight classes in inverse proportion to their number of examples."""
        from sklearn.utils.class_weight import compute_sample_weight

        weights: np.ndarray = compute_sample_weight("balanced", labels)
        return weights

    # --- Decisions ------------------------------------------------------------------------------------------------------

    def check_operating_point(self, point: OperatingPoint, option: str, source: str) -> None:
        """Accept goals for two classes, one of which can have a threshold."""
        if len(point.class_names) != 2:
            raise UsageError(
                f"{option} takes two classes, or several labels an image; {source} has {len(point.class_names)} "
                "classes, one per image; leave it out"
            )
        if point.positive is not None and point.positive not in point.class_names:
            raise UsageError(
                f"--positive must be one of two classes ({' or '.join(point.class_names)}), not {point.positive}"
            )

    def choose_thresholds(
        self, predictions: np.ndarray, labels: np.ndarray, point: OperatingPoint
    ) -> np.ndarray | None:
        """Choose a threshold for the positive class, if there is a goal."""
        if point.precision is None and point.recall is None:
            return None
        positive = list(point.class_names).index(point.positive) if point.positive else 1
        thresholds = np.full(2, np.nan)
        thresholds[positive] = threshold_for(
            predictions[:, positive],
            labels == positive,
            precision=point.precision,
            recall=point.recall,
        )
        return thresholds

    def choose(self, predictions: np.ndarray, thresholds: np.ndarray | None, least: float) -> list[tuple[int, ...]]:
        """Return the likeliest class, or of two classes the one on the right side of the threshold; none below `least`."""
        decisive = thresholds is not None and len(thresholds) == 2 and np.isfinite(thresholds).sum() == 1
        decided = decide(predictions, thresholds if decisive else None).tolist()
        return [(label,) if predictions[i, label] >= least else () for i, label in enumerate(decided)]

    def answer_text(self, predictions: Mapping[str, float], chosen: Sequence[str], top: int) -> str:
        """Return the predicted class, and the likeliest of the other classes."""
        text = shares(predictions, list(dict.fromkeys([*chosen, *predictions]))[:top])
        return text if chosen else f"none ({text} is below the score threshold)"

    def answer_json(self, predictions: Mapping[str, float], chosen: Sequence[str]) -> dict[str, Any]:
        """Return the probabilities and the predicted class."""
        return {"probabilities": predictions, "label": chosen[0] if chosen else None}

    # --- Tests ----------------------------------------------------------------------------------------------------------

    def measure(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> Metrics:
        """See `app.evaluation.metrics.measure_single_label`."""
        return measure_single_label(predictions, labels, class_names, thresholds)

    def highlights(self, test: Metrics) -> list[tuple[str, str]]:
        """Accuracy, macro F1 and calibration error."""
        low, high = test["accuracy_ci95"]
        return [
            (
                f"{100 * test['accuracy']:.1f} %",
                f"test accuracy of {test['n']} images, 95 % interval {100 * low:.1f} – {100 * high:.1f} %",
            ),
            (f"{test['macro_f1']:.3f}", "macro F1"),
            (f"{test['ece']:.3f}", "calibration error"),
        ]

    def details(self, test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
        """Precision, recall and F1 of each class."""
        names = sorted(test["classes"], key=lambda name: test["classes"][name]["f1"])
        rows: list[Sequence[Any]] = [
            (name, one["n"], *(f"{one[key]:.3f}" for key in ("precision", "recall", "f1")))
            for name in names
            for one in [test["classes"][name]]
        ]
        return ("class", "images", "precision", "recall", "F1"), rows

    def figures(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> dict[str, Figure]:
        """The confusion matrix."""
        from sklearn.metrics import confusion_matrix

        counts = confusion_matrix(labels, decide(predictions, thresholds), labels=range(len(class_names)))
        return {"confusion": plots.confusion(counts, class_names)}

    def caption(self, answer: np.ndarray, label: Any, class_names: Sequence[str], thresholds: Any) -> tuple[str, bool]:
        """Return the predicted class with its probability, and below it that of the true class if they differ."""
        best = int(decide(answer[None], thresholds)[0])
        text = f"{plots.short(class_names[best])}: {answer[best]:.0%}"
        return (text, True) if best == label else (f"{text}\nis {plots.short(class_names[label])}", False)

    def per_example_loss(self, predictions: np.ndarray, labels: np.ndarray, thresholds: Any) -> np.ndarray:
        """Rate how uncertain a right prediction is, and how certain a wrong one."""
        sureness = predictions.max(axis=1)
        loss: np.ndarray = np.where(decide(predictions, thresholds) == labels, 1 - sureness, 1 + sureness)
        return loss

    def samples(self, labels: Labels, members: np.ndarray) -> tuple[list[int | None], list[str]]:
        """Return equally many images of each class, as far as it has them, captioned by its name."""
        shown = evenly(np.arange(len(labels.names)), _MOST_SAMPLES).tolist()
        places = next(places for places in _OF_A_CLASS if places * len(shown) <= _MOST_SAMPLES)
        chosen: list[int | None] = []
        for label in shown:
            some = evenly(members[labels.array[members] == label], places).tolist()
            chosen += [*some, *[None] * (places - len(some))]
        return chosen, [labels.names[label] for label in shown]

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
        """`top1_agreement` leaves near ties aside."""
        decided, expected_decided = decide(predictions, thresholds), decide(expected, thresholds)
        right, expected_right = decided == labels, expected_decided == labels
        difference = np.abs(predictions - expected).max(axis=1)
        lost = expected_right.astype(float) - right
        present = np.unique(labels)
        drops = {class_names[label]: float(lost[labels == label].mean()) for label in present}
        losing = sorted((name for name in drops if drops[name] > 0), key=lambda name: -drops[name])
        return {
            "accuracy": float(right.mean()),
            "keras_accuracy": float(expected_right.mean()),
            "accuracy_drop": float(lost.mean()),
            "accuracy_drop_ci95": paired_interval(lost),
            "top1_agreement": float(((decided == expected_decided) | _is_tie(expected, decided, thresholds)).mean()),
            "strict_top1_agreement": float((decided == expected_decided).mean()),
            "compared_answers": len(decided),
            **_top_agreement(predictions, expected),
            "max_probability_difference": float(difference.max()),
            "mean_probability_difference": float(difference.mean()),
            "class_drops": {name: drops[name] for name in losing},
        }

    def purpose(self, names: Sequence[str]) -> str:
        """Return a phrase: the model distinguishes classes."""
        return f"Tells {len(names)} classes apart"

    def card_text(self, names: Sequence[str]) -> str:
        """Return a sentence: the model distinguishes the named classes."""
        return f"It tells apart {len(names)} classes: {', '.join(names)}."

    def card_output(self, *, has_thresholds: bool) -> str:
        """Describe probabilities, and the class that has a threshold."""
        text = "one probability per class, in the order of `labels.txt`"
        return f"{text}; the class in `thresholds.json` is the answer from that value up" if has_thresholds else text

    def output_text(self, names: Sequence[str]) -> str:
        """Describe probabilities that add up to 1."""
        return "one a class; they add up to 1"

    # --- Audits ---------------------------------------------------------------------------------------------------------

    def evaluated(
        self, labels: np.ndarray, units: np.ndarray, outputs: int, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes with enough examples, and their examples."""
        counts = np.array([len(np.unique(units[labels == label])) for label in range(outputs)])
        enough = np.flatnonzero(counts >= least)
        return enough if len(enough) > 1 else enough[:0], np.isin(labels, enough)

    def label_quality(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return how likely the labelled class is."""
        from cleanlab.rank import get_label_quality_scores

        quality: np.ndarray = get_label_quality_scores(np.searchsorted(outputs, labels), predictions.astype(np.float64))
        return quality

    def suspects(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the positions that confident learning finds."""
        from cleanlab.filter import find_label_issues

        # "both" lists the fewest labels and misses the fewest of them (measured on flowers, a twentieth of its labels swapped).
        options: dict[str, Any] = {"filter_by": "both", "n_jobs": 1}
        return np.flatnonzero(
            find_label_issues(np.searchsorted(outputs, labels), predictions.astype(np.float64), **options)
        )

    def seen(self, answer: np.ndarray, names: Sequence[str]) -> str:
        """Return the likeliest class."""
        return f"{names[int(answer.argmax())]} ({answer.max():.0%})"


def _top_agreement(predictions: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Return the share of images with the same `TOP` likeliest classes; empty if there are no other classes."""
    if predictions.shape[1] <= TOP:
        return {}
    found, wanted = (
        np.sort(np.argsort(-one, axis=1, kind="stable")[:, :TOP], axis=1) for one in (predictions, expected)
    )
    return {"top5_agreement": float((found == wanted).all(axis=1).mean())}


def _is_tie(expected: np.ndarray, decided: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Return whether another class than the expected one is a near tie, bool (n,)."""
    if thresholds is not None:
        near: np.ndarray = (np.abs(expected - thresholds) <= TIE).any(axis=1)  # False for the NaN of the other class
        return near
    tie = min(TIE, TIE_OF_CHANCE / expected.shape[1])
    near = np.take_along_axis(expected, decided[:, None], axis=1)[:, 0] >= expected.max(axis=1) - tie
    return near
