"""TensorFlow's converter: Keras model to `.tflite`. `app.exporting.quantization` says which tool makes which file."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def convert(model: keras.Model, types: list[Any] | None = None, *, dense_per_channel: bool = True) -> bytes:
    """Convert with TensorFlow's converter, to builtin operations only.

    The file takes `pixels`, float32 (1, size, size, 3), RGB in [0, 255], and returns `probabilities`, float32 (1, classes),
    or `numbers`.
    The batch size is fixed at one: phones use that, and it lets XNNPACK plan its memory ahead.

    Args:
        model: from `models.builder.with_predictions`.
        types: None for float32; otherwise the types that weights may be stored in, where an empty list means 8-bit integers.
        dense_per_channel: whether 8-bit weights of dense layers have a scale for each channel.

    Returns:
        The content of the `.tflite`, with the signature `serving_default`.

    Examples:
        >>> import keras
        >>> layers = [keras.Input((8, 8, 3), name="pixels"), keras.layers.GlobalAveragePooling2D(name="probabilities")]
        >>> convert(keras.Sequential(layers))[4:8]
        b'TFL3'
        >>> convert(keras.Sequential(layers), types=[])[4:8]
        b'TFL3'
    """
    import keras
    import tensorflow as tf

    size = model.input_shape[1]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda pixels: {model.layers[-1].name: model(pixels, training=False)},
        input_signature=[tf.TensorSpec((1, size, size, 3), tf.float32, name="pixels")],
    )
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if types is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = types
            converter._experimental_disable_per_channel_quantization_for_dense_layers = not dense_per_channel
        return converter.convert()
