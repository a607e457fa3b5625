"""Activations of a frozen backbone on disk: computed once, and found by what they depend on.

They lie in partitions (`data.cache.partition`): one for each network, cut at one layer, and one preprocessing of the images.
This file has what all partitions share: a size limit, and the free space of the disk. Processes need no coordination: two
processes that write the same rows do the work twice, without harm.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from tempfile import TemporaryFile

from data.cache.disk import free_space, is_temporary, remove_leftovers
from data.cache.shards import Shard, files_of_partition, shards_among
from data.cache.summaries import PartitionSummary, summarise_partition

_FOLDER = re.compile(r"[0-9a-f]{64}")


class CacheFull(Exception):  # noqa: N818 - no error: the caller goes on without a cache
    """The disk or the size limit is full, or the folder is not writable; the text says which."""


class ActivationCache:
    """A folder of partitions with one size limit.

    Shards that were requested or written through this object are in use, and it does not remove them to free space. Make one
    object per run: then the next run in the same process may remove them.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Set the cache's folder; nothing is written or read yet.

        Args:
            folder: may not exist yet.
            limit: largest size in bytes.
        """
        self.folder = folder
        self.limit = limit
        self._in_use: set[Path] = set()
        self._granted = 0

    def partitions(self) -> list[PartitionSummary]:
        """Return a summary of each partition, the last used first."""
        return sorted(map(summarise_partition, self.folders()), key=lambda one: -one.last_used)

    def folders(self) -> list[Path]:
        """Return the folder of each partition."""
        try:
            return sorted(path for path in self.folder.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir())
        except OSError:  # it does not exist, or may not be read
            return []

    def files(self) -> dict[Path, os.stat_result]:
        """Return all files of all partitions, including those that killed processes left."""
        return {path: status for folder in self.folders() for path, status in files_of_partition(folder).items()}

    def free_space(self) -> int:
        """Return the bytes that can be written now, including those of shards that are not in use and can be removed."""
        allowed, on_disk, removable = self._free()
        return max(0, min(allowed, on_disk) + sum(shard.size for shard in removable))

    def use(self, manifest: Path) -> bool:
        """Mark a shard as used: here and, by its manifest's time, for other processes. Return False if it is gone."""
        try:
            os.utime(manifest)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # the cache is read-only
        self._in_use.add(manifest)
        return True

    def check_writable(self) -> None:
        """Check that the folder is writable, before there is something to write.

        Raises:
            CacheFull: it is not writable.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self.unwritable(error) from error

    def unwritable(self, error: OSError) -> CacheFull:
        """Return the exception for a write that the file system refused."""
        return CacheFull(
            f"the cache folder {self.folder} cannot be written to ({error.strerror}); name another with --cache-folder"
        )

    def make_free(self, needed: int) -> int:
        """Remove the least recently used shards until `needed` bytes fit.

        Returns:
            How many bytes fit now.

        Raises:
            CacheFull: they do not fit even without all removable shards. Nothing is removed then.
        """
        allowed, on_disk, removable = self._free()
        free, spare = min(allowed, on_disk), sum(shard.size for shard in removable)
        if free + spare < needed:
            least = f"its limit of {self.limit / 1e9:g} GB" if allowed <= on_disk else "the disk, which is nearly full,"
            raise CacheFull(
                f"the cache {self.folder} needs {needed / 1e6:,.1f} MB more, "
                f"and {least} leaves {max(0, free + spare) / 1e6:,.1f} MB"
            )
        for shard in sorted(removable, key=lambda one: one.last_used):
            if free >= needed:
                break
            free += shard.remove()
        return free

    def reserve(self, needed: int) -> None:
        """Take bytes of the free space. Files are examined again only when the space found last is used up.

        Raises:
            CacheFull: as `make_free`.
        """
        if needed > self._granted:
            self._granted = self.make_free(needed)
        self._granted -= needed

    def look_again(self) -> None:
        """Make the next `reserve` examine the files, since other processes write too."""
        self._granted = 0

    def remove_leftovers(self) -> None:
        """Remove what killed writers left, once it is too old to be still in use."""
        files = self.files()
        without_keys = (path for path in files if path.suffix == ".bin" and not path.with_suffix(".keys").exists())
        remove_leftovers({*without_keys, *filter(is_temporary, files)})

    def _free(self) -> tuple[int, int, list[Shard]]:
        """Return the bytes that the limit and the disk leave now, below 0 if overdrawn, and the removable shards."""
        files = self.files()
        size = sum(status.st_size for status in files.values())
        removable = [shard for shard in shards_among(files) if shard.manifest not in self._in_use]
        return self.limit - size, free_space(self.folder), removable
