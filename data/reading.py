"""Reads picture files, whatever stands in their place: a pipe or an endless file must not hang a run or fill its memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from data.decoding import LARGEST_FILE, TOO_LONG, UnreadablePicture


def read_picture(path: str | Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        UnreadablePicture: there is no such file (any more), a link leads nowhere or in a circle, it may not be read, is no
            regular file, or is larger than `data.decoding.LARGEST_FILE`.
    """
    try:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_FILE:
                return file.readall()
    except OSError as error:
        raise UnreadablePicture(error.strerror or type(error).__name__) from error
    raise UnreadablePicture(TOO_LONG if stat.S_ISREG(status.st_mode) else "it is a pipe or a device, and not a file")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for somebody to write to it
