"""Model files of other makers: what they say of themselves is followed, as by a phone, and what they do not say is said."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from onnx import TensorProto

import app
from app.errors import UsageError
from app.exporting.process import ModelProcess
from data.decoding import decode
from tests.conftest import Ended
from tests.foreign import (
    COLOURS,
    convert,
    network,
    with_foreign_metadata,
    write_keras,
    write_onnx,
    write_saved_model,
)
from tests.pictures import encode

Cli = Callable[..., Ended]
TEXT = b"red\ngreen\nblue\n"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark red, a green and a blue image, wider than high; the left half of the last is grey."""
    folder = tmp_path_factory.mktemp("colours")
    for label, name in enumerate(COLOURS):
        pixels = np.full((20, 30, 3), 90, np.uint8)
        pixels[..., label] = 220
        (folder / f"{label}-{name}.png").write_bytes(encode(pixels))
    return folder


@pytest.fixture(scope="module")
def plain() -> bytes:
    """A float `.tflite` of pixels from -1 to 1 that says nothing of itself."""
    return convert(network())


@pytest.fixture
def told(plain: bytes, tmp_path: Path) -> Path:
    """The same with its normalisation, its labels and their German names."""
    return write(
        tmp_path / "told.tflite", with_foreign_metadata(plain, labels={"": TEXT, "de": b"rot\ngr\xc3\xbcn\nblau"})
    )


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def labels(found: list[app.Prediction]) -> list[str | None]:
    return [one.label for one in found]


def ask(model: Path, images: Path, **options: Any) -> app.Predictions:
    return app.predict(str(model), [str(images)], **options)


# --- A .tflite's own description ----------------------------------------------------------------------------------------


def by_mediapipe(model: Path, image: Path) -> dict[str, float]:
    """What an app gets that knows nothing of the file: its classes by name."""
    with ModelProcess(model, "mediapipe") as client:
        (scores,) = client.probabilities(np.asarray(decode(image.read_bytes()))[None])
        names = client.ask("class_names")
    return {names[label]: float(score) for label, score in enumerate(scores)}


@pytest.mark.parametrize(
    ("mean", "std"), [((127.5,), (127.5,)), ((0.0,), (255.0,)), ((127.0,), (128.0,)), ((0.0,), (1.0,))]
)
def test_normalisation_and_labels_are_those_that_a_phone_reads(
    mean: tuple[float], std: tuple[float], plain: bytes, images: Path, tmp_path: Path
) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(plain, mean=mean, std=std, labels={"": TEXT}))
    for one in ask(model, images):
        expected = by_mediapipe(model, Path(one.path))
        assert one.label == Path(one.path).stem[2:] == max(expected, key=expected.__getitem__)
        assert one.probabilities == pytest.approx(expected, abs=0.01)


def test_each_channel_can_have_its_own_normalisation(plain: bytes, images: Path, tmp_path: Path) -> None:
    mean, std = (120.0, 110.0, 100.0), (60.0, 50.0, 200.0)
    model = write(tmp_path / "a.tflite", with_foreign_metadata(plain, mean=mean, std=std, labels={"": TEXT}))
    same = write(tmp_path / "b.tflite", plain)
    for one, other in zip(ask(model, images), ask(same, images, mean=mean, std=std), strict=True):
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()))
    assert labels(ask(model, images))[0] == "red"


def test_names_come_in_the_language_that_is_asked_for(told: Path, images: Path) -> None:
    assert labels(ask(told, images)) == ["red", "green", "blue"]
    assert labels(ask(told, images, locale="de")) == ["rot", "grün", "blau"]
    with pytest.raises(UsageError, match=r"has no names for the locale 'fr'; it has: de"):
        ask(told, images, locale="fr")


def test_names_stand_in_for_identifiers(plain: bytes, images: Path, tmp_path: Path, cli: Cli) -> None:
    packed = {"": b"/m/06fvc\n/m/038hg\n/m/01g5v\n", "en": TEXT}
    model = write(tmp_path / "birds.tflite", with_foreign_metadata(plain, labels=packed))
    ended = cli("predict", model, images, "--json")
    assert [one["label"] for one in json.loads(ended.out)] == ["red", "green", "blue"]
    assert "its names are those of its locale 'en' (--locale)" in ended.err


