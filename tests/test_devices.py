"""Where a `.tflite` runs: the oldest runtime, what accelerators leave to the CPU, and LiteRT without XNNPACK."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils

import app
from app.exporting import parity
from app.exporting.context import ExportContext
from app.exporting.delegates import DELEGATES, DEVICE_COLUMNS, device_rows, left_to_cpu
from app.exporting.formats import FORMATS
from app.exporting.metadata import Description
from app.exporting.op_versions import (
    FIRST_RUNTIMES,
    METADATA_KEY,
    correct_versions,
    minimum_runtime,
    named,
    scales,
)
from app.interface.errors import GateError, UsageError
from app.prediction.predictor import Predictor
from tests.conftest import Ended

Cli = Callable[..., Ended]
PHONE_FORMATS = [name for name, one in FORMATS.items() if one.is_for_phones]
OPERATIONS = schema.BuiltinOperator


def model_of(*operations: tuple[str, int]) -> schema.ModelT:
    """A model that uses each of the operations, by name and version, on float32 tensors."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.operatorCodes, model.subgraphs, graph.operators = [], [graph], []
    tensor, model.buffers = schema.TensorT(), [schema.BufferT()]
    tensor.type, tensor.buffer = schema.TensorType.FLOAT32, 0
    graph.tensors = [tensor, tensor]
    for index, (name, version) in enumerate(operations):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode, code.version = getattr(OPERATIONS, name), version
        operator.opcodeIndex, operator.inputs, operator.outputs = index, [0, 0, 0], [1]
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    return model


