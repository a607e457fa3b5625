"""Format: TensorFlow SavedModel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from app.exporting.context import ExportContext
from app.exporting.metadata import properties
from data.image.preparing import Preparation
from models.lazy import LazyModule

if TYPE_CHECKING:
    from data.image import headers_in_graph, serving
else:
    headers_in_graph, serving = LazyModule("data.image.headers_in_graph"), LazyModule("data.image.serving")

ENCODED_SIGNATURE = "encoded"
SAVED_MODEL_PROPERTIES = Path("assets.extra", "graft.json")  # TensorFlow leaves that folder to other programs
# Texts before and after the reason in the error for a file that this signature refuses.
REFUSED = "the encoded signature does not take "
REFUSED_END = "; decode such images yourself and give their pixels to serving_default"


def write_saved_model(context: ExportContext, path: Path) -> None:
    """Write a SavedModel with two signatures, both returning `probabilities`, float32 (batch, classes), or `numbers`.

    `serving_default` takes `pixels`, float32 (batch, size, size, 3), RGB in [0, 255]. `encoded` takes `encoded`, string
    (batch,), the content of image files; it decodes and resizes them as in training, or refuses them (see
    `data.image.serving`). `SAVED_MODEL_PROPERTIES` holds what the format has no place for, such as class names.

    Args:
        context: model to write.
        path: folder to create.

    Examples:
        >>> import keras
        >>> from app.exporting.metadata import Description
        >>> layers = [keras.Input((8, 8, 3), name="pixels"), keras.layers.GlobalAveragePooling2D(name="probabilities")]
        >>> about = Description("colours", "", "1", "", "", ("red", "green", "blue"))
        >>> write_saved_model(ExportContext(keras.Sequential(layers), description=about, calibration=list), Path("saved"))
        >>> sorted(path.name for path in Path("saved").iterdir())
        ['assets', 'assets.extra', 'fingerprint.pb', 'saved_model.pb', 'variables']
        >>> json.loads(Path("saved", SAVED_MODEL_PROPERTIES).read_text())["labels"]
        ['red', 'green', 'blue']
    """
    import keras
    import tensorflow as tf

    about = context.description
    preparation = Preparation.parse(about.background, about.levels)
    model, size = context.model, context.model.input_shape[1]

    def from_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {model.layers[-1].name: model(pixels, training=False)}

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        checks = [
            tf.debugging.Assert(~holds, [f"{REFUSED}{reason}{REFUSED_END}"])
            for reason, holds in headers_in_graph.refusals(encoded, preparation).items()
        ]
        with tf.control_dependencies(checks):
            return serving.pixels_in_graph(tf.identity(encoded), size, about.resize)

    def from_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.TensorSpec((size, size, 3), tf.float32)
        return from_pixels(tf.map_fn(decode, encoded, fn_output_signature=pixels))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        from_pixels,
        input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")],
    )
    archive.add_endpoint(
        ENCODED_SIGNATURE, from_encoded, input_signature=[tf.TensorSpec((None,), tf.string, name="encoded")]
    )
    archive.write_out(str(path), verbose=False)
    file = path / SAVED_MODEL_PROPERTIES
    file.parent.mkdir()
    file.write_text(json.dumps(properties(context.description), indent=2, ensure_ascii=False), encoding="utf-8")
