"""Model files as others make them: tiny networks that tell colours apart, in every format and shape, told about or not.

All answer with how red, green and blue an image is. `SCALE` makes them sure of it where their pixels are from -1 to 1.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata_schema
from onnx import TensorProto, helper, numpy_helper

import app
from tests.images import encode

COLOURS = ("red", "green", "blue")
SCALE = 4.0
TEXT = b"red\ngreen\nblue\n"
ENDS = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid, "linear": tf.identity}


def network(
    shape: Sequence[int | None] = (1, 16, 16, 3),
    *,
    end: str = "softmax",
    outputs: int = 3,
    dtype: tf.DType = tf.float32,
    inside: bool = False,
    answer_shape: Sequence[int] | None = None,
) -> tf.types.experimental.ConcreteFunction:
    """A network as TensorFlow sees it.

    Args:
        shape: of its input, with channels last or, where the second side is 3, first.
        end: a key of `ENDS`.
        outputs: how many values it gives: for one, how much redder than blue an image is.
        dtype: of its input.
        inside: it scales pixels of 0 to 255 itself.
        answer_shape: of its output, but for the batch.
    """
    first = len(shape) == 4 and shape[1] == 3

    @tf.function(input_signature=[tf.TensorSpec(shape, dtype, name="image")])
    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.cast(image, tf.float32)
        values = values / 127.5 - 1 if inside else values
        colours = tf.reduce_mean(values, axis=(2, 3) if first else (1, 2)) * SCALE
        logits = colours if outputs == 3 else colours[:, :1] - colours[:, 2:]
        predictions = ENDS[end](tf.matmul(logits, tf.eye(outputs)))
        return {"scores": predictions if answer_shape is None else tf.reshape(predictions, (-1, *answer_shape))}

    return call.get_concrete_function()


def convert(function: tf.types.experimental.ConcreteFunction) -> bytes:
    """The `.tflite` of a network."""
    return tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()


def with_foreign_metadata(
    file: bytes,
    *,
    mean: Sequence[float] = (127.5,),
    std: Sequence[float] = (127.5,),
    labels: Mapping[str, bytes] | None = None,
    threshold: float | None = None,
    size: tuple[int, int] | None = None,
    calibration: tuple[int, float, bytes] | None = None,
) -> bytes:
    """Pack metadata as the model makers of TensorFlow and MediaPipe do.

    Args:
        file: a `.tflite`.
        mean: of the input's normalisation.
        std: the same.
        labels: the content of label files by locale; "" for none.
        threshold: of scores.
        size: height and width that the file was made for.
        calibration: of scores: a value of the schema's `ScoreTransformationType`, the default, and the file of parameters.
    """
    options = metadata_schema.NormalizationOptionsT()
    options.mean, options.std = [*mean], [*std]
    properties = metadata_schema.ImagePropertiesT()
    properties.colorSpace = metadata_schema.ColorSpaceType.RGB
    if size:
        properties.defaultSize = metadata_schema.ImageSizeT()
        properties.defaultSize.height, properties.defaultSize.width = size
    given, answer = metadata_schema.TensorMetadataT(), metadata_schema.TensorMetadataT()
    given.content = metadata_schema.ContentT()
    given.content.contentPropertiesType = metadata_schema.ContentProperties.ImageProperties
    given.content.contentProperties = properties
    given.processUnits = [_unit("NormalizationOptions", options)]
    names = {locale: f"labelmap{f'-{locale}' if locale else ''}.txt" for locale in labels or {}}
    answer.associatedFiles = [
        _file(name, locale or None, metadata_schema.AssociatedFileType.TENSOR_AXIS_LABELS)
        for locale, name in names.items()
    ]
    if threshold is not None:
        scores = metadata_schema.ScoreThresholdingOptionsT()
        scores.globalScoreThreshold = threshold
        answer.processUnits = [_unit("ScoreThresholdingOptions", scores)]
    contents = {names[locale]: content for locale, content in (labels or {}).items()}
    if calibration is not None:
        moved = metadata_schema.ScoreCalibrationOptionsT()
        moved.scoreTransformation, moved.defaultScore, contents["calibration.txt"] = calibration
        answer.processUnits = [_unit("ScoreCalibrationOptions", moved)]
        kind = metadata_schema.AssociatedFileType.TENSOR_AXIS_SCORE_CALIBRATION
        answer.associatedFiles += [_file("calibration.txt", None, kind)]
    return _with_entry(file, _packed(given, answer), contents)


def _unit(kind: str, options: Any) -> Any:
    unit = metadata_schema.ProcessUnitT()
    unit.optionsType, unit.options = getattr(metadata_schema.ProcessUnitOptions, kind), options
    return unit


def _file(name: str, locale: str | None, kind: int) -> Any:
    file = metadata_schema.AssociatedFileT()
    file.name, file.locale, file.type = name, locale, kind
    return file


def _packed(given: Any, answer: Any) -> bytes:
    import flatbuffers

    graph, metadata = metadata_schema.SubGraphMetadataT(), metadata_schema.ModelMetadataT()
    graph.inputTensorMetadata, graph.outputTensorMetadata = [given], [answer]
    metadata.name, metadata.subgraphMetadata = "foreign", [graph]
    builder = flatbuffers.Builder()
    builder.Finish(metadata.Pack(builder), b"M001")
    return bytes(builder.Output())


def _with_entry(file: bytes, packed: bytes, contents: Mapping[str, bytes]) -> bytes:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(file))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(packed, np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    whole = io.BytesIO(flatbuffer_utils.convert_object_to_bytearray(model))
    if contents:
        with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    return whole.getvalue()


def write_onnx(
    path: Path,
    shape: Sequence[int | str] = (1, 3, 16, 16),
    *,
    end: str = "Softmax",
    kind: int = TensorProto.FLOAT,
    outputs: int = 3,
    properties: Mapping[str, str] | None = None,
) -> Path:
    """Write an `.onnx` file whose channels come first, as PyTorch does, or last; it takes pixels from 0 to 255.

    Args:
        path: of the file.
        shape: of its input; a name for a side that may be any.
        end: the operation that it ends with; "Identity" for logits.
        kind: of its input.
        outputs: how many values it gives, the fourth and later ones of which are 0 before the end.
        properties: its metadata.
    """
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    weights = (np.eye(3, outputs) * SCALE / 127.5).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels_"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels_", "axes"], ["colours"], keepdims=0),
        helper.make_node("MatMul", ["colours", "weights"], ["logits"]),
        helper.make_node(end, ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [shape[0], outputs])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(axes), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(properties or {}))
    onnx.save(model, path)
    return path


def write_saved_model(path: Path, function: tf.types.experimental.ConcreteFunction) -> Path:
    """Write a SavedModel folder of a network."""
    tf.saved_model.save(tf.Module(), str(path), signatures={"serving_default": function})
    return path


def write_keras(path: Path, *, activation: str, outputs: int = 3) -> Path:
    """Write a `.keras` file that takes pixels from 0 to 255."""
    dense = keras.layers.Dense(outputs, use_bias=False, activation=activation)
    layers = [keras.Input((16, 16, 3)), keras.layers.GlobalAveragePooling2D(), dense]
    model = keras.Sequential(layers)
    weights = np.eye(3) if outputs == 3 else np.array([[1.0], [0], [-1]])
    dense.set_weights([weights * SCALE / 127.5])
    model.save(path)
    return path


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def labels(found: list[app.Prediction]) -> list[str | None]:
    return [one.label for one in found]


def ask(model: Path, images: Path, **options: Any) -> app.Predictions:
    return app.predict(str(model), [str(images)], **options)


def write_colours(folder: Path) -> Path:
    """Write a dark red, a green and a blue image, wider than high."""
    for label, name in enumerate(COLOURS):
        pixels = np.full((20, 30, 3), 90, np.uint8)
        pixels[..., label] = 220
        (folder / f"{label}-{name}.png").write_bytes(encode(pixels))
    return folder


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
