"""Shows the cache of activations, and empties it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from app.config import CacheConfig, make_config
from app.console import console, table
from app.errors import UsageError
from app.training.cache import ActivationCache, SpaceSummary, default_cache_folder


def cache(action: str = "show", **options: Any) -> None:
    """Show or empty the cache of activations, which lets a second run with the same backbone begin at once.

    Args:
        action: "show" or "clear".
        **options: as in `CacheConfig`.

    Raises:
        UsageError: there is no such action, or the cache's place is taken by a file.
    """
    config = make_config(CacheConfig, action=action, **options)
    folder = Path(config.cache_folder).expanduser() if config.cache_folder else default_cache_folder()
    if folder.is_file():
        raise UsageError(f"{folder} is a file; name the cache's folder with --cache-folder")
    activations = ActivationCache(folder, limit=0)
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