@pytest.mark.parametrize(("threshold", "answered"), [(0.1, True), (0.999, False)])
def test_what_is_below_the_score_threshold_is_no_answer(
    threshold: float, answered: bool, plain: bytes, images: Path, tmp_path: Path, cli: Cli
) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(plain, labels={"": TEXT}, threshold=threshold))
    image = images / "0-red.png"
    (one,) = json.loads(cli("predict", model, image, "--json").out)
    assert one["label"] == ("red" if answered else None)
    assert one["probabilities"]["red"] > 0.5
    assert ("is below the score threshold" in cli("predict", model, image).out) != answered


@pytest.mark.parametrize("transformation", [0, 1, 2], ids=["identity", "log", "inverse_logistic"])
def test_scores_are_calibrated_as_on_a_phone(transformation: int, plain: bytes, images: Path, tmp_path: Path) -> None:
    calibration = (transformation, 0.125, b"0.9,1.5,0.25\n\n0.8,-0.5,0.1,0.2")
    model = write(tmp_path / "a.tflite", with_foreign_metadata(plain, labels={"": TEXT}, calibration=calibration))
    for one in ask(model, images):
        assert one.probabilities == pytest.approx(by_mediapipe(model, Path(one.path)), abs=0.01)


def test_a_run_s_resize_and_task_travel_in_its_file(tiny_run: app.Run, tmp_path: Path) -> None:
    from app.exporting.metadata import Description, with_metadata
    from app.exporting.self_description import describe_tflite

    description = Description("n", "t", "1", "a", "l", COLOURS, task="multi_label", resize="crop")
    description = Description(**{**vars(description), "thresholds": np.array([0.25, 0.5, 0.75])})
    model = write(
        tmp_path / "a.tflite", with_metadata((tiny_run.export / "model_float32.tflite").read_bytes(), description)
    )
    found = describe_tflite(model)
    assert (found.task, found.resize, found.names) == ("multi_label", "crop", COLOURS)
    assert found.thresholds == (0.25, 0.5, 0.75)
    assert found.is_ours and (found.mean, found.std) == ((0.0,), (1.0,))


def test_an_exported_file_answers_elsewhere_as_in_its_run(
    tiny_run: app.Run, fruit: Path, tmp_path: Path, cli: Cli
) -> None:
    model = write(tmp_path / "model.tflite", (tiny_run.export / "model_float32.tflite").read_bytes())
    ended = cli("predict", model, fruit, "--json")
    assert ended.err == ""  # nothing had to be assumed
    expected = app.predict(str(tiny_run.path), [str(fruit)])
    assert [one["label"] for one in json.loads(ended.out)] == labels(expected)


def test_what_a_file_does_not_say_is_said(plain: bytes, images: Path, tmp_path: Path, cli: Cli) -> None:
    model = write(tmp_path / "silent.tflite", plain)
    (line,) = cli("predict", model, images, "--json").err.splitlines()
    assert line.startswith("silent.tflite: ")
    assert "it does not say how pixels are scaled, so it gets 0 to 255 (--mean, --std)" in line
    assert "images are stretched to 16 x 16 (--resize)" in line
    assert "it does not name its classes (--labels)" in line


def test_the_user_says_what_a_file_does_not(plain: bytes, images: Path, tmp_path: Path, cli: Cli) -> None:
    model, names = write(tmp_path / "silent.tflite", plain), write(tmp_path / "names.txt", TEXT)
    options = ("--labels", names, "--mean", 127.5, "--std", 127.5, "--resize", "pad")
    ended = cli("predict", model, images, "--json", *options)
    assert (ended.code, ended.err) == (0, "")
    assert [one["label"] for one in json.loads(ended.out)] == ["red", "green", "blue"]


