"""The oldest TFLite runtime that can load a `.tflite`, from the versions of its operations.

LiteRT's quantiser leaves the versions and `min_runtime_version` of the float32 file unchanged. TFLite 2.7 then loads
operations that it does not support and silently returns wrong results; with the right versions it refuses the file.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

METADATA_KEY = "min_runtime_version"
_METADATA_BYTES = 16  # by convention of the converters

# The first TensorFlow Lite that supports each version of an operation, from version 1 on; "-" for an unreleased version.
# From `FindMinimumRuntimeVersionForOp` in tensorflow/compiler/mlir/lite/tools/versioning/runtime_version.cc, for the operations
# of image networks. Tests run files in old runtimes to verify it.
FIRST_RUNTIMES = {
    "ABS": "1.13 2.4 2.5 2.6 2.12",
    "ADD": "1.5 1.14 2.4 2.6 2.13 2.23",
    "AVERAGE_POOL_2D": "1.5 1.14 2.3",
    "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
    "BROADCAST_TO": "- 2.5 2.5",
    "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.17 2.21",
    "CONCATENATION": "1.5 1.14 2.3 2.14 2.21",
    "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15",
    "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3 2.3 2.11",
    "DEPTH_TO_SPACE": "2.1 2.5",
    "DEQUANTIZE": "1.13 1.14 1.15 2.2 2.7 2.18 2.21 2.22",
    "DIV": "1.6 2.3",
    "ELU": "1.14",
    "EXP": "1.7 2.12",
    "EXPAND_DIMS": "1.10",
    "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.11 2.15 2.17 2.18 2.21",
    "GATHER": "1.6 1.14 1.15 2.4 2.5 2.13 2.15",
    "GELU": "2.9 2.9",
    "HARD_SWISH": "1.15",
    "L2_NORMALIZATION": "1.5 1.14",
    "LEAKY_RELU": "1.13 2.3",
    "LOG": "1.14 2.15",
    "LOGISTIC": "1.14 1.14 2.3",
    "MAXIMUM": "1.14 1.14 2.3 2.3",
    "MAX_POOL_2D": "1.5 1.14 2.3",
    "MEAN": "1.6 1.14 2.4",
    "MINIMUM": "1.14 1.14 2.3 2.3",
    "MIRROR_PAD": "1.13 2.3 2.12",
    "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13 2.23",
    "NEG": "1.9",
    "PACK": "1.11 1.14 2.3 2.13",
    "PAD": "1.5 1.14 2.4 2.6 2.20",
    "PADV2": "1.9 1.14 2.4 2.6 2.20",
    "POW": "1.10",
    "PRELU": "1.8",
    "QUANTIZE": "1.14 1.15 2.7 2.21 2.21 2.21",
    "REDUCE_MAX": "1.11 1.14 2.5",
    "RELU": "1.5 2.1 2.5",
    "RELU6": "1.5 1.14 2.5",
    "RESHAPE": "1.5",
    "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
    "RESIZE_NEAREST_NEIGHBOR": "1.13 1.14 2.3 2.4",
    "REVERSE_V2": "1.14 2.2 2.5",
    "RSQRT": "1.10 2.5 2.15",
    "SELECT": "1.14 1.14 2.12 2.12",
    "SELECT_V2": "2.2 2.12",
    "SHAPE": "1.10",
    "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14 2.21",
    "SOFTMAX": "1.5 1.14 2.3",
    "SPACE_TO_DEPTH": "1.5 1.14",
    "SPLIT": "1.5 1.14 1.14 2.3",
    "SPLIT_V": "1.13 2.3",
    "SQRT": "1.10 2.21",
    "SQUARE": "1.12",
    "SQUARED_DIFFERENCE": "1.13 2.5",
    "SQUEEZE": "1.6 2.5",
    "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14",
    "SUB": "1.6 1.14 2.3 2.4 2.4",
    "SUM": "1.10 1.15",
    "TANH": "1.14 1.14 2.3",
    "TILE": "1.10 2.2 2.8",
    "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.14 2.22",
    "TRANSPOSE_CONV": "1.9 2.2 2.3 2.13 2.15",
    "UNPACK": "1.11 1.14 2.2 2.3 2.22",
}

# The version that supports integers, if it is not 1, by the type of an operation's data; from `GetBuiltinOperatorVersion` in
# op_version.cc in the same folder. For 16-bit convolutions and dense layers, which it leaves at 1, the version that added them.
_OF_INTEGERS = {
    "INT8": {
        2: "ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION DEQUANTIZE GATHER L2_NORMALIZATION LOGISTIC MAXIMUM "
        "MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL PACK PAD PADV2 REDUCE_MAX RELU RELU6 RESIZE_BILINEAR "
        "RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPLIT STRIDED_SLICE SUB TANH TRANSPOSE TRANSPOSE_CONV UNPACK",
        3: "CONV_2D DEPTHWISE_CONV_2D REVERSE_V2 TILE",
        4: "FULLY_CONNECTED",
    },
    "INT16": {
        2: "LEAKY_RELU",
        3: "ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION DEQUANTIZE LOGISTIC MAX_POOL_2D MEAN MIRROR_PAD PACK "
        "PAD PADV2 REDUCE_MAX RELU RELU6 RSQRT SOFTMAX TANH",
        4: "CONV_2D GATHER MAXIMUM MINIMUM MUL RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SLICE SPLIT UNPACK",
        5: "DEPTHWISE_CONV_2D SUB TRANSPOSE",
        7: "FULLY_CONNECTED",
    },
}
_DATA = {"SPLIT": 1, "TRANSPOSE_CONV": 2}  # index of the data input, if it is not the first


def named(model: Any, operator: Any) -> tuple[str, int]:
    """Return the name of an operation of a `schema.ModelT`, such as "CONV_2D", and the version that a runtime must support.

    Examples:
        >>> from pathlib import Path
        >>> from app.exporting.quantization import _opened
        >>> model, graph = _opened(Path("runs/fruit/export/model_float32.tflite").read_bytes())
        >>> named(model, graph.operators[-1])
        ('SOFTMAX', 1)
        >>> {named(model, operator)[1] for operator in graph.operators}
        {1}
    """
    code = model.operatorCodes[operator.opcodeIndex]
    # Files from before there were 127 operations have only the older field.
    return _names()[max(code.builtinCode, code.deprecatedBuiltinCode)], code.version


def data_type(model: Any, graph: Any, operator: Any) -> str:
    """Return the type of an operation's data, such as "INT8".

    Examples:
        >>> from pathlib import Path
        >>> from app.exporting.quantization import _opened
        >>> model, graph = _opened(Path("runs/fruit/export/model_float32.tflite").read_bytes())
        >>> data_type(model, graph, graph.operators[-1])
        'FLOAT32'
        >>> {data_type(model, graph, operator) for operator in graph.operators}
        {'FLOAT32'}
    """
    data = operator.inputs[_DATA.get(named(model, operator)[0], 0)]
    return _types()[graph.tensors[data].type]


def scales(graph: Any, tensor: int) -> list[float]:
    """Return the quantisation scales of a tensor: a single scale, one per channel, or none.

    Examples:
        >>> from types import SimpleNamespace
        >>> quantized = SimpleNamespace(quantization=SimpleNamespace(scale=[0.5, 0.25]))
        >>> graph = SimpleNamespace(tensors=[quantized, SimpleNamespace(quantization=None)])
        >>> scales(graph, 0)
        [0.5, 0.25]
        >>> scales(graph, 1)
        []
    """
    quantization = graph.tensors[tensor].quantization
    return [] if quantization is None or quantization.scale is None else np.ravel(quantization.scale).tolist()


@cache
def _types() -> dict[int, str]:
    from ai_edge_litert.schema_py_generated import TensorType

    return {number: name for name, number in vars(TensorType).items() if not name.startswith("_")}


@cache
def _names() -> dict[int, str]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {number: name for name, number in vars(BuiltinOperator).items() if not name.startswith("_")}


def minimum_runtime(model: Any) -> str | None:
    """Return the oldest runtime that can load a file, such as "2.11.0"; None if an operation is not in the table.

    Args:
        model: `schema.ModelT`.

    Examples:
        >>> from pathlib import Path
        >>> from app.exporting.quantization import _opened
        >>> model, _ = _opened(Path("runs/fruit/export/model_float32.tflite").read_bytes())
        >>> minimum_runtime(model)
        '1.6.0'
        >>> model.operatorCodes[0].version = 99
        >>> minimum_runtime(model) is None
        True
    """
    needed = []
    for name, version in sorted({named(model, operator) for graph in model.subgraphs for operator in graph.operators}):
        first = FIRST_RUNTIMES.get(name, "").split()
        if not 0 < version <= len(first) or first[version - 1] == "-":
            return None
        needed.append(tuple(int(part) for part in first[version - 1].split(".")))
    major, minor = max(needed, default=(1, 5))
    return f"{major}.{minor}.0"


def correct_versions(model: Any) -> None:
    """Raise integer operations to the versions that support integers, and set `min_runtime_version` accordingly.

    `min_runtime_version` is left empty if it is unknown.

    Args:
        model: `schema.ModelT`; changed in place.

    Examples:
        >>> from pathlib import Path
        >>> from ai_edge_litert import schema_py_generated as schema
        >>> from app.exporting.quantization import _opened
        >>> model, graph = _opened(Path("runs/fruit/export/model_float32.tflite").read_bytes())
        >>> named(model, graph.operators[0])
        ('MUL', 1)
        >>> graph.tensors[graph.operators[0].inputs[0]].type = schema.TensorType.INT8
        >>> correct_versions(model)
        >>> named(model, graph.operators[0])
        ('MUL', 2)
    """
    from ai_edge_litert import schema_py_generated as schema

    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            code.version = max(code.version, _needed(model, graph, operator))
    entry = next((one for one in model.metadata or [] if _text(one.name) == METADATA_KEY), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA_KEY, len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.metadata = [*(model.metadata or []), entry]
    text = (minimum_runtime(model) or "").encode()
    model.buffers[entry.buffer].data = np.frombuffer(text.ljust(_METADATA_BYTES, b"\0"), np.uint8)


def _needed(model: Any, graph: Any, operator: Any) -> int:
    name, _ = named(model, operator)
    kind = data_type(model, graph, operator)
    if name == "DEQUANTIZE" and kind == "INT8" and len(scales(graph, operator.inputs[0])) > 1:
        return 5
    return next((version for version, names in _OF_INTEGERS.get(kind, {}).items() if name in names.split()), 1)


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
