"""The table of export formats: each is one function that writes one file or folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.exporting.saved_model import write_saved_model
from app.exporting.tflite import write_tflite_float32

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Format:
    """One export format.

    Attributes:
        file: its name in the export folder.
        description: what it is, in a few words.
        write: writes a model that gives probabilities to a path, for pictures resized in the way named.
        tolerance: largest difference of a probability from the Keras model's that rounding explains.
    """

    file: str
    description: str
    write: Callable[[keras.Model, Path, str], None]
    tolerance: float


FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "saved_model",
        "TensorFlow SavedModel: pixels or encoded pictures to probabilities",
        write_saved_model,
        tolerance=1e-4,
    ),
    "tflite_float32": Format(
        "model_float32.tflite",
        "LiteRT / TFLite for phones, float32, builtin operations only: pixels to probabilities",
        write_tflite_float32,
        tolerance=1e-3,
    ),
}
