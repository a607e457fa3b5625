"""Format: LiteRT (TFLite) files for phones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def write_tflite_float32(model: keras.Model, path: Path, resize: str) -> None:
    """Write a float32 `.tflite` with builtin operations only.

    It takes `pixels`, float32 (1, size, size, 3), RGB in [0, 255], and gives `probabilities`, float32 (1, classes).
    The batch is fixed at one, which is what phones use and what lets XNNPACK plan its memory ahead.

    Args:
        model: gives probabilities.
        path: file to write.
        resize: not used: the phone's client resizes.
    """
    import tensorflow as tf

    size = model.input_shape[1]

    @tf.function(input_signature=[tf.TensorSpec((1, size, size, 3), tf.float32, name="pixels")])
    def serve(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(pixels, training=False)}

    # Given the Keras model as its second argument, the converter writes wrong weights (Keras 3.15, TensorFlow 2.21).
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    path.write_bytes(converter.convert())
