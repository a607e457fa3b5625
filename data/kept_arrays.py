"""Arrays of examples on disk, so that an example that several stages of a run look at is decoded once."""

from __future__ import annotations

import math
import tempfile
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

import numpy as np


class KeptArrays:
    """A temporary file with the arrays of those examples that are asked for again; may be used from several threads.

    The file has no name and vanishes with the process, however that ends. Memory holds a few bytes an example.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        """Start with nothing to keep.

        Args:
            shape: of each array.
            dtype: of its values, as NumPy calls it.
        """
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._bytes = math.prod(shape) * self._dtype.itemsize
        self._wanted: set[int] = set()
        self._rows: dict[int, int] = {}
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def want(self, indices: Iterable[int]) -> None:
        """Keep the arrays of these examples once they are there."""
        self._wanted.update(map(int, indices))

    def lacks(self, index: int) -> bool:
        """Whether the array of an example is wanted and not there yet."""
        return index in self._wanted and index not in self._rows

    def get(self, index: int) -> np.ndarray | None:
        """The array of an example; None if it is not there."""
        with self._lock:
            if index not in self._rows or self._file is None:
                return None
            self._file.seek(self._rows[index] * self._bytes)
            return np.frombuffer(bytearray(self._file.read(self._bytes)), self._dtype).reshape(self._shape)

    def add(self, index: int, values: np.ndarray) -> None:
        """Keep an array, if it is wanted; on a full disk nothing is kept, and the example is decoded again later."""
        if not self.lacks(index):
            return
        with self._lock, suppress(OSError):
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="graft-", buffering=0)  # noqa: SIM115 - open as long as this lives
                weakref.finalize(self, self._file.close)
            self._file.seek(len(self._rows) * self._bytes)
            if self._file.write(values.tobytes()) == self._bytes:
                self._rows.setdefault(index, len(self._rows))
