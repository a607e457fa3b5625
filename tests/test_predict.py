"""`predict`: the same predictions from every kind of model file, and clear words about those that are none."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.tools import flatbuffer_utils

import app
from app.exporting.formats import FORMATS
from app.interface.errors import UsageError
from data.errors import DataError
from models.builder import load_model
from models.errors import ModelError
from tests.conftest import Ended
from tests.images import coloured, encode, write_folder

Cli = Callable[..., Ended]


@pytest.fixture
def tflite(tiny_run: app.Run) -> Path:
    """A model that is loaded at once, in its run; a `.keras` file takes seconds."""
    return tiny_run.export / "model_float32.tflite"


@pytest.fixture
def loose(tmp_path: Path, tiny_run: app.Run) -> Path:
    """A `.tflite` far from its run, with nothing beside it."""
    folder = tmp_path / "phone" / "assets"
    folder.mkdir(parents=True)
    return Path(shutil.copy(tiny_run.export / "model_float32.tflite", folder / "model.tflite"))


@pytest.fixture
def bare(loose: Path) -> Path:
    """The same without its description."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(loose.read_bytes()))
    model.metadata = []
    loose.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return loose


def rows(predictions: list[app.Prediction], names: tuple[str, ...]) -> np.ndarray:
    return np.array([[one.probabilities[name] for name in names] for one in predictions])


# --- Answers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_the_run(every_format: app.Run, fruit: Path) -> list[app.Prediction]:
    """What the model of a run says of all images."""
    return app.predict(str(every_format.path), [str(fruit)])


@pytest.mark.parametrize("file", ["model.keras", *(f"export/{one.file}" for one in FORMATS.values())])
def test_every_kind_of_file_gives_the_same_answer(
    file: str, every_format: app.Run, of_the_run: list[app.Prediction], fruit: Path
) -> None:
    names, name, expected = every_format.class_names, file.removeprefix("export/"), of_the_run
    assert len(expected) == 24
    found = app.predict(str(every_format.path / file), [str(fruit)])
    assert [one.path for one in found] == [one.path for one in expected]
    exact = {one.file for one in FORMATS.values() if one.tolerance is not None} | {"model.keras"}
    np.testing.assert_allclose(rows(found, names), rows(expected, names), atol=1e-3 if name in exact else 0.03)


