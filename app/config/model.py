"""Options of the network and its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.shared import Options, check_choice, check_positive, option, require
from data.image.resizing import RESIZES
from models.backbones import HUB_PREFIX, find_backbone
from models.heads import HEADS

MAX_IMAGE_SIZE = 2048  # three times the native size of the largest network; far above it, memory never suffices


@dataclass(frozen=True, kw_only=True)
class SizeGroup(Options):
    """The size of a network's input."""

    heading: ClassVar[str] = "model"

    image_size: Annotated[
        int | None, option("side of the images in pixels", metavar="INT", default="the backbone's own")
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_positive("image_size", self.image_size, most=MAX_IMAGE_SIZE)
        super().check()


@dataclass(frozen=True, kw_only=True)
class InputGroup(SizeGroup):
    """Options of the conversion of images to a network's input."""

    resize: Annotated[str | None, option("how images become square", RESIZES, metavar="STR")] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_choice("resize", self.resize, RESIZES)
        super().check()


@dataclass(frozen=True, kw_only=True)
class BackboneGroup(InputGroup):
    """A pretrained network and its input."""

    backbone: Annotated[
        str, option(f"pretrained network: a name from 'list backbones', or {HUB_PREFIX}HANDLE of TF Hub")
    ] = "efficientnet_lite0"
    weights: Annotated[
        str | None,
        option(
            "imagenet, none, or a local .weights.h5, .h5 or .keras file",
            metavar="NAME|FILE",
            default="the backbone's pretrained ones",
        ),
    ] = None
    resize: str = "stretch"

    def check(self) -> None:
        """Raise `UsageError` or `ModelError` for invalid options."""
        super().check()
        if not self.backbone.startswith(HUB_PREFIX):  # the sizes that a SavedModel takes are known once it is loaded
            spec = find_backbone(self.backbone)
            spec.check(image_size=self.image_size or spec.image_size, weights=spec.resolve_weights(self.weights))


@dataclass(frozen=True, kw_only=True)
class HeadGroup(Options):
    """The new head."""

    heading: ClassVar[str] = "model"

    head: Annotated[str, option("new head", HEADS)] = "linear"
    dropout: Annotated[float, option("part of the features dropped while training, from 0 to below 1")] = 0.3

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_choice("head", self.head, HEADS)
        require(0 <= self.dropout < 1, f"--dropout must be from 0 to below 1, not {self.dropout}")
        super().check()
