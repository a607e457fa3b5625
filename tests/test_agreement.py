"""How far a file's predictions are from the model's, and what the gate says: ties, small numbers, few images, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.exporting.context import ExportContext
from app.exporting.encoded_check import check_encoded
from app.exporting.formats import FORMATS
from app.exporting.metadata import Description
from app.exporting.parity import _check_client_score, _check_on_more, _check_predictions, verify
from app.exporting.process import ModelProcess
from app.exporting.saved_model import REFUSED, REFUSED_END, write_saved_model
from app.exporting.verification import Verification, agreement
from app.interface.errors import UsageError
from app.tasks import TASKS
from app.tasks.intervals import paired_interval
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from models.builder import with_predictions
from tests.handmade import colour_classifier
from tests.images import encode

# --- Figures ----------------------------------------------------------------------------------------------------------


class Asked:
    """Stands in for an `EvaluationSet`, which reads images."""

    thresholds, spread = None, None

    def __init__(
        self, expected: Any, labels: Any, class_names: Sequence[str] = ("a", "b"), task: str = SINGLE_LABEL
    ) -> None:
        self.reference, self.labels, self.class_names = np.array(expected), np.array(labels), class_names
        self.task, self.examples = TASKS[task], SimpleNamespace(task=task)

    def __len__(self) -> int:
        return len(self.labels)


EXPECTED = [[0.6, 0.4], [0.5003, 0.4997], [0.2, 0.8], [0.9, 0.1]]


def test_figures_are_those_of_the_answers() -> None:
    predictions = np.array([[0.6, 0.4], [0.4997, 0.5003], [0.7, 0.3], [0.8, 0.2]])
    figures = agreement(predictions, Asked(EXPECTED, [0, 1, 1, 1]))
    assert figures["top1_agreement"] == 0.75  # the second is a tie; the third is not
    assert (figures["accuracy"], figures["keras_accuracy"], figures["accuracy_drop"]) == (0.5, 0.5, 0.0)
    assert figures["max_probability_difference"] == pytest.approx(0.5)
    assert figures["mean_probability_difference"] == pytest.approx((0 + 0.0006 + 0.5 + 0.1) / 4)
    assert figures["class_drops"] == {}  # "b" wins one and loses one
    assert figures["accuracy_drop_ci95"] == paired_interval(np.array([0, -1, 1, 0]))


def test_the_classes_that_lose_most_come_first() -> None:
    lost = {"a": 0, "b": 3, "c": 1, "d": 9, "e": 2, "f": 0, "g": 5, "h": 4}  # of ten images each
    labels = np.repeat(np.arange(8), 10)
    found = [(label + (number < many)) % 8 for label, many in enumerate(lost.values()) for number in range(10)]
    figures = agreement(np.eye(8)[found], Asked(np.eye(8)[labels], labels, list(lost)))
    first = list(figures["class_drops"].items())[:5]
    assert first == [("d", 0.9), ("g", 0.5), ("h", 0.4), ("b", 0.3), ("e", 0.2)]
    assert not {"a", "f"} & set(figures["class_drops"])
    assert figures["accuracy_drop"] == pytest.approx(24 / 80)


@pytest.mark.parametrize(
    ("predictions", "failures"),
    [
        (EXPECTED, []),
        ([[0.6, 0.4], [0.4998, 0.5002], [0.2, 0.8], [0.9, 0.1]], []),  # a tie: rounding may order it either way
        ([[0.6, 0.4], [0.5003, 0.4997], [0.2, 0.8], [0.8, 0.2]], ["a probability differs by 0.1, more than 0.001"]),
        (
            [[0.6, 0.4], [0.5003, 0.4997], [0.7, 0.3], [0.9, 0.1]],
            [
                "another answer than the Keras model for 1 of 4 images",
                "a probability differs by 0.5, more than 0.001",
            ],
        ),
    ],
)
def test_a_file_is_held_to_its_tolerance_and_to_the_top_class(
    predictions: list[list[float]], failures: list[str]
) -> None:
    images: Any = Asked(EXPECTED, [0, 0, 1, 0])
    verification = Verification({}, predictions=np.array(predictions))
    verification.figures |= agreement(verification.predictions, images)
    _check_predictions(verification, FORMATS["onnx"], images, max_drop=0.5)
    assert verification.failures == failures


def evaluated(predictions: np.ndarray, images: Any, export: str = "onnx", max_drop: float = 0.5) -> Verification:
    """The verification of a file's predictions, by its format's rule."""
    verification = Verification({}, predictions=predictions)
    verification.figures |= agreement(predictions, images)
    _check_predictions(verification, FORMATS[export], images, max_drop=max_drop)
    return verification


@pytest.mark.parametrize(
    ("classes", "spread", "failure"),
    [
        (1000, 1e-3, "another answer than the Keras model for 300 of 300 images"),  # far beyond a tie of so many
        (1000, 2e-6, "names another class than the Keras model for 300 of 300 images, more than the 5% that near ties"),
        (2, 1e-3, "names another class than the Keras model for 300 of 300 images, more than the 5% that near ties"),
    ],
)
def test_agreement_is_not_vacuous_where_all_classes_are_close(classes: int, spread: float, failure: str) -> None:
    expected = np.full((300, classes), 1 / classes)
    expected[:, 0] += spread
    predictions = np.roll(expected, 1, axis=1)
    verification = evaluated(predictions, Asked(expected, np.zeros(300, int), [str(one) for one in range(classes)]))
    assert verification.figures["strict_top1_agreement"] == 0.0
    assert verification.failures[0].startswith(failure)


def test_the_five_likeliest_are_compared_too() -> None:
    expected = np.tile([0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.07], (4, 1))
    predictions = expected.copy()
    predictions[0, [4, 5]] = predictions[0, [5, 4]]  # another class is among the five
    predictions[1, [0, 1]] = predictions[1, [1, 0]]  # the same five in another order
    found = agreement(predictions, Asked(expected, np.zeros(4, int), "abcdefg"))
    assert (found["top5_agreement"], found["strict_top1_agreement"]) == (0.75, 0.75)
    assert "top5_agreement" not in agreement(predictions[:, :5], Asked(expected[:, :5], np.zeros(4, int), "abcde"))


def test_a_few_near_ties_fail_nothing() -> None:
    expected = np.tile([0.9, 0.1], (300, 1))
    expected[:15] = [0.5001, 0.4999]
    predictions = expected.copy()
    predictions[:15] = [0.4999, 0.5001]
    verification = evaluated(predictions, Asked(expected, np.zeros(300, int)))
    assert verification.failures == [] and verification.figures["strict_top1_agreement"] == 0.95


def test_low_thresholds_of_many_labels_do_not_make_all_ties() -> None:
    images: Any = Asked(np.full((40, 50), 0.025), np.zeros((40, 50)), [str(one) for one in range(50)], MULTI_LABEL)
    images.thresholds = np.full(50, 0.02)
    verification = evaluated(np.full((40, 50), 0.0198), images)
    assert verification.figures["strict_yes_agreement"] == 0.0 and verification.failures
    images.reference = np.full((40, 50), 0.0201)  # each of them is a tie, all of them together are none
    (failure,) = evaluated(np.full((40, 50), 0.0199), images).failures
    assert failure.startswith("differs from the Keras model in 2000 of 2000 yes answers")


@pytest.mark.parametrize(
    ("low", "high", "step", "passes"),
    [
        (120_000, 520_000, 0.0, True),
        (48.13, 48.15, np.spacing(np.float32(48.14)), True),  # the next number that there is
        (48.13, 48.15, 20 * np.spacing(np.float32(48.14)), False),
        (1.7e9, 1.7001e9, 128.0, True),
        (0.0, 1.0, 0.01, False),
    ],
)
def test_numbers_are_evaluated_by_what_their_type_can_tell(low: float, high: float, step: float, passes: bool) -> None:
    labels = np.linspace(low, high, 50, dtype=np.float32)[:, None]
    predictions = (labels + np.float32(step)).astype(np.float32)
    verification = evaluated(predictions, Asked(labels, labels, ["number"], REGRESSION))
    assert (verification.failures == []) == passes
    assert verification.figures["tolerance"] >= FORMATS["onnx"].tolerance


def test_test_images_with_nearly_the_same_number_are_evaluated_by_the_spread_of_training() -> None:
    labels = np.array([[300_000.0], [300_001.0]], np.float32)
    images: Any = Asked(labels, labels, ["price"], REGRESSION)
    predictions = labels + np.float32(5.0)
    assert evaluated(predictions, images).failures
    images.spread = np.array([100_000.0])
    assert evaluated(predictions, images).failures == []


# --- Files for servers, which decode by themselves --------------------------------------------------------------------


class Server:
    """Stands in for the process of a SavedModel: it answers by the image's number, and refuses some; it may end."""

    def __init__(self, predictions: np.ndarray, refused: dict[int, str], ends: bool = False) -> None:
        self.predictions, self.refused, self.ends = predictions, refused, ends

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        if self.ends:
            raise UsageError("the process has ended")
        return self.predictions[:1]

    def predict_encoded(self, files: list[bytes], *, by_client: bool) -> np.ndarray:
        assert by_client
        for number in map(int, files):
            if number in self.refused:
                raise UsageError(f"saved_model cannot be run: {self.refused[number]}")
        return self.predictions[[int(file) for file in files]]


