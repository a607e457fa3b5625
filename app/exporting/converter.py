"""TensorFlow's converter: Keras model to `.tflite`. `app.exporting.quantization` says which tool makes which file."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


class Converter:
    """A model for TensorFlow's converter, to builtin operations only. It is traced once for all files.

    The files take `pixels`, float32 (1, size, size, 3), RGB in [0, 255], and return `probabilities`, float32 (1, classes), or
    `numbers`. The batch size is fixed at one: phones use that, and it lets XNNPACK plan its memory ahead.

    Examples:
        >>> import keras
        >>> layers = [keras.Input((8, 8, 3), name="pixels"), keras.layers.GlobalAveragePooling2D(name="probabilities")]
        >>> converter = Converter(keras.Sequential(layers))
        >>> converter.convert()[4:8]
        b'TFL3'
        >>> converter.convert(types=[])[4:8]
        b'TFL3'
    """

    def __init__(self, model: keras.Model) -> None:
        """Trace the model.

        Args:
            model: from `models.builder.with_predictions`. Later changes of its weights do not change the files.
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
        self._folder = tempfile.TemporaryDirectory(prefix="graft-")
        archive.write_out(self._folder.name, verbose=False)

    def convert(self, types: list[Any] | None = None, *, dense_per_channel: bool = True) -> bytes:
        """Return the content of a `.tflite`, with the signature `serving_default`.

        Args:
            types: None for float32; otherwise the types that weights may be stored in, where an empty list means 8-bit
                integers.
            dense_per_channel: whether 8-bit weights of dense layers have a scale for each channel.
        """
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(self._folder.name)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if types is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = types
            converter._experimental_disable_per_channel_quantization_for_dense_layers = not dense_per_channel
        return bytes(converter.convert())
