"""Quantised files: a network that full integer ruins is found out and mended by itself, and a good one is left alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import app
from app.exporting import automatic
from app.exporting.automatic import quantize_automatically, readable
from app.exporting.context import ExportContext
from app.exporting.converter import Converter
from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.formats import FORMATS, Format
from app.exporting.metadata import Description
from app.exporting.parity import Verification
from app.exporting.quantization import Quantizer
from app.interface.errors import GateError
from app.interface.sources import open_readable
from data.image.transform import ImageTransform
from data.loading import Loader
from models.builder import with_predictions
from tests.conftest import Ended
from tests.handmade import RESCALED, colour_classifier

Cli = Callable[..., Ended]


@pytest.fixture(scope="module")
def asked(fruit: Path) -> EvaluationSet:
    """24 images and the right predictions to them."""
    examples, _ = open_readable(str(fruit), skip_unreadable=False)
    images = EvaluationSet(Loader(examples, ImageTransform(32, "stretch")), np.arange(len(examples)), np.empty((0, 3)))
    images.reference = np.asarray(with_predictions(colour_classifier())(pixels_of(images).astype(np.float32)))
    return images


def pixels_of(images: EvaluationSet) -> np.ndarray:
    return images.pixels(range(len(images)))


def context(asked: EvaluationSet, stretch: float = 1.0) -> ExportContext:
    description = Description("name", "text", "1", "author", "licence", asked.class_names)
    model = with_predictions(colour_classifier(stretch))
    return ExportContext(model, description=description, calibration=lambda: pixels_of(asked))


@pytest.fixture(scope="module")
def sound(asked: EvaluationSet) -> ExportContext:
    return context(asked)


@pytest.fixture(scope="module")
def brittle(asked: EvaluationSet) -> ExportContext:
    return context(asked, stretch=1000.0)


def ask(file: bytes, pixels: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=file)
    runner = interpreter.get_signature_runner()
    kind = interpreter.get_input_details()[0]["dtype"]
    return np.concatenate([runner(pixels=one[None].astype(kind))["probabilities"] for one in pixels])


# --- `--quantize auto` ------------------------------------------------------------------------------------------------


def test_the_two_networks_are_the_same_function(
    sound: ExportContext, brittle: ExportContext, asked: EvaluationSet
) -> None:
    pixels = pixels_of(asked).astype(np.float32)
    np.testing.assert_allclose(brittle.model(pixels), sound.model(pixels), atol=1e-4)
    assert (asked.reference.argmax(axis=1) == asked.labels).all()


def test_a_network_that_full_integer_ruins_is_mended(
    brittle: ExportContext, asked: EvaluationSet, tmp_path: Path
) -> None:
    search = quantize_automatically(brittle, tmp_path, asked, asked, max_drop=0.5)
    assert search.verification is not None and search.format is not None
    assert (search.name, search.verification.passed) == ("tflite_int8_mixed", True)
    first, *_, last = search.steps
    assert first["format"] == "tflite_int8" and first["accuracy"] < 0.5 and first["keras_accuracy"] == 1.0
    assert "loses" in first["failures"][0] and "--max-drop" in first["failures"][0]
    assert (last["format"], last["accuracy"], last["failures"]) == ("tflite_int8_mixed", 1.0, [])
    assert [path.name for path in tmp_path.iterdir()] == [search.format.file] == ["model_int8_mixed.tflite"]

    # Quantising what gives the stretched channel ruins it, and so does quantising what takes it.
    named = [one["layer"] for one in search.layers]
    assert any(RESCALED in name for name in named[:2]) and any("narrow" in name for name in named[:2])
    (wide,) = [one for one in search.layers if RESCALED in one["layer"]]
    assert wide["range"][1] > 100 > 1 > search.layers[-1]["range"][1]
    assert sum(one["share"] for one in search.layers[:2]) > 0.99

    file = tmp_path / search.format.file
    (given,) = Interpreter(str(file)).get_input_details()
    assert given["dtype"] == np.uint8
    np.testing.assert_allclose(ask(file.read_bytes(), pixels_of(asked)), asked.reference, atol=0.02)


def test_a_good_network_stays_full_integer(sound: ExportContext, asked: EvaluationSet, tmp_path: Path) -> None:
    search = quantize_automatically(sound, tmp_path, asked, asked, max_drop=0.0)
    assert search.name == "tflite_int8" and search.format is FORMATS["tflite_int8"]
    assert search.verification is not None and "mediapipe" in search.verification.figures
    assert [(one["format"], one["failures"]) for one in search.steps] == [("tflite_int8", [])]
    assert search.layers == []  # nobody asks for them
    assert [path.name for path in tmp_path.iterdir()] == ["model_int8.tflite"]


def fail_until(good: Callable[[str, bool], bool], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Let every check fail but those of files that are `good`; gives what was verified, and whether on test images."""
    proved = []

    def verify(
        path: Path,
        export: Format,
        images: EvaluationSet,
        *,
        max_drop: float,
        with_client: bool = True,
        more: Any = None,
        golden: Any = None,
    ) -> Verification:
        assert path.stat().st_size > 1000
        proved.append((path.name, with_client))
        failures = [] if good(path.name, with_client) else ["no good"]
        figures: dict[str, Any] = {"file": path.name, "accuracy": 0.0, "seconds": 0.0, "passed": not failures}
        return Verification(figures, failures=failures)

    monkeypatch.setattr(automatic, "verify", verify)
    return proved


