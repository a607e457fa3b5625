"""The table of export formats: each format is one function that writes one file or folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.exporting import tflite
from app.exporting.context import ExportContext
from app.exporting.onnx import write_onnx
from app.exporting.saved_model import write_saved_model
from app.interface.errors import UsageError
from models.heads import NUMBERS, OUTPUTS


@dataclass(frozen=True)
class Format:
    """One export format.

    Attributes:
        file: name in the export folder.
        description: short description.
        write: writes a trained model to a path.
        tolerance: largest difference from the Keras model's probability that rounding explains; None for a quantised
            file, which is verified by its accuracy instead.
        cannot: reasons why the format cannot hold a model, by the kind of output (`models.heads.OUTPUTS`) or by a regular
            expression that matches the backbone's name.
    """

    file: str
    description: str
    write: Callable[[ExportContext, Path], None]
    tolerance: float | None
    cannot: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_for_phones(self) -> bool:
        """Whether MediaPipe Tasks must be able to load the file."""
        return self.file.endswith(".tflite")


FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "saved_model",
        "TensorFlow SavedModel: pixels or encoded images to probabilities",
        write_saved_model,
        tolerance=1e-4,
    ),
    "tflite_float32": Format(
        "model_float32.tflite",
        "LiteRT / TFLite for phones, float32",
        tflite.write_float32,
        tolerance=1e-3,
    ),
    "tflite_float16": Format(
        "model_float16.tflite",
        "LiteRT, weights of 16 bits: half the size, the same predictions",
        tflite.write_float16,
        tolerance=0.02,
    ),
    "tflite_int8_weights": Format(
        "model_int8_weights.tflite",
        "LiteRT, weights of 8 bits, computing in float: a quarter of the size, the speed of float32",
        tflite.write_int8_weights,
        tolerance=None,
    ),
    "tflite_dynamic": Format(
        "model_dynamic.tflite",
        "LiteRT, weights of 8 bits, activations quantised while it runs: a quarter of the size, often slower",
        tflite.write_dynamic,
        tolerance=None,
    ),
    "tflite_int8": Format(
        "model_int8.tflite",
        "LiteRT, full integer: a quarter of the size, the fastest; uint8 pixels",
        tflite.write_int8,
        tolerance=None,
    ),
    "tflite_edge": Format(
        "model_edge.tflite",
        "LiteRT, full integer for the EdgeTPU, NNAPI and microcontrollers: uint8 pixels and uint8 probabilities",
        tflite.write_edge,
        tolerance=None,
        cannot={NUMBERS: "numbers need more than 256 steps"},
    ),
    "tflite_int16x8": Format(
        "model_int16x8.tflite",
        "LiteRT, activations of 16 and weights of 8 bits: for accelerators; very slow on CPUs",
        tflite.write_int16x8,
        tolerance=None,
    ),
    "onnx": Format(
        "model.onnx",
        "ONNX, float32, any batch: for ONNX Runtime",
        write_onnx,
        tolerance=1e-3,
    ),
}
DEFAULT_FORMATS = ("saved_model", "tflite_float32", "tflite_float16")


def resolve_exports(formats: Sequence[str] | None, quantize: str | None) -> tuple[tuple[str, ...], str]:
    """Resolve what to export: by default the usual files and a quantised one; if formats are named, only those.

    Examples:
        >>> resolve_exports(None, None)
        (('saved_model', 'tflite_float32', 'tflite_float16'), 'auto')
        >>> resolve_exports(("onnx",), None)
        (('onnx',), 'none')
    """
    if formats is None:
        return DEFAULT_FORMATS, quantize or "auto"
    names = [formats] if isinstance(formats, str) else formats
    return tuple(dict.fromkeys(names)), quantize or "none"


def check_exportable(formats: Iterable[str], *, backbone: str, task: str) -> None:
    """Refuse formats that cannot hold a model, before it is trained.

    Args:
        formats: keys of `FORMATS`.
        backbone: name of the backbone.
        task: name of the task.

    Raises:
        UsageError: a format cannot hold the model; the first one is named.

    Examples:
        >>> check_exportable(["onnx"], backbone="efficientnet_lite0", task="regression") is None
        True
        >>> check_exportable(["tflite_edge"], backbone="efficientnet_lite0", task="regression")
        Traceback (most recent call last):
        app.interface.errors.UsageError: tflite_edge cannot hold a model for regression: numbers need more than 256 ...
    """
    for name in formats:
        for what, why in FORMATS[name].cannot.items():
            by_task = what == OUTPUTS[task].predictions
            if by_task or re.fullmatch(what, backbone):
                subject = f"a model for {task}" if by_task else backbone
                raise UsageError(
                    f"{name} cannot hold {subject}: {why}. Leave it out of --formats; 'list formats' shows what each can hold"
                )
