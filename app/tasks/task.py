"""What a task is: all that training, tests, reports, verification and predictions need to know of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from app.evaluation import plots
from app.evaluation.calibration import Calibrator
from app.interface.errors import UsageError
from data.labels import LABELS, Labels
from models.heads import OUTPUTS, Output

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

Metrics = dict[str, Any]

_SAMPLES = 27  # images that are shown where they are not sorted by class


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold is chosen for: at most one of the two is given.

    Attributes:
        positive: the class to find, of two; None for the second.
        precision: which part of what is found is to be right, at least.
        recall: which part of what there is is to be found, at least.
        class_names: one a label.
    """

    class_names: Sequence[str]
    positive: str | None = None
    precision: float | None = None
    recall: float | None = None


class Task(ABC):
    """What is learned from labels of one kind, and how it is evaluated. Each task is one file and one row of `app.tasks.TASKS`.

    Predictions are what `models.builder.with_predictions` gives, float (n, outputs); labels, `array` of `data.labels.Labels`.
    What is implemented here fits tasks that decide between classes by probabilities; others override it.

    Attributes:
        name: key of `TASKS`, `data.labels.LABELS` and `models.heads.OUTPUTS`.
        description: what it is, in a few words.
        noun: what a model of it is, in a few words.
        decides: answers are probabilities by which classes are chosen.
        metric: what the best weights are chosen by: its name in the history; the higher, the better.
        averages_outputs: Keras' loss is the mean over the outputs, and not their sum.
        calibrator: makes probabilities say how often they are right; None where answers are no probabilities.
        columns: the main figures as a table: title to text.
        pooled: what is said of all folds together: a metric with an interval, its title and its format.
        worst_first: in which order test images are shown with the predictions.
        score: what the accuracy of an exported file is evaluated by: its name in `parity.json`.
        score_title: the same for people.
        same_answer: which figure of `agreement` is the part of the images with the same answer, near ties aside; None where
            answers are numbers.
        strictly_same: which is the part of `compared_answers` that is the same, near ties or not; None for numbers.
        strict_text: what differs strictly, with a place for how many differ and of how many.
        difference: which of these is the largest difference.
        graph_name: what the metadata of a `.tflite` calls its graph.
        not_in_mediapipe: why MediaPipe Tasks cannot run a model of it; "" where it can.
        threshold_text: what an app does with `thresholds.json`.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    noun: ClassVar[str]
    decides: ClassVar[bool] = True

    metric: ClassVar[str]
    averages_outputs: ClassVar[bool] = True
    calibrator: ClassVar[Calibrator | None] = None

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
        """The kind of labels that it learns from."""
        return LABELS[self.name]

    @property
    def output(self) -> Output:
        """What a model of it ends with."""
        return OUTPUTS[self.name]

    # --- Training -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def new_metric(self, outputs: int) -> keras.metrics.Metric:
        """`metric`, as a metric of Keras on the last layer's values, for so many outputs."""

    @abstractmethod
    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        """The loss of Keras, on the last layer's values, with so much label smoothing, in [0, 1)."""

    @abstractmethod
    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same loss in NumPy.

        Args:
            logits: float (n, outputs).
            targets: float (n, outputs), smoothed.

        Returns:
            The losses of the examples, (n,), summed over the outputs, and their gradients, (n, outputs).
        """

    @abstractmethod
    def targets(self, labels: np.ndarray, outputs: int) -> np.ndarray:
        """What the last layer is to give for labels, float32 (n, outputs)."""

    @abstractmethod
    def smooth(self, targets: np.ndarray, share: float) -> np.ndarray:
        """Targets with so much label smoothing, in [0, 1)."""

    def scaling(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """What targets are divided by to be learned, and what is subtracted before, both float32 (outputs,); None for nothing.

        Args:
            labels: of the training examples.
        """
        return None

    def class_weights(self, labels: np.ndarray) -> np.ndarray:
        """Weights by which all classes count the same, float (n,).

        Raises:
            UsageError: there are none.
        """
        raise UsageError("--class-weights is for images of one class each; leave it out")

    def check_cutmix(self) -> None:
        """Check that parts of two images can be mixed.

        Raises:
            UsageError: what labels say of an image does not hold for a part of it.
        """
        return None

    # --- Decisions ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def check_operating_point(self, point: OperatingPoint, option: str, source: str) -> None:
        """Check that there are thresholds which can be chosen for a goal.

        Raises:
            UsageError: there is nothing that the option could be about.
        """

    @abstractmethod
    def choose_thresholds(
        self, predictions: np.ndarray, labels: np.ndarray, point: OperatingPoint
    ) -> np.ndarray | None:
        """What to answer from, chosen on the validation split.

        Returns:
            float (outputs,), NaN where there is none; None where nothing is decided by thresholds.
        """

    def activate(self, logits: np.ndarray) -> np.ndarray:
        """The answers that logits, (n, outputs), stand for."""
        return logits if self.calibrator is None else self.calibrator.probabilities(logits)

    @abstractmethod
    def choose(self, predictions: np.ndarray, thresholds: np.ndarray | None, least: float) -> list[tuple[int, ...]]:
        """The classes that each example is answered with, the likeliest first.

        Args:
            predictions: float (n, outputs).
            thresholds: (outputs,), NaN for those without one; None for none.
            least: probability below which a class is left out.
        """

    def ranked(self, predictions: np.ndarray) -> np.ndarray:
        """The outputs in the order in which the predictions of one example, (outputs,), are told: int (outputs,)."""
        return np.argsort(-predictions, kind="stable")

    @abstractmethod
    def answer_text(self, predictions: Mapping[str, float], chosen: Sequence[str], top: int) -> str:
        """A prediction in words.

        Args:
            predictions: by name, as ranked.
            chosen: the classes that are answered.
            top: how many classes to name, where an example has one.
        """

    @abstractmethod
    def answer_json(self, predictions: Mapping[str, float], chosen: Sequence[str]) -> dict[str, Any]:
        """A prediction as `--json` prints it."""

    # --- Tests ----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def measure(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> Metrics:
        """What `metrics.json` holds of a split."""

    @abstractmethod
    def highlights(self, test: Metrics) -> list[tuple[str, str]]:
        """The main figures in large: a text and what it is."""

    @abstractmethod
    def details(self, test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
        """The figures of each class or number, weakest first: columns and rows."""

    @abstractmethod
    def figures(
        self, predictions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: Any
    ) -> dict[str, Figure]:
        """Plots of the test split by name."""

    @abstractmethod
    def caption(self, answer: np.ndarray, label: Any, class_names: Sequence[str], thresholds: Any) -> tuple[str, bool]:
        """What the model says of an image, and whether that is right."""

    @abstractmethod
    def per_example_loss(self, predictions: np.ndarray, labels: np.ndarray, thresholds: Any) -> np.ndarray:
        """How unexpected each answer is, float (n,): from 0 for what is right or nearly so; mistakes above all others."""

    def samples(self, labels: Labels, members: np.ndarray) -> tuple[list[int | None], list[str]]:
        """Which training images to show, under which captions.

        Args:
            labels: of all images.
            members: positions of those that may be shown.

        Returns:
            Positions, as many for each caption, None for an empty place; and the captions.
        """
        shown: list[int | None] = [*evenly(members[labels.taken(members).order()], _SAMPLES).tolist()]
        return shown, [labels.text(one) for one in shown if one is not None]

    def overview(
        self, labels: Mapping[str, Labels], images: Sequence[np.ndarray | None], captions: Sequence[str], title: str
    ) -> Figure:
        """How many examples of what each split has, above `samples`.

        Args:
            labels: by split.
            images: uint8 (size, size, 3), as many for each caption; None for an empty place.
            captions: one a sample.
            title: of the figure.
        """
        counts = {split: some.counts() for split, some in labels.items()}
        return plots.classes(counts, next(iter(labels.values())).classes, images, captions, title)

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
        """How a file's predictions compare with those of the Keras model; see `app.exporting.parity.agreement`.

        Args:
            predictions: of the file.
            expected: of the Keras model.
            labels: of the same examples.
            class_names: one an output.
            thresholds: from `choose_thresholds`.
            spread: of numbers in training, (outputs,).

        Returns:
            Figures for `parity.json`: at least the score, `keras_` and it, it and `_drop` and `_drop_ci95`, in parts of 1.
        """

    def unit_of(self, labels: np.ndarray) -> float:
        """What differences of answers are measured in: 1 for probabilities."""
        return 1.0

    @abstractmethod
    def purpose(self, names: Sequence[str]) -> str:
        """What a model of it does, the beginning of a sentence."""

    @abstractmethod
    def card_text(self, names: Sequence[str]) -> str:
        """What a model of it does, a sentence for the model card."""

    @abstractmethod
    def card_output(self, *, has_thresholds: bool) -> str:
        """What a model of it answers with, for the model card."""

    @abstractmethod
    def output_text(self, names: Sequence[str]) -> str:
        """What the output of a `.tflite` is, in its metadata."""

    # --- Audits: what a head, fitted without them, thinks of labels -------------------------------------------------------

    @abstractmethod
    def evaluated(
        self, labels: np.ndarray, units: np.ndarray, outputs: int, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which outputs have enough examples to be evaluated, and which examples can be.

        Args:
            labels: of all examples.
            units: int (n,), the same number for examples that belong together.
            outputs: how many there are.
            least: units that are enough.

        Returns:
            Positions of the outputs, int (m,), none where there is nothing to compare; and bool (n,).
        """

    def audit_targets(
        self, labels: np.ndarray, outputs: int, evaluated: np.ndarray
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """What a head is fitted to, float32 (n, outputs), and what makes answers of its logits.

        Args:
            labels: of all examples.
            outputs: how many there are.
            evaluated: which examples are evaluated, bool (n,).
        """
        return self.targets(labels, outputs), self.activate

    @abstractmethod
    def label_quality(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """How well each label fits, from 0 to 1, float (n,).

        Args:
            labels: of the examples that are evaluated.
            predictions: of heads, float (n, m).
            outputs: which these are, int (m,).
        """

    @abstractmethod
    def suspects(self, labels: np.ndarray, predictions: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Positions of the labels that are probably wrong, int; arguments as for `label_quality`."""

    @abstractmethod
    def seen(self, answer: np.ndarray, names: Sequence[str]) -> str:
        """What a head takes an example for, in words: of its answer, (m,), and the names of these outputs."""


def shares(predictions: Mapping[str, float], names: Sequence[str]) -> str:
    """Classes with their probabilities, as text."""
    return ", ".join(f"{name} {predictions[name]:.1%}" for name in names)


def evenly(members: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the members, evenly spaced."""
    if len(members) <= count:
        return members
    return members[((np.arange(count) + 0.5) * len(members) / count).astype(np.int64)]
