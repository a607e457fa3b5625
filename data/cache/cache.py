"""The folder of the cache, and all of its contents."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from data.cache.activations import ActivationCache
from data.cache.archives import ArchiveStore
from data.cache.disk import remove
from data.cache.image_statistics import StatisticsStore
from data.errors import DataError


def default_cache_folder() -> Path:
    """Return the folder of the cache without `--cache-folder`: `GRAFT_CACHE`, or else the system's folder for caches.

    Examples:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, GRAFT_CACHE="/data/cache"):
        ...     default_cache_folder().as_posix()
        '/data/cache'
        >>> with patch.dict(os.environ, GRAFT_CACHE="~/cache"):
        ...     default_cache_folder() == Path.home() / "cache"
        True
    """
    named = os.environ.get("GRAFT_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("graft")


class Cache:
    """All that is kept between runs, in one folder.

    Attributes:
        folder: may not exist yet.
        image_statistics: of all images that were ever checked.
        archives: downloaded and extracted archives.
    """

    def __init__(self, folder: str | None = None) -> None:
        """Set the cache's folder; nothing is written or read yet.

        Args:
            folder: the value of `--cache-folder`; None for the default.

        Raises:
            DataError: the path is a file.
        """
        self.folder = Path(folder).expanduser() if folder else default_cache_folder()
        if os.path.isfile(self.folder):
            fix = "name the cache's folder with --cache-folder" if folder else "set GRAFT_CACHE to a folder"
            raise DataError(f"{self.folder} is a file; {fix}")
        # A verb without --cache-folder uses the folder of its run, so the second fix holds for all verbs.
        other = "name another with --cache-folder, or extract the archive yourself and give the folder"
        self.image_statistics = StatisticsStore(self.folder / "facts")
        self.archives = ArchiveStore(
            self.folder / "sources", fix=other if folder else "set GRAFT_CACHE to a folder on a disk with room"
        )

    def activations(self, gigabytes: float = 0) -> ActivationCache:
        """Return the activations of frozen backbones; make one object per run.

        Args:
            gigabytes: largest total size, in 10^9 bytes.
        """
        return ActivationCache(self.folder, int(gigabytes * 1e9))

    def clear(self) -> int:
        """Remove all of Graft's files, and nothing else.

        Returns:
            The bytes freed.
        """
        activations = self.activations()
        files = [*activations.files(), *self.image_statistics.files(), *self.archives.files()]
        freed = sum(map(remove, files))
        for folder in (*activations.folders(), self.image_statistics.folder, self.archives.folder):
            with suppress(OSError):  # the folder may hold files of the user
                folder.rmdir()
        return freed
