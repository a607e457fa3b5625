"""Descriptions that model files hold of themselves: one reader per format.

TFLite: the metadata of https://www.tensorflow.org/lite/models/convert/metadata, as MediaPipe Tasks reads it. ONNX: the
metadata properties that Graft writes, and those of https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md.
"""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from app.exporting.description import LINEAR, SIGMOID, SOFTMAX, ModelDescription, ScoreCalibration
from app.exporting.metadata import FILE_KEY, OWN_KEY, THRESHOLDS, metadata_schema
from app.exporting.saved_model import SAVED_MODEL_PROPERTIES
from app.interface.errors import UsageError
from app.prediction.label_files import LARGEST, parse_names
from app.tasks import TASKS
from data.image.resizing import RESIZES

_IDENTIFIER = b"TFL3"  # of a .tflite, after the first four bytes
_PACKED = "in its metadata"
_LABELS, _LOCALE = "labels", "labels_"
# Mean and standard deviation that map pixels in [0, 255] to each range.
_PIXEL_RANGES = {
    "NominalRange_0_255": (0.0, 1.0),
    "Normalized_0_1": (0.0, 255.0),
    "Normalized_1_1": (127.5, 127.5),
}
_TRANSFORMATIONS = ("identity", "log", "inverse_logistic")
# Operations that do not change the meaning of values.
_PASSING = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "CAST"} | {
    *("Identity", "Reshape", "Squeeze", "Cast", "Flatten", "QuantizeLinear", "DequantizeLinear")
}
_ENDS = {
    **dict.fromkeys(("SOFTMAX", "Softmax"), SOFTMAX),
    **dict.fromkeys(("LOGISTIC", "Sigmoid"), SIGMOID),
    **dict.fromkeys(("FULLY_CONNECTED", "CONV_2D", "ADD", "BATCH_MATMUL", "Gemm", "MatMul", "Add", "Conv"), LINEAR),
}


# --- TFLite -------------------------------------------------------------------------------------------------------------


def describe_tflite(path: Path) -> ModelDescription:
    """Read a `.tflite`'s metadata and the files packed into it.

    Examples:
        >>> about = describe_tflite(Path("runs/fruit/export/model_float32.tflite"))
        >>> about.names
        ('apple', 'banana', 'cherry')
        >>> about.task
        'single_label'
    """
    model = _tflite_model(path)
    entries = {}
    for number in range(model.MetadataLength()):
        entry = model.Metadata(number)
        data = model.Buffers(entry.Buffer()).DataAsNumpy()
        entries[entry.Name()] = b"" if isinstance(data, int) else data.tobytes()
    own = entries.get(OWN_KEY.encode())
    described = _of_properties(json.loads(own), _PACKED) if own else ModelDescription()
    packed = entries.get(FILE_KEY.encode())
    return described.over(_of_metadata(packed, path)) if packed else described


class TensorType(NamedTuple):
    """The type of a tensor in a `.tflite`.

    Attributes:
        type: NumPy's name of the values' type.
        shape: length of each axis.
        scale: of quantised values, what each step is worth; 0 for values that are not quantised.
        zero_point: of quantised values, the one that means 0.
    """

    type: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


