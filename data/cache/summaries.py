"""What the partitions of a cache hold, for people: see `data.cache.activations`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.cache.shards import files_of_partition, read_keys, shards_among


@dataclass(frozen=True)
class PartitionSummary:
    """What a partition holds.

    Attributes:
        content: what its rows depend on, as `data.cache.partition.Partition` got it; empty if that can no longer be read.
        images: how many different ones, if keys are `IMAGE-VIEW`.
        rows: how many different ones.
        size: in bytes, with leftovers.
        last_used: in seconds since 1970; 0 if it holds no rows.
    """

    content: dict[str, Any]
    images: int
    rows: int
    size: int
    last_used: float


def read_about(folder: Path) -> dict[str, Any]:
    """What `space.json` says; nothing if it is damaged or not there."""
    try:
        about = json.loads((folder / "space.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) and isinstance(about.get("content"), dict) else {}


def summarise_partition(folder: Path) -> PartitionSummary:
    """What the partition in a folder holds."""
    files = files_of_partition(folder)
    shards = list(shards_among(files))
    keys = {key for shard in shards for key in read_keys(shard.manifest)}
    return PartitionSummary(
        content=read_about(folder).get("content", {}),
        images=len({key.rpartition("-")[0] for key in keys}),
        rows=len(keys),
        size=sum(status.st_size for status in files.values()),
        last_used=max((shard.last_used for shard in shards), default=0.0),
    )
