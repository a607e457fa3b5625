"""`hub:HANDLE`: any TF2 SavedModel that computes feature vectors of images, as a layer that trains in Keras 3.

`hub.KerasLayer` is a Keras 2 layer, and `keras.layers.TFSMLayer` needs the SavedModel's folder again to reload.
`HubLayer` stores the SavedModel's graph in its own config and its variables as its own weights, so everything that
Keras does with a layer works: training, freezing, `.keras` files, checkpoints, clones, export.

The interface that a SavedModel should follow: https://www.tensorflow.org/hub/reusable_saved_models and, for images,
https://www.tensorflow.org/hub/common_saved_model_apis/images.
"""

from __future__ import annotations

import base64
import inspect
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from models.backbones.spec import BackboneSpec
from models.errors import ModelError

_DEFAULT_IMAGE_SIZE = 224  # the size at which nearly all feature vectors whose signature has no size were trained
_MIN_IMAGE_SIZE = 32  # the total stride of the usual networks: below it, their last feature map is empty
_MATCHES_NOTHING = r"(?!)"  # a SavedModel shows no layers, so it is one block


def hub_spec(handle: str) -> BackboneSpec:
    """Describe the backbone behind a handle, downloading it when needed.

    Args:
        handle: address of a model on TensorFlow Hub ("https://tfhub.dev/...") or Kaggle
            ("https://www.kaggle.com/models/..."), or a local SavedModel folder. Downloads are cached in the folder named by
            the environment variable `TFHUB_CACHE_DIR`; by default in a temporary folder, which the system may empty.

    Returns:
        The specification of `hub:HANDLE`. Its builder takes the weights "hub", the SavedModel's own, and loads the
        SavedModel again for every model that it builds.

    Raises:
        ModelError: the download failed, the folder holds no usable TF2 SavedModel, or it does not map square float32
            images to feature vectors.

    Examples:
        >>> model = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        >>> model.export("vectors", verbose=False)
        >>> spec = hub_spec("vectors")
        >>> spec.name, spec.image_size, spec.feature_width
        ('hub:vectors', 64, 4)
        >>> hub_spec("missing")
        Traceback (most recent call last):
        models.errors.ModelError: There is no folder ...
    """
    folder = _resolve(handle)

    def builder(image_size: int, weights: str | None) -> keras.Model:
        if weights != "hub":
            raise ModelError(f'`hub:{handle}` comes with its own weights only: ask for weights "hub", not "{weights}".')
        return _backbone(HubLayer(folder), image_size)

    layer = HubLayer(folder)
    backbone = _backbone(layer, layer.image_size or _DEFAULT_IMAGE_SIZE)
    name = handle if _is_address(handle) else Path(handle).name  # not its folder: the name is passed on
    return BackboneSpec(
        name=f"hub:{name}",
        builder=builder,
        image_size=layer.image_size or _DEFAULT_IMAGE_SIZE,
        min_image_size=layer.image_size or _MIN_IMAGE_SIZE,
        feature_width=backbone.output_shape[-1],
        parameters=backbone.count_params(),
        scaling="unit",
        weights=("hub",),
        weights_source=f"the SavedModel {name}",
        licence="see the model's page",
        paper=handle if _is_address(handle) else "",
        blocks=_MATCHES_NOTHING,
        fixed_pretrained_size=layer.image_size is not None,
    )


