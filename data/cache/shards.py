"""The files of a cache of activations: shards of float16 rows, written whole or not at all, and read by memory mapping.

`shard-ID.bin` holds rows one after another, `shard-ID.keys` their keys, as a JSON list. A shard counts once its keys exist,
and they are written last. Readers therefore see complete shards only, however a writer ended, and no file is ever locked.
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
    """Requested rows do not exist: they were never written, or another process has removed them meanwhile."""


class Rows:
    """Rows in memory-mapped files; `shape` is the shape of one row.

    All shards are mapped from the start: a mapping outlives the removal of its file by another process.
    """

    def __init__(self, keys: Sequence[str], shape: tuple[int, ...], shards: Iterable[tuple[Shard, list[str]]]) -> None:
        """Find the rows of keys.

        Args:
            keys: in the order of the rows; a key may be repeated.
            shape: of a row.
            shards: each with its keys.

        Raises:
            MissingRows: rows are missing.
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
        """Bytes of a copy of all rows."""
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
    """A shard's rows as a memory-mapped array (count, *shape)."""

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
        dense = last - first < 2 * len(rows)  # one call is enough
        for start, stop in [(first, last + 1)] if dense else zip(rows.tolist(), (rows + 1).tolist(), strict=True):
            page = start * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, page, stop * self._row_bytes - page)

    def let_go(self) -> None:
        """Return pages to the system, which keeps them in its cache while there is room.

        Otherwise each page ever read counts as this process's memory, until that is as large as the shards.
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
        """Remove the shard, and return the bytes freed.

        Another process may be reading it: on Linux and macOS a mapped file stays readable, and Windows refuses to remove it.
        The keys are removed first, so that no other reader starts.
        """
        return self.size if remove_if_possible(self.manifest) and remove_if_possible(self.data) else 0


def shards_among(paths: Iterable[Path]) -> Iterator[Shard]:
    """Yield the finished shards among files.

    Examples:
        >>> _ = Path("shard-1.bin").write_bytes(bytes(8)), Path("shard-1.keys").write_text('["apple-0"]')
        >>> [shard.data_size for shard in shards_among([Path("shard-1.bin"), Path("shard-1.keys")])]
        [8]
        >>> list(shards_among([Path("shard-1.bin")]))  # no keys yet
        []
    """
    for manifest in (path for path in paths if path.suffix == ".keys" and not is_temporary(path)):
        data = manifest.with_suffix(".bin")
        with suppress(FileNotFoundError):  # another process removed it
            keys = manifest.stat()
            size = data.stat().st_size if data.exists() else 0  # 0 means damaged
            yield Shard(manifest, data, size, size + keys.st_size, keys.st_mtime)


def files_of_partition(folder: Path) -> dict[Path, os.stat_result]:
    """Return Graft's own files in the folder of a partition, without those that vanish meanwhile.

    Examples:
        >>> Path("partition").mkdir()
        >>> _ = Path("partition/space.json").touch(), Path("partition/note.txt").touch()
        >>> [path.name for path in files_of_partition(Path("partition"))]
        ['space.json']
        >>> files_of_partition(Path("missing"))
        {}
    """
    found = {}
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # nothing that this user can read
        for path in folder.iterdir():
            if _OURS.fullmatch(final_name(path)):
                with suppress(FileNotFoundError):
                    found[path] = path.stat()
    return {path: status for path, status in found.items() if stat.S_ISREG(status.st_mode)}


def read_keys(manifest: Path) -> list[str]:
    """Return the keys of a shard; an empty list if they are damaged or were removed meanwhile.

    Examples:
        >>> _ = Path("shard-2.keys").write_text('["apple-0", "apple-1"]')
        >>> read_keys(Path("shard-2.keys"))
        ['apple-0', 'apple-1']
        >>> read_keys(Path("missing.keys"))
        []
    """
    try:
        keys = json.loads(manifest.read_bytes())
    except (FileNotFoundError, PermissionError, ValueError):
        return []
    return keys if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else []
