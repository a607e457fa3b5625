"""Formats: LiteRT (TFLite) files for phones. `app.exporting.quantization` says which tool makes which file, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.exporting.context import ExportContext
from app.exporting.metadata import Description, with_metadata
from models.heads import NUMBERS


def write_float32(context: ExportContext, path: Path) -> None:
    """Write a float32 `.tflite`.

    Examples:
        >>> import keras
        >>> from app.exporting.self_description import describe_tflite
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="probabilities")]
        >>> about = Description("rgb", "", "1", "", "", ("red", "green", "blue"))
        >>> write_float32(ExportContext(keras.Sequential(layers), description=about, calibration=list), Path("model.tflite"))
        >>> Path("model.tflite").read_bytes()[4:8]
        b'TFL3'
        >>> describe_tflite(Path("model.tflite")).names
        ('red', 'green', 'blue')
    """
    _write(context.float32, context, path)


def write_float16(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with 16-bit weights: half the size; computes in float32 unless the processor supports 16 bits.

    Examples:
        >>> import keras
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="probabilities")]
        >>> about = Description("rgb", "", "1", "", "", ("red", "green", "blue"))
        >>> context = ExportContext(keras.Sequential(layers), description=about, calibration=list)
        >>> write_float16(context, Path("half.tflite"))
        >>> write_float32(context, Path("full.tflite"))
        >>> Path("half.tflite").stat().st_size < Path("full.tflite").stat().st_size
        True
        >>> Interpreter("half.tflite").get_input_details()[0]["dtype"].__name__
        'float32'
    """
    import tensorflow as tf

    _write(context.converter.convert(types=[tf.float16]), context, path)


def write_dynamic(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with 8-bit weights whose activations are quantised at run time: small, but slow on many CPUs.

    Examples:
        >>> import keras
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="probabilities")]
        >>> about = Description("rgb", "", "1", "", "", ("red", "green", "blue"))
        >>> write_dynamic(ExportContext(keras.Sequential(layers), description=about, calibration=list), Path("model.tflite"))
        >>> kinds = {one["dtype"].__name__ for one in Interpreter("model.tflite").get_tensor_details()}
        >>> "int8" in kinds
        True
        >>> Interpreter("model.tflite").get_input_details()[0]["dtype"].__name__
        'float32'
    """
    # Dense layers with a scale per channel need TFLite 2.17, which the old phones that this file is for do not have.
    _write(context.converter.convert(types=[], dense_per_channel=False), context, path)


def write_int8_weights(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with 8-bit weights that computes in float: the size of `write_dynamic` at the speed of float32.

    Examples:
        >>> import keras
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="probabilities")]
        >>> about, pixels = Description("rgb", "", "1", "", "", ("red", "green", "blue")), np.zeros((1, 16, 16, 3), np.uint8)
        >>> context = ExportContext(keras.Sequential(layers), description=about, calibration=lambda: pixels)
        >>> write_int8_weights(context, Path("model.tflite"))
        >>> kinds = {one["dtype"].__name__ for one in Interpreter("model.tflite").get_tensor_details()}
        >>> "int8" in kinds
        True
        >>> Interpreter("model.tflite").get_input_details()[0]["dtype"].__name__
        'float32'
    """
    _write(context.quantizer.weights_only(), context, path)


def write_int8(context: ExportContext, path: Path, float_layers: Collection[str] = ()) -> None:
    """Write a full-integer `.tflite` that takes uint8 pixels and returns float32 probabilities.

    Args:
        context: model to write; its calibration images determine the ranges.
        path: file to write.
        float_layers: names from `Quantizer.layers` that compute in float.

    Examples:
        >>> import keras
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="probabilities")]
        >>> about, pixels = Description("rgb", "", "1", "", "", ("red", "green", "blue")), np.zeros((1, 16, 16, 3), np.uint8)
        >>> context = ExportContext(keras.Sequential(layers), description=about, calibration=lambda: pixels)
        >>> write_int8(context, Path("model.tflite"))
        >>> Interpreter("model.tflite").get_input_details()[0]["dtype"].__name__
        'uint8'
        >>> Interpreter("model.tflite").get_output_details()[0]["dtype"].__name__
        'float32'
    """
    _write_bytes_in(context.quantizer.static(activation_bits=8, float_layers=float_layers), context, path)


