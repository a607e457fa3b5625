"""The options of a run."""

from __future__ import annotations

from dataclasses import dataclass

from app.config.export import ExportGroup, MetadataGroup
from app.config.model import BackboneGroup, HeadGroup
from app.config.source import SourceGroup, UnreadableGroup
from app.config.splits import SplitGroup
from app.config.storage import CacheGroup, KeepGroup
from app.config.training import AugmentationGroup, BatchGroup, ThresholdGroup, TrainingGroup


@dataclass(frozen=True, kw_only=True)
class RunOptions(
    SourceGroup,
    UnreadableGroup,
    SplitGroup,
    BackboneGroup,
    HeadGroup,
    AugmentationGroup,
    BatchGroup,
    TrainingGroup,
    ThresholdGroup,
    ExportGroup,
    MetadataGroup,
    CacheGroup,
    KeepGroup,
):
    """What there is to say about a run, besides its source and its folder."""

    max_drop: float = 0.5
    author: str = "unknown"
    model_version: str = "1"
    score_threshold: float = 0.0
    locales: tuple[str, ...] = ()
