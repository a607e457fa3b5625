"""`export` of Keras models that were trained elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import app
from app.interface.errors import UsageError
from models.adopting import adopt
from models.errors import ModelError
from tests.conftest import Ended, contents

Cli = Callable[..., Ended]
SIDE = 12


def by_colour(classes: int, end: str, *, scaled: bool = False, size: int | None = SIDE) -> keras.Model:
    """A network whose value for a class is the mean of a colour; if `scaled`, it takes pixels from -1 to 1."""
    pixels = keras.Input((size, size, 3))
    mean = keras.layers.GlobalAveragePooling2D()(pixels if scaled else keras.layers.Rescaling(1 / 127.5, -1.0)(pixels))
    dense = keras.layers.Dense(classes, activation=end, name="out")
    model = keras.Model(pixels, dense(mean), name="by_colour")
    kernel = 8 * np.eye(3, classes, dtype=np.float32) if classes > 1 else np.array([[-8.0], [8.0], [0.0]], np.float32)
    dense.set_weights([kernel, np.zeros(classes, np.float32)])
    return model


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images each of three colours."""
    folder = tmp_path_factory.mktemp("colours")
    for label, name in enumerate(("a_red", "b_green", "c_blue")):
        (folder / name).mkdir()
        for number in range(6):
            pixels = np.random.default_rng(6 * label + number).integers(0, 100, (20, 20, 3), np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("end", "scaled"), [("softmax", False), ("linear", False), ("softmax", True)], ids=["softmax", "logits", "scaled"]
)
def test_a_model_is_exported_verified_and_used(end: str, scaled: bool, colours: Path, tmp_path: Path) -> None:
    scaling = {"mean": [127.5], "std": [127.5]} if scaled else {}
    found = app.export(
        by_colour(3, end, scaled=scaled),
        data=colours,
        output=tmp_path / "run",
        formats=["tflite_float32"],
        **scaling,
        verbose=0,
    )
    assert found["passed"]
    figures = found["formats"]["tflite_float32"]
    assert (figures["accuracy"], figures["mediapipe"]["accuracy"]) == (1.0, 1.0)
    run = app.Run.open(tmp_path / "run")
    (prediction,) = run.predict(colours / "b_green" / "0.png")
    assert prediction.label == "b_green" and prediction.probabilities["b_green"] > 0.9
    (answer,) = app.predict(run.export_dir / "model_float32.tflite", [colours / "c_blue" / "0.png"], verbose=0)
    assert answer.label == "c_blue"


def test_a_run_of_a_model_from_elsewhere_shows_its_files_and_asks_for_no_training(
    colours: Path, tmp_path: Path, wide: None, capsys: pytest.CaptureFixture[str]
) -> None:
    app.export(by_colour(3, "softmax"), data=colours, output=tmp_path / "run", formats=["tflite_float32"], verbose=0)
    run = app.Run.open(tmp_path / "run")
    run.summary()
    printed, shown = capsys.readouterr().out, run._repr_html_()
    assert run.state == "exported"
    for text in (printed, shown):
        assert "model_float32.tflite" in text and "agrees" in text
        assert "resume" not in text and "finished" not in text and "two_phase" not in text


def test_a_file_is_exported_on_the_command_line(cli: Cli, colours: Path, tmp_path: Path) -> None:
    by_colour(3, "softmax").save(tmp_path / "mine.keras")
    before = contents(colours)
    words = ["--data", colours, "--output", tmp_path / "run", "--formats", "tflite_int8"]
    ended = cli("export", tmp_path / "mine.keras", *words)
    assert ended.code == 0, ended.err
    assert "in this order: a_red, b_green, c_blue" in ended.out
    assert "may have been trained on these images" in " ".join(ended.out.split())
    assert (tmp_path / "run" / "export" / "model_int8.tflite").is_file()
    assert contents(colours) == before
    again = cli("export", tmp_path / "run", "--formats", "onnx")
    assert again.code == 0, again.err
    assert cli("evaluate", tmp_path / "run").code == 0
    resumed = cli("train", "--resume", tmp_path / "run")
    assert resumed.code == 2 and "trained elsewhere" in resumed.err