def test_probabilities_are_of_all_classes_the_likeliest_first(tflite: Path, fruit: Path) -> None:
    for one in app.predict(str(tflite), [str(fruit)]):
        assert set(one.probabilities) == {"apple", "banana", "cherry"}
        assert sum(one.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert list(one.probabilities.values()) == sorted(one.probabilities.values(), reverse=True)
        assert one.label == max(one.probabilities, key=one.probabilities.__getitem__)


def test_answers_are_those_of_the_keras_model_for_raw_pixels(tiny_run: app.Run, fruit: Path) -> None:
    from data.image.resizing import load_pixels

    path = fruit / "banana" / "03.png"
    pixels = load_pixels(path.read_bytes(), 32, "stretch")[None].astype("float32")
    expected = keras.ops.softmax(load_model(tiny_run.model)(pixels))[0]
    (found,) = app.predict(str(tiny_run.path), [path])
    np.testing.assert_allclose(rows([found], tiny_run.class_names)[0], expected, atol=1e-6)


def test_batches_do_not_matter(tflite: Path, tiny_run: app.Run, fruit: Path) -> None:
    whole, pieces = (app.predict(str(tflite), [str(fruit)], batch_size=size) for size in (24, 5))
    names = tiny_run.class_names
    assert [one.path for one in whole] == [one.path for one in pieces]
    np.testing.assert_allclose(rows(whole, names), rows(pieces, names), atol=1e-6)


def test_images_are_answered_in_the_order_given(tflite: Path, fruit: Path) -> None:
    asked = [str(fruit / "cherry" / "01.png"), str(fruit / "apple"), str(fruit / "cherry" / "01.png")]
    found = [one.path for one in app.predict(str(tflite), asked)]
    apples = sorted(str(path) for path in (fruit / "apple").iterdir())
    assert found == [asked[0], *apples, asked[2]]  # an image named twice is answered twice


def test_folders_are_searched_for_images(tflite: Path, tmp_path: Path) -> None:
    image = encode(coloured(0, 3, (20, 20), np.random.default_rng(0)))
    for name in ("a.png", "deep/er/b.PNG", ".hidden.png", ".git/c.png", "notes.txt"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(image)
    found = [one.path for one in app.predict(str(tflite), [str(tmp_path / "folder")])]
    assert found == [str(tmp_path / "folder" / "a.png"), str(tmp_path / "folder" / "deep/er/b.PNG")]


def test_images_are_resized_as_the_run_did(tiny_copy: app.Run, tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    left = coloured(0, 3, (60, 40), np.random.default_rng(0))
    wide.write_bytes(encode(np.concatenate([left, coloured(1, 3, (60, 40), np.random.default_rng(0))], axis=1)))

    def predictions(model: Path, **options: str) -> np.ndarray:
        return rows(app.predict(str(model), [str(wide)], **options), tiny_copy.class_names)

    tflite = tiny_copy.export / "model_float32.tflite"
    stretched = predictions(tflite)
    path = tiny_copy.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resize": "pad"}))
    padded = predictions(tiny_copy.path)
    assert np.abs(padded - stretched).max() > 1e-4
    np.testing.assert_allclose(predictions(tflite), padded, atol=1e-5)
    np.testing.assert_allclose(predictions(tflite, resize="stretch"), stretched, atol=1e-6)


# --- What is printed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["", "export/model_float32.tflite"])
def test_json_is_all_that_is_on_standard_output(
    file: str, tflite: Path, tiny_run: app.Run, fruit: Path, cli: Cli
) -> None:
    ended = cli("predict", tiny_run.path / file, fruit, "--json")
    assert (ended.code, ended.err) == (0, "")
    found, expected = json.loads(ended.out), app.predict(str(tflite), [str(fruit)])
    assert [(one["path"], one["label"]) for one in found] == [(one.path, one.label) for one in expected]
    for one, right in zip(found, expected, strict=True):
        assert set(one) == {"path", "probabilities", "label"}
        assert one["probabilities"] == pytest.approx(right.probabilities, abs=1e-5)


def test_json_may_be_read_in_part(tflite: Path, fruit: Path) -> None:
    command = [sys.executable, "-m", "app", "predict", str(tflite), str(fruit), "--json"]
    root = Path(app.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # as `head` does
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("top", [1, 2, 99])
def test_top_says_how_many_classes_are_named(top: int, tflite: Path, fruit: Path, cli: Cli) -> None:
    image = fruit / "apple" / "00.png"
    (expected,) = app.predict(str(tflite), [str(image)])
    ended = cli("predict", tflite, image, "--top", top)
    assert (ended.code, ended.err) == (0, "")
    (line,) = [line for line in ended.out.splitlines() if str(image) in line]
    named = [name for name in expected.probabilities if name in line.partition(str(image))[2]]
    assert named == list(expected.probabilities)[:top]
    assert line.count("%") == min(top, 3)


# --- Unreadable images ----------------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Six images, two of which cannot be read."""
    folder = write_folder(tmp_path / "spoilt", classes=2, examples=3)
    (folder / "apple" / "01.png").write_bytes(b"text")
    (folder / "banana" / "00.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize("size", [1, 32])
def test_every_unreadable_image_is_named(size: int, tflite: Path, spoilt: Path, cli: Cli) -> None:
    ended = cli("predict", tflite, spoilt, "--batch-size", size)
    assert (ended.code, ended.out) == (2, "")
    assert "2 images cannot be read" in ended.err
    assert f"{spoilt / 'apple' / '01.png'}: not an image" in ended.err
    assert f"{spoilt / 'banana' / '00.png'}: the file is empty" in ended.err
    assert "--skip-unreadable" in ended.err


@pytest.mark.parametrize("size", [1, 32])
def test_unreadable_images_can_be_left_out(size: int, tflite: Path, spoilt: Path, cli: Cli) -> None:
    ended = cli("predict", tflite, spoilt, "--skip-unreadable", "--json", "--batch-size", size)
    assert ended.code == 0
    kept = [str(path) for path in sorted(spoilt.rglob("*.png")) if path.stat().st_size > 10]
    assert [one["path"] for one in json.loads(ended.out)] == kept
    assert "2 images cannot be read" in ended.err  # beside the JSON, not in it


def test_nothing_to_answer_is_an_error(tflite: Path, spoilt: Path) -> None:
    with pytest.raises(DataError, match="Name at least one image that can be read"):
        app.predict(str(tflite), [str(spoilt / "apple" / "01.png")], skip_unreadable=True)


@pytest.mark.parametrize(
    ("paths", "text"),
    [(["nowhere.jpg"], "there is no image nowhere.jpg"), (["{empty}"], "holds no images"), ([], "at least one")],
)
def test_images_that_are_missing(paths: list[str], text: str, tflite: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=text):
        app.predict(str(tflite), [path.format(empty=tmp_path) for path in paths])


# --- Labels -----------------------------------------------------------------------------------------------------------


def test_a_file_brings_its_labels_along(loose: Path, tflite: Path, fruit: Path) -> None:
    image = str(fruit / "cherry" / "00.png")
    (found,), (expected,) = (app.predict(str(model), [image]) for model in (loose, tflite))
    assert (found.label, found.probabilities) == (expected.label, expected.probabilities)


def test_without_labels_classes_have_numbers(bare: Path, tflite: Path, tiny_run: app.Run, fruit: Path) -> None:
    image = str(fruit / "cherry" / "00.png")
    (found,), (expected,) = (app.predict(str(model), [image]) for model in (bare, tflite))
    assert set(found.probabilities) == {"class 0", "class 1", "class 2"}
    assert found.label == f"class {tiny_run.class_names.index(expected.label)}"


def test_labels_beside_a_file_are_used(bare: Path, fruit: Path) -> None:
    names = ["rose\u2028red", " tulip ", "ça\x85va"]  # separators that str.splitlines() would break at
    (bare.parent / "labels.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    (found,) = app.predict(str(bare), [str(fruit / "cherry" / "00.png")])
    assert set(found.probabilities) == set(names)


@pytest.mark.parametrize("count", [2, 4])
def test_a_wrong_number_of_labels_is_refused(count: int, bare: Path, fruit: Path) -> None:
    (bare.parent / "labels.txt").write_text("".join(f"{label}\n" for label in range(count)))
    with pytest.raises(UsageError, match=f"knows 3 classes, but the labels beside it name {count}"):
        app.predict(str(bare), [str(fruit)])


@pytest.mark.parametrize("text", ['{"architecture": "foreign"}', "[]", "{"])
def test_foreign_files_around_a_model_do_not_matter(text: str, loose: Path, fruit: Path) -> None:
    (loose.parent / "config.json").write_text(text)
    assert app.predict(str(loose), [str(fruit / "cherry" / "00.png")])


# --- Models that are none ---------------------------------------------------------------------------------------------


def garbage(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tflite", "cannot be loaded"),
        ("a.onnx", "cannot be loaded"),
        ("a.keras", "not a .keras archive, or it is damaged"),
        ("a.txt", "is not a model: give a run folder, a .keras, .tflite or .onnx file, or a SavedModel folder"),
        ("a/saved_model.pb", "cannot be loaded"),
        ("a/other.pb", "is not a model"),
    ],
)
@pytest.mark.parametrize("size", [0, 5000])
def test_garbage_is_refused(name: str, text: str, size: int, tmp_path: Path, fruit: Path, cli: Cli) -> None:
    path = garbage(tmp_path, name)
    path.write_bytes(path.read_bytes()[:size])
    model = path.parent if path.suffix == ".pb" else path
    ended = cli("predict", model, fruit)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {model} ") and text in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.err.count(str(model)) <= 2


def test_truncated_files_are_refused(tiny_run: app.Run, every_format: app.Run, fruit: Path, tmp_path: Path) -> None:
    for file in (tiny_run.export / "model_float32.tflite", tiny_run.model):
        cut = tmp_path / file.name
        cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises((UsageError, ModelError), match="cannot be loaded"):
            app.predict(str(cut), [str(fruit)])
    folder = Path(shutil.copytree(every_format.export / "saved_model", tmp_path / "saved_model"))
    (values,) = (folder / "variables").glob("*.data*")
    values.write_bytes(values.read_bytes()[:1000])
    with pytest.raises(UsageError, match="cannot be loaded"):
        app.predict(str(folder), [str(fruit)])


def test_damage_that_shows_itself_late_is_one_sentence(
    loose: Path, fruit: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The model runs in a process of its own; Python reads this file when it starts.
    (tmp_path / "sitecustomize.py").write_text(
        "from ai_edge_litert.interpreter import Interpreter\n"
        "def fail(self): raise RuntimeError('Input tensor 10 lacks data\\nNode number 3 failed to invoke.')\n"
        "Interpreter.invoke = fail\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = cli("predict", loose, fruit)
    assert (ended.code, ended.out) == (2, "")
    assert "cannot be run" in ended.err and "Input tensor 10 lacks data" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_missing_model_is_refused(fruit: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no model nowhere\.tflite"):
        app.predict("nowhere.tflite", [str(fruit)])


def test_an_unfinished_run_is_refused(tiny_copy: app.Run, fruit: Path) -> None:
    tiny_copy.model.unlink()
    tiny_copy.report.unlink()
    with pytest.raises(UsageError, match=r"it is not finished\. Continue it with"):
        app.predict(str(tiny_copy.path), [str(fruit)])


def save(model: keras.Model, path: Path) -> str:
    if path.suffix == ".onnx":
        model(np.zeros([side or 8 for side in model.input_shape], np.float32))
        model.export(path, format="onnx", verbose=False)
    else:
        model.save(path)
    return str(path)


@pytest.mark.parametrize(("shape", "suffix"), [((7,), ".onnx"), ((8, 9), ".keras"), ((8, 8, 1), ".onnx")])
def test_a_model_of_something_else_is_refused(
    shape: tuple[int | None, ...], suffix: str, tmp_path: Path, fruit: Path
) -> None:
    model = keras.Sequential([keras.Input(shape), keras.layers.Rescaling(2.0)])
    text = re.escape(f"its input has shape {(None, *shape)}")
    with pytest.raises(UsageError, match=f"does not take RGB images; {text}"):
        app.predict(save(model, tmp_path / f"model{suffix}"), [str(fruit)])


def test_a_model_that_is_no_classifier_is_refused(tmp_path: Path, fruit: Path) -> None:
    maps = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(UsageError, match=r"not a classifier: its predictions have shape \(24, 6, 6, 3\)"):
        app.predict(save(maps, tmp_path / "maps.onnx"), [str(fruit)])


def test_answers_that_are_not_numbers_are_refused(tiny_copy: app.Run, fruit: Path) -> None:
    model = load_model(tiny_copy.model)
    model.get_layer("logits").bias.assign([np.nan] * 3)
    model.save(tiny_copy.model)
    with pytest.raises(UsageError, match="not a number"):
        app.predict(str(tiny_copy.path), [str(fruit)])


def test_a_run_needs_its_weights_file_no_more(tiny_copy: app.Run, fruit: Path) -> None:
    path = tiny_copy.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": "since/removed.weights.h5"}))
    assert app.predict(str(tiny_copy.path), [str(fruit)])
