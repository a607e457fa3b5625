"""Shows the cache of activations, and empties it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from app.config import CacheConfig, make_config
from app.console import console, table
from app.training.cache import SpaceSummary, open_cache


def cache(action: str = "show", **options: Any) -> None:
    """Show or empty the cache of activations, which lets a second run with the same backbone begin at once.

    Args:
        action: "show" or "clear".
        **options: as in `CacheConfig`.

    Raises:
        UsageError: there is no such action, or the cache's place is taken by a file.
    """
    config = make_config(CacheConfig, action=action, **options)
    activations = open_cache(config.cache_folder, gigabytes=0)
    folder = activations.folder
    if config.action == "clear":
        console.print(f"Freed {_megabytes(activations.clear())} MB in {folder}.", markup=False)
    else:
        _show(folder, activations.spaces())


def _show(folder: Path, spaces: list[SpaceSummary]) -> None:
    if not spaces:
        console.print(f"The cache {folder} is empty.", markup=False)
        return
    console.print(f"cache  {folder}", markup=False)
    table("", ("what", "pictures", "views", "rows", "MB", "last used"), map(_row, spaces))
    total = sum(space.size for space in spaces)
    console.print(f"{_megabytes(total)} MB in all. To empty it: python -m app cache clear", markup=False)


def _row(space: SpaceSummary) -> tuple[str, ...]:
    return (
        str(space.content.get("description", "unknown")),
        f"{space.pictures:,}",
        f"{space.rows / max(1, space.pictures):.3g}",
        f"{space.rows:,}",
        _megabytes(space.size),
        f"{datetime.fromtimestamp(space.last_used):%Y-%m-%d %H:%M}" if space.rows else "never",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