def write_edge(context: ExportContext, path: Path) -> None:
    """Write a full-integer `.tflite` for accelerators and microcontrollers, which takes and returns uint8.

    The EdgeTPU, NNAPI and TFLM only take a dense layer with one scale for all of its weights.

    Examples:
        >>> import keras
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="probabilities")]
        >>> about, pixels = Description("rgb", "", "1", "", "", ("red", "green", "blue")), np.zeros((1, 16, 16, 3), np.uint8)
        >>> context = ExportContext(keras.Sequential(layers), description=about, calibration=lambda: pixels)
        >>> write_edge(context, Path("model.tflite"))
        >>> Interpreter("model.tflite").get_input_details()[0]["dtype"].__name__
        'uint8'
        >>> Interpreter("model.tflite").get_output_details()[0]["dtype"].__name__
        'uint8'
    """
    _write_bytes_in(context.quantizer.static(activation_bits=8, integer_answers=True), context, path)


def _write_bytes_in(file: bytes, context: ExportContext, path: Path) -> None:
    # The input's type implies the scaling; by the convention of the schema, the metadata states it.
    scaling = context.quantizer.scaling
    description = replace(context.description, mean=-scaling.offset / scaling.factor, std=1 / scaling.factor)
    _write(file, context, path, description)


def write_int16x8(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with 16-bit activations and 8-bit weights: for accelerators; very slow on CPUs.

    Examples:
        >>> import keras
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="probabilities")]
        >>> about, pixels = Description("rgb", "", "1", "", "", ("red", "green", "blue")), np.zeros((1, 16, 16, 3), np.uint8)
        >>> context = ExportContext(keras.Sequential(layers), description=about, calibration=lambda: pixels)
        >>> write_int16x8(context, Path("model.tflite"))
        >>> kinds = {one["dtype"].__name__ for one in Interpreter("model.tflite").get_tensor_details()}
        >>> {"int16", "int8"} <= kinds
        True
        >>> Interpreter("model.tflite").get_input_details()[0]["dtype"].__name__
        'float32'
    """
    _write(context.quantizer.static(activation_bits=16), context, path)


def with_units(file: bytes, scale: np.ndarray, offset: np.ndarray) -> bytes:
    """Make a file return `numbers` = scale * y + offset in place of y, by two float32 operations at its end.

    They are added to the finished file, since the converter would fold them into weights, which have too few bits for them.

    Args:
        file: content of a `.tflite` that ends with float32 (1, n).
        scale: float32 (n,).
        offset: float32 (n,).

    Examples:
        >>> from app.exporting.converter import Converter
        >>> import keras
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> layers = [keras.Input((8, 8, 3), name="pixels"), keras.layers.GlobalAveragePooling2D(name="standardized")]
        >>> file = Converter(keras.Sequential(layers)).convert()
        >>> file = with_units(file, scale=np.full(3, 2.0), offset=np.array([0.0, 1.0, 2.0]))
        >>> run = Interpreter(model_content=file).get_signature_runner()
        >>> run(pixels=np.ones((1, 8, 8, 3), np.float32))["numbers"].tolist()
        [[2.0, 3.0, 4.0]]
        >>> run(pixels=np.zeros((1, 8, 8, 3), np.float32))["numbers"].tolist()
        [[0.0, 1.0, 2.0]]
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(file)
    (graph,) = model.subgraphs

    def tensor(name: str, shape: list[int], data: np.ndarray | None = None) -> int:
        buffer, made = schema.BufferT(), schema.TensorT()
        buffer.data = None if data is None else np.frombuffer(data.astype("<f4").tobytes(), np.uint8)
        model.buffers.append(buffer)
        made.name, made.type, made.shape = name.encode(), schema.TensorType.FLOAT32, np.array(shape, np.int32)
        made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operate(kind: str, constant: np.ndarray, name: str) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind.upper())
        code.version = 1
        model.operatorCodes.append(code)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind}Options")
        operator.builtinOptions = getattr(schema, f"{kind}OptionsT")()
        operator.inputs = [graph.outputs[0], tensor(f"{name}/constant", [len(constant)], constant)]
        operator.outputs = [tensor(name, [1, len(constant)])]
        graph.operators.append(operator)
        graph.outputs = operator.outputs

    operate("Mul", scale, f"{NUMBERS}/scaled")
    operate("Add", offset, NUMBERS)
    (answer,) = model.signatureDefs[0].outputs
    answer.name, answer.tensorIndex = NUMBERS.encode(), graph.outputs[0]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _write(file: bytes, context: ExportContext, path: Path, description: Description | None = None) -> None:
    if context.scaling is not None:
        file = with_units(file, *context.scaling)
    path.write_bytes(with_metadata(file, description or context.description))
