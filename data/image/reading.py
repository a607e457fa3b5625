"""Reads image files, whatever stands in their place: a pipe or an endless file must not hang a run or fill its memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.image.decoding import LARGEST_FILE, TOO_LONG, UnreadableImage


@dataclass(frozen=True)
class ImageFiles:
    """Reads the image files with these names within a folder."""

    folder: Path
    names: Sequence[str]

    def __call__(self, index: int) -> bytes:
        """The bytes of a file; raises what `read_image` does."""
        return read_image(self.folder / self.names[index])


def read_image(path: str | Path) -> bytes:
    """The bytes of an image file.

    Raises:
        UnreadableImage: there is no such file (any more), a link leads nowhere or in a circle, it may not be read, is no
            regular file, or is larger than `data.image.decoding.LARGEST_FILE`.
    """
    try:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_FILE:
                return file.readall()
    except OSError as error:
        raise UnreadableImage(error.strerror or type(error).__name__) from error
    raise UnreadableImage(TOO_LONG if stat.S_ISREG(status.st_mode) else "it is a pipe or a device, and not a file")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for somebody to write to it
