"""Opens any model file that Graft writes, each in its own runtime, behind one interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from app.errors import BAD_INPUT, UsageError
from app.exporting.saved_model import ENCODED_SIGNATURE


class Runtime(Protocol):
    """A model file, loaded."""

    image_size: int

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Answer pixels, uint8 or float32 (n, image_size, image_size, 3) in [0, 255], with float32 (n, classes)."""
        ...


class KerasRuntime:
    """A `.keras` file of Graft, which gives logits, or of others, taken to give probabilities."""

    def __init__(self, path: Path) -> None:
        import keras

        from models.builder import load_model, with_probabilities

        model = load_model(path)
        self.model: keras.Model = with_probabilities(model) if model.layers[-1].name == "logits" else model
        self.image_size = _square_side(model.input_shape, path)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(self.model(pixels.astype(np.float32), training=False))


class SavedModelRuntime:
    """A SavedModel folder; it can also answer encoded pictures."""

    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        self.model = tf.saved_model.load(str(path))
        self.from_pixels = self.model.signatures["serving_default"]
        (spec,) = self.from_pixels.structured_input_signature[1].values()
        self.image_size = _square_side(spec.shape, path)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        (answer,) = self.from_pixels(tf.constant(pixels, tf.float32)).values()
        return np.asarray(answer)

    def probabilities_of_encoded(self, encoded: list[bytes]) -> np.ndarray:
        """Answer picture files with float32 (n, classes)."""
        import tensorflow as tf

        return np.asarray(self.model.signatures[ENCODED_SIGNATURE](tf.constant(encoded))["probabilities"])


class TFLiteRuntime:
    """A `.tflite` file, run by LiteRT."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        (self.output,) = self.interpreter.get_output_details()
        self.image_size = _square_side(self.input["shape"], path)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([self._one(picture[None]) for picture in pixels])

    def _one(self, picture: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.input["index"], picture.astype(self.input["dtype"]))
        self.interpreter.invoke()
        return np.array(self.interpreter.get_tensor(self.output["index"]))


def open_runtime(path: Path) -> Runtime:
    """Load a model file in its own runtime.

    Args:
        path: a `.keras` or `.tflite` file, or a SavedModel folder.

    Raises:
        UsageError, ModelError: it is none of these, or it cannot be loaded.
    """
    kinds: dict[str, Any] = {".keras": KerasRuntime, ".tflite": TFLiteRuntime}
    if not path.exists():
        raise UsageError(f"there is no model {path}")
    kind = SavedModelRuntime if (path / "saved_model.pb").is_file() else kinds.get(path.suffix)
    if kind is None:
        raise UsageError(f"{path} is not a model: give a run folder, a .keras or .tflite file, or a SavedModel folder")
    try:
        return kind(path)
    except BAD_INPUT:
        raise
    except Exception as error:  # a damaged file can make a loader raise nearly anything
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{path} cannot be loaded: {reason}") from error


def _square_side(shape: Any, path: Path) -> int:
    sides = [int(side) for side in list(shape)[1:] if side is not None]
    if len(sides) != 3 or sides[0] != sides[1] or sides[2] != 3:
        raise UsageError(f"{path} does not take square RGB pictures; its input has shape {tuple(shape)}")
    return sides[0]