@keras.saving.register_keras_serializable(package="graft")
class HubLayer(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A TF2 SavedModel as a layer: its variables are the layer's weights, its function is the layer's call.

    Weights: they share the memory of the SavedModel's variables, so gradients, optimizers and `assign` reach them.
    Those that the SavedModel lists in `trainable_variables` are trainable; if it has no such list, each variable's
    own flag counts. Variables that the function never reads are left out.

    Saving: the graph (`saved_model.pb`, compressed) is part of the config, and the values are ordinary weights. A
    `.keras` file therefore needs neither the original folder nor a network, and a checkpoint of weights holds no graph.
    The graph is not among the assets because Keras loads those last, when the optimizer is already tied to the
    variables. As with any layer, `keras.models.clone_model` copies the architecture alone: a clone's weights are zeros
    until `set_weights`.

    Regularization: the SavedModel's `regularization_losses` are not added to the loss, so that losses mean the same for
    every backbone; weight decay belongs to the optimizer.

    Precision: calls and weights stay float32 under any dtype policy, since the graph's types are fixed.

    Safety: a SavedModel is a program. Load only SavedModels, and `.keras` files with this layer, whose origin you trust.

    Args:
        folder: folder of the SavedModel. Its values become the layer's weights.
        graph: the graph from `get_config`, in place of `folder`; for Keras' own use.
        batch_norm_training: see the property.
        trainable: False freezes all weights, and keeps the SavedModel in inference mode.
        **kwargs: `name` and other arguments of `keras.layers.Layer`.

    Attributes:
        image_size: side in pixels of the square images that the SavedModel is limited to, or None.

    Raises:
        ModelError: the SavedModel is missing, damaged, not of TF2, or has no function of one batch of images.

    Call:
        float32 (batch, height, width, 3), RGB in [0, 1] by TensorFlow Hub's convention, to (batch, feature_width).
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        graph: str | None = None,
        batch_norm_training: bool = False,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.supports_jit = False  # a SavedModel may hold operations that XLA cannot compile
        if folder is not None:
            self._graph, self._program = _read_graph(Path(folder)), _load_folder(Path(folder))
        elif graph is not None:
            self._graph, self._program = graph, _load_graph(graph)
        else:
            raise ModelError("A HubLayer needs the folder of a SavedModel.")
        self.image_size = self._program.image_size
        self.saved_model_variables = self._program.variables  # Keras tracks the contents of a public list
        self.batch_norm_training = batch_norm_training
        self.trainable = trainable  # after the variables, because the setter freezes existing variables

    @property
    def batch_norm_training(self) -> bool:
        """Whether the SavedModel may run in training mode: BatchNormalization by batch statistics, dropout active.

        False (the default) means inference mode even inside `fit`: the moving statistics stay, the other weights may
        train. True follows the `training` argument of the call, as long as the layer is trainable. After changing it,
        compile the model again. Setting True raises ModelError where the SavedModel has no training mode.
        """
        return self._batch_norm_training

    @batch_norm_training.setter
    def batch_norm_training(self, value: bool) -> None:
        if value and not self._program.takes_training:
            raise ModelError(
                "This SavedModel has no `training` argument, so BatchNormalization cannot run in training mode: "
                "leave `batch_norm_training` False."
            )
        self._batch_norm_training = bool(value)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the features of scaled pixels; see `Builder`."""
        if not self._program.takes_training:
            return self._program.function(inputs)
        # Decided here, because inside `fit` Keras overrides the argument that a caller gave (keras issue 20285).
        return self._program.function(inputs, training=bool(training and self.trainable and self.batch_norm_training))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "graph": self._graph, "batch_norm_training": self.batch_norm_training}


def _backbone(layer: HubLayer, image_size: int) -> keras.Model:
    """Wrap the layer as a backbone for square images, after checking that it returns feature vectors."""
    if layer.image_size not in (None, image_size):
        raise ModelError(
            f"This SavedModel takes images of {layer.image_size} x {layer.image_size} pixels only: "
            f"set the image size to {layer.image_size}, not {image_size}."
        )
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    try:
        features = layer(inputs)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"This SavedModel cannot take {image_size} x {image_size} images: {reason}") from error
    shape = getattr(features, "shape", None)
    if shape is None or len(shape) != 2 or shape[-1] is None:
        raise ModelError(
            f"Expected a feature vector for each image, (batch, width), but this SavedModel gives {shape or features}: "
            "choose a feature vector model."
        )
    return keras.Model(inputs, features, name="backbone")


# From a handle to a loaded SavedModel.


def _is_address(handle: str) -> bool:
    return handle.startswith(("https://", "http://"))


def _resolve(handle: str) -> Path:
    """Find the local folder of a handle, through TensorFlow Hub's download cache for an address."""
    if not _is_address(handle):
        return Path(handle).expanduser().absolute()
    try:
        import tensorflow_hub
    except ImportError as error:
        raise ModelError(
            f"A download needs the package tensorflow_hub, which cannot be imported ({error}): run "
            "`pip install tensorflow-hub 'setuptools<81'`, or give the folder of a SavedModel."
        ) from error
    try:
        return Path(tensorflow_hub.resolve(handle))
    except Exception as error:  # urllib, ssl, tarfile and TensorFlow each have their own errors for a failed download
        raise ModelError(
            f"Could not download {handle} ({type(error).__name__}: {error}): check the address and the network, or "
            "download the model elsewhere and give its folder."
        ) from error


@dataclass(frozen=True)
class _Program:
    """A loaded SavedModel, reduced to what the layer uses."""

    function: Callable[..., Any]
    takes_training: bool
    image_size: int | None
    variables: list[keras.Variable]


def _read_graph(folder: Path) -> str:
    """Read the SavedModel's graph, without the variables' values, as text that fits in a JSON config."""
    if not folder.is_dir():
        raise ModelError(
            f"There is no folder {folder}: after `hub:`, give an https:// address on TensorFlow Hub or Kaggle, or the "
            "folder of a TF2 SavedModel."
        )
    if (folder / "tfhub_module.pb").exists():
        raise ModelError(f"{folder} is in the TF1 Hub format, which cannot be trained: choose a TF2 SavedModel.")
    if not (folder / "saved_model.pb").is_file():
        raise ModelError(f"{folder} is not a SavedModel: expected a file saved_model.pb and a folder variables in it.")
    if any((folder / "assets").glob("*")):
        raise ModelError(f"{folder} needs asset files, which Graft cannot pack: choose a model without.")
    return base64.b64encode(zlib.compress((folder / "saved_model.pb").read_bytes())).decode("ascii")


def _load_graph(graph: str) -> _Program:
    """Load a graph from `_read_graph`, with all variables zero: Keras sets their values next."""
    with tempfile.TemporaryDirectory(prefix="graft_hub_") as folder:
        Path(folder, "saved_model.pb").write_bytes(zlib.decompress(base64.b64decode(graph)))
        program = _load_folder(Path(folder), tf.saved_model.LoadOptions(experimental_skip_checkpoint=True))
    for variable in program.variables:
        variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
    return program


def _load_folder(folder: Path, options: tf.saved_model.LoadOptions | None = None) -> _Program:
    try:
        module = tf.saved_model.load(str(folder), options=options)
    except Exception as error:  # a damaged file can fail anywhere in the loader, as any kind of error
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"The SavedModel {folder} cannot be loaded ({type(error).__name__}: {reason}): it is damaged or of another "
            "version, so fetch it again (delete a cached copy first)."
        ) from error
    if hasattr(module, "prune"):  # only TF1 graphs, which TensorFlow wraps, have this method
        raise ModelError(f"{folder} is a TF1 SavedModel, which cannot be trained: choose a TF2 SavedModel.")
    return _inspect(module)


