"""Activations of a frozen backbone on disk: computed once, and found again by what they depend on.

They lie in partitions (`data.cache.partition`): one for each network, cut at one layer, and images made in one way. This file
has what all partitions share, a size limit and the free space of a disk. Processes need not know of each other: two that write
the same rows do double work and no harm.
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
    """The disk, or the size limit, is full, or the folder cannot be written to; the text says which."""


class ActivationCache:
    """A folder of partitions, with one size limit.

    Shards that were asked for or written through this object are in use, and it does not remove them to free space. Make
    one object a run: then the next run in the same process may remove them.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Name a cache; nothing is made or read yet.

        Args:
            folder: may not exist yet.
            limit: largest size in bytes.
        """
        self.folder = folder
        self.limit = limit
        self._in_use: set[Path] = set()
        self._granted = 0

    def partitions(self) -> list[PartitionSummary]:
        """What is there, the last used first."""
        return sorted(map(summarise_partition, self.folders()), key=lambda one: -one.last_used)

    def folders(self) -> list[Path]:
        """The folder of each partition."""
        try:
            return sorted(path for path in self.folder.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir())
        except OSError:  # it is not there, or may not be looked into
            return []

    def files(self) -> dict[Path, os.stat_result]:
        """All files of all partitions, what killed processes left too."""
        return {path: status for folder in self.folders() for path, status in files_of_partition(folder).items()}

    def free_space(self) -> int:
        """Bytes that could be written now; what the removal of shards that are not in use would give counts too."""
        allowed, on_disk, removable = self._free()
        return max(0, min(allowed, on_disk) + sum(shard.size for shard in removable))

    def use(self, manifest: Path) -> bool:
        """Note that a shard is used: here and, by its manifest's time, for other processes. False if it is gone."""
        try:
            os.utime(manifest)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # a cache that may only be read
        self._in_use.add(manifest)
        return True

    def check_writable(self) -> None:
        """Find out whether anything can be written, before there is something to write.

        Raises:
            CacheFull: nothing can.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self.unwritable(error) from error

    def unwritable(self, error: OSError) -> CacheFull:
        """The end of a write that the file system refused."""
        return CacheFull(
            f"the cache folder {self.folder} cannot be written to ({error.strerror}); name another with --cache-folder"
        )

    def make_free(self, needed: int) -> int:
        """Remove the least recently used shards until so many bytes fit.

        Returns:
            How many bytes fit now.

        Raises:
            CacheFull: they could not, even if all that may be removed were. Nothing was then.
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
        """Take bytes of the free space; looks at the files again only when what it saw last is used up.

        Raises:
            CacheFull: as `make_free`.
        """
        if needed > self._granted:
            self._granted = self.make_free(needed)
        self._granted -= needed

    def look_again(self) -> None:
        """Have the next `reserve` look at the files: other processes write too."""
        self._granted = 0

    def remove_leftovers(self) -> None:
        """Remove what killed writers left, once it is so old that nobody is still writing it."""
        files = self.files()
        without_keys = (path for path in files if path.suffix == ".bin" and not path.with_suffix(".keys").exists())
        remove_leftovers({*without_keys, *filter(is_temporary, files)})

    def _free(self) -> tuple[int, int, list[Shard]]:
        """Bytes that the limit and the disk leave now, below 0 if there are too many; and what may be removed."""
        files = self.files()
        size = sum(status.st_size for status in files.values())
        removable = [shard for shard in shards_among(files) if shard.manifest not in self._in_use]
        return self.limit - size, free_space(self.folder), removable