def test_the_file_s_own_labels_count_before_those_beside_it(told: Path, images: Path, tmp_path: Path, cli: Cli) -> None:
    write(tmp_path / "labels.txt", b"of\nanother\nmodel\nentirely\n")
    ended = cli("predict", told, images, "--json")
    assert [one["label"] for one in json.loads(ended.out)] == ["red", "green", "blue"]
    assert "its labels are those in its metadata, not those of labels.txt beside it (--labels)" in ended.err
    assert labels(ask(told, images, labels=str(write(tmp_path / "mine.txt", b"a\nb\nc")))) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (
            b"red\ngreen\n",
            r"knows 3 classes, but the labels in its metadata name 2; give the right ones with --labels FILE",
        ),
        (b"", "but the labels|does not name"),
    ],
)
def test_packed_labels_of_another_number_are_refused(
    packed: bytes, text: str, plain: bytes, images: Path, tmp_path: Path
) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(plain, labels={"": packed}))
    if packed:
        with pytest.raises(UsageError, match=text):
            ask(model, images)
    else:
        assert labels(ask(model, images)) == ["class 0", "class 1", "class 2"]


# --- Label files --------------------------------------------------------------------------------------------------------

NAMES = ("Äpfel", "Birnen", "Kürbis")


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-32", None),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"),
        ("latin-1", "Windows-1252 (Latin-1)"),
        ("cp1252", "Windows-1252 (Latin-1)"),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("place", ["beside", "given", "packed"])
def test_labels_in_any_encoding_are_read(
    encoding: str, said: str | None, ending: str, place: str, plain: bytes, images: Path, tmp_path: Path, cli: Cli
) -> None:
    content = "".join(f"{name}{ending}" for name in NAMES).encode(encoding)
    model, options = write(tmp_path / "a.tflite", plain), ("--mean", 127.5, "--std", 127.5)
    if place == "packed":
        write(model, with_foreign_metadata(plain, labels={"": content}))
    else:
        file = write(tmp_path / ("labels.txt" if place == "beside" else "mine.txt"), content)
        options += ("--labels", file) if place == "given" else ()
    ended = cli("predict", model, images, "--json", *options)
    assert ended.code == 0, ended.err
    assert [one["label"] for one in json.loads(ended.out)] == list(NAMES)
    assert (f"read as {said}" in ended.err) == (said is not None)


def test_names_that_occur_twice_lose_no_answer(plain: bytes, images: Path, tmp_path: Path, cli: Cli) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(plain, labels={"": b"tabby\ntabby\nblue\n"}))
    red, *_ = json.loads(cli("predict", model, images, "--json").out)
    assert set(red["probabilities"]) == {"tabby (class 0)", "tabby (class 1)", "blue"}
    assert sum(red["probabilities"].values()) == pytest.approx(1)
    assert red["label"] == "tabby (class 0)"
    assert f"tabby (class 0) {red['probabilities']['tabby (class 0)']:.1%}" in cli("predict", model, images).out


def test_classes_without_a_name_are_numbered(plain: bytes, images: Path, tmp_path: Path) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(plain, labels={"": b"\n\nblue\n"}))
    assert labels(ask(model, images)) == ["class 0", "class 1", "blue"]


# --- What values mean ---------------------------------------------------------------------------------------------------


def written(kind: str, folder: Path, *, end: str, outputs: int = 3) -> Path:
    """A file of each format that ends so, and takes pixels of 0 to 255."""
    if kind == "onnx":
        return write_onnx(folder / "a.onnx", end={"linear": "Identity"}.get(end, end.title()), outputs=outputs)
    if kind == "keras":
        return write_keras(folder / "a.keras", activation=end, outputs=outputs)
    function = network((None, 16, 16, 3), end=end, outputs=outputs, inside=True)
    if kind == "tflite":
        return write(folder / "a.tflite", convert(function))
    return write_saved_model(folder / "saved", function)


KINDS = ("tflite", "onnx", "keras", "saved_model")


