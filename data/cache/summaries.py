"""Summaries of the partitions of a cache, for people: see `data.cache.activations`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.cache.shards import files_of_partition, read_keys, shards_among


@dataclass(frozen=True)
class PartitionSummary:
    """Summary of a partition.

    Attributes:
        content: what its rows depend on, as given to `data.cache.partition.Partition`; empty if it cannot be read.
        images: number of different images, if keys are `IMAGE-VIEW`.
        rows: number of different rows.
        size: in bytes, including leftovers.
        last_used: in seconds since 1970; 0 if it holds no rows.
    """

    content: dict[str, Any]
    images: int
    rows: int
    size: int
    last_used: float


def read_about(folder: Path) -> dict[str, Any]:
    """Return the contents of `space.json`; an empty dict if it is damaged or missing.

    Examples:
        >>> _ = Path("space.json").write_text('{"layout": 1, "content": {"description": "lite0"}}')
        >>> read_about(Path("."))
        {'layout': 1, 'content': {'description': 'lite0'}}
        >>> read_about(Path("missing"))
        {}
    """
    try:
        about = json.loads((folder / "space.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) and isinstance(about.get("content"), dict) else {}


def summarise_partition(folder: Path) -> PartitionSummary:
    """Return a summary of the partition in a folder.

    Examples:
        >>> _ = Path(f"shard-{'0' * 32}.keys").write_text('["apple-0", "apple-1"]')
        >>> summary = summarise_partition(Path("."))
        >>> summary.images, summary.rows
        (1, 2)
        >>> summarise_partition(Path("missing"))
        PartitionSummary(content={}, images=0, rows=0, size=0, last_used=0.0)
    """
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