def test_what_passes_nothing_ends_with_float16(
    brittle: ExportContext, asked: EvaluationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved = fail_until(lambda name, with_client: False, monkeypatch)
    search = quantize_automatically(brittle, tmp_path, asked, asked, max_drop=0.5)
    names = list(dict.fromkeys(name for name, _ in proved))
    assert names == [
        "model_int8.tflite",
        "model_int8_mixed.tflite",
        "model_int8_weights.tflite",
        "model_float16.tflite",
    ]
    assert search.name == "tflite_float16" and search.verification is not None and not search.verification.passed
    assert proved[-1] == ("model_float16.tflite", True)  # what is kept is told of by the test images
    assert all(one["failures"] == ["no good"] for one in search.steps)
    tried = [one["what"] for one in search.steps]
    assert len(set(tried)) == len(tried)  # also where several have the same file name
    assert [path.name for path in tmp_path.iterdir()] == ["model_float16.tflite"]


def test_what_fails_on_the_test_images_only_is_not_kept(
    sound: ExportContext, asked: EvaluationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_until(lambda name, with_client: not with_client or "weights" in name, monkeypatch)
    search = quantize_automatically(sound, tmp_path, asked, asked, max_drop=0.5)
    assert search.name == "tflite_int8_weights" and search.verification is not None and search.verification.passed
    assert search.steps[0]["failures"] == ["on the test images: no good"]
    assert search.steps[-1]["failures"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["model_int8_weights.tflite"]


def test_where_validation_cannot_tell_training_images_decide(
    sound: ExportContext, asked: EvaluationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {"model_int8.tflite": 0.02, "model_int8_mixed.tflite": 0.02, "model_int8_weights.tflite": 0.0}

    def verify(path: Path, export: Format, images: EvaluationSet, *, max_drop: float, **options: Any) -> Verification:
        more = {"pictures": 500, "accuracy_drop": losses.get(path.name, 0.0)}
        return Verification({"file": path.name, "accuracy": 1.0, "within_chance": True, "more": more, "seconds": 0.0})

    monkeypatch.setattr(automatic, "verify", verify)
    search = quantize_automatically(sound, tmp_path, asked, asked, max_drop=0.5, more=lambda: asked)
    assert search.name == "tflite_int8_weights"
    failure = "loses 2.0 points on 500 training and validation images; at most 0.5 allowed (--max-drop)"
    assert [one["failures"] for one in search.steps[:-1]] == [[failure]] * (len(search.steps) - 1)


def test_the_search_among_layers_runs_once(brittle_copy: app.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    honest = Quantizer.layer_errors

    def counted(self: Quantizer, layers: Any) -> dict[str, float]:
        searched.append(1)
        return honest(self, layers)

    monkeypatch.setattr(Quantizer, "layer_errors", counted)
    with pytest.raises(GateError):
        app.export(str(brittle_copy.path), formats=("tflite_int8",), quantize="auto")
    assert brittle_copy.parity["quantization"]["kept"] == "tflite_int8_mixed" and len(searched) == 1


def test_auto_is_beside_the_formats_that_are_named(brittle_copy: app.Run, cli: Cli) -> None:
    ended = cli("export", brittle_copy.path, "--formats", "onnx", "--quantize", "auto")
    assert (ended.code, ended.err) == (0, "")
    parity = brittle_copy.parity
    assert set(parity["formats"]) == {"onnx", "tflite_int8_mixed"} and parity["passed"]
    assert set(parity["quantization"]) == {"kept", "steps", "layers"}
    assert parity["quantization"]["kept"] == "tflite_int8_mixed"
    names = {path.name for path in brittle_copy.export.iterdir()}
    pages = {"model_card.md", "integration.md"}
    assert names == {"model.onnx", "model_int8_mixed.tflite", "labels.txt", "golden", "parity.json"} | pages
    assert "Not kept: full integer, loses 66.7 points" in ended.out
    layers = re.search(r"^Kept: (integer but for \d of \d layers) \(model_int8_mixed\.tflite\)\.$", ended.out, re.M)
    assert layers is not None
    for step in parity["quantization"]["steps"][:-1]:
        assert step["what"] not in layers.group(1)
    assert not [line for line in ended.out.splitlines() if line.startswith("Not kept") and "mixed" in line]
    for page in (brittle_copy.report, brittle_copy.path / "model_card.md"):
        text = page.read_text(encoding="utf-8")
        assert "model_int8_mixed.tflite" in text and RESCALED in text  # why the others were not kept


def test_an_export_without_formats_searches_as_the_run_did(colour_copy: app.Run) -> None:
    colour_copy.write_options(colour_copy.options | {"formats": ["onnx"], "quantize": "auto"})
    parity = app.export(str(colour_copy.path))
    assert set(parity["formats"]) == {"tflite_int8", "onnx"}
    assert (colour_copy.options["quantize"], colour_copy.options["formats"]) == ("auto", ["onnx"])
    parity = app.export(str(colour_copy.path), formats=("tflite_float32",))
    assert set(parity["formats"]) == {"tflite_int8", "onnx", "tflite_float32"}
    assert parity["quantization"]["kept"] == "tflite_int8" and colour_copy.options["quantize"] == "auto"


# --- The quantiser ----------------------------------------------------------------------------------------------------


def test_files_answer_like_the_float_one(sound: ExportContext, asked: EvaluationSet) -> None:
    quantizer = sound.quantizer
    files = {
        "8-bit weights": quantizer.weights_only(),
        "8 bits": quantizer.static(activation_bits=8),
        "16 bits": quantizer.static(activation_bits=16),
        "8 bits but for some layers": quantizer.static(activation_bits=8, float_layers=quantizer.layers[1:3]),
        "8 bits but for the last layers": quantizer.static(activation_bits=8, float_layers=quantizer.layers[-2:]),
    }
    for name, file in files.items():
        np.testing.assert_allclose(ask(file, pixels_of(asked)), asked.reference, atol=0.02, err_msg=name)
        interpreter = Interpreter(model_content=file)
        (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert given["dtype"] == (np.uint8 if name.startswith("8 bits") else np.float32), name
        assert answer["dtype"] == np.float32


def test_ranges_are_those_of_all_images_in_any_order(sound: ExportContext, asked: EvaluationSet) -> None:
    """A moving average over the images, which lie class by class, would cut off what the first classes need."""
    there, back = Quantizer(sound.float32, pixels_of(asked)), Quantizer(sound.float32, pixels_of(asked)[::-1])
    assert there.static(activation_bits=8) == back.static(activation_bits=8)
    features = keras.Model(sound.model.input, sound.model.get_layer("narrow_relu").output)
    values = np.asarray(features(pixels_of(asked).astype(np.float32)))
    (layer,) = [name for name in there.layers if "narrow" in readable(name)]
    assert there.range_of(layer) == pytest.approx((values.min(), values.max()), rel=1e-4)


def test_a_layer_does_harm_where_its_error_is(brittle: ExportContext) -> None:
    errors = brittle.quantizer.layer_errors(brittle.quantizer.layers)
    assert set(errors) == set(brittle.quantizer.layers)
    assert list(errors.values()) == sorted(errors.values(), reverse=True)
    assert all(error >= 0 for error in errors.values())
    assert {name for name, error in errors.items() if error > 0.01} == {
        name for name in errors if RESCALED in readable(name) or "narrow" in readable(name)
    }


@pytest.mark.parametrize("padding", ["same", "valid"])  # the converter folds the scaling into the second
@pytest.mark.parametrize("bits", [8, 16])
def test_scales_that_are_powers_of_two_do_not_matter(bits: int, padding: str) -> None:
    """Pixels from black to white, scaled to [-1, 1] by an addition: LiteRT takes 16-bit scales of such for older ones."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(4, 3, padding=padding, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", name="probabilities"),
        ]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    pixels[:, 0], pixels[:, 1] = 0, 255
    file = Quantizer(Converter(model).convert(), pixels).static(activation_bits=bits)
    np.testing.assert_allclose(ask(file, pixels), model(pixels.astype(np.float32)), atol=0.02)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net_1/backbone_1/block0_relu_1/Relu;net_1/backbone_1/block0_conv_1/convolution", "block0_conv_1/convolution"),
        ("net_1/head_pooling_1/Mean", "head_pooling_1/Mean"),
        ("StatefulPartitionedCall:0", "probabilities"),
    ],
)
def test_names_of_layers_can_be_read(name: str, expected: str) -> None:
    assert readable(name) == expected