@pytest.mark.parametrize("kind", KINDS)
def test_logits_become_probabilities(kind: str, images: Path, tmp_path: Path, cli: Cli) -> None:
    ended = cli("predict", written(kind, tmp_path, end="linear"), images, "--json")
    assert "its values are logits, made probabilities by a softmax" in ended.err
    for label, one in enumerate(json.loads(ended.out)):
        assert one["label"] == f"class {label}"
        assert sum(one["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_that_each_have_a_probability_may_all_be_answers(
    kind: str, images: Path, tmp_path: Path, cli: Cli
) -> None:
    model = written(kind, tmp_path, end="sigmoid")
    ended = cli("predict", model, images, "--json")
    assert "each class has a probability by itself" in ended.err
    for one in json.loads(ended.out):
        assert one["labels"] == [name for name, value in one["probabilities"].items() if value >= 0.5]
    assert labels(ask(model, images, task="single_label")) == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, {"positive", "negative"}),
        (b"apple\n", {"apple", "not apple"}),
        (b"blueish\nreddish\n", {"blueish", "reddish"}),
    ],
)
def test_one_sigmoid_tells_two_classes(names: bytes | None, expected: set[str], images: Path, tmp_path: Path) -> None:
    model = written("tflite", tmp_path, end="sigmoid", outputs=1)
    if names:
        write(tmp_path / "labels.txt", names)
    red, _, blue = ask(model, images)
    assert set(red.probabilities) == expected and red.label != blue.label
    assert red.label in ("positive", "apple", "reddish")
    assert sum(red.probabilities.values()) == pytest.approx(1)
    assert red.probabilities[red.label or ""] > 0.5 > blue.probabilities[red.label or ""]


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_one_probability_is_recognised_in_every_format(kind: str, images: Path, tmp_path: Path, cli: Cli) -> None:
    ended = cli("predict", written(kind, tmp_path, end="sigmoid", outputs=1), images, "--json")
    assert [one["label"] for one in json.loads(ended.out)][::2] == ["positive", "negative"]
    assert "its one value is the probability of 'positive' (--task regression: a number)" in ended.err


def test_one_value_that_is_no_probability_is_a_number(images: Path, tmp_path: Path, cli: Cli) -> None:
    model = written("tflite", tmp_path, end="linear", outputs=1)
    ended = cli("predict", model, images, "--json")
    assert "its one value is no probability, so it is shown as a number (--task single_label: a logit)" in ended.err
    assert list(json.loads(ended.out)[0]["numbers"]) == ["number 0"]
    assert labels(ask(model, images, task="single_label"))[::2] == ["positive", "negative"]


def test_an_integer_file_s_probabilities_are_recognised(images: Path, tmp_path: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network()])
    random = np.random.default_rng(0)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [random.uniform(-1, 1, (1, 1, 1, 3)).repeat(16, 1).repeat(16, 2).astype(np.float32)] for _ in range(50)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    for kind in (tf.uint8, tf.int8):
        converter.inference_input_type = converter.inference_output_type = kind
        model = write(tmp_path / f"{kind.name}.tflite", with_foreign_metadata(converter.convert(), labels={"": TEXT}))
        found = ask(model, images)
        assert labels(found) == ["red", "green", "blue"]
        assert found[0].task == "single_label" and found[0].probabilities["red"] > 0.6


# --- Shapes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["A.TFLITE", "a.lite", "a.bin", "A.ONNX", "A.KERAS"])
def test_files_are_known_by_any_spelling(name: str, images: Path, tmp_path: Path) -> None:
    kind = {".onnx": "onnx", ".keras": "keras"}.get(Path(name).suffix.lower(), "tflite")
    model = written(kind, tmp_path, end="softmax").rename(tmp_path / name)
    assert labels(ask(model, images)) == ["class 0", "class 1", "class 2"]


def dynamic(kind: str, folder: Path, **options: Any) -> Path:
    if kind == "onnx":
        return write_onnx(folder / "a.onnx", ("n", 3, "h", "w"))
    function = network((None, None, None, 3), inside=True)
    if kind == "saved_model":
        return write_saved_model(folder / "saved", function)
    return write(folder / "a.tflite", with_foreign_metadata(convert(function), mean=(0.0,), std=(1.0,), **options))


@pytest.mark.parametrize("kind", ["tflite", "onnx", "saved_model"])
def test_a_file_for_any_size_needs_one(kind: str, images: Path, tmp_path: Path) -> None:
    model = dynamic(kind, tmp_path)
    with pytest.raises(UsageError, match="takes images of any size; say which with --image-size, such as --image-size"):
        ask(model, images)
    assert labels(ask(model, images, image_size=24)) == ["class 0", "class 1", "class 2"]


def test_the_size_that_a_file_was_made_for_is_read(images: Path, tmp_path: Path, cli: Cli) -> None:
    ended = cli("predict", dynamic("tflite", tmp_path, size=(12, 20)), images, "--json")
    assert ended.code == 0 and "images are stretched to 20 x 12" in ended.err


