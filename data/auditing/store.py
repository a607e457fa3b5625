"""Facts about pictures on disk, found again by the SHA-256 of the picture file: no picture is decoded twice to be checked.

A store is a folder of NumPy files, each written whole under a temporary name and then renamed. Processes need not know of each
other: two that note the same pictures do double work and no harm.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from data.auditing.facts import FACTS, VERSION

_MOST_FILES = 16  # above it they are made one


class KnownFacts:
    """What a store held when it was read; its files are mapped, not copied."""

    def __init__(self, arrays: Sequence[np.ndarray] = ()) -> None:
        """Take arrays of `FACTS`; what comes later counts."""
        self._arrays = arrays
        self._place = {
            digest: (array, row)
            for array, held in enumerate(arrays)
            for row, digest in enumerate(held["sha256"].tolist())
        }

    def __len__(self) -> int:
        return len(self._place)

    def get(self, sha256: str) -> np.void | None:
        """The facts about the picture file with this digest, if they are known."""
        place = self._place.get(sha256.encode())
        return None if place is None else self._arrays[place[0]][place[1]].copy()


class FactStore:
    """A folder with facts about pictures."""

    def __init__(self, folder: Path) -> None:
        """Name a store; it may not exist yet."""
        self.folder = folder

    def read(self) -> KnownFacts:
        """What is known so far; files that are damaged, or of another version, count as not there."""
        return KnownFacts([array for path in self._files() for array in _read(path)])

    def add(self, facts: np.ndarray) -> None:
        """Keep facts, an array of `FACTS`. A folder that cannot be written to is left as it is: the next run decodes anew."""
        if not len(facts):
            return
        with suppress(OSError):
            self._write(facts)
            self._merge()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self._all_files() if path.exists())

    def clear(self) -> int:
        """Remove all facts, and nothing else.

        Returns:
            The bytes freed.
        """
        freed = 0
        for path in self._all_files():
            with suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        with suppress(OSError):  # something of the user's may lie there
            self.folder.rmdir()
        return freed

    def _all_files(self) -> list[Path]:
        return sorted(self.folder.glob("facts-*.npy*"))

    def _files(self) -> list[Path]:
        files = {path: path.stat().st_mtime for path in self.folder.glob(f"facts-{VERSION}-*.npy") if path.exists()}
        return sorted(files, key=lambda path: (files[path], path.name))

    def _write(self, facts: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"facts-{VERSION}-{uuid.uuid4().hex}.npy"
        temporary = path.with_name(f"{path.name}.tmp")
        try:
            with open(temporary, "xb") as file:
                np.save(file, facts, allow_pickle=False)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _merge(self) -> None:
        """Make one file of many, so that a store of many small runs is quick to read."""
        files = self._files()
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
    if array.dtype == FACTS and array.ndim == 1:
        yield array
