"""Formats: LiteRT (TFLite) files for phones. `app.exporting.quantization` says which tool makes which, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.exporting.context import ExportContext
from app.exporting.converter import convert
from app.exporting.metadata import Description, with_metadata
from models.heads import NUMBERS


def write_float32(context: ExportContext, path: Path) -> None:
    """Write a float32 `.tflite`."""
    _write(context.float32, context, path)


def write_float16(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with weights of 16 bits: half the size; computing stays in float32 where the processor has no 16."""
    import tensorflow as tf

    _write(convert(context.network, types=[tf.float16]), context, path)


def write_dynamic(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with weights of 8 bits whose activations are quantised while it runs: small, but slow on many CPUs."""
    # Dense layers with a scale for each channel need TFLite 2.17, and nobody who takes this file for old phones has that.
    _write(convert(context.network, types=[], dense_per_channel=False), context, path)


def write_int8_weights(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with weights of 8 bits that computes in float: the size of `write_dynamic` at the speed of float32."""
    _write(context.quantizer.weights_only(), context, path)


def write_int8(context: ExportContext, path: Path, float_layers: Collection[str] = ()) -> None:
    """Write a full-integer `.tflite`, uint8 pixels in and float32 probabilities out.

    Args:
        context: what to write; its calibration images give the ranges.
        path: file to write.
        float_layers: names from `Quantizer.layers` that compute in float.
    """
    _write_bytes_in(context.quantizer.static(activation_bits=8, float_layers=float_layers), context, path)


def write_edge(context: ExportContext, path: Path) -> None:
    """Write a full-integer `.tflite` for accelerators and microcontrollers, uint8 pixels in and uint8 probabilities out.

    The EdgeTPU, NNAPI and TFLM take a dense layer with one scale for all of its weights only.
    """
    _write_bytes_in(context.quantizer.static(activation_bits=8, integer_answers=True), context, path)


def _write_bytes_in(file: bytes, context: ExportContext, path: Path) -> None:
    # The input's type does the scaling; by the convention of the schema, the metadata is to tell of it.
    scaling = context.quantizer.scaling
    description = replace(context.description, mean=-scaling.offset / scaling.factor, std=1 / scaling.factor)
    _write(file, context, path, description)


def write_int16x8(context: ExportContext, path: Path) -> None:
    """Write a `.tflite` with activations of 16 and weights of 8 bits: for accelerators; very slow on CPUs."""
    _write(context.quantizer.static(activation_bits=16), context, path)


def with_units(file: bytes, scale: np.ndarray, offset: np.ndarray) -> bytes:
    """Let a file answer with `numbers` = scale * y + offset in place of y, by two operations in float32 at its end.

    They are added to the finished file: the converter would fold them into weights, which have too few bits for them.

    Args:
        file: a `.tflite` that ends with float32 (1, n).
        scale: float32 (n,).
        offset: float32 (n,).
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
