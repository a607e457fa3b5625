"""Description of a backbone: one `BackboneSpec` is one row of the table in `models.backbones`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.errors import ModelError

if TYPE_CHECKING:  # the table is read by `--help` and `list`, which must not import TensorFlow
    import keras
    import numpy as np


BACKBONE_LAYER = "backbone"  # its name in a whole model


class Builder(Protocol):
    """Builds the network without its classifier."""

    def __call__(self, image_size: int, weights: str | None) -> keras.Model:
        """Build the backbone.

        Args:
            image_size: side of the square input, in pixels.
            weights: a name from `BackboneSpec.weights`, the path of a local weights file, or None for random weights.

        Returns:
            A model with the name `backbone`, from *scaled* pixels, float32 (batch, image_size, image_size, 3), to features,
            float32, of shape (batch, height, width, feature_width), or (batch, feature_width) where the network pools them
            itself.

        Raises:
            models.errors.ModelError: the weights are missing, damaged or of another network.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """One pretrained network, without its head.

    Attributes:
        name: value of `--backbone`.
        builder: builds the network; see `Builder`.
        image_size: native side of the square input, in pixels; the default of a run.
        feature_width: number of channels of the last feature map.
        parameters: number of weights without the head, trainable or not.
        scaling: key in `models.scaling.SCALINGS` of the scaling from RGB pixels in [0, 255] to the network's input.
        min_image_size: smallest side that the network can take, in pixels.
        weights: names of the available pretrained weights ("imagenet"), besides "none" and local files.
        weights_source: origin of these weights, in a few words.
        licence: licence of these weights.
        paper: address of the paper that describes the network.
        blocks: a regular expression that finds a block's number in the names of its layers. A layer whose name does not
            match belongs to the block before it, so the stem is block 0 and the tail belongs to the last block. Empty to
            try the patterns of all backbones in the table.
        fixed_pretrained_size: True if the pretrained weights work at `image_size` only.
        classifier: returns the kernel, float32 (feature_width, classes), and bias, float32 (classes,), of the classifier that
            was trained on the pooled features of the pretrained weights; None if it is not at hand.
    """

    name: str
    builder: Builder
    image_size: int
    feature_width: int
    parameters: int
    scaling: str
    min_image_size: int = 32
    weights: tuple[str, ...] = ()
    weights_source: str = "none"
    licence: str = "not stated"
    paper: str = ""
    blocks: str = r"^block\d+"
    fixed_pretrained_size: bool = False
    classifier: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None

    def resolve_weights(self, asked: str | None) -> str | None:
        """Return the `weights` argument of `builder` for the user's choice.

        Args:
            asked: None for the backbone's own pretrained weights, "none" for random weights, a name, or a file's path.

        Raises:
            ModelError: there are no such weights.
        """
        if asked == "none":
            return None
        if asked is None and self.weights:
            return self.weights[0]
        if asked in self.weights or (asked and Path(asked).is_file()):
            return asked
        names = ", ".join((*self.weights, "none"))
        if asked is None or asked == "imagenet":
            raise ModelError(f"{self.name} has no pretrained weights; give a local file or {names} with --weights")
        raise ModelError(f"there are no weights {asked!r} for {self.name}: neither a file nor one of {names}")

    def check(self, *, image_size: int, weights: str | None) -> None:
        """Check that the backbone can take an image size.

        Args:
            image_size: side of the square input, in pixels.
            weights: from `resolve_weights`.

        Raises:
            ModelError: not a whole number, too small, or not the only size that the pretrained weights work at.
        """
        if not isinstance(image_size, int):
            raise ModelError(
                f"the image size is a whole number of pixels, such as {self.image_size}, not {image_size!r}"
            )
        if image_size < self.min_image_size:
            raise ModelError(
                f"{self.name} cannot take images of {image_size} pixels; its smallest size is {self.min_image_size}, "
                f"its native size {self.image_size}"
            )
        if self.fixed_pretrained_size and weights in self.weights and image_size != self.image_size:
            raise ModelError(
                f"{self.name} with {weights} weights takes images of {self.image_size} pixels only, "
                f"not {image_size}; leave out --image-size"
            )
