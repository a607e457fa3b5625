"""The interface of a task: everything that training, evaluation, reports, verification and prediction need from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from app.evaluation import image_plots
from app.evaluation.calibration import Calibrator
from app.interface.errors import UsageError
from app.tasks.pairing import Comparer
from data.labels import LABELS, Labels
from models.heads import OUTPUTS, Output

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

Metrics = dict[str, Any]

_SAMPLES = 27  # images that are shown if they are not sorted by class


@dataclass(frozen=True)
class OperatingPoint:
    """The goal of a threshold: at most one of precision and recall is given.

    Attributes:
        positive: the class to detect, of two; None for the second.
        precision: least share of the detected examples that are right.
        recall: least share of the examples of the class that are detected.
        class_names: a name for each label.
    """

    class_names: Sequence[str]
    positive: str | None = None
    precision: float | None = None
    recall: float | None = None


class Task(ABC):
    """What a model learns from one kind of labels, and how it is evaluated: one file and one row of `app.tasks.TASKS` each.

    Predictions are the output of `models.builder.with_predictions`, float (n, outputs); labels are the `array` of
    `data.labels.Labels`. The methods implemented here fit tasks that choose classes by probability; other tasks override them.

    Attributes:
        name: key of `TASKS`, `data.labels.LABELS` and `models.heads.OUTPUTS`.
        description: short description.
        noun: what a model of the task is, in a few words.
        decides: predictions are probabilities by which classes are chosen.
        metric: name in the history of the metric that chooses the best weights; higher is better.
        averages_outputs: Keras' loss is the mean over the outputs instead of their sum.
        calibrator: calibrates probabilities; None if predictions are not probabilities.
        comparer: compares models on the same examples.
        columns: the main figures as a table: title to text.
        pooled: figure for all folds together: a metric with an interval, its title and its format.
        worst_first: describes the order in which test images are shown with their predictions.
        score: name in `parity.json` of the accuracy by which an exported file is evaluated.
        score_title: its title for users.
        same_answer: the figure of `agreement` with the share of images with the same prediction, near ties aside; None if
            predictions are numbers.
        strictly_same: the figure with the share of `compared_answers` that is the same, near ties included; None for numbers.
        strict_text: describes what differs strictly, with a place for how many differ and of how many.
        difference: the figure with the largest difference.
        graph_name: name of the graph in the metadata of a `.tflite`.
        not_in_mediapipe: why MediaPipe Tasks cannot run a model of the task; "" if it can.
        threshold_text: what an app does with `thresholds.json`.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    noun: ClassVar[str]
    decides: ClassVar[bool] = True

    metric: ClassVar[str]
    averages_outputs: ClassVar[bool] = True
    calibrator: ClassVar[Calibrator | None] = None
    comparer: ClassVar[Comparer]

    columns: ClassVar[Mapping[str, Callable[[Metrics], str]]]
    pooled: ClassVar[tuple[str, str, str]]
    worst_first: ClassVar[str] = "mistakes first, then the least sure"

    score: ClassVar[str]
    score_title: ClassVar[str]
    same_answer: ClassVar[str | None] = None
    strictly_same: ClassVar[str | None] = None
    strict_text: ClassVar[str] = ""
    difference: ClassVar[str] = "max_probability_difference"

    graph_name: ClassVar[str] = "image classifier"
    not_in_mediapipe: ClassVar[str] = ""
    threshold_text: ClassVar[str] = ""

    @property
    def labels(self) -> type[Labels]:
        """Kind of labels that the task learns from."""
        return LABELS[self.name]

    @property
    def output(self) -> Output:
        """Output of a model of the task."""
        return OUTPUTS[self.name]

    # --- Training -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def new_metric(self, outputs: int) -> keras.metrics.Metric:
        """Create `metric` as a Keras metric on the values of the last layer, for a number of outputs."""

    @abstractmethod
    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        """Create the Keras loss on the values of the last layer; `label_smoothing` is in [0, 1)."""

    @abstractmethod
    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the same loss in NumPy.

        Args:
            logits: float (n, outputs).
            targets: float (n, outputs), smoothed.

        Returns:
            The per-example losses, (n,), summed over the outputs, and their gradients, (n, outputs).
        """

    @abstractmethod
    def targets(self, labels: np.ndarray, outputs: int) -> np.ndarray:
        """Return the targets of the last layer for labels, float32 (n, outputs)."""

    @abstractmethod
    def smooth(self, targets: np.ndarray, share: float) -> np.ndarray:
        """Apply label smoothing to targets; `share` is in [0, 1)."""

    def scaling(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the divisor and the offset that scale targets for training, float32 (outputs,) each; None for no scaling.

        Args:
            labels: of the training examples.
        """
        return None

    def class_weights(self, labels: np.ndarray) -> np.ndarray:
        """Return weights by which all classes count equally, float (n,).

        Raises:
            UsageError: the task has no such weights.
        """
        raise UsageError("--class-weights is for images of one class each; leave it out")

    def check_cutmix(self) -> None:
        """Check that parts of two images can be mixed.

        Raises:
            UsageError: the label of a whole image need not hold for a part of it.
        """
        return None

    # --- Decisions ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def check_operating_point(self, point: OperatingPoint, option: str, source: str) -> None:
        """Check that thresholds can be chosen for a goal.

        Raises:
            UsageError: the option does not apply.
        """

    @abstractmethod
    def choose_thresholds(
        self, predictions: np.ndarray, labels: np.ndarray, point: OperatingPoint
    ) -> np.ndarray | None:
        """Choose the thresholds on the validation split.

        Returns:
            float (outputs,), NaN for an output without a threshold; None if the task has no thresholds.
        """

    def usual_thresholds(self, outputs: int) -> np.ndarray | None:
        """Return thresholds, (outputs,), for a model that states none; None if the task needs none."""
        return None

    def activate(self, logits: np.ndarray) -> np.ndarray:
        """Return the predictions for logits, (n, outputs)."""
        return logits if self.calibrator is None else self.calibrator.probabilities(logits)

    @abstractmethod
    def choose(self, predictions: np.ndarray, thresholds: np.ndarray | None, least: float) -> list[tuple[int, ...]]:
        """Return the predicted classes of each example, the likeliest first.

        Args:
            predictions: float (n, outputs).
            thresholds: (outputs,), NaN for an output without a threshold; None for no thresholds.
            least: probability below which a class is left out.
        """

    def ranked(self, predictions: np.ndarray) -> np.ndarray:
        """Return the outputs in the order in which the predictions of one example, (outputs,), are shown: int (outputs,)."""
        return np.argsort(-predictions, kind="stable")

    @abstractmethod
    def answer_text(self, predictions: Mapping[str, float], chosen: Sequence[str], top: int) -> str:
        """Return a prediction in words.

        Args:
            predictions: by name, in the order of `ranked`.
            chosen: the predicted classes.
            top: number of classes to name, if an example has one class.
        """

    @abstractmethod
    def answer_json(self, predictions: Mapping[str, float], chosen: Sequence[str]) -> dict[str, Any]:
        """Return a prediction as `--json` prints it."""

    # --- Tests ----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def measure(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> Metrics:
        """Compute the metrics of a split for `metrics.json`."""

    @abstractmethod
    def highlights(self, test: Metrics) -> list[tuple[str, str]]:
        """Return the main figures of the report: a text and its title."""

    @abstractmethod
    def details(self, test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
        """Return the figures of each class or number, the weakest first: columns and rows."""

    @abstractmethod
    def figures(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> dict[str, Figure]:
        """Return plots of the test split by name."""

    @abstractmethod
    def caption(self, answer: np.ndarray, label: Any, class_names: Sequence[str], thresholds: Any) -> tuple[str, bool]:
        """Return what the model predicts for an image, and whether that is right."""

    @abstractmethod
    def per_example_loss(self, predictions: np.ndarray, labels: np.ndarray, thresholds: Any) -> np.ndarray:
        """Compute the per-example loss, float (n,): 0 for a right or nearly right prediction; mistakes above all others."""

    def samples(self, labels: Labels, members: np.ndarray) -> tuple[list[int | None], list[str]]:
        """Select training images to show, and their captions.

        Args:
            labels: of all images.
            members: positions of the images that may be shown.

        Returns:
            Positions, the same number for each caption, None for an empty place; and the captions.
        """
        shown: list[int | None] = [*evenly(members[labels.taken(members).order()], _SAMPLES).tolist()]
        return shown, [labels.text(one) for one in shown if one is not None]

    def overview(
        self, labels: Mapping[str, Labels], images: Sequence[np.ndarray | None], captions: Sequence[str], title: str
    ) -> Figure:
        """Plot the number of examples in each split, above `samples`.

        Args:
            labels: by split.
            images: uint8 (size, size, 3), the same number for each caption; None for an empty place.
            captions: a caption for each sample.
            title: title of the figure.
        """
        counts = {split: some.counts() for split, some in labels.items()}
        return image_plots.classes(counts, next(iter(labels.values())).classes, images, captions, title)

    # --- Exports --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def agreement(
        self,
        predictions: np.ndarray,
        expected: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
        thresholds: Any,
        spread: np.ndarray | None = None,
    ) -> Metrics:
        """Compare a file's predictions with those of the Keras model; see `app.exporting.parity.agreement`.

        Args:
            predictions: of the file.
            expected: of the Keras model.
            labels: of the same examples.
            class_names: a name for each output.
            thresholds: from `choose_thresholds`.
            spread: standard deviation of numbers in training, (outputs,).

        Returns:
            Figures for `parity.json`: at least SCORE, `keras_SCORE`, `SCORE_drop` and `SCORE_drop_ci95`, in parts of 1.
        """

    def unit_of(self, labels: np.ndarray) -> float:
        """Return the unit of differences between predictions: 1 for probabilities."""
        return 1.0

    @abstractmethod
    def purpose(self, names: Sequence[str]) -> str:
        """Return what a model of the task does, as the beginning of a sentence."""

    @abstractmethod
    def card_text(self, names: Sequence[str]) -> str:
        """Return what a model of the task does, as a sentence for the model card."""

    @abstractmethod
    def card_output(self, *, has_thresholds: bool) -> str:
        """Describe the output of a model for the model card."""

    @abstractmethod
    def output_text(self, names: Sequence[str]) -> str:
        """Describe the output of a `.tflite` for its metadata."""

    # --- Audits: how a head judges the labels of examples that it was not fitted on -----------------------------------------

    @abstractmethod
    def evaluated(
        self, labels: np.ndarray, units: np.ndarray, outputs: int, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Select the outputs that have enough examples to be evaluated, and the examples that can be evaluated.

        Args:
            labels: of all examples.
            units: int (n,), the same number for examples that belong together.
            outputs: number of outputs.
            least: least number of units.

        Returns:
            Positions of the outputs, int (m,), empty if there is nothing to compare; and bool (n,).
        """

    def audit_targets(
        self, labels: np.ndarray, outputs: int, evaluated: np.ndarray
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Return the targets of a head, float32 (n, outputs), and the function from its logits to predictions.

        Args:
            labels: of all examples.
            outputs: number of outputs.
            evaluated: which examples are evaluated, bool (n,).
        """
        return self.targets(labels, outputs), self.activate

    @abstractmethod
    def label_quality(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return how well each label fits, from 0 to 1, float (n,).

        Args:
            labels: of the evaluated examples.
            predictions: of heads, float (n, m).
            outputs: positions of these outputs, int (m,).
        """

    @abstractmethod
    def suspects(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the positions of labels that are probably wrong, int; arguments as for `label_quality`."""

    @abstractmethod
    def seen(self, answer: np.ndarray, names: Sequence[str]) -> str:
        """Return what a head predicts for an example, in words, from its prediction, (m,), and the names of the outputs."""


def shares(predictions: Mapping[str, float], names: Sequence[str]) -> str:
    """Format classes with their probabilities as text.

    Examples:
        >>> shares({"apple": 0.9, "pear": 0.1}, ["apple"])
        'apple 90.0%'
        >>> shares({"apple": 0.9, "pear": 0.1}, ["apple", "pear"])
        'apple 90.0%, pear 10.0%'
    """
    return ", ".join(f"{name} {predictions[name]:.1%}" for name in names)


def evenly(members: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` of the members, evenly spaced.

    Examples:
        >>> evenly(np.arange(10), 3)
        array([1, 5, 8])
        >>> evenly(np.arange(2), 3)
        array([0, 1])
    """
    if len(members) <= count:
        return members
    return members[((np.arange(count) + 0.5) * len(members) / count).astype(np.int64)]
