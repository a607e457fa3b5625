"""Format: ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.exporting.context import ExportContext

if TYPE_CHECKING:
    import keras

INPUT = "pixels"
BATCH = "batch"


def write_onnx(context: ExportContext, path: Path) -> None:
    """Write an `.onnx` file with tf2onnx.

    The file takes `pixels`, float32 (batch, size, size, 3), RGB in [0, 255], and returns `probabilities`, float32
    (batch, classes), or `numbers`. Its metadata properties hold the result of `properties`.

    Examples:
        >>> import keras, onnxruntime
        >>> from app.exporting.metadata import Description
        >>> layers = [keras.Input((8, 8, 3), name="pixels"), keras.layers.GlobalAveragePooling2D(name="probabilities")]
        >>> about = Description("colours", "", "1", "", "", ("red", "green", "blue"))
        >>> write_onnx(ExportContext(keras.Sequential(layers), description=about, calibration=list), Path("model.onnx"))
        >>> session = onnxruntime.InferenceSession("model.onnx")
        >>> session.run(["probabilities"], {"pixels": np.full((2, 8, 8, 3), 0.5, np.float32)})[0].tolist()
        [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
        >>> session.get_modelmeta().custom_metadata_map["labels"]
        '["red", "green", "blue"]'
    """
    import onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from tf2onnx.convert import from_graph_def

    patch_tf2onnx()  # tf2onnx 1.17 does not support NumPy 2; Keras has the patch
    graph, given, answer = _frozen(context.model)
    model, _ = from_graph_def(
        graph,
        input_names=[given],
        output_names=[answer],
        tensors_to_rename={given: INPUT, answer: context.model.layers[-1].name},
        custom_op_handlers={"Erfc": (_write_erfc, [])},
    )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    model.producer_name, model.doc_string = "graft", context.description.text
    model.graph.name = context.description.name
    onnx.helper.set_model_props(model, properties(context))
    onnx.save(model, path)


def properties(context: ExportContext) -> dict[str, str]:
    """Return the metadata properties of the file.

    `labels` and `thresholds` are JSON lists in label order; `labels_de` and similar keys hold the labels in another language.
    Keys with a capital letter or `model_` follow https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md.

    Examples:
        >>> from app.exporting.metadata import Description
        >>> about = Description("fruit", "", "1", "A. Author", "Apache-2.0", ("apple", "pear"), {"de": ("Apfel", "Birne")})
        >>> context = ExportContext(None, description=about, calibration=list)
        >>> properties(context)["labels_de"]
        '["Apfel", "Birne"]'
        >>> properties(context)["Image.NominalPixelRange"]
        'NominalRange_0_255'
    """
    description = context.description
    texts = {
        "task": description.task,
        **description.of_images,
        "model_author": description.author,
        "model_license": description.licence,
        "model_version": description.version,
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }
    lists: dict[str, Any] = {"labels": list(description.class_names)}
    lists |= {f"labels_{locale}": list(names) for locale, names in description.locales.items()}
    if description.thresholds is not None:
        lists["thresholds"] = [one if np.isfinite(one) else None for one in description.thresholds.tolist()]
    return texts | {key: json.dumps(one, ensure_ascii=False) for key, one in lists.items()}


def _frozen(model: keras.Model) -> tuple[Any, str, str]:
    """Return the model as one TensorFlow graph without variables and functions, and the names of its input and output."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    inputs = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)
    forward = tf.function(lambda pixels: model(pixels, training=False), input_signature=[inputs], autograph=False)
    eagerly = tf.config.functions_run_eagerly()
    # Keras wraps grouped convolutions in a function for XLA, which stays a call in the graph unless it runs as plain Python.
    tf.config.run_functions_eagerly(True)
    try:
        traced = forward.get_concrete_function()
    finally:
        tf.config.run_functions_eagerly(eagerly)
    # Tensors that layers hold besides variables, such as Normalization's mean, are inputs of `traced`, but not of `frozen`.
    frozen = convert_variables_to_constants_v2(traced, aggressive_inlining=True)
    (given,), (answer,) = frozen.inputs, frozen.outputs
    return frozen.graph.as_graph_def(add_shapes=True), given.name, answer.name


def _write_erfc(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    """Write the erfc(x) of TensorFlow's GELU, which tf2onnx does not support, as 1 - erf(x)."""
    one = graph.make_const(f"{name}_one", np.array(1, np.float32))
    erf = graph.make_node("Erf", node.input)
    shapes, types = node.output_shapes, node.output_dtypes
    graph.remove_node(name)
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=name, outputs=node.output, shapes=shapes, dtypes=types)
