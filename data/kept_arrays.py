"""Arrays of examples in a temporary file, so that an example used by several stages of a run is decoded once."""

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
    """A temporary file with the arrays of the examples that are needed again; may be used from several threads.

    The file has no name and vanishes with the process, however that ends. It takes a few bytes of memory per example.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        """Start without arrays.

        Args:
            shape: of each array.
            dtype: NumPy's name of the values' type.
        """
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._bytes = math.prod(shape) * self._dtype.itemsize
        self._wanted: set[int] = set()
        self._rows: dict[int, int] = {}
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def want(self, indices: Iterable[int]) -> None:
        """Keep the arrays of these examples once they are added."""
        self._wanted.update(map(int, indices))

    def lacks(self, index: int) -> bool:
        """Whether the array of an example is wanted and not kept yet."""
        return index in self._wanted and index not in self._rows

    def get(self, index: int) -> np.ndarray | None:
        """Return the array of an example, or None if it is not kept."""
        with self._lock:
            if index not in self._rows or self._file is None:
                return None
            self._file.seek(self._rows[index] * self._bytes)
            return np.frombuffer(bytearray(self._file.read(self._bytes)), self._dtype).reshape(self._shape)

    def add(self, index: int, values: np.ndarray) -> None:
        """Keep an array, if it is wanted. On a full disk nothing is kept, and the example is decoded again later."""
        if not self.lacks(index):
            return
        with self._lock, suppress(OSError):
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="graft-", buffering=0)  # noqa: SIM115 - open as long as this lives
                weakref.finalize(self, self._file.close)
            self._file.seek(len(self._rows) * self._bytes)
            if self._file.write(values.tobytes()) == self._bytes:
                self._rows.setdefault(index, len(self._rows))