def test_another_size_than_the_file_s_is_refused(told: Path, images: Path) -> None:
    with pytest.raises(UsageError, match="takes images of 16 x 16 pixels, not 32; leave out --image-size"):
        ask(told, images, image_size=32)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 12, 20, 3), {}),
        ((8, 16, 16, 3), {}),
        ((8, 12, 20, 3), {}),
        ((1, 3, 12, 20), {}),
        ((1, 16, 16, 3), {"answer_shape": (1, 1, 3)}),
        ((1, 16, 16, 3), {"answer_shape": (3, 1, 1)}),
        ((2, 16, 16, 3), {"answer_shape": (1, 1, 3)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["tflite", "saved_model"])
def test_odd_shapes_answer_as_usual_ones(
    kind: str, shape: tuple[int, ...], options: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    function = network(shape, inside=True, **options)
    model = (
        write(tmp_path / "a.tflite", convert(function))
        if kind == "tflite"
        else write_saved_model(tmp_path / "s", function)
    )
    usual = ask(write(tmp_path / "usual.tflite", convert(network(inside=True))), images)
    for one, other in zip(ask(model, images), usual, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)


@pytest.mark.parametrize(
    "shape", [(1, 3, 16, 16), (1, 16, 16, 3), ("n", 3, 12, 20), (8, 3, 16, 16), ("n", 16, 16, 3)], ids=str
)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8, TensorProto.FLOAT16])
def test_onnx_files_of_any_layout_and_type(shape: tuple[Any, ...], kind: int, images: Path, tmp_path: Path) -> None:
    found = ask(write_onnx(tmp_path / "a.onnx", shape, kind=kind), images)
    assert labels(found) == ["class 0", "class 1", "class 2"]
    assert [one.probabilities[one.label or ""] > 0.8 for one in found] == [True] * 3


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32, tf.float16], ids=lambda one: one.name)
def test_saved_models_of_any_type(dtype: tf.DType, images: Path, tmp_path: Path) -> None:
    model = write_saved_model(tmp_path / "saved", network((None, 16, 16, 3), dtype=dtype, inside=True))
    assert labels(ask(model, images)) == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(
    "properties",
    [
        {"labels": '["red", "green", "blue"]'},
        {"names": "{0: 'red', 1: 'green', 2: 'blue'}"},
        {"classes": "red,green,blue"},
        {"class_names": "red\ngreen\nblue"},
        {"names": '{"red": 0, "green": 1, "blue": 2}'},
    ],
)
def test_onnx_files_name_their_classes_in_many_ways(properties: dict[str, str], images: Path, tmp_path: Path) -> None:
    assert labels(ask(write_onnx(tmp_path / "a.onnx", properties=properties), images)) == ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"Image.BitmapPixelFormat": "Bgr8"}, ["class 2", "class 1", "class 0"]),
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, ["class 0", "class 1", "class 2"]),
    ],
)
def test_onnx_files_say_how_pixels_lie(
    properties: dict[str, str], expected: list[str], images: Path, tmp_path: Path
) -> None:
    assert labels(ask(write_onnx(tmp_path / "a.onnx", properties=properties), images)) == expected


@pytest.mark.parametrize(
    ("shape", "text"),
    [((1, 16, 16, 1), r"\(1, 16, 16, 1\)"), ((1, 16, 16, 4), r"\(1, 16, 16, 4\)"), ((16, 3), r"\(16, 3\)")],
)
def test_files_that_take_no_rgb_images_are_refused(
    shape: tuple[int, ...], text: str, images: Path, tmp_path: Path
) -> None:
    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def call(image: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.reduce_mean(image) + [[0.0, 1.0]], (1, 2))

    model = write(tmp_path / "a.tflite", convert(call.get_concrete_function()))
    with pytest.raises(UsageError, match=f"does not take RGB images; its input has shape {text}"):
        ask(model, images)