def test_what_is_exported_agrees_with_its_original(colours: Path, tmp_path: Path) -> None:
    """The original leaves the scaling to its caller, and the exported file does it itself."""
    model, scaling = by_colour(3, "softmax", scaled=True), {"mean": [127.5], "std": [127.5]}
    formats = ["tflite_float32", "onnx"]
    app.export(model, data=colours, output=tmp_path / "run", formats=formats, **scaling, verbose=0)
    files = [tmp_path / "run" / "export" / name for name in ("model_float32.tflite", "model.onnx")]
    assert app.verify(files, model=model, data=colours, **scaling, verbose=0)["passed"]


def test_an_image_may_have_several_classes(colours: Path, tmp_path: Path) -> None:
    images = sorted(colours.rglob("*.png"))
    rows = [f"{image},{'c_blue|' * (number % 2)}{image.parent.name}" for number, image in enumerate(images)]
    (tmp_path / "several.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    options = {"data": tmp_path / "several.csv", "task": "multi_label", "output": tmp_path / "run", "verbose": 0}
    found = app.export(by_colour(3, "sigmoid"), formats=["tflite_float32"], **options)
    assert found["passed"]
    (answer,) = app.predict(tmp_path / "run", [images[0]], verbose=0)
    assert answer.labels == ("a_red",)


def test_one_value_is_the_second_of_two_classes() -> None:
    pixels = np.zeros((2, SIDE, SIDE, 3), np.float32)
    pixels[0, ..., 0] = pixels[1, ..., 1] = 255
    for end in ("sigmoid", "linear"):
        adopted = adopt(by_colour(1, end), task="single_label", num_classes=2)
        np.testing.assert_allclose(np.asarray(adopted(pixels)).argmax(axis=1), [0, 1])
        np.testing.assert_allclose(np.asarray(adopted(pixels)).sum(axis=1), 1, rtol=1e-6)


def test_names_come_in_the_order_of_the_values(cli: Cli, colours: Path, tmp_path: Path) -> None:
    model = by_colour(3, "softmax")
    kernel, bias = model.get_layer("out").get_weights()
    model.get_layer("out").set_weights([kernel[:, ::-1], bias])
    model.save(tmp_path / "turned.keras")
    (tmp_path / "labels.txt").write_text("c_blue\nb_green\na_red\n")
    words = ["--data", colours, "--output", tmp_path / "run", "--formats", "tflite_float32"]
    assert cli("export", tmp_path / "turned.keras", *words, "--labels", tmp_path / "labels.txt").code == 0
    assert app.Run.open(tmp_path / "run").parity["formats"]["tflite_float32"]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        (by_colour(3, "softmax"), {}, "name images of the classes of by_colour with --data"),
        (by_colour(4, "softmax"), {"data": ...}, "gives 4 values, and the data has 3 classes"),
        (by_colour(3, "relu"), {"data": ...}, "does not tell logits from probabilities"),
        (by_colour(3, "softmax", size=None), {"data": ...}, "takes images of any size; give one with --image-size"),
        (by_colour(3, "softmax"), {"data": ..., "image_size": 20}, "takes images of 12 pixels, not 20"),
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), {"data": ...}, "must have one input of RGB"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    model: keras.Model, options: dict, sentence: str, colours: Path, tmp_path: Path
) -> None:
    options = {name: colours if value is ... else value for name, value in options.items()}
    with pytest.raises((UsageError, ModelError), match=re.escape(sentence)):
        app.export(model, output=tmp_path / "run", **options, verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_run_has_its_own_images(tiny_run: app.Run, colours: Path) -> None:
    with pytest.raises(UsageError, match=r"--data is about a \.keras file from elsewhere"):
        app.export(tiny_run, data=colours)
