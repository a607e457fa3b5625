"""Readers of image files that cannot hang or fill memory, even if the path is a pipe or an endless file."""

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
        """Return the bytes of a file; raises what `read_image` raises."""
        return read_image(self.folder / self.names[index])


def read_image(path: str | Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        UnreadableImage: the file does not exist (any more), is a broken or circular link, may not be read, is not a regular
            file, or is larger than `data.image.decoding.LARGEST_FILE`.

    Examples:
        >>> read_image("apple.png")[1:4]
        b'PNG'
        >>> read_image("no.png")
        Traceback (most recent call last):
        data.image.decoding.UnreadableImage: No such file or directory
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
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # otherwise opening a pipe waits for a writer
