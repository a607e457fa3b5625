"""The disk that a cache lies on: its free space, and the files that are no longer needed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from data.files import target_name

RESERVE = 2**30  # bytes of the disk that are left to others
LEFTOVER_SECONDS = 24 * 3600.0  # a younger file may be one that another process is still writing
_FORMER = re.compile(r"(.+?)(\.[0-9a-f]{32})?\.tmp", re.DOTALL)  # the temporary names of earlier versions


def free_space(folder: Path) -> int:
    """Bytes that may be written to the disk of a folder, which may not exist yet; below 0 if less than `RESERVE` is free."""
    folder = folder.absolute()
    made = next(one for one in (folder, *folder.parents) if os.path.exists(one))
    return shutil.disk_usage(made).free - RESERVE


def final_name(path: Path) -> str:
    """The name of a file or folder; of a temporary one, the name that it is written for."""
    former = _FORMER.fullmatch(path.name)
    return target_name(path) or (former[1] if former else path.name)


def is_temporary(path: Path) -> bool:
    """Whether a file or folder is still being written, or was when its process was killed."""
    return final_name(path) != path.name


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of files and of all files in folders; those that vanish meanwhile are left out."""
    size = 0
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            with suppress(OSError):
                size += file.lstat().st_size if file.is_file() else 0
    return size


def remove(path: Path) -> int:
    """Remove a file or folder as far as that can be done, and give the bytes freed."""
    size = size_of([path])
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        remove_if_possible(path)
    return size - size_of([path])


def remove_if_possible(path: Path) -> bool:
    """Remove a file if that can be done."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove what killed processes left, once it is so old that nobody is still writing it."""
    for path in paths:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                remove(path)