def tensors_of_tflite(path: Path) -> tuple[TensorType, TensorType]:
    """Return the first input and the first output of a `.tflite`.

    Examples:
        >>> given, answer = tensors_of_tflite(Path("runs/fruit/export/model_float32.tflite"))
        >>> given
        TensorType(type='float32', shape=(1, 32, 32, 3), scale=0.0, zero_point=0)
        >>> answer.shape
        (1, 3)
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    graph = schema.Model.GetRootAs(np.memmap(path, np.uint8, "r")).Subgraphs(0)

    def described(number: int) -> TensorType:
        tensor = graph.Tensors(number)
        steps, is_quantised = tensor.Quantization(), names[tensor.Type()].startswith(("int8", "uint8"))
        scale, zero = (float(steps.Scale(0)), int(steps.ZeroPoint(0))) if is_quantised else (0.0, 0)
        return TensorType(names[tensor.Type()], tuple(map(int, tensor.ShapeAsNumpy())), scale, zero)

    return described(graph.Inputs(0)), described(graph.Outputs(0))


def end_of_tflite(path: Path) -> str | None:
    """Return the kind of final activation in a `.tflite`: SOFTMAX, SIGMOID, LINEAR, or None if unknown.

    Examples:
        >>> end_of_tflite(Path("runs/fruit/export/model_float32.tflite"))
        'softmax'
        >>> end_of_tflite(Path("runs/fruit/export/model_float32.tflite")) in (SOFTMAX, SIGMOID, LINEAR)
        True
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = _tflite_model(path)
    graph = model.Subgraphs(0)
    made_by = {}
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        kind = model.OperatorCodes(operator.OpcodeIndex())
        code = max(kind.BuiltinCode(), kind.DeprecatedBuiltinCode())  # old files have only the second
        for output in range(operator.OutputsLength()):
            made_by[operator.Outputs(output)] = (names.get(code, ""), operator.Inputs(0))
    return _end(made_by, graph.Outputs(0))


def _tflite_model(path: Path) -> Any:
    """Return the root of a `.tflite`. It is memory-mapped: it can be large, and its process may have its memory measured."""
    from ai_edge_litert import schema_py_generated as schema

    content = (
        np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    )  # an empty file has no map
    if content[4:8].tobytes() != _IDENTIFIER:
        raise UsageError(f"{path} is not a .tflite file")
    return schema.Model.GetRootAs(content)


def _end(made_by: Mapping[Any, tuple[str, Any]], tensor: Any) -> str | None:
    """Return the kind of final activation, by the operation that made each tensor and that operation's first input."""
    for _ in range(len(made_by)):
        kind, before = made_by.get(tensor, ("", None))
        if kind not in _PASSING:
            return _ENDS.get(kind)
        tensor = before
    return None


def _of_metadata(packed: bytes, path: Path) -> ModelDescription:
    """Return what the official metadata says about the input and the single output."""
    schema = metadata_schema()
    metadata = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAs(packed))
    graph = (metadata.subgraphMetadata or [None])[0]
    given, answer = (
        next(iter(getattr(graph, name, None) or []), None) for name in ("inputTensorMetadata", "outputTensorMetadata")
    )
    found, notes = _of_input(given), []
    found["task"] = _task_of(_text(getattr(graph, "name", None)))
    for options in _options(answer, "ScoreThresholdingOptionsT"):
        found["score_threshold"] = options.globalScoreThreshold or None
    files = _PackedFiles(path, getattr(answer, "associatedFiles", None) or [])
    names, guessed = files.names("")
    if files.missing:
        notes.append(f"its metadata names {files.missing}, which is not packed in it")
    if guessed:
        notes.append(f"its labels are read as {guessed}")
    if names:
        found["names"] = names
        found["locales"] = {locale: files.names(locale)[0] for locale in files.locales} or None
        found["thresholds"] = files.thresholds(names)
    for options in _options(answer, "ScoreCalibrationOptionsT"):
        found["score_calibration"] = files.calibration(options)
    return ModelDescription.of(_PACKED, tuple(notes), **found)


def _task_of(graph_name: str) -> str | None:
    """Return the only task whose graphs Graft gives this name; None if there is none, or several."""
    tasks = [name for name, task in TASKS.items() if task.graph_name == graph_name]
    return tasks[0] if len(tasks) == 1 else None