def _inspect(module: Any) -> _Program:
    """Find in a loaded SavedModel the function of images, and the variables that it uses."""
    if callable(module):
        function = module.__call__
        traces = list(getattr(function, "concrete_functions", ()))
        takes_training = "training" in inspect.signature(function).parameters
        arguments = [trace.structured_input_signature[0] for trace in traces]
        inputs = [positional[0] for positional in arguments if positional]
    elif "serving_default" in getattr(module, "signatures", {}):
        # Not a reusable SavedModel in the strict sense, but the format of Keras 3's `model.export`: in inference mode, yet
        # trainable.
        signature = module.signatures["serving_default"]
        named = signature.structured_input_signature[1]
        function = _from_signature(signature, next(iter(named), ""))
        traces, takes_training = [signature], False
        inputs = list(named.values()) if len(named) == 1 else []
    else:
        raise ModelError(
            "This SavedModel has neither `__call__` nor the signature serving_default: choose a feature vector model."
        )
    return _Program(function, takes_training, _image_size(inputs), _variables(module, traces))


def _from_signature(signature: Any, argument: str) -> Callable[[Any], Any]:
    """Turn a signature, from named tensors to a dict of tensors, into a function of one tensor."""

    def function(images: Any) -> Any:
        outputs = signature(**{argument: images})
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    return function


def _image_size(inputs: list[Any]) -> int | None:
    """Return the side that the function's input is limited to, or None; check that it is a batch of square images."""
    images = [spec for spec in inputs if isinstance(spec, tf.TensorSpec) and _takes_images(spec)]
    if not images:
        raise ModelError(
            "Expected a SavedModel of images, float32 (batch, height, width, 3) with any batch size, but this one "
            f"takes {[str(spec) for spec in inputs]}: choose a feature vector model of images."
        )
    sides = {tuple(spec.shape[1:3]) if spec.shape.rank else (None, None) for spec in images}
    if any(None in side for side in sides):
        return None
    height, width = min(sides)
    if height != width:
        raise ModelError(f"This SavedModel takes {height} x {width} images, but Graft's are square: choose another.")
    return int(height)


def _takes_images(spec: tf.TensorSpec) -> bool:
    any_batch = not spec.shape.rank or spec.shape[0] is None
    return any_batch and spec.dtype == tf.float32 and spec.shape.is_compatible_with((None, None, None, 3))


def _variables(module: Any, traces: list[Any]) -> list[keras.Variable]:
    """Wrap the variables that the function uses, in the file's order, so that Keras can train and save them."""
    used = {id(variable): variable for trace in traces for variable in trace.variables}
    listed = getattr(module, "trainable_variables", None)
    trainable = {id(v) for v in listed} if listed is not None else {id(v) for v in used.values() if v.trainable}
    # A keras.Variable made from a tf.Variable, with no dtype asked for, shares its memory; with a dtype it may copy.
    return [
        keras.Variable(variable, trainable=key in trainable, name=variable.name.removesuffix(":0").replace("/", "_"))
        for key, variable in used.items()
    ]
