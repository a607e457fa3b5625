"""Input scalings: from RGB pixels in [0, 255] to the input of a backbone's weights, as layers inside the model's graph.

A saved or exported model therefore takes raw pixels, and there is one preprocessing, not two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scaling:
    """`output = channels * scale + offset`, per channel, after an optional change of RGB to BGR."""

    description: str
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    reverse_channels: bool = False


_IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels in [0, 1]
_IMAGENET_STD = (0.229, 0.224, 0.225)

SCALINGS: dict[str, Scaling] = {
    "none": Scaling("[0, 255] as it is: the network scales inside"),
    "unit": Scaling("[0, 1]", scale=(1 / 255,) * 3),
    "tf": Scaling("[-1, 1]", scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3),
    "lite": Scaling("(x - 127) / 128", scale=(1 / 128,) * 3, offset=(-127 / 128,) * 3),
    "torch": Scaling(
        "[0, 1], less ImageNet's mean, by its standard deviation",
        scale=tuple(1 / (255 * std) for std in _IMAGENET_STD),
        offset=tuple(-mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)),
    ),
    "caffe": Scaling("BGR, less ImageNet's mean", offset=(-103.939, -116.779, -123.68), reverse_channels=True),
}


def apply_scaling(pixels: Any, name: str) -> Any:
    """Scale pixels for a backbone.

    Args:
        pixels: Keras tensor, float32 (batch, height, width, 3), RGB in [0, 255].
        name: a key of `SCALINGS`.

    Returns:
        Keras tensor of the same shape, in the range given by the scaling's description.

    Examples:
        >>> import numpy as np
        >>> apply_scaling(np.array([[[[0.0, 127.5, 255.0]]]]), "tf").numpy().tolist()
        [[[[-1.0, 0.0, 1.0]]]]
        >>> apply_scaling(np.array([[[[123.68, 116.779, 103.939]]]]), "caffe").numpy().round(3).tolist()  # ImageNet's mean
        [[[[0.0, 0.0, 0.0]]]]
    """
    import keras

    scaling = SCALINGS[name]
    if scaling.reverse_channels:
        pixels = keras.ops.flip(pixels, axis=-1)
    return keras.layers.Rescaling(scaling.scale, scaling.offset, name="scaling")(pixels)
