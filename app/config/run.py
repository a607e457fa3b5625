"""The options of a run, as its folder records them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.config.export import ExportGroup, MetadataGroup
from app.config.model import BackboneGroup, HeadGroup
from app.config.shared import by_heading, make
from app.config.source import SourceGroup, UnreadableGroup
from app.config.splits import SplitGroup
from app.config.storage import CacheGroup, KeepGroup
from app.config.tracking import TrackingGroup
from app.config.training import AugmentationGroup, BatchGroup, DeviceGroup, ThresholdGroup, TrainingGroup
from app.interface.errors import UsageError
from data.labels import SINGLE_LABEL


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
    DeviceGroup,
    ThresholdGroup,
    ExportGroup,
    MetadataGroup,
    CacheGroup,
    KeepGroup,
    TrackingGroup,
):
    """All options of a run besides its source and its folder."""

    max_drop: float = 0.5
    author: str = "unknown"
    model_version: str = "1"
    score_threshold: float = 0.0
    locales: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunConfig(RunOptions):
    """Content of `config.json`: the source and its task are known. Once a run starts, all else is resolved too."""

    source: str
    task: str


def load_config(options: Mapping[str, Any]) -> RunConfig:
    """Load the options of a run. They are not checked again, since files that they name may have been removed.

    Args:
        options: content of `config.json`, from `app.runs.folder.RunFolder.options`.

    Raises:
        UsageError: an unknown name (the message suggests the nearest), a value of another type, or no source.

    Examples:
        >>> load_config({"source": "images"}).task
        'single_label'
        >>> load_config({"source": "images", "batchsize": 8})
        Traceback (most recent call last):
        app.interface.errors.UsageError: unknown option 'batchsize'. Did you mean 'batch_size'?
    """
    if not options.get("source"):
        raise UsageError("the run's config.json is damaged: it names no source")
    task = options.get("task") or SINGLE_LABEL  # runs of earlier versions have none
    return make(RunConfig, {**options, "task": task})


def recorded(config: RunConfig) -> dict[str, Any]:
    """Return the content of `config.json`, in the order of the groups.

    Examples:
        >>> config = load_config({"source": "images", "batch_size": 8})
        >>> recorded(config)["batch_size"]
        8
        >>> load_config(recorded(config)) == config
        True
    """
    return {name: getattr(config, name) for names in by_heading(type(config)).values() for name in names}
