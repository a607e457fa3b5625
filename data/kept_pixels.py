"""Pixels of images on disk, so that an image that several stages of a run look at is decoded once."""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

import numpy as np


class KeptPixels:
    """A temporary file with the pixels of those images that are asked for again; may be used from several threads.

    The file has no name and vanishes with the process, however that ends. Memory holds a few bytes an image.
    """

    def __init__(self, image_size: int) -> None:
        """Start with nothing to keep.

        Args:
            image_size: side of the images, in pixels.
        """
        self._shape = (image_size, image_size, 3)
        self._bytes = 3 * image_size**2
        self._wanted: set[int] = set()
        self._rows: dict[int, int] = {}
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def want(self, indices: Iterable[int]) -> None:
        """Keep the pixels of these images once they are there."""
        self._wanted.update(map(int, indices))

    def lacks(self, index: int) -> bool:
        """Whether the pixels of an image are wanted and not there yet."""
        return index in self._wanted and index not in self._rows

    def get(self, index: int) -> np.ndarray | None:
        """The pixels of an image, uint8 (image_size, image_size, 3); None if they are not there."""
        with self._lock:
            if index not in self._rows or self._file is None:
                return None
            self._file.seek(self._rows[index] * self._bytes)
            return np.frombuffer(bytearray(self._file.read(self._bytes)), np.uint8).reshape(self._shape)

    def add(self, index: int, pixels: np.ndarray) -> None:
        """Keep pixels, if they are wanted; on a full disk nothing is kept, and the image is decoded again later."""
        if not self.lacks(index):
            return
        with self._lock, suppress(OSError):
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="graft-", buffering=0)  # noqa: SIM115 - open as long as this lives
                weakref.finalize(self, self._file.close)
            self._file.seek(len(self._rows) * self._bytes)
            if self._file.write(pixels.tobytes()) == self._bytes:
                self._rows.setdefault(index, len(self._rows))