@pytest.fixture(scope="module")
def large_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file in each format for phones, of a network whose layers are large enough to be quantised."""
    layers, folder = keras.layers, tmp_path_factory.mktemp("large")
    features = pixels = keras.Input((32, 32, 3), name="pixels")
    features = layers.Rescaling(1 / 127.5, -1.0)(features)
    for width in (16, 64):
        features = layers.Conv2D(width, 3, strides=2, activation="relu")(features)
        features = layers.DepthwiseConv2D(3, padding="same")(features)
    features = layers.GlobalAveragePooling2D()(features)
    predictions = layers.Dense(100, activation="softmax", name="probabilities")(features)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    names = [f"class {number}" for number in range(100)]
    about = Description(name="large", text="", version="1", author="", licence="", class_names=names)
    context = ExportContext(keras.Model(pixels, predictions), description=about, calibration=lambda: images)
    for name in PHONE_FORMATS:
        FORMATS[name].write(context, folder / FORMATS[name].file)
    return folder


def opened(run: app.Run, name: str) -> schema.ModelT:
    return flatbuffer_utils.read_model_from_bytearray((run.export / FORMATS[name].file).read_bytes())


# --- The oldest runtime -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operations", "version"),
    [
        ([("CONV_2D", 1), ("SOFTMAX", 1)], "1.5.0"),
        ([("CONV_2D", 3), ("ADD", 2)], "1.14.0"),
        ([("FULLY_CONNECTED", 9), ("CONV_2D", 1)], "2.3.0"),
        ([("CONV_2D", 1), ("FULLY_CONNECTED", 12)], "2.17.0"),  # TFLite 2.14 does not know it
        ([("FULLY_CONNECTED", 11), ("MEAN", 3)], "2.15.0"),  # and 2.15 is newer than 2.4
        ([("CONV_2D", 1), ("FULLY_CONNECTED", 99)], None),
        ([("CONV_2D", 1), ("HASHTABLE_LOOKUP", 1)], None),
        ([("BROADCAST_TO", 1)], None),
    ],
)
def test_the_newest_operation_decides(operations: list[tuple[str, int]], version: str | None) -> None:
    assert minimum_runtime(model_of(*operations)) == version


def test_operations_that_no_operator_uses_do_not_count() -> None:
    model = model_of(("CONV_2D", 1), ("FULLY_CONNECTED", 12))
    model.subgraphs[0].operators.pop()
    assert minimum_runtime(model) == "1.5.0"


def test_the_table_has_operations_of_the_schema_only() -> None:
    assert all(hasattr(OPERATIONS, name) for name in FIRST_RUNTIMES)
    assert all(hasattr(OPERATIONS, name) for one in DELEGATES.values() for name in one.versions)


def written(model: schema.ModelT) -> list[str]:
    entries = [one for one in model.metadata or [] if one.name in (METADATA_KEY, METADATA_KEY.encode())]
    return [bytes(model.buffers[one.buffer].data).rstrip(b"\0").decode() for one in entries]


@pytest.mark.parametrize(
    ("kind", "versions", "oldest"),
    [
        ("FLOAT32", {"CONV_2D": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}, "1.5.0"),
        ("INT8", {"CONV_2D": 3, "FULLY_CONNECTED": 4, "SOFTMAX": 2}, "1.14.0"),
        ("INT16", {"CONV_2D": 4, "FULLY_CONNECTED": 7, "SOFTMAX": 3}, "2.3.0"),
    ],
)
def test_integer_operations_get_the_version_that_knows_integers(
    kind: str, versions: dict[str, int], oldest: str
) -> None:
    model = model_of(*((name, 1) for name in versions))
    model.subgraphs[0].tensors[0].type = getattr(schema.TensorType, kind)
    correct_versions(model)
    assert dict(named(model, one) for one in model.subgraphs[0].operators) == versions
    assert written(model) == [oldest]


def test_a_wrong_version_in_the_metadata_is_corrected() -> None:
    model = model_of(("CONV_2D", 1))
    correct_versions(model)
    assert written(model) == ["1.5.0"]
    model.operatorCodes[0].version = 5
    correct_versions(model)
    assert written(model) == ["2.4.0"]
    model.operatorCodes[0].version = 99
    correct_versions(model)
    assert written(model) == [""]


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_every_file_says_what_it_needs(name: str, every_format: app.Run) -> None:
    model = opened(every_format, name)
    found = every_format.parity["formats"][name]["min_runtime_version"]
    assert written(model) == [found] == [minimum_runtime(model)]
    assert tuple(map(int, found.split("."))) <= (2, 14, 0)  # what pip installs as tflite-runtime


# --- Accelerators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        (("CONV_2D", 1), {}),
        (("REVERSE_V2", 1), {"gpu": "REVERSE_V2", "nnapi": "REVERSE_V2", "coreml": "REVERSE_V2"}),
        (("FULLY_CONNECTED", 12), dict.fromkeys(DELEGATES, "FULLY_CONNECTED (version 12)")),
        (("CONV_2D", 6), {"nnapi": "CONV_2D (version 6)", "coreml": "CONV_2D (version 6)"}),
        (("GELU", 1), {"nnapi": "GELU", "coreml": "GELU"}),
        (("SUB", 1), {"coreml": "SUB"}),
    ],
)
def test_operations_that_stay_on_the_cpu(operation: tuple[str, int], left: dict[str, str]) -> None:
    model = model_of(("RELU", 1), operation)
    weights = schema.TensorT()
    weights.type, weights.buffer = schema.TensorType.FLOAT32, 1
    model.buffers.append(schema.BufferT())
    model.buffers[1].data = np.zeros(4, np.uint8)
    model.subgraphs[0].tensors.append(weights)
    model.subgraphs[0].operators[1].inputs = [0, 2, 2]
    expected = {delegate: [left[delegate]] if delegate in left else [] for delegate in DELEGATES}
    assert left_to_cpu(model) == expected


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_what_accelerators_make_of_a_file(name: str, every_format: app.Run) -> None:
    left = every_format.parity["formats"][name]["left_to_cpu"]
    if name in ("tflite_float32", "tflite_float16"):
        assert left == {"gpu": [], "nnapi": [], "coreml": []}
    if name in ("tflite_int8", "tflite_edge"):
        mean = "MEAN (input and output of different scales)"
        assert left == {"gpu": [], "nnapi": [mean], "coreml": None}  # Core ML takes no integers


@pytest.mark.usefixtures("wide")
def test_the_summary_and_the_card_name_them(every_format: app.Run, cli: Cli, tiny_copy: app.Run) -> None:
    rows = device_rows(every_format.parity)
    assert [row[0] for row in rows] == [FORMATS[name].file for name in PHONE_FORMATS]
    assert all(len(row) == len(DEVICE_COLUMNS) for row in rows)
    ended = cli("export", tiny_copy.path, "--formats", "tflite_int8", "--max-drop", 100)
    card = (tiny_copy.path / "model_card.md").read_text(encoding="utf-8")
    for text in (" ".join(ended.out.split()), card):
        assert "left to the CPU by NNAPI" in text and "MEAN (input and output of different scales)" in text


# --- Bytes in and out -------------------------------------------------------------------------------------------------


def test_the_file_for_the_edgetpu_has_bytes_at_both_ends(every_format: app.Run) -> None:
    interpreter = Interpreter(str(every_format.export / "model_edge.tflite"))
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (given["dtype"], answer["dtype"]) == (np.uint8, np.uint8)
    assert answer["quantization"][0] == pytest.approx(1 / 256)


@pytest.mark.parametrize("name", ["tflite_dynamic", "tflite_int8", "tflite_edge", "tflite_int16x8"])
def test_dense_layers_have_one_scale_for_all_channels(name: str, large_head: Path) -> None:
    """With a scale for each, old runtimes refuse the file or answer nonsense, and NNAPI and the EdgeTPU refuse the layer."""
    model = flatbuffer_utils.read_model_from_bytearray((large_head / FORMATS[name].file).read_bytes())
    (graph,) = model.subgraphs
    dense = [one for one in graph.operators if named(model, one)[0] == "FULLY_CONNECTED"]
    assert dense and all(len(scales(graph, one.inputs[1])) == 1 for one in dense)
    assert all(graph.tensors[one.inputs[1]].type == schema.TensorType.INT8 for one in dense)


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_files_with_a_large_head_load_in_old_runtimes(name: str, large_head: Path) -> None:
    model = flatbuffer_utils.read_model_from_bytearray((large_head / FORMATS[name].file).read_bytes())
    least = minimum_runtime(model)
    assert least is not None and tuple(map(int, least.split("."))) <= (2, 7, 0)


# --- Without XNNPACK --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", ["BUILTIN", "BUILTIN_REF", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_golden_tolerances_hold_whatever_runs_the_file(name: str, kernels: str, every_format: app.Run) -> None:
    folder, file = every_format.export / "golden", FORMATS[name].file
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    interpreter = Interpreter(str(every_format.export / file), experimental_op_resolver_type=OpResolverType[kernels])
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = answer["quantization"]
    for one, predictions in zip(expected["pictures"], expected["outputs"][file]["from_tensor"], strict=True):
        tensor = np.fromfile(folder / one["tensor"], np.uint8).reshape(1, *expected["shape"])
        interpreter.set_tensor(given["index"], tensor.astype(given["dtype"]))
        interpreter.invoke()
        found = interpreter.get_tensor(answer["index"])[0].astype(np.float32)
        found = (found - zero_point) * scale if scale else found
        assert np.abs(found - predictions).max() <= expected["tolerances"][file]


class Answering:
    """A predictor that answers as the real one does, but for what LiteRT gives without XNNPACK."""

    def __init__(self, file: Path, client: str | None = None, **options: Any) -> None:
        self.real, self.plain = Predictor(file, client=client, **options), client == "litert_plain"

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        self.real.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Refusing(Answering):
    def __init__(self, file: Path, client: str | None = None, **options: Any) -> None:
        super().__init__(file, client, **options)
        if self.plain:
            self.real.close()
            raise UsageError(f"{file} cannot be loaded: no_integer_overflow_from_quantization was not true.")


class Turning(Answering):
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        predictions = self.real.predict(pixels)
        return predictions[:, ::-1] if self.plain else predictions


class Drifting(Answering):
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return self.real.predict(pixels) + np.array([0.031, -0.031, 0.0]) * self.plain


@pytest.mark.parametrize(
    ("process", "reason"),
    [
        (
            Refusing,
            "runs with XNNPACK only, LiteRT's default delegate; without it: model_float32.tflite cannot be loaded: no_int",
        ),
        (Turning, "answers otherwise without XNNPACK, LiteRT's default delegate, by 0."),
    ],
)
def test_a_file_that_needs_the_default_delegate_fails(
    process: type[Answering], reason: str, colour_copy: app.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "Predictor", process)
    with pytest.raises(GateError) as caught:
        app.export(str(colour_copy.path), formats=("tflite_float32",))
    assert reason in str(caught.value)
    assert (colour_copy.export / "model_float32_FAILED.tflite").is_file()


def test_answers_that_kernels_round_otherwise_widen_the_golden_tolerance(
    colour_copy: app.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "Predictor", Drifting)
    found = app.export(str(colour_copy.path), formats=("tflite_float32", "onnx"))["formats"]
    assert found["tflite_float32"]["without_xnnpack"]["max_probability_difference"] == pytest.approx(0.031, abs=1e-3)
    expected = json.loads((colour_copy.export / "golden" / "expected.json").read_text(encoding="utf-8"))
    assert expected["tolerances"]["model_float32.tflite"] == pytest.approx(0.062, abs=2e-3)
    assert expected["tolerances"]["model.onnx"] == 0.01
    assert expected["tolerance"] == expected["tolerances"]["model_float32.tflite"]
