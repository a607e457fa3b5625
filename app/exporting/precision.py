"""Precision of a model file of any origin, and what can be expected of its predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.interface.errors import UsageError

_FLOAT32, _FLOAT16, _INTEGER = "32-bit floats", "16-bit weights", "integers"
# Largest difference of a probability that rounding explains; a file of integers is compared by its accuracy instead.
_TOLERANCES = {_FLOAT32: 1e-3, _FLOAT16: 0.02, _INTEGER: None}
_MANY = 64  # values of a tensor: smaller integer tensors are shapes and axes


@dataclass(frozen=True)
class Precision:
    """What a file stores its weights in.

    Attributes:
        stored: in a few words.
        tolerance: largest difference of a probability from the original model's that rounding explains; None for a quantised
            file, which is compared by its accuracy.
        is_for_phones: whether it is a `.tflite`.
    """

    stored: str
    tolerance: float | None
    is_for_phones: bool


def precision_of(path: Path) -> Precision:
    """Return the precision of a model file, by the types of its tensors; a file that is neither `.tflite` nor ONNX has floats.

    Raises:
        UsageError: the file is damaged.

    Examples:
        >>> precision_of(Path("runs/fruit/export/model_float32.tflite"))
        Precision(stored='32-bit floats', tolerance=0.001, is_for_phones=True)
        >>> precision_of(Path("runs/fruit/model.keras")).tolerance
        0.001
    """
    is_tflite = path.suffix.lower() in (".tflite", ".lite")
    read = _types_of_tflite if is_tflite else _types_of_onnx if path.suffix.lower() == ".onnx" else _no_types
    try:
        types = set(read(path))
    except Exception as error:  # a damaged file can make a reader raise nearly anything
        raise UsageError(f"{path} cannot be read: it is damaged, or another kind of file") from error
    integers = types & {"INT4", "INT8", "UINT8", "INT16"}
    stored = _INTEGER if integers else _FLOAT16 if "FLOAT16" in types else _FLOAT32
    return Precision(stored, _TOLERANCES[stored], is_tflite)


def _types_of_tflite(path: Path) -> Iterator[str]:
    """Yield the types of the weights: of each tensor with as many values that has content in the file."""
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    model = schema.Model.GetRootAs(np.memmap(path, np.uint8, "r"))
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for position in range(graph.TensorsLength()):
            tensor = graph.Tensors(position)
            has_content = model.Buffers(tensor.Buffer()).DataLength() > 0
            if has_content and np.prod([tensor.Shape(axis) for axis in range(tensor.ShapeLength())]) >= _MANY:
                yield names[tensor.Type()]


def _types_of_onnx(path: Path) -> Iterator[str]:
    import onnx

    for weights in onnx.load(str(path), load_external_data=False).graph.initializer:
        if np.prod(weights.dims) >= _MANY:
            yield onnx.TensorProto.DataType.Name(weights.data_type)


def _no_types(path: Path) -> Iterator[str]:
    return iter(())
