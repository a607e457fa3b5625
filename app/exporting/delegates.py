"""The operations of a `.tflite` that each accelerator takes, and those that stay on the CPU.

The tables follow the delegates' code in TensorFlow Lite: `tools/versioning/gpu_compatibility.cc`,
`delegates/nnapi/nnapi_delegate.cc` (Android 11 or newer) and `delegates/coreml/coreml_delegate.mm`. A device may refuse
more operations than these tables say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.exporting.op_versions import data_type, named, scales

_FLOATS = frozenset({"FLOAT32", "FLOAT16"})
_BYTES = frozenset({"INT8", "UINT8"})
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_ANY_VERSION = 999


@dataclass(frozen=True)
class Delegate:
    """One accelerator.

    Attributes:
        title: name shown to users.
        versions: highest supported version of each supported operation.
        types: supported types of an operation's first input.
        constant_weights: whether the weights of convolutions and dense layers must be constants.
        plain_integers: whether integer means must keep their scale, and integer dense layers must have one scale for all
            channels.
    """

    title: str
    versions: Mapping[str, int]
    types: frozenset[str]
    constant_weights: bool = False
    plain_integers: bool = False


def _up_to(version: int, names: str) -> dict[str, int]:
    return dict.fromkeys(names.split(), version)


DELEGATES: dict[str, Delegate] = {
    "gpu": Delegate(
        "GPU",
        _up_to(
            _ANY_VERSION,
            "ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS DEPTHWISE_CONV_2D "
            "DEPTH_TO_SPACE DEQUANTIZE DIV ELU EXP FLOOR GATHER GELU HARD_SWISH LEAKY_RELU LOG "
            "LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG PACK PAD PADV2 POW PRELU QUANTIZE "
            "REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT "
            "SELECT SELECT_V2 SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE "
            "STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV",
        )
        | {"FULLY_CONNECTED": 9},
        _FLOATS | _BYTES,
    ),
    "nnapi": Delegate(
        "NNAPI",
        _up_to(
            1,
            "ABS CAST DIV ELU EXP EXPAND_DIMS HARD_SWISH LEAKY_RELU LOG POW PRELU RESHAPE RSQRT SQRT SQUEEZE SUM TILE",
        )
        | _up_to(
            2,
            "ADD AVERAGE_POOL_2D CONCATENATION DEQUANTIZE GATHER L2_NORMALIZATION LOGISTIC MAX_POOL_2D MEAN MUL "
            "NEG PACK PAD PADV2 QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 SLICE SOFTMAX "
            "SPACE_TO_DEPTH STRIDED_SLICE TANH TRANSPOSE",
        )
        | _up_to(
            3, "DEPTHWISE_CONV_2D MAXIMUM MINIMUM RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SPLIT SUB TRANSPOSE_CONV"
        )
        | _up_to(5, "CONV_2D FULLY_CONNECTED"),
        _FLOATS | _BYTES,
        plain_integers=True,
    ),
    "coreml": Delegate(
        "Core ML",
        _up_to(
            1,
            "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D HARD_SWISH LOGISTIC MAX_POOL_2D MEAN MIRROR_PAD MUL PAD "
            "PADV2 RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR SOFTMAX TANH TRANSPOSE_CONV",
        )
        | {"DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 6},
        _FLOATS,
        constant_weights=True,
    ),
}


def left_to_cpu(model: Any) -> dict[str, list[str] | None]:
    """List the operations that each delegate leaves to the CPU.

    Args:
        model: `schema.ModelT`.

    Returns:
        For each key of `DELEGATES` the operations that stay on the CPU, with the reason if it is not the operation itself,
        such as "FULLY_CONNECTED (version 12)"; None if the delegate takes no operation at all.

    Examples:
        >>> from pathlib import Path
        >>> from app.exporting.quantization import _opened
        >>> model, _ = _opened(Path("runs/fruit/export/model_float32.tflite").read_bytes())
        >>> sorted(left_to_cpu(model)) == sorted(DELEGATES)
        True
        >>> left_to_cpu(model)["gpu"]
        []
    """
    graphs = [_Graph(model, graph) for graph in model.subgraphs]
    found: dict[str, list[str] | None] = {}
    for key, delegate in DELEGATES.items():
        refusals = [_refusal(delegate, graph, operator) for graph in graphs for operator in graph.computing()]
        found[key] = None if all(refusals) else sorted({one for one in refusals if one})
    return found


def _refusal(delegate: Delegate, graph: _Graph, operator: Any) -> str:
    """Return the operation that a delegate leaves to the CPU, with the reason; empty if the delegate takes it."""
    name, version = named(graph.model, operator)
    kind = data_type(graph.model, graph.graph, operator)
    if name not in delegate.versions:
        return name
    if kind not in delegate.types:
        return f"{name} ({kind.lower()})"
    if version > delegate.versions[name]:
        return f"{name} (version {version})"
    if delegate.constant_weights and name in _WEIGHTED and not graph.is_constant(operator.inputs[1]):
        return f"{name} (weights that are unpacked while it runs)"
    if delegate.plain_integers and kind in _BYTES:
        if name == "FULLY_CONNECTED" and len(scales(graph.graph, operator.inputs[1])) > 1:
            return f"{name} (a scale for each channel)"
        if name == "MEAN" and _rescales(graph.graph, operator):
            return f"{name} (input and output of different scales)"
    return ""


def _rescales(graph: Any, operator: Any) -> bool:
    return scales(graph, operator.inputs[0]) != scales(graph, operator.outputs[0])


class _Graph:
    """A subgraph of a `.tflite`, with the queries that delegates make."""

    def __init__(self, model: Any, graph: Any) -> None:
        self.model, self.graph = model, graph
        self._unpacked: set[int] = set()
        self._unpacked = {one.outputs[0] for one in graph.operators if self._unpacks_halves(one)}

    def computing(self) -> Iterator[Any]:
        """Yield the operators, except those that unpack 16-bit weights, which every delegate does by itself."""
        return (one for one in self.graph.operators if one.outputs[0] not in self._unpacked)

    def is_constant(self, tensor: int) -> bool:
        held = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return held is not None or tensor in self._unpacked

    def _unpacks_halves(self, operator: Any) -> bool:
        if named(self.model, operator)[0] != "DEQUANTIZE" or not self.is_constant(operator.inputs[0]):
            return False
        return data_type(self.model, self.graph, operator) == "FLOAT16"


DEVICE_COLUMNS = ("file", "oldest TFLite", *(f"left to the CPU by {delegate.title}" for delegate in DELEGATES.values()))
_NAMED_OPERATIONS = 4


def device_rows(parity: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return where each `.tflite` runs, as text under `DEVICE_COLUMNS`.

    Args:
        parity: content of `parity.json`; files of versions that did not record this are left out.

    Examples:
        >>> device_rows({"formats": {}})
        []
        >>> from app.runs.folder import RunFolder
        >>> device_rows(RunFolder.open("runs/fruit").parity)
        [('model_float32.tflite', '1.6', 'nothing', 'nothing', 'nothing')]
    """
    return [
        (
            one["file"],
            (one["min_runtime_version"] or "unknown").removesuffix(".0"),
            *(_named(one["left_to_cpu"][key]) for key in DELEGATES),
        )
        for one in parity["formats"].values()
        if "left_to_cpu" in one
    ]


def _named(operations: list[str] | None) -> str:
    if operations is None:
        return "everything"
    more = len(operations) - _NAMED_OPERATIONS
    shown = operations[:_NAMED_OPERATIONS] + ([f"{more} more"] if more > 0 else [])
    return ", ".join(shown) or "nothing"
