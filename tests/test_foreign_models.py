"""Model files of other makers: what they say of themselves is followed, as by a phone, and what they do not say is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import app
from app.exporting.process import ModelProcess
from app.interface.errors import UsageError
from data.image.decoding import decode
from tests.conftest import Ended
from tests.foreign import (
    COLOURS,
    TEXT,
    ask,
    labels,
    network,
    with_foreign_metadata,
    write,
    written,
)

Cli = Callable[..., Ended]


# --- A .tflite's own description ----------------------------------------------------------------------------------------


def by_mediapipe(model: Path, image: Path) -> dict[str, float]:
    """What an app gets that knows nothing of the file: its classes by name."""
    with ModelProcess(model, "mediapipe") as client:
        (scores,) = client.predict(np.asarray(decode(image.read_bytes()))[None])
        names = client.ask("class_names")
    return {names[label]: float(score) for label, score in enumerate(scores) if label in names}  # without those of 0


@pytest.mark.parametrize(
    ("mean", "std"), [((127.5,), (127.5,)), ((0.0,), (255.0,)), ((127.0,), (128.0,)), ((0.0,), (1.0,))]
)
def test_normalisation_and_labels_are_those_that_a_phone_reads(
    mean: tuple[float], std: tuple[float], foreign_file: bytes, foreign_images: Path, tmp_path: Path
) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(foreign_file, mean=mean, std=std, labels={"": TEXT}))
    for one in ask(model, foreign_images):
        expected = by_mediapipe(model, Path(one.path))
        assert one.label == Path(one.path).stem[2:] == max(expected, key=expected.__getitem__)
        assert {name: one.probabilities[name] for name in expected} == pytest.approx(expected, abs=0.01)


def test_each_channel_can_have_its_own_normalisation(foreign_file: bytes, foreign_images: Path, tmp_path: Path) -> None:
    mean, std = (120.0, 110.0, 100.0), (60.0, 50.0, 200.0)
    model = write(tmp_path / "a.tflite", with_foreign_metadata(foreign_file, mean=mean, std=std, labels={"": TEXT}))
    same = write(tmp_path / "b.tflite", foreign_file)
    for one, other in zip(ask(model, foreign_images), ask(same, foreign_images, mean=mean, std=std), strict=True):
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()))
    assert labels(ask(model, foreign_images))[0] == "red"


def test_names_come_in_the_language_that_is_asked_for(told: Path, foreign_images: Path) -> None:
    assert labels(ask(told, foreign_images)) == ["red", "green", "blue"]
    assert labels(ask(told, foreign_images, locale="de")) == ["rot", "grün", "blau"]
    with pytest.raises(UsageError, match=r"has no names for the locale 'fr'; it has: de"):
        ask(told, foreign_images, locale="fr")


def test_names_stand_in_for_identifiers(foreign_file: bytes, foreign_images: Path, tmp_path: Path, cli: Cli) -> None:
    packed = {"": b"/m/06fvc\n/m/038hg\n/m/01g5v\n", "en": TEXT}
    model = write(tmp_path / "birds.tflite", with_foreign_metadata(foreign_file, labels=packed))
    ended = cli("predict", model, foreign_images, "--json")
    assert [one["label"] for one in json.loads(ended.out)] == ["red", "green", "blue"]
    assert "its names are those of its locale 'en' (--locale)" in ended.err


@pytest.mark.parametrize(("threshold", "answered"), [(0.1, True), (0.999, False)])
def test_what_is_below_the_score_threshold_is_no_answer(
    threshold: float, answered: bool, foreign_file: bytes, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(foreign_file, labels={"": TEXT}, threshold=threshold))
    image = foreign_images / "0-red.png"
    (one,) = json.loads(cli("predict", model, image, "--json").out)
    assert one["label"] == ("red" if answered else None)
    assert one["probabilities"]["red"] > 0.5
    assert ("is below the score threshold" in cli("predict", model, image).out) != answered


@pytest.mark.parametrize("transformation", [0, 1, 2], ids=["identity", "log", "inverse_logistic"])
def test_scores_are_calibrated_as_on_a_phone(
    transformation: int, foreign_file: bytes, foreign_images: Path, tmp_path: Path
) -> None:
    calibration = (transformation, 0.125, b"0.9,1.5,0.25\n\n0.8,-0.5,0.1,0.2")
    model = write(
        tmp_path / "a.tflite", with_foreign_metadata(foreign_file, labels={"": TEXT}, calibration=calibration)
    )
    for one in ask(model, foreign_images):
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


def test_what_a_file_does_not_say_is_said(foreign_file: bytes, foreign_images: Path, tmp_path: Path, cli: Cli) -> None:
    model = write(tmp_path / "silent.tflite", foreign_file)
    (line,) = cli("predict", model, foreign_images, "--json").err.splitlines()
    assert line.startswith("silent.tflite: ")
    assert "it does not say how pixels are scaled, so it gets 0 to 255 (--mean, --std)" in line
    assert "images are stretched to 16 x 16 (--resize)" in line
    assert "it does not name its classes (--labels)" in line


def test_the_user_says_what_a_file_does_not(
    foreign_file: bytes, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    model, names = write(tmp_path / "silent.tflite", foreign_file), write(tmp_path / "names.txt", TEXT)
    options = ("--labels", names, "--mean", 127.5, "--std", 127.5, "--resize", "pad")
    ended = cli("predict", model, foreign_images, "--json", *options)
    assert (ended.code, ended.err) == (0, "")
    assert [one["label"] for one in json.loads(ended.out)] == ["red", "green", "blue"]


def test_the_file_s_own_labels_count_before_those_beside_it(
    told: Path, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    write(tmp_path / "labels.txt", b"of\nanother\nmodel\nentirely\n")
    ended = cli("predict", told, foreign_images, "--json")
    assert [one["label"] for one in json.loads(ended.out)] == ["red", "green", "blue"]
    assert "its labels are those in its metadata, not those of labels.txt beside it (--labels)" in ended.err
    assert labels(ask(told, foreign_images, labels=str(write(tmp_path / "mine.txt", b"a\nb\nc")))) == ["a", "b", "c"]


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
    packed: bytes, text: str, foreign_file: bytes, foreign_images: Path, tmp_path: Path
) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(foreign_file, labels={"": packed}))
    if packed:
        with pytest.raises(UsageError, match=text):
            ask(model, foreign_images)
    else:
        assert labels(ask(model, foreign_images)) == ["class 0", "class 1", "class 2"]


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
    encoding: str,
    said: str | None,
    ending: str,
    place: str,
    foreign_file: bytes,
    foreign_images: Path,
    tmp_path: Path,
    cli: Cli,
) -> None:
    content = "".join(f"{name}{ending}" for name in NAMES).encode(encoding)
    model, options = write(tmp_path / "a.tflite", foreign_file), ("--mean", 127.5, "--std", 127.5)
    if place == "packed":
        write(model, with_foreign_metadata(foreign_file, labels={"": content}))
    else:
        file = write(tmp_path / ("labels.txt" if place == "beside" else "mine.txt"), content)
        options += ("--labels", file) if place == "given" else ()
    ended = cli("predict", model, foreign_images, "--json", *options)
    assert ended.code == 0, ended.err
    assert [one["label"] for one in json.loads(ended.out)] == list(NAMES)
    assert (f"read as {said}" in ended.err) == (said is not None)


def test_names_that_occur_twice_lose_no_answer(
    foreign_file: bytes, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(foreign_file, labels={"": b"tabby\ntabby\nblue\n"}))
    red, *_ = json.loads(cli("predict", model, foreign_images, "--json").out)
    assert set(red["probabilities"]) == {"tabby (class 0)", "tabby (class 1)", "blue"}
    assert sum(red["probabilities"].values()) == pytest.approx(1)
    assert red["label"] == "tabby (class 0)"
    assert f"tabby (class 0) {red['probabilities']['tabby (class 0)']:.1%}" in cli("predict", model, foreign_images).out


def test_classes_without_a_name_are_numbered(foreign_file: bytes, foreign_images: Path, tmp_path: Path) -> None:
    model = write(tmp_path / "a.tflite", with_foreign_metadata(foreign_file, labels={"": b"\n\nblue\n"}))
    assert labels(ask(model, foreign_images)) == ["class 0", "class 1", "blue"]


# --- What values mean ---------------------------------------------------------------------------------------------------


KINDS = ("tflite", "onnx", "keras", "saved_model")


@pytest.mark.parametrize("kind", KINDS)
def test_logits_become_probabilities(kind: str, foreign_images: Path, tmp_path: Path, cli: Cli) -> None:
    ended = cli("predict", written(kind, tmp_path, end="linear"), foreign_images, "--json")
    assert "its values are logits, made probabilities by a softmax" in ended.err
    for label, one in enumerate(json.loads(ended.out)):
        assert one["label"] == f"class {label}"
        assert sum(one["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_that_each_have_a_probability_may_all_be_answers(
    kind: str, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    model = written(kind, tmp_path, end="sigmoid")
    ended = cli("predict", model, foreign_images, "--json")
    assert "each class has a probability by itself" in ended.err
    for one in json.loads(ended.out):
        assert one["labels"] == [name for name, value in one["probabilities"].items() if value >= 0.5]
    assert labels(ask(model, foreign_images, task="single_label")) == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, {"positive", "negative"}),
        (b"apple\n", {"apple", "not apple"}),
        (b"blueish\nreddish\n", {"blueish", "reddish"}),
    ],
)
def test_one_sigmoid_tells_two_classes(
    names: bytes | None, expected: set[str], foreign_images: Path, tmp_path: Path
) -> None:
    model = written("tflite", tmp_path, end="sigmoid", outputs=1)
    if names:
        write(tmp_path / "labels.txt", names)
    red, _, blue = ask(model, foreign_images)
    assert set(red.probabilities) == expected and red.label != blue.label
    assert red.label in ("positive", "apple", "reddish")
    assert sum(red.probabilities.values()) == pytest.approx(1)
    assert red.probabilities[red.label or ""] > 0.5 > blue.probabilities[red.label or ""]


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_one_probability_is_recognised_in_every_format(
    kind: str, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    ended = cli("predict", written(kind, tmp_path, end="sigmoid", outputs=1), foreign_images, "--json")
    assert [one["label"] for one in json.loads(ended.out)][::2] == ["positive", "negative"]
    assert "its one value is the probability of 'positive' (--task regression: a number)" in ended.err


def test_one_value_that_is_no_probability_is_a_number(foreign_images: Path, tmp_path: Path, cli: Cli) -> None:
    model = written("tflite", tmp_path, end="linear", outputs=1)
    ended = cli("predict", model, foreign_images, "--json")
    assert "its one value is no probability, so it is shown as a number (--task single_label: a logit)" in ended.err
    assert list(json.loads(ended.out)[0]["numbers"]) == ["number 0"]
    assert labels(ask(model, foreign_images, task="single_label"))[::2] == ["positive", "negative"]


def test_an_integer_file_s_probabilities_are_recognised(foreign_images: Path, tmp_path: Path) -> None:
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
        found = ask(model, foreign_images)
        assert labels(found) == ["red", "green", "blue"]
        assert found[0].task == "single_label" and found[0].probabilities["red"] > 0.6
