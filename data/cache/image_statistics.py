"""Image statistics on disk, found by the SHA-256 of the image file, so that no image is decoded twice to be checked.

A store is a folder of NumPy files. Processes need no coordination: two processes that check the same images do the work twice,
without harm.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from data.auditing.statistics import STATISTICS, VERSION
from data.cache.disk import final_name
from data.files import atomic_write

_MOST_FILES = 16  # more files are merged into one
_OURS = re.compile(r"facts-\d+-[0-9a-f]{32}\.npy")


class KnownStatistics:
    """The contents of a store when it was read; its files are mapped, not copied."""

    def __init__(self, arrays: Sequence[np.ndarray] = ()) -> None:
        """Take arrays of `STATISTICS`; later entries replace earlier ones."""
        self._arrays = arrays
        self._place = {
            digest: (array, row)
            for array, held in enumerate(arrays)
            for row, digest in enumerate(held["sha256"].tolist())
        }

    def __len__(self) -> int:
        return len(self._place)

    def get(self, sha256: str) -> np.void | None:
        """Return the statistics of the image file with this digest, or None if they are not known."""
        place = self._place.get(sha256.encode())
        return None if place is None else self._arrays[place[0]][place[1]].copy()


class StatisticsStore:
    """A folder with image statistics."""

    def __init__(self, folder: Path) -> None:
        """Set the store's folder; it may not exist yet."""
        self.folder = folder

    def read(self) -> KnownStatistics:
        """Return all known statistics. Files that are damaged or of another version are ignored."""
        return KnownStatistics([array for path in self._current() for array in _read(path)])

    def add(self, statistics: np.ndarray) -> None:
        """Keep statistics, an array of `STATISTICS`. If nothing can be written, the next run decodes the images again."""
        if not len(statistics):
            return
        with suppress(OSError):
            self._write(statistics)
            self._merge()

    def files(self) -> list[Path]:
        """Return all files, including those of other versions and those that killed processes left."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _OURS.fullmatch(final_name(path)))

    def _current(self) -> list[Path]:
        """Return the files of this version, the oldest first."""
        files = {path: path.stat().st_mtime for path in self.folder.glob(f"facts-{VERSION}-*.npy") if path.exists()}
        return sorted(files, key=lambda path: (files[path], path.name))

    def _write(self, statistics: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / f"facts-{VERSION}-{uuid.uuid4().hex}.npy") as temporary:
            np.save(temporary, statistics, allow_pickle=False)

    def _merge(self) -> None:
        """Merge many files into one, so that a store of many small runs is quick to read."""
        files = self._current()
        if len(files) <= _MOST_FILES:
            return
        everything = np.concatenate([array for path in files for array in _read(path)])
        _, last = np.unique(everything["sha256"][::-1], return_index=True)
        self._write(everything[::-1][last])
        for path in files:
            with suppress(OSError):  # another process has merged them too, or (on Windows) is reading
                path.unlink()


def _read(path: Path) -> Iterator[np.ndarray]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return
    if array.dtype == STATISTICS and array.ndim == 1:
        yield array