def served(predictions: np.ndarray, refused: dict[int, str], ends: bool = False) -> Verification:
    images: Any = Asked(np.tile([0.9, 0.1], (100, 1)), np.zeros(100, int))
    images.encoded = lambda batch: [str(index).encode() for index in batch]
    images.batches = lambda: [range(start, start + 25) for start in range(0, 100, 25)]
    images.pixels = lambda positions: np.zeros((len(positions), 1))
    verification = Verification({})
    model: Any = Server(predictions, refused, ends)
    check_encoded(verification, model, images)
    return verification


def refusal(reason: str) -> str:
    return f"{{node}} assertion failed: [{REFUSED}{reason}{REFUSED_END}] [[node]]"


def test_what_the_signature_refuses_is_counted_with_its_reason() -> None:
    kinds = {3: "a JPEG in CMYK", 4: "a JPEG in CMYK", 99: "an animated WebP"}
    verification = served(np.tile([0.9, 0.1], (100, 1)), {number: refusal(kind) for number, kind in kinds.items()})
    assert verification.passed
    assert (verification.figures["encoded"]["pictures"], verification.figures["encoded"]["refused"]) == (97, 3)
    left_out = {one["reason"]: (one["pictures"], one["of"]) for one in verification.figures["left_out"]}
    assert left_out == {"it refuses a JPEG in CMYK": (2, 100), "it refuses an animated WebP": (1, 100)}