def test_a_file_with_several_outputs_is_refused(images: Path, tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32)])
    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"boxes": tf.reshape(image[:, 0, :4, 0], (1, 4)), "scores": image[:, 0, :2, 1]}

    model = write(tmp_path / "a.tflite", convert(call.get_concrete_function()))
    with pytest.raises(UsageError, match=r"is no classifier of images: it has 2 outputs, not one"):
        ask(model, images)


# --- Failed exports, tables, pipes --------------------------------------------------------------------------------------


def test_a_failed_export_is_warned_of(plain: bytes, images: Path, tmp_path: Path, cli: Cli) -> None:
    model = write(tmp_path / "model_int8_FAILED.tflite", plain)
    text = "Warning: model_int8_FAILED.tflite failed its check when it was exported"
    assert text in cli("predict", model, images).err
    assert text in cli("benchmark", model, "--seconds", 0.01, "--threads", 1).err
    assert "Warning" not in cli("predict", model.rename(tmp_path / "model.tflite"), images).err


@pytest.mark.parametrize("everything", [False, True])
def test_answers_are_written_as_a_table(everything: bool, told: Path, images: Path, tmp_path: Path, cli: Cli) -> None:
    output = tmp_path / "answers.csv"
    ended = cli("predict", told, images, "--output", output, *(["--all-probabilities"] if everything else []))
    assert ended.code == 0 and str(output) in ended.out and "red" not in ended.out.replace(str(images), "")
    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    expected = ask(told, images)
    assert [(one["path"], one["label"]) for one in rows] == [(one.path, one.label) for one in expected]
    assert list(rows[0]) == ["path", "label", "probability", *(COLOURS if everything else ())]
    for row, one in zip(rows, expected, strict=True):
        assert float(row["probability"]) == pytest.approx(one.probabilities[row["label"]])
        assert not everything or float(row["blue"]) == pytest.approx(one.probabilities["blue"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "told.tflite"]


def test_several_labels_and_numbers_are_written_as_a_table(images: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.csv"
    ask(written("tflite", tmp_path, end="sigmoid"), images, output=str(output))
    first = next(csv.DictReader(output.read_text().splitlines()))
    assert first["label"].split("|")[0] == "class 0"
    assert len(first["label"].split("|")) == len(first["probability"].split("|"))
    ask(written("tflite", tmp_path, end="linear", outputs=1), images, output=str(output))
    assert list(next(csv.DictReader(output.read_text().splitlines()))) == ["path", "number 0"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"output": "answers.txt"}, "--output must be a .csv file"),
        ({"output": "no/such/answers.csv"}, "there is no folder"),
        ({"all_probabilities": True}, "give both"),
        ({"labels": "nowhere.txt"}, "there is no label file nowhere.txt"),
        ({"mean": (1.0, 2.0)}, "--mean takes one number or three"),
        ({"std": (0.0,)}, "--std must be above 0"),
        ({"task": "segmentation"}, "--task cannot be 'segmentation'"),
        ({"image_size": 0}, "--image-size must be above 0"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], text: str, told: Path, images: Path) -> None:
    with pytest.raises(UsageError, match=text):
        ask(told, images, **options)


def test_one_bad_file_does_not_lose_the_figures_of_the_others(
    told: Path, images: Path, tmp_path: Path, cli: Cli
) -> None:
    bad = write(tmp_path / "cut.tflite", told.read_bytes()[:300])
    ended = cli("benchmark", bad, told, "--seconds", 0.01, "--threads", 1, 2, "--json")
    assert ended.code == 0
    figures = json.loads(ended.out)
    assert [one["file"] for one in figures["rows"]] == [str(told)] * 2
    assert [one["file"] for one in figures["failed"]] == [str(bad)]
    assert f"Left out: {bad} cannot be loaded" in ended.err and "Traceback" not in ended.err


def test_odd_files_are_measured_too(tmp_path: Path, cli: Cli) -> None:
    several = write(tmp_path / "batch.tflite", convert(network((8, 12, 20, 3))))
    options = ("--image-size", 24, "--seconds", 0.01, "--threads", 1)
    ended = cli("benchmark", several, dynamic("onnx", tmp_path), *options, "--json")
    first, second = json.loads(ended.out)["rows"]
    assert (first["image_size"], first["batch"], second["image_size"]) == ([12, 20], 8, 24)
    assert "batch.tflite takes 8 images a call" in ended.err
