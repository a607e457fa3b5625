"""What `train` returns, as a user of the library has it: its summary, predictions for images in any form, its model."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

import app
from app.interface.events import Event, Said, SaidPath, SaidTable, listening
from app.prediction.inputs import image_inputs
from app.runs.fold_figures import summarise
from data.files import write_json
from data.image.preparing import PLAIN, Preparation
from data.image.rectangles import load_to_size
from tests.conftest import TINY
from tests.images import coloured, encode, smooth

SMOOTH = smooth(48, 40)
ALPHA = np.dstack([SMOOTH, np.linspace(0, 255, 48 * 40).reshape(40, 48).astype(np.uint8)])


def printed(function: Callable[[], object]) -> list[Event]:
    """The tables, paths and sentences that a call prints."""
    heard: list[Event] = []
    with listening(heard.append, alone=True):
        function()
    return [event for event in heard if isinstance(event, Said | SaidPath | SaidTable)]


def sentences(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Said)]


# --- The summary ----------------------------------------------------------------------------------------------------------


def test_the_summary_is_what_training_printed_at_its_end(
    fruit: Path, tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[app.Run] = []
    options = TINY | {"strategy": "feature_extraction", "image_size": np.int64(32), "formats": ["onnx"]}
    by_training = printed(lambda: run.append(app.train(fruit, output=tmp_path / "run", **options)))
    by_summary = printed(app.Run.open(run[0]).summary)
    assert by_training[-len(by_summary) :] == by_summary
    figures, exported = (event for event in by_summary if isinstance(event, SaidTable))
    assert [row[0] for row in figures.rows] == ["validation", "test"]
    assert exported.rows[0][0] == "model.onnx" and exported.rows[0][-1] in ("agrees", "too few images to tell")
    paths = {event.what: event.path for event in by_summary if isinstance(event, SaidPath)}
    assert Path(paths["report"]) == run[0].report and Path(paths["model"]) == run[0].model


def test_the_summary_is_printed_where_nobody_else_listens(tiny_run: app.Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert tiny_run.summary() is None
    out = capfd.readouterr().out
    assert "validation" in out and "model_float32.tflite" in out and "report.html" in out


def test_a_file_that_failed_is_named(tiny_copy: app.Run) -> None:
    parity = tiny_copy.parity
    parity["formats"]["tflite_float32"] |= {"passed": False, "failures": ["answers otherwise than the model"]}
    (tiny_copy.export_dir / "parity.json").write_text(json.dumps(parity))
    assert any(isinstance(event, SaidTable) and event.rows[0][-1] == "FAILED" for event in printed(tiny_copy.summary))


def test_an_unfinished_run_says_what_is_missing_and_how_to_go_on(tiny_copy: app.Run) -> None:
    tiny_copy.report.unlink()
    (tiny_copy.path / "metrics.json").unlink()
    found, how = sentences(printed(tiny_copy.summary))
    assert found.endswith("is not finished. It has no metrics.json or report.html yet.")
    assert how.startswith("The last finished epoch is 1 of the phase fine_tune. Continue with train(resume=")


def test_a_run_of_folds_shows_its_folds(tiny_copy: app.Run) -> None:
    tiny_copy.write_options(tiny_copy.options | {"folds": 2, "fold": None})
    tiny_copy.report.unlink()
    found, how = sentences(printed(tiny_copy.summary))
    assert found.endswith("It has no folds.json yet.") and how.startswith("0 of 2 folds are finished.")
    write_json(tiny_copy.folds_file, summarise([tiny_copy.metrics["test"]] * 2))
    table, pooled, path = printed(tiny_copy.summary)
    assert isinstance(table, SaidTable) and [row[0] for row in table.rows] == ["1", "2", "mean", "± std"]
    assert isinstance(pooled, Said) and "each tested once" in pooled.text
    assert isinstance(path, SaidPath)


@pytest.mark.parametrize("content", ['{"test"', "{}", "[]", '{"test": 1, "validation": 2}'])
def test_damaged_figures_are_one_sentence(content: str, tiny_copy: app.Run) -> None:
    (tiny_copy.path / "metrics.json").write_text(content)
    with pytest.raises(app.UsageError, match="damaged"):
        tiny_copy.summary()


def test_no_run_at_all_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(app.UsageError, match=r"has no config\.json: it is not a run folder"):
        app.Run(tmp_path).summary()


# --- Images in every form -------------------------------------------------------------------------------------------------


def pixels_of(x: Any, preparation: Preparation = PLAIN) -> np.ndarray:
    (image,) = image_inputs(x)
    return load_to_size(preparation(image.read()), (32, 24), "crop")


FORMS = {
    "colours": Image.fromarray(SMOOTH),
    "alpha": Image.fromarray(ALPHA),
    "grey": Image.fromarray(SMOOTH[..., 0]),
    "grey with alpha": Image.fromarray(ALPHA).convert("LA"),
    "palette": Image.fromarray(SMOOTH).quantize(16),
    "two values": Image.fromarray(SMOOTH).convert("1"),
    "16 bits": Image.fromarray(SMOOTH[..., 0].astype(np.uint16) * 257),
}


@pytest.mark.parametrize("background", [None, "#00ff00"])
@pytest.mark.parametrize("form", FORMS)
def test_an_image_has_the_same_pixels_in_every_form(form: str, background: str | None, tmp_path: Path) -> None:
    preparation, path = Preparation.parse(background, None), tmp_path / "image.png"
    path.write_bytes(encode(FORMS[form]))
    expected = pixels_of(path, preparation)
    with Image.open(path) as opened:
        forms = [str(path), path.read_bytes(), bytearray(path.read_bytes()), FORMS[form], opened]
        if opened.mode in ("RGB", "RGBA", "L"):
            forms += [np.asarray(opened), np.asarray(opened)[None]] if opened.mode != "L" else [np.asarray(opened)]
        for one in forms:
            np.testing.assert_array_equal(pixels_of(one, preparation), expected)


def test_transparent_colours_of_a_palette_or_an_rgb_image_are_kept(tmp_path: Path) -> None:
    for image in (Image.fromarray(SMOOTH).quantize(16), Image.fromarray(SMOOTH)):
        image.info["transparency"] = 0 if image.mode == "P" else tuple(map(int, SMOOTH[0, 0]))
        path = tmp_path / "image.png"
        image.save(path)
        green = Preparation.parse("#00ff00", None)
        with Image.open(path) as opened:
            np.testing.assert_array_equal(pixels_of(opened, green), pixels_of(path, green))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX", "LAB", "RGBa", "PA"])
def test_other_modes_of_pil_have_the_colours_that_pil_converts_them_to(mode: str) -> None:
    through = {"LAB": None, "RGBa": "RGBA", "PA": "LA"}.get(mode, "RGB")
    if through is None:
        image = Image.frombytes("LAB", (48, 40), SMOOTH.tobytes())
    else:
        image = Image.fromarray(ALPHA).convert(through).convert("P" if mode == "PA" else mode)
    np.testing.assert_array_equal(pixels_of(image), pixels_of(image.convert("RGB")))


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_are_refused_unless_black_and_white_are_known(kind: type) -> None:
    image = Image.fromarray(SMOOTH[..., 0].astype(kind) * 16)
    with pytest.raises(ValueError, match="--levels"):
        pixels_of(image)
    expected = pixels_of(Image.fromarray(SMOOTH[..., 0]))
    np.testing.assert_allclose(pixels_of(image, Preparation.parse(None, "0-4080")), expected, atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_a_pil_image_is_taken_as_pil_shows_it(orientation: int, file_format: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image"
    path.write_bytes(encode(Image.fromarray(SMOOTH), file_format, exif=exif))
    with Image.open(path) as opened:
        as_shown, upright = np.asarray(opened), ImageOps.exif_transpose(opened)
        np.testing.assert_array_equal(pixels_of(opened), pixels_of(as_shown))
        for one in (path.read_bytes(), upright, np.asarray(upright)):
            np.testing.assert_array_equal(pixels_of(one), pixels_of(path))


def test_predictions_are_equal_whatever_holds_the_image(tiny_run: app.Run, fruit: Path, tmp_path: Path) -> None:
    path = tmp_path / "alpha.png"
    path.write_bytes(encode(np.dstack([coloured(1, 3, (40, 30), np.random.default_rng(0)), ALPHA[:30, :40, 3]])))
    with Image.open(path) as opened:
        array = np.asarray(opened)
        found = tiny_run.predict([str(path), path, path.read_bytes(), opened, array, np.stack([array, array]), fruit])
    names = [*(3 * [str(path)]), *(f"image {number}" for number in (4, 5, 6))]
    names.insert(2, "image 2")
    assert [one.path for one in found][:7] == names and len(found) == 7 + 24
    first = found[0].outputs
    for one in found[:7]:
        assert one.labels == found[0].labels
        assert one.outputs == pytest.approx(first, abs=1e-6)
    (alone,) = app.predict(tiny_run, path)
    assert alone.outputs == pytest.approx(first, abs=1e-6)


def test_any_model_file_predicts_images_in_any_form(tiny_run: app.Run, fruit: Path) -> None:
    tflite = tiny_run.export_dir / "model_float32.tflite"
    with Image.open(fruit / "cherry" / "01.png") as image:
        image.load()
    found = app.predict(tflite, [image, np.asarray(image)])
    assert isinstance(found, app.Predictions)
    assert [one.path for one in found] == [str(fruit / "cherry" / "01.png"), "image 1"]
    (single,) = app.predict(tflite, image)
    assert single.outputs == pytest.approx(found[0].outputs, abs=1e-6)


def test_images_without_a_file_are_shown(tiny_run: app.Run, fruit: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(fruit / "apple" / "00.png", tmp_path / "gone.png"))
    with Image.open(path) as image:
        image.load()
    forms = [image, image.rotate(90), path.read_bytes(), np.asarray(image), path]
    found = app.predict(tiny_run.export_dir / "model_float32.tflite", forms)
    path.unlink()
    shown = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', pickle.loads(pickle.dumps(found))._repr_html_())
    assert len(shown) == 4 and shown[0] == shown[2] == shown[3] != shown[1]
    assert found._repr_html_().count("no image") == 1  # the file that is gone


def test_unreadable_images_are_named_by_their_positions(tiny_run: app.Run, fruit: Path) -> None:
    forms = [fruit / "apple" / "00.png", b"no image", np.zeros((8, 8, 3), np.uint8), b""]
    with pytest.raises(app.DataError, match=r"image 1: not an image.*\n.*image 3: the file is empty"):
        tiny_run.predict(forms)
    events = printed(lambda: [forms.append(one.path) for one in tiny_run.predict(forms, skip_unreadable=True)])
    assert forms[4:] == [str(forms[0]), "image 2"]
    assert len(sentences(events)) == 1 and sentences(events)[0].startswith("Left out: 2 images cannot be read")


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (
            np.zeros((8, 8, 3)),
            "image 0 is an array of float64; give RGB pixels from 0 to 255 as uint8, such as x.astype",
        ),
        (np.zeros((8, 8, 3), np.float32), "or (255 * x).astype('uint8') if they are from 0 to 1"),
        (np.zeros((8, 8, 3), bool), "image 0 is an array of bool"),
        ([b"", np.zeros((3, 8, 8, 5), np.uint8)], "image 1 is an array of shape (3, 8, 8, 5); give (height, width, 3)"),
        (np.zeros((3, 8, 8), np.uint8), "image 0 is an array of shape (3, 8, 8)"),
        (np.zeros((8, 0, 3), np.uint8), "image 0 is an array of shape (8, 0, 3)"),
        (np.zeros(8, np.uint8), "image 0 is an array of shape (8,)"),
        (np.uint8(7), "image 0 is an array of shape ()"),
        (5, "image 0 is of the type int; give a path, the bytes of an image file, a PIL image, or an array"),
        (None, "image 0 is of the type NoneType"),
        (["a.png", None], "image 1 is of the type NoneType"),
        ([["a.png"]], "image 0 is of the type list"),
        ({"a.png": 1}, "image 0 is of the type dict"),
        ([], "name at least one image or folder to predict"),
        ("no_such_image.png", "there is no image no_such_image.png"),
    ],
)
def test_what_is_no_image_is_one_sentence(x: Any, text: str, tiny_run: app.Run) -> None:
    for function in (tiny_run.predict, lambda x: app.predict(tiny_run, x)):
        with pytest.raises(app.UsageError) as raised:
            function(x)
        assert str(raised.value).startswith(text) or (text.startswith("or ") and text in str(raised.value))
        assert "\n" not in str(raised.value)


def test_columns_tensors_and_generators_of_images_are_taken(fruit: Path) -> None:
    import pandas

    paths = sorted(map(str, fruit.rglob("*.png")))
    for x in (pandas.Series(paths), np.array(paths), tuple(paths), (path for path in paths)):
        assert [one.name for one in image_inputs(x)] == paths
    tensor = keras.ops.convert_to_tensor(SMOOTH)
    np.testing.assert_array_equal(pixels_of(tensor), pixels_of(SMOOTH))


def test_an_image_that_pil_cannot_load_is_named(fruit: Path) -> None:
    with Image.open(fruit / "apple" / "00.png") as image:
        pass
    with pytest.raises(ValueError, match="truncated or damaged"):
        pixels_of(image)


# --- The model and the history --------------------------------------------------------------------------------------------


def test_the_keras_model_predicts_like_the_run(tiny_run: app.Run, fruit: Path) -> None:
    path = fruit / "banana" / "03.png"
    pixels = load_to_size(path.read_bytes(), 32, "stretch")[None].astype("float32")
    model, raw = tiny_run.keras_model(), tiny_run.keras_model(logits=True)
    probabilities = keras.ops.convert_to_numpy(model(pixels))[0]
    (found,) = tiny_run.predict(path)
    np.testing.assert_allclose([found.outputs[name] for name in tiny_run.class_names], probabilities, atol=1e-6)
    np.testing.assert_allclose(keras.ops.softmax(raw(pixels))[0], probabilities, atol=1e-6)
    assert raw.layers[-1].name == "logits" and model.name == raw.name


@pytest.mark.parametrize("use", [app.Run.keras_model, lambda run: run.predict(SMOOTH)], ids=["model", "predict"])
def test_a_run_without_a_model_says_why(use: Callable[[app.Run], object], tiny_copy: app.Run) -> None:
    tiny_copy.model.unlink()
    tiny_copy.report.unlink()
    with pytest.raises(app.UsageError, match=r"has no model\.keras: it is not finished"):
        use(tiny_copy)
    tiny_copy.write_options(tiny_copy.options | {"folds": 2, "fold": None})
    with pytest.raises(app.UsageError, match="it holds a run for each fold; name one of them"):
        use(tiny_copy)


def test_the_history_is_a_frame_on_request(tiny_run: app.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = tiny_run.history_frame()
    assert frame.to_dict("records") == tiny_run.history
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(app.UsageError, match="history_frame needs pandas: pip install pandas"):
        tiny_run.history_frame()


def test_a_run_is_the_path_of_its_folder(tiny_run: app.Run, tiny_copy: app.Run) -> None:
    assert app.evaluate(tiny_copy)["accuracy"] == tiny_copy.metrics["test"]["accuracy"]
    assert Path(tiny_run) == tiny_run.path and app.Run(str(tiny_run.path)).path == tiny_run.path
    assert app.Run.open(tiny_run).class_names == tiny_run.class_names
    assert tiny_run.export_dir == tiny_run.export and tiny_run.report.is_file() and tiny_run.plots.is_dir()


@pytest.mark.parametrize("name", ["UsageError", "DataError", "ModelError", "GateError", "Interrupted"])
def test_errors_are_part_of_the_library(name: str) -> None:
    assert issubclass(getattr(app, name), BaseException) and name in app.__all__ and name in dir(app)