def _of_input(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for options in _options(given, "NormalizationOptionsT"):
        # Vectors of the schema are NumPy arrays or lists; a missing vector is None.
        mean, std = (tuple(map(float, one)) if one is not None else () for one in (options.mean, options.std))
        if mean and std and 0 not in std:
            found["mean"], found["std"] = mean, std
    size = getattr(getattr(getattr(given, "content", None), "contentProperties", None), "defaultSize", None)
    if size is not None and size.height and size.width:
        found["size"] = (size.height, size.width)
    return found


def _options(tensor: Any, kind: str) -> Iterator[Any]:
    """Yield the options of a tensor's process units of one kind."""
    for unit in getattr(tensor, "processUnits", None) or []:
        if type(unit.options).__name__ == kind:
            yield unit.options


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


class _PackedFiles:
    """The files that belong to an output, from the zip archive at the end of a `.tflite`."""

    def __init__(self, path: Path, files: list[Any]) -> None:
        kinds = metadata_schema().AssociatedFileType
        self._contents = dict(_unpacked(path, [_text(one.name) for one in files]))
        self.missing = ", ".join(repr(name) for one in files if (name := _text(one.name)) not in self._contents)
        files = [one for one in files if _text(one.name) in self._contents]
        labels = [one for one in files if one.type == kinds.TENSOR_AXIS_LABELS]
        labels = labels or [one for one in files if one.type == kinds.TENSOR_VALUE_LABELS]
        # Of several files in a language, the first counts, as for clients.
        self._labels = {_text(one.locale): _text(one.name) for one in reversed(labels)}
        if labels and "" not in self._labels:
            self._labels[""] = _text(labels[0].name)
        self._calibrations = [_text(one.name) for one in files if one.type == kinds.TENSOR_AXIS_SCORE_CALIBRATION]

    @property
    def locales(self) -> list[str]:
        """Languages of the labels, without the labels that have none."""
        return sorted(set(self._labels) - {""})

    def names(self, locale: str) -> tuple[tuple[str, ...], str]:
        """Return the labels of a locale, and the encoding if it was guessed."""
        return parse_names(self._contents[self._labels[locale]]) if locale in self._labels else ((), "")

    def thresholds(self, names: tuple[str, ...]) -> tuple[float | None, ...] | None:
        """Return the thresholds that Graft packs, by class."""
        content = self._contents.get(THRESHOLDS)
        named = json.loads(content) if content else None
        if not isinstance(named, dict):
            return None
        return tuple(float(named[name]) if name in named else None for name in names)

    def calibration(self, options: Any) -> ScoreCalibration | None:
        """Return the parameters of the classes, one line each: scale, slope, offset and, optionally, the least score."""
        if not self._calibrations:
            return None
        lines, _ = parse_names(self._contents[self._calibrations[0]])
        parameters = [[float(one) for one in line.split(",")] if line.strip() else None for line in lines]
        return ScoreCalibration(
            _TRANSFORMATIONS[options.scoreTransformation],
            options.defaultScore,
            tuple(None if one is None else (*one, -np.inf)[:4] for one in parameters),  # type: ignore[misc]
        )


def _unpacked(path: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    if not names or not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for name in {*names} & {*archive.namelist()}:
            with archive.open(name) as file:
                yield name, file.read(LARGEST)


# --- ONNX and SavedModel ------------------------------------------------------------------------------------------------


def describe_onnx(properties: Mapping[str, str]) -> ModelDescription:
    """Read an `.onnx` file's metadata properties: those of Graft, of the standard, and class names in other conventions.

    Examples:
        >>> describe_onnx({"labels": '["apple", "pear"]'}).names
        ('apple', 'pear')
        >>> describe_onnx({"names": "{0: 'apple', 1: 'pear'}"}).names
        ('apple', 'pear')
    """
    found = {key: _parsed(value) for key, value in properties.items()}
    lowered = {key.lower(): value for key, value in found.items()}
    names = (_listed(lowered.get(key)) for key in ("names", "classes", "class_names"))
    described = _of_properties({_LABELS: next(filter(None, names), None)} | found, _PACKED)
    mean, std = _PIXEL_RANGES.get(properties.get("Image.NominalPixelRange", ""), (None, None))
    return described.over(
        ModelDescription.of(
            _PACKED,
            mean=None if mean is None else (mean,),
            std=None if std is None else (std,),
            bgr=properties.get("Image.BitmapPixelFormat", "").lower().startswith("bgr") or None,
        )
    )


def end_of_onnx(path: Path) -> str | None:
    """Return the kind of final activation in an `.onnx` file: SOFTMAX, SIGMOID, LINEAR, or None if unknown.

    Examples:
        >>> from onnx import TensorProto, helper, save
        >>> values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3)) for name in ("logits", "probabilities")]
        >>> for kind in ("Softmax", "Cos"):
        ...     node = helper.make_node(kind, ["logits"], ["probabilities"])
        ...     save(helper.make_model(helper.make_graph([node], "head", values[:1], values[1:])), f"{kind}.onnx")
        >>> end_of_onnx(Path("Softmax.onnx"))
        'softmax'
        >>> end_of_onnx(Path("Cos.onnx")) is None
        True
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    made_by = {name: (node.op_type, next(iter(node.input), None)) for node in graph.node for name in node.output}
    return _end(made_by, graph.output[0].name)


def describe_saved_model(path: Path) -> ModelDescription:
    """Read the properties that Graft stores in a SavedModel folder.

    Examples:
        >>> describe_saved_model(Path("images")).names is None
        True
        >>> describe_saved_model(Path("no_such_folder")) == ModelDescription()
        True
    """
    file = path / SAVED_MODEL_PROPERTIES
    return (
        _of_properties(json.loads(file.read_bytes()), f"in its {file.name}") if file.is_file() else ModelDescription()
    )


def _parsed(text: str) -> Any:
    """Parse a property as JSON or as a Python literal, which other tools write; otherwise return it as it is."""
    readers: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
    for read in readers:
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    return text


def _listed(value: Any) -> list[str] | None:
    """Return class names from a list, a mapping between numbers and names, lines, or comma-separated words."""
    if isinstance(value, str):
        text = value.strip()
        value = [one.strip() for one in text.split("\n" if "\n" in text else ",")]
    if isinstance(value, dict) and all(isinstance(one, int) for one in value.values()):
        value = {number: name for name, number in value.items()}
    if isinstance(value, dict) and all(str(number).isdigit() for number in value):
        by_number = {int(number): name for number, name in value.items()}
        value = [by_number.get(number, "") for number in range(max(by_number, default=-1) + 1)]
    return [str(one) for one in value] if isinstance(value, (list, tuple)) and len(value) > 1 else None


def _of_properties(found: Any, origin: str) -> ModelDescription:
    """Return what Graft's properties say; see `app.exporting.metadata.properties`."""
    if not isinstance(found, dict):
        return ModelDescription()
    task, resize = _one_of(TASKS, found.get("task")), _one_of(RESIZES, found.get("resize"))
    thresholds, score_threshold = found.get("thresholds"), found.get("score_threshold")
    background, levels = found.get("background"), found.get("levels")
    return ModelDescription.of(
        origin,
        names=_names(found.get(_LABELS)),
        locales={key.removeprefix(_LOCALE): _names(value) for key, value in found.items() if key.startswith(_LOCALE)}
        or None,
        thresholds=tuple(thresholds) if isinstance(thresholds, list) else None,
        score_threshold=score_threshold or None if isinstance(score_threshold, (int, float)) else None,
        task=task,
        resize=resize,
        background=background if isinstance(background, str) else None,
        levels=levels if isinstance(levels, str) else None,
        is_ours=bool(task and resize) or None,
    )


def _one_of(known: Collection[str], value: Any) -> str | None:
    return value if isinstance(value, str) and value in known else None


def _names(value: Any) -> tuple[str, ...] | None:
    found = value if isinstance(value, list) else _listed(value)
    return tuple(map(str, found)) if found else None
