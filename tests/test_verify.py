"""`verify`: files of any converter against the model that they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import app
from app.exporting.precision import precision_of
from app.interface.errors import GateError, UsageError
from data.errors import DataError
from tests.conftest import Ended

Cli = Callable[..., Ended]
SIDE = 16


def colour_network(*, logits: bool = False, scaled: bool = False) -> keras.Model:
    """A network that is surer of the first class the redder an image is, and so on; pixels from 0 to 255, or -1 to 1."""
    pixels = keras.Input((SIDE, SIDE, 3))
    unit = keras.layers.Rescaling(1.0, 0.0 if scaled else -1.0)(pixels if scaled else pixels / 127.5)
    features = keras.layers.Conv2D(64, 3, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed=1))(
        unit
    )
    mean = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(one) for one in (features, unit)])
    dense = keras.layers.Dense(3, activation=None if logits else "softmax", name="out")
    model = keras.Model(pixels, dense(mean))
    kernel = np.zeros((67, 3), np.float32)
    kernel[64:] = 4 * np.eye(3)
    dense.set_weights([kernel, np.zeros(3, np.float32)])
    return model


def convert(model: keras.Model, path: Path, **settings: object) -> Path:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    for name, value in settings.items():
        setattr(converter, name, value)
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images each of three colours."""
    folder = tmp_path_factory.mktemp("colours")
    for label, name in enumerate(("a red", "b green", "c blue")):
        (folder / name).mkdir()
        for number in range(4):
            pixels = np.random.default_rng(4 * label + number).integers(0, 120, (20, 24, 3), np.uint8)
            pixels[..., label] += 100
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Keras file and what TensorFlow's converter makes of it."""
    folder, model = tmp_path_factory.mktemp("made"), colour_network()
    model.save(folder / "model.keras")
    convert(model, folder / "float32.tflite")
    convert(model, folder / "dynamic.tflite", optimizations=[tf.lite.Optimize.DEFAULT])
    model.export(folder / "saved", verbose=False)
    kernel, bias = model.get_layer("out").get_weights()
    model.get_layer("out").set_weights([kernel[:, [1, 0, 2]], bias])
    convert(model, folder / "swapped.tflite")
    return folder


def test_files_of_any_converter_agree(cli: Cli, made: Path, colours: Path, tmp_path: Path) -> None:
    files = [made / "float32.tflite", made / "dynamic.tflite", made / "saved"]
    ended = cli("verify", made / "model.keras", *files, "--data", colours, "--output", tmp_path / "figures.json")
    assert ended.code == 0, ended.err
    assert ended.out.count("agrees") == 3
    assert "in this order: a red, b green, c blue" in ended.out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["passed"] and figures["pictures"] == 12
    assert [one["accuracy"] for one in figures["formats"].values()] == [1.0] * 3
    assert [one["tolerance"] for one in figures["formats"].values()] == [1e-3, None, 1e-3]


def test_another_model_fails_the_gate(cli: Cli, made: Path, colours: Path) -> None:
    ended = cli("verify", made / "model.keras", made / "swapped.tflite", "--data", colours)
    assert ended.code == 3
    assert "another answer than the Keras model for 8 of 12 images" in ended.err
    assert "FAILED" in ended.out


def test_a_model_in_memory_is_the_original(made: Path, colours: Path) -> None:
    found = app.verify([made / "float32.tflite"], model=colour_network(), data=colours, verbose=0)
    assert found["passed"]
    with pytest.raises(GateError, match=r"swapped\.tflite: another answer"):
        app.verify([made / "swapped.tflite"], model=colour_network(), data=colours, verbose=0)


def test_a_file_is_read_as_its_original_says(colours: Path, tmp_path: Path) -> None:
    """Logits of independent classes do not show that by themselves."""
    model = colour_network(logits=True)
    file = convert(model, tmp_path / "logits.tflite")
    list_of_several = tmp_path / "several.csv"
    images = sorted(colours.rglob("*.png"))
    rows = [f"{image},{image.parent.name}" for image in images]
    list_of_several.write_text("path,label\n" + "\n".join(rows) + "\n")
    options = {"data": list_of_several, "task": "multi_label", "verbose": 0}
    assert app.verify(str(file), model=model, **options)["passed"]
    with pytest.raises(GateError):
        app.verify(str(file), model=colour_network(), **options)


def test_logits_are_compared_as_probabilities(made: Path, colours: Path) -> None:
    found = app.verify([made / "float32.tflite"], model=colour_network(logits=True), data=colours, verbose=0)
    assert found["passed"]


def test_scaling_is_given_where_the_model_leaves_it_out(colours: Path, tmp_path: Path) -> None:
    model = colour_network(scaled=True)
    file = convert(model, tmp_path / "scaled.tflite")
    scaling = {"mean": (127.5,), "std": (127.5,)}
    found = app.verify([file], model=model, data=colours, **scaling, verbose=0)["formats"][str(file)]
    assert (found["accuracy"], found["keras_accuracy"]) == (1.0, 1.0)


