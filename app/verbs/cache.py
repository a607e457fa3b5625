"""Show the content of the cache, and empty it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.config import CacheConfig, make_config
from app.config.signatures import with_options
from app.interface.events import print_path, print_table, print_text, whole
from app.interface.program import command
from data.cache.cache import Cache
from data.cache.disk import size_of
from data.cache.summaries import PartitionSummary


@with_options(CacheConfig)
def cache(action: str = "show", **options: Any) -> None:
    """Show or empty the cache of data that is kept between runs.

    It holds activations, which let a second run with the same backbone start at once, image statistics, and downloaded or
    extracted archives.

    Args:
        action: "show" or "clear".
        **options: the fields of `app.config.CacheConfig`.

    Raises:
        UsageError, DataError: the action does not exist, or there is a file in place of the cache.

    Examples:
        >>> cache("show", cache_folder="cache")
        The cache cache is empty.
        >>> cache("clear", cache_folder="cache")
        Freed 0.0 MB in cache.
    """
    config = make_config(CacheConfig, action=action, **options)
    kept = Cache(config.cache_folder)
    if config.action == "clear":
        print_text(f"Freed {_megabytes(kept.clear())} MB in {kept.folder}.", wraps=False)
    else:
        folder = ("--cache-folder", config.cache_folder) if config.cache_folder else ()
        _show(kept, clear=command("cache", "clear", *folder))


def _show(kept: Cache, clear: str) -> None:
    partitions = kept.activations().partitions()
    statistics, archives = size_of(kept.image_statistics.files()), size_of(kept.archives.files())
    if not partitions and not statistics and not archives:
        print_text(f"The cache {kept.folder} is empty.", wraps=False)
        return
    print_path("cache", kept.folder)
    if partitions:
        print_table("", ("what", "images", "views", "rows", "MB", "last used"), map(_row, partitions))
    if statistics:
        images = len(kept.image_statistics.read())
        print_text(f"Statistics of {images:,} images: {_megabytes(statistics)} MB.")
    if archives:
        print_text(f"Downloaded and extracted sources: {_megabytes(archives)} MB.")
    total = sum(one.size for one in partitions) + statistics + archives
    print_text(f"{_megabytes(total)} MB in all. To empty it: {whole(clear)}")


def _row(partition: PartitionSummary) -> tuple[str, ...]:
    return (
        str(partition.content.get("description", "unknown")),
        f"{partition.images:,}",
        f"{partition.rows / max(1, partition.images):.3g}",
        f"{partition.rows:,}",
        _megabytes(partition.size),
        f"{datetime.fromtimestamp(partition.last_used):%Y-%m-%d %H:%M}" if partition.rows else "never",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
