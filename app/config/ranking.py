"""Options of `rank`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.model import InputGroup
from app.config.shared import VerbOptions, check_positive, option
from app.config.source import SOURCE, ImageGroup, SourceGroup, UnreadableGroup
from app.config.storage import CacheGroup
from app.config.training import SeedGroup
from models.backbones import HUB_PREFIX, find_backbone

# Small enough for phones; the weights of the first three come with pip, those of the others are downloaded once.
MOBILE_BACKBONES = (
    *("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"),
)


@dataclass(frozen=True, kw_only=True)
class RankConfig(VerbOptions, SourceGroup, UnreadableGroup, ImageGroup, InputGroup, SeedGroup, CacheGroup):
    """Options of `rank`."""

    common: ClassVar = ("backbones", "max_latency", "max_size", "sample", "output", "json")
    defaults: ClassVar = {"resize": "stretch", "image_size": "each backbone's own"}
    examples: ClassVar = {
        "which small network suits the images": "my_images",
        "one network, and the same with random weights": "my_images --backbones mobilenet_v2 mobilenet_v2=none",
        "the best that answers within 10 ms here": "my_images --max-latency 10 --output ranking",
    }

    source: Annotated[str, SOURCE]
    backbones: Annotated[
        tuple[str, ...],
        option(
            "networks to compare: names from 'list backbones', each alone for its pretrained weights, or with =none or =FILE "
            "for others",
            metavar="NAME...",
            default="small ones: " + ", ".join(MOBILE_BACKBONES),
        ),
    ] = ()
    max_latency: Annotated[
        float | None, option("recommend only what answers within this time here, as an int8 file", metavar="MS")
    ] = None
    max_size: Annotated[
        float | None, option("recommend only what is at most this large, as an int8 file", metavar="MB")
    ] = None
    sample: Annotated[int, option("images to rank on at most, the test split left out")] = 600
    output: Annotated[str | None, option("folder for ranking.png and ranking.json", metavar="FOLDER")] = None
    json: Annotated[bool, option("print the ranking as JSON instead of the table")] = False
    resize: str = "stretch"

    def check(self) -> None:
        """Raise `UsageError`, `DataError` or `ModelError` for invalid options."""
        for text in self.backbones:
            name, _, weights = text.partition("=")
            if not name.startswith(HUB_PREFIX):  # a row of TF Hub is made from its model, which is loaded later
                find_backbone(name).resolve_weights(weights or None)
        for name in ("max_latency", "max_size"):
            check_positive(name, getattr(self, name))
        check_positive("sample", self.sample)
        super().check()