def test_images_without_labels_will_do(made: Path, colours: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    for image in colours.rglob("*.png"):
        (tmp_path / f"{image.parent.name}{image.name}").write_bytes(image.read_bytes())
    assert app.verify([made / "float32.tflite"], model=made / "float32.tflite", data=tmp_path)["passed"]
    assert "predictions stand in" in capfd.readouterr().out
    with pytest.raises(GateError):
        app.verify([made / "swapped.tflite"], model=made / "float32.tflite", data=tmp_path, verbose=0)


def test_golden_vectors_for_an_app(made: Path, colours: Path, tmp_path: Path) -> None:
    app.verify(
        [made / "float32.tflite"], model=made / "float32.tflite", data=colours, golden=tmp_path / "golden", verbose=0
    )
    expected = json.loads((tmp_path / "golden" / "expected.json").read_text())
    assert "float32.tflite" in str(expected)
    assert len(list((tmp_path / "golden").glob("*.rgb"))) == 10
    with pytest.raises(UsageError, match="is there already"):
        app.verify(
            [made / "float32.tflite"],
            model=made / "float32.tflite",
            data=colours,
            golden=tmp_path / "golden",
            verbose=0,
        )


def test_a_run_brings_its_images(tiny_run: app.Run) -> None:
    found = app.verify([tiny_run.export / "model_float32.tflite"], model=tiny_run.path, verbose=0)
    (figures,) = found["formats"].values()
    assert found["pictures"] == 3 and "mediapipe" in figures


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["float32.tflite", "float32.tflite"], "name images to compare on with --data"),
        (["float32.tflite", "none.tflite", "--data", "COLOURS"], "there is no model"),
        (["none.keras", "float32.tflite", "--data", "COLOURS"], "there is no model"),
        (["float32.tflite", "model.txt", "--data", "COLOURS"], "is not a model"),
        (["float32.tflite", "broken.tflite", "--data", "COLOURS"], "broken.tflite cannot be read: it is damaged"),
        (["float32.tflite", "float32.tflite", "--data", "two"], "knows 3 classes"),
        (["float32.tflite", "float32.tflite", "--data", "COLOURS", "--labels", "names.txt"], "classes that the model"),
        (
            ["float32.tflite", "float32.tflite", "--data", "COLOURS", "--tolerance", "2"],
            "--tolerance is between 0 and 1",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    words: list[str],
    sentence: str,
    cli: Cli,
    wide: None,
    made: Path,
    colours: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "model.txt").write_text("no model")
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
    (tmp_path / "broken.tflite").write_bytes((made / "float32.tflite").read_bytes()[:300])
    for name in ("a", "b"):
        (tmp_path / "two" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "two" / name / "1.png")
    monkeypatch.chdir(tmp_path)
    ended = cli("verify", *[str(colours) if word == "COLOURS" else word for word in words])
    assert ended.code == 2
    assert sentence in ended.err and "Traceback" not in ended.err


def test_a_sized_mismatch_is_a_failed_check(made: Path, colours: Path, tmp_path: Path) -> None:
    pixels = keras.Input((SIDE + 1, SIDE + 1, 3))
    other = keras.Model(pixels, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(pixels)))
    with pytest.raises(GateError, match=r"takes pixels as uint8 \(n, 17, 17, 3\)"):
        app.verify([convert(other, tmp_path / "other.tflite")], model=made / "float32.tflite", data=colours, verbose=0)


@pytest.mark.parametrize(
    ("settings", "stored"),
    [
        ({}, "32-bit floats"),
        ({"optimizations": [tf.lite.Optimize.DEFAULT], "supported_types": [tf.float16]}, "16-bit weights"),
        ({"optimizations": [tf.lite.Optimize.DEFAULT]}, "integers"),
    ],
)
def test_precision_is_read_from_the_weights(settings: dict, stored: str, tmp_path: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(colour_network())
    converter.optimizations = settings.get("optimizations", [])
    converter.target_spec.supported_types = settings.get("supported_types", [])
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    assert precision_of(path).stored == stored
    assert precision_of(path).is_for_phones


def test_unreadable_images_are_named(made: Path, colours: Path, tmp_path: Path) -> None:
    for image in colours.rglob("*.png"):
        target = tmp_path / image.relative_to(colours)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(image.read_bytes())
    (tmp_path / "a red" / "9.png").write_bytes(b"no image")
    words = {"model": made / "float32.tflite", "data": tmp_path, "verbose": 0}
    with pytest.raises(DataError, match="--skip-unreadable"):
        app.verify([made / "float32.tflite"], **words)
    assert app.verify([made / "float32.tflite"], **words, skip_unreadable=True)["pictures"] == 12
