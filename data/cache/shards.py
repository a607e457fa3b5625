"""The files of a cache of activations: shards of float16 rows, written whole or not at all, and read by mapping them.

`shard-ID.bin` holds rows one after another, `shard-ID.keys` says whose they are, as a JSON list. A shard counts once its
keys are there, and they come last; so a reader sees whole shards only, however a writer ended, and no file is ever locked.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.cache.disk import final_name, is_temporary, remove_if_possible

_OURS = re.compile(r"space\.json|shard-[0-9a-f]{32}\.(bin|keys)")


class MissingRows(LookupError):  # noqa: N818 - no error: they can be made again
    """Rows that were asked for are not there: never written, or removed meanwhile by another process."""


class Rows:
    """Rows in memory-mapped files; `shape` is that of one row.

    All shards are mapped from the start: a mapping outlives the removal of its file by another process.
    """

    def __init__(self, keys: Sequence[str], shape: tuple[int, ...], shards: Iterable[tuple[Shard, list[str]]]) -> None:
        """Find the rows of keys.

        Args:
            keys: in the order of the rows; one may come again.
            shape: of a row.
            shards: with the keys of each.

        Raises:
            MissingRows: not all are there.
        """
        found: dict[str, int] = {}
        starts: list[int] = []
        start = 0
        self.shape = shape
        self._shards: list[_MappedShard] = []
        for shard, held in shards:
            with suppress(FileNotFoundError):  # another process removed it after its keys were read
                self._shards.append(_MappedShard(shard.data, len(held), shape))
                found.update(zip(held, range(start, start + len(held)), strict=True))
                starts.append(start)
                start += len(held)
        lost = [key for key in keys if key not in found]
        if lost:
            raise MissingRows(f"{len(lost):,} of {len(keys):,} rows are not in the cache; the first is {lost[0]}")
        places = np.fromiter((found[key] for key in keys), np.int64, len(keys))
        self._shard_of = np.searchsorted(starts, places, side="right") - 1
        self._row_of = places - np.array(starts, np.int64)[self._shard_of]

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def nbytes(self) -> int:
        """Bytes that a copy of all of them takes."""
        return len(self) * math.prod(self.shape) * np.dtype(np.float16).itemsize

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Copy rows.

        Args:
            positions: integers (n,), in any order.

        Returns:
            float16 (n, *shape).
        """
        taken = np.empty((len(positions), *self.shape), np.float16)
        numbers, rows = self._shard_of[positions], self._row_of[positions]
        parts = [(self._shards[number], np.flatnonzero(numbers == number)) for number in np.unique(numbers)]
        for shard, here in parts:
            shard.read_ahead(rows[here])
        for shard, here in parts:
            taken[here] = shard.rows[rows[here]]
            shard.let_go()
        return taken


class _MappedShard:
    """A shard's rows as an array (count, *shape) that lies on the disk."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...]) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._row_bytes = len(self._map) // count
        self.rows: np.ndarray = np.frombuffer(self._map, np.float16).reshape(count, *shape)

    def read_ahead(self, rows: np.ndarray) -> None:
        """Have the system read rows all at once: page by page, a disk takes ten times as long."""
        if not hasattr(self._map, "madvise"):  # Windows has none
            return
        first, last = int(rows.min()), int(rows.max())
        dense = last - first < 2 * len(rows)  # then one call is enough
        for start, stop in [(first, last + 1)] if dense else zip(rows.tolist(), (rows + 1).tolist(), strict=True):
            page = start * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, page, stop * self._row_bytes - page)

    def let_go(self) -> None:
        """Give pages back to the system, which keeps them in its cache while there is room.

        Else each page ever read would count as this process's memory, until that is as large as the shards.
        """
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Shard:
    """A finished shard as it was found; sizes in bytes, the last use in seconds since 1970."""

    manifest: Path
    data: Path
    data_size: int
    size: int
    last_used: float

    def remove(self) -> int:
        """Remove it, and give the bytes freed.

        Another process may be reading it: on Linux and macOS a file lives on for those who have mapped it, and Windows
        does not let it be removed. The keys go first, so that nobody new begins to read.
        """
        return self.size if remove_if_possible(self.manifest) and remove_if_possible(self.data) else 0


def shards_among(paths: Iterable[Path]) -> Iterator[Shard]:
    """The finished shards among files."""
    for manifest in (path for path in paths if path.suffix == ".keys" and not is_temporary(path)):
        data = manifest.with_suffix(".bin")
        with suppress(FileNotFoundError):  # another process removed it
            keys = manifest.stat()
            size = data.stat().st_size if data.exists() else 0  # then it is damaged
            yield Shard(manifest, data, size, size + keys.st_size, keys.st_mtime)


def files_of_partition(folder: Path) -> dict[Path, os.stat_result]:
    """Graft's own files in the folder of a partition; those that vanish meanwhile are left out."""
    found = {}
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # nothing is there, for this user
        for path in folder.iterdir():
            if _OURS.fullmatch(final_name(path)):
                with suppress(FileNotFoundError):
                    found[path] = path.stat()
    return {path: status for path, status in found.items() if stat.S_ISREG(status.st_mode)}


def read_keys(manifest: Path) -> list[str]:
    """The keys of a shard; none if they are damaged, or if it was removed meanwhile."""
    try:
        keys = json.loads(manifest.read_bytes())
    except (FileNotFoundError, PermissionError, ValueError):
        return []
    return keys if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else []