def test_a_signature_that_refuses_everything_is_told_of() -> None:
    verification = served(np.zeros((100, 2)), {number: refusal("a JPEG in CMYK") for number in range(100)})
    assert verification.figures["encoded"]["pictures"] == 0
    assert verification.figures["left_out"][0]["pictures"] == 100


def test_one_image_that_lies_on_its_side_is_not_hidden_by_the_others() -> None:
    predictions = np.tile([0.9, 0.1], (100, 1))
    predictions[7] = [0.4, 0.6]
    assert served(predictions, {}).failures == ["its signature for image files differs by 0.5 for one of them"]


def test_what_tensorflow_cannot_read_is_counted_too() -> None:
    verification = served(np.tile([0.9, 0.1], (100, 1)), {5: "Invalid PNG data"})
    (left_out,) = verification.figures["left_out"]
    assert verification.passed and left_out["pictures"] == 1
    assert left_out["reason"] == "it refuses what TensorFlow's own decoders do not read"


@pytest.mark.parametrize(
    ("refused", "ends", "text"),
    [
        ({5: "Invalid PNG data"}, True, "the process has ended"),
        (dict.fromkeys(range(100), "no such"), False, "no such"),
    ],
)
def test_a_signature_that_does_not_work_is_a_fault(refused: dict[int, str], ends: bool, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        served(np.tile([0.9, 0.1], (100, 1)), refused, ends)


def test_a_saved_model_says_what_it_does_not_take(tmp_path: Path) -> None:
    model = with_predictions(colour_classifier())
    description = Description("name", "text", "1", "author", "licence", ("a", "b", "c"))
    write_saved_model(ExportContext(model, description=description, calibration=lambda: None), tmp_path / "saved_model")
    image = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    with ModelProcess(tmp_path / "saved_model") as process:
        with pytest.raises(UsageError) as refused:
            process.predict_encoded([encode(image.convert("CMYK"), "JPEG")], "stretch")
        assert process.predict_encoded([encode(image, "JPEG", exif=exif)], "stretch").shape == (1, 3)
    assert f"{REFUSED}a JPEG in CMYK{REFUSED_END}" in str(refused.value)


# --- Too few images to tell -------------------------------------------------------------------------------------------


def losing(lost: int, examples: int) -> tuple[np.ndarray, Any]:
    """Answers that lose some of the images, and the images."""
    images: Any = Asked(np.tile([0.9, 0.1], (examples, 1)), np.zeros(examples, int))
    predictions = images.reference.copy()
    predictions[:lost] = [0.1, 0.9]
    return predictions, images


@pytest.mark.parametrize(
    ("lost", "examples", "within_chance"), [(1, 24, True), (2, 269, True), (9, 24, False), (9, 269, False)]
)
def test_a_quantised_file_fails_only_beyond_chance(lost: int, examples: int, within_chance: bool) -> None:
    verification = evaluated(*losing(lost, examples), "tflite_int8")
    assert verification.figures["within_chance"] == within_chance
    assert verification.passed == within_chance


@pytest.mark.parametrize(
    ("lost_of_more", "passed", "within_chance"),
    [(0, True, True), (1, True, True), (40, False, False)],  # none; some, perhaps by chance; more than that
)
def test_images_of_training_decide_where_those_of_the_test_cannot(
    lost_of_more: int, passed: bool, within_chance: bool
) -> None:
    verification = evaluated(*losing(1, 24), "tflite_int8")
    predictions, more = losing(lost_of_more, 100)
    more.batches = lambda: [range(100)]
    more.pixels = lambda positions: np.zeros((len(positions), 1))
    model: Any = SimpleNamespace(predict=lambda pixels: predictions, values=lambda outputs: outputs)
    _check_on_more(verification, model, more, max_drop=0.5)
    assert (verification.passed, verification.figures["within_chance"]) == (passed, within_chance)
    assert verification.figures["more"]["pictures"] == 100
    assert verification.figures["more"]["accuracy_drop"] == lost_of_more / 100
    if not passed:
        assert "40 of 100 training and validation images" in verification.failures[0]


@pytest.mark.parametrize(
    ("lost", "examples", "within_chance", "failures"),
    [
        (0, 100, False, []),
        (1, 400, False, []),  # a quarter of a point is allowed
        (2, 269, True, []),  # 0.7 points are not, but may be chance
        (9, 269, False, ["through MediaPipe Tasks it loses 3.3 points of accuracy (9 of 269 images, 95 % interval"]),
    ],
)
def test_only_a_loss_beyond_chance_counts_through_the_client(
    lost: int, examples: int, within_chance: bool, failures: list[str]
) -> None:
    images: Any = Asked(np.tile([0.9, 0.1], (examples, 1)), np.zeros(examples, int))
    predictions = images.reference.copy()
    predictions[:lost] = [0.1, 0.9]
    verification = Verification({"mediapipe": agreement(predictions, images)})
    _check_client_score(verification, images, max_drop=0.5)
    assert verification.figures["mediapipe"]["within_chance"] == within_chance
    assert len(verification.failures) == len(failures)
    assert all(text.startswith(start) for text, start in zip(verification.failures, failures, strict=True))


def test_a_file_that_cannot_be_loaded_is_named_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no model")
    verification = verify(
        tmp_path / "model.tflite", FORMATS["tflite_float32"], Asked(EXPECTED, [0, 0, 1, 0]), max_drop=0.5
    )
    assert len(verification.failures) == 1 and "model.tflite" in verification.failures[0]
    assert str(tmp_path) not in verification.failures[0]


# --- The interval -----------------------------------------------------------------------------------------------------


def differing(only_first: int, only_second: int, examples: int) -> np.ndarray:
    return np.repeat([1, -1, 0], [only_first, only_second, examples - only_first - only_second])


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        # Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for paired binomial proportions",
        # Statistics in Medicine 33 (2014): airways before and after a transplantation; a therapy.
        ((1, 7, 21), (-0.508, -0.013)),
        ((6, 16, 161), (-0.120, -0.003)),
        # By hand: 51/202 - 23/202 -+ 1.96 * sqrt((74/202 - (28/202)**2) / 202)
        ((50, 22, 200), (0.0574, 0.2199)),
    ],
)
def test_the_interval_has_the_values_of_its_source(counts: tuple[int, int, int], interval: tuple[float, float]) -> None:
    assert paired_interval(differing(*counts)) == pytest.approx(interval, abs=6e-4)


@pytest.mark.parametrize("counts", [(5, 1, 100), (0, 0, 10), (3, 3, 50), (20, 0, 30), (1, 0, 1000)])
def test_the_interval_is_symmetric_and_holds_the_drop(counts: tuple[int, int, int]) -> None:
    only_first, only_second, examples = counts
    low, high = paired_interval(differing(*counts))
    assert -1 <= low < (only_first - only_second) / examples <= high <= 1
    assert paired_interval(differing(only_second, only_first, examples)) == pytest.approx((-high, -low))


def test_the_interval_shrinks_with_the_images() -> None:
    widths = [np.diff(paired_interval(differing(n // 20, n // 100, n)))[0] for n in (100, 400, 1600, 6400)]
    assert widths == sorted(widths, reverse=True)
    assert widths[3] == pytest.approx(widths[1] / 4, rel=0.1)  # with their square root


def test_the_interval_stays_within_what_can_be() -> None:
    assert paired_interval(np.ones(2))[1] == 1.0
    assert paired_interval(-np.ones(2))[0] == -1.0
