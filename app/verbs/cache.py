"""Shows the cache of activations, of facts about pictures, and of sources, and empties it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from app.config import CacheConfig, make_config
from app.console import console, print_path, table, whole
from app.pictures import fact_store
from app.program import command
from app.training.cache import SpaceSummary, open_cache
from data.auditing.store import FactStore
from data.sources.store import NAME as SOURCES_FOLDER
from data.sources.store import clear_store, store_size


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
        freed = activations.clear() + fact_store(config.cache_folder).clear() + clear_store(folder / SOURCES_FOLDER)
        console.print(f"Freed {_megabytes(freed)} MB in {folder}.", soft_wrap=True)
    else:
        _show(folder, activations.spaces(), fact_store(config.cache_folder))


def _show(folder: Path, spaces: list[SpaceSummary], facts: FactStore) -> None:
    sources = store_size(folder / SOURCES_FOLDER)
    if not spaces and not facts.size and not sources:
        console.print(f"The cache {folder} is empty.", soft_wrap=True)
        return
    print_path("cache", folder)
    if spaces:
        table("", ("what", "pictures", "views", "rows", "MB", "last used"), map(_row, spaces))
    if facts.size:
        console.print(f"Facts about {len(facts.read()):,} pictures: {_megabytes(facts.size)} MB.")
    if sources:
        console.print(f"Downloaded and extracted sources: {_megabytes(sources)} MB.")
    total = sum(space.size for space in spaces) + facts.size + sources
    console.print(f"{_megabytes(total)} MB in all. To empty it: {whole(command('cache', 'clear'))}")


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
