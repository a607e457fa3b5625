"""Task: one or several numbers per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from app.evaluation import image_plots, plots
from app.evaluation.metrics import measure_regression
from app.interface.errors import UsageError
from app.tasks import pairing
from app.tasks.intervals import mean_interval
from app.tasks.task import Metrics, OperatingPoint, Task
from data.labels import REGRESSION, SEPARATOR, Labels

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

_LOW = 0.05  # of the median quality of labels, as in cleanlab's Datalab


def _mae_interval(one: Metrics) -> str:
    if one["mae_ci95"] is None:
        return "unknown"  # for one image
    low, high = one["mae_ci95"]
    return f"{low:.4g} – {high:.4g}"


class RegressionTask(Task):
    """Numbers: the output of the last layer is the prediction."""

    name = REGRESSION
    description = "numbers, such as a weight or an age"
    noun = "numbers from images"
    decides = False
    metric = "r2"
    comparer = pairing.NUMBERS
    columns: ClassVar = {
        "MAE": lambda one: f"{one['mae']:.4g}",
        "95 % interval": _mae_interval,
        "RMSE": lambda one: f"{one['rmse']:.4g}",
        "R²": lambda one: f"{one['r2']:.3f}",
    }
    pooled = ("mae", "Mean absolute error", ".4g")
    worst_first = "the largest errors first"
    score = "r2"
    score_title = "R²"
    difference = "max_difference"
    graph_name = "image regressor"
    not_in_mediapipe = "has no task that answers with numbers"

    # --- Training -------------------------------------------------------------------------------------------------------

    def new_metric(self, outputs: int) -> keras.metrics.Metric:
        """R²."""
        import keras

        return keras.metrics.R2Score(name="r2")

    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        """The mean squared error."""
        import keras

        return keras.losses.MeanSquaredError()

    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The squared error in NumPy."""
        errors = logits - targets
        return np.square(errors).sum(axis=1), 2 * errors

    def targets(self, labels: np.ndarray, outputs: int) -> np.ndarray:
        """The numbers."""
        return labels.astype(np.float32)

    def smooth(self, targets: np.ndarray, share: float) -> np.ndarray:
        """Return the targets unchanged, since numbers have no other classes."""
        return targets

    def scaling(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `standardization`."""
        return standardization(labels)

    def check_cutmix(self) -> None:
        """Refuse CutMix, since a number describes the whole image."""
        raise UsageError("--cutmix is for classes: a part of an image has no part of its numbers; take --mixup")

    # --- Decisions ------------------------------------------------------------------------------------------------------

    def check_operating_point(self, point: OperatingPoint, option: str, source: str) -> None:
        """Refuse goals, since numbers have no thresholds."""
        raise UsageError(f"{option} is about classes, and {source} has numbers; leave it out")

    def choose_thresholds(self, predictions: np.ndarray, labels: np.ndarray, point: OperatingPoint) -> None:
        """Return None, since numbers have no thresholds."""
        return None

    def choose(self, predictions: np.ndarray, thresholds: np.ndarray | None, least: float) -> list[tuple[int, ...]]:
        """Return no classes."""
        return [()] * len(predictions)

    def ranked(self, predictions: np.ndarray) -> np.ndarray:
        """Return the order of the labels."""
        return np.arange(len(predictions))

    def answer_text(self, predictions: Mapping[str, float], chosen: Sequence[str], top: int) -> str:
        """All numbers by name."""
        return ", ".join(f"{name} {number:.4g}" for name, number in predictions.items())

    def answer_json(self, predictions: Mapping[str, float], chosen: Sequence[str]) -> dict[str, Any]:
        """The numbers."""
        return {"numbers": predictions}

    # --- Tests ----------------------------------------------------------------------------------------------------------

    def measure(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> Metrics:
        """See `app.evaluation.metrics.measure_regression`."""
        return measure_regression(predictions, labels, class_names)

    def highlights(self, test: Metrics) -> list[tuple[str, str]]:
        """Mean errors and R²."""
        return [
            (
                f"{test['mae']:.4g}",
                f"mean absolute error on {test['n']} test images, 95 % interval {_mae_interval(test)}",
            ),
            (f"{test['rmse']:.4g}", "root mean square error"),
            (f"{test['r2']:.3f}", "R², the part of the variance that is explained"),
        ]

    def details(self, test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
        """Errors of each number."""
        names = sorted(test["numbers"], key=lambda name: test["numbers"][name]["r2"])
        rows: list[Sequence[Any]] = [
            (name, f"{one['mae']:.4g}", f"{one['rmse']:.4g}", f"{one['r2']:.3f}")
            for name in names
            for one in [test["numbers"][name]]
        ]
        return ("number", "MAE", "RMSE", "R²"), rows

    def figures(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> dict[str, Figure]:
        """Scatter plots of predictions against labels."""
        return {"scatter": plots.scatter(predictions, labels, class_names)}

    def caption(self, answer: np.ndarray, label: Any, class_names: Sequence[str], thresholds: Any) -> tuple[str, bool]:
        """Return the predicted numbers, and below them the true ones."""

        def text(numbers: np.ndarray) -> str:
            return plots.short(", ".join(f"{number:.4g}" for number in numbers), 28)

        return f"{text(answer)}\nis {text(label)}", True

    def per_example_loss(self, predictions: np.ndarray, labels: np.ndarray, thresholds: Any) -> np.ndarray:
        """Return the largest error of each example, in standard deviations."""
        largest: np.ndarray = (np.abs(predictions - labels) / _spread(labels)).max(axis=1)
        return largest

    def overview(
        self, labels: Mapping[str, Labels], images: Sequence[np.ndarray | None], captions: Sequence[str], title: str
    ) -> Figure:
        """Plot the distribution of the numbers in each split."""
        values = {split: some.array for split, some in labels.items()}
        return image_plots.numbers(values, next(iter(labels.values())).names, images, captions, title)

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
        """Differences are in standard deviations, those of the training images if they are given.

        A few test images may have nearly equal numbers; their own spread would exaggerate unimportant differences.
        `resolution` is the spacing of float32 values at the largest of the numbers, in standard deviations too.
        """
        own = _spread(labels)
        if spread is not None:
            own = np.where(labels.std(axis=0) > 0, own, spread)
        spread = own if spread is None else spread
        errors, expected_errors = (np.square((one - labels) / own).mean(axis=1) for one in (predictions, expected))
        difference = (np.abs(predictions - expected) / spread).max(axis=1)
        steps = np.spacing(np.abs(expected).max(axis=0).astype(np.float32)) / spread
        lost = errors - expected_errors
        return {
            "r2": float(1 - errors.mean()),
            "keras_r2": float(1 - expected_errors.mean()),
            "r2_drop": float(lost.mean()),
            "r2_drop_ci95": mean_interval(lost),
            "mae": float(np.abs(predictions - labels).mean()),
            "keras_mae": float(np.abs(expected - labels).mean()),
            "max_difference": float(difference.max()),
            "mean_difference": float(difference.mean()),
            "resolution": float(steps.max()),
        }

    def unit_of(self, labels: np.ndarray) -> float:
        """Return the standard deviation of the number with the widest spread."""
        return float(labels.std(axis=0).max())

    def purpose(self, names: Sequence[str]) -> str:
        """Return a phrase: the model predicts numbers."""
        return f"Answers with {', '.join(names)}"

    def card_text(self, names: Sequence[str]) -> str:
        """Return a sentence: the model predicts the named numbers."""
        return f"It answers with {', '.join(names)}."

    def card_output(self, *, has_thresholds: bool) -> str:
        """Describe numbers in their units."""
        return "one number each, in the order of `labels.txt` and in the units of the labels"

    def output_text(self, names: Sequence[str]) -> str:
        """Describe the numbers by name."""
        return f"in this order: {', '.join(names)}"

    # --- Audits ---------------------------------------------------------------------------------------------------------

    def evaluated(
        self, labels: np.ndarray, units: np.ndarray, outputs: int, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return all numbers and all examples."""
        return np.arange(outputs), np.ones(len(labels), bool)

    def audit_targets(
        self, labels: np.ndarray, outputs: int, evaluated: np.ndarray
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Return the standardised numbers."""
        targets = self.targets(labels, outputs)
        numbers = targets[evaluated].astype(np.float64)  # squares of large numbers overflow float32
        mean, scale = numbers.mean(axis=0), _spread(numbers)
        return ((targets - mean) / scale).astype(np.float32), lambda logits: logits * scale + mean

    def label_quality(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return how near the predictions are; with several numbers, by the worst."""
        from cleanlab.regression.rank import get_label_quality_scores

        columns = zip(labels.T.astype(np.float64), predictions.T.astype(np.float64), strict=True)
        quality: np.ndarray = np.min([get_label_quality_scores(label, answer) for label, answer in columns], axis=0)
        return quality

    def suspects(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the labels with a much lower quality than most."""
        quality = self.label_quality(labels, predictions, outputs)
        return np.flatnonzero(quality < _LOW * np.median(quality))

    def seen(self, answer: np.ndarray, names: Sequence[str]) -> str:
        """Return the predicted numbers."""
        return SEPARATOR.join(f"{number:.4g}" for number in answer)


def _spread(labels: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each number over the images; 1 where all images have the same number."""
    spread = labels.astype(np.float64).std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def standardization(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the scale and offset that standardise numbers for training: their standard deviation and mean.

    The standardised numbers have a mean of 0 and a standard deviation of 1, whatever their unit.

    Args:
        labels: of the training images, (n, numbers).

    Returns:
        Standard deviation and mean, float32 (numbers,) each; the standard deviation is 1 where all images have the same number.

    Examples:
        >>> standardization(np.array([[1.0], [3.0]]))
        (array([1.], dtype=float32), array([2.], dtype=float32))
        >>> standardization(np.array([[2.0], [2.0]]))
        (array([1.], dtype=float32), array([2.], dtype=float32))
    """
    return _spread(labels).astype(np.float32), labels.astype(np.float64).mean(axis=0).astype(np.float32)
