"""The disk of a cache: its free space, and the removal of files that are no longer needed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from data.files import target_name

RESERVE = 2**30  # bytes of the disk that are left to other programs
LEFTOVER_SECONDS = 24 * 3600.0  # another process may still be writing a younger file
_FORMER = re.compile(r"(.+?)(\.[0-9a-f]{32})?\.tmp", re.DOTALL)  # the temporary names of earlier versions


def free_space(folder: Path) -> int:
    """Return the bytes that may be written to the disk of a folder, which may not exist yet; below 0 if `RESERVE` is not free.

    Examples:
        >>> free_space(Path.cwd()) < shutil.disk_usage(".").free  # the reserve is left out
        True
        >>> free_space(Path("folder/not/made/yet")) < shutil.disk_usage(".").total
        True
    """
    folder = folder.absolute()
    made = next(one for one in (folder, *folder.parents) if os.path.exists(one))
    return shutil.disk_usage(made).free - RESERVE


def final_name(path: Path) -> str:
    """Return the name of a file or folder; for a temporary name, the name that it will get.

    Examples:
        >>> final_name(Path("space.json"))
        'space.json'
        >>> final_name(Path(".0a1b2c3d-space.json"))
        'space.json'
    """
    former = _FORMER.fullmatch(path.name)
    return target_name(path) or (former[1] if former else path.name)


def is_temporary(path: Path) -> bool:
    """Whether a file or folder is still being written, or was when its process was killed.

    Examples:
        >>> is_temporary(Path("space.json"))
        False
        >>> is_temporary(Path(".0a1b2c3d-space.json"))
        True
    """
    return final_name(path) != path.name


def size_of(paths: Iterable[Path]) -> int:
    """Return the bytes of files and of all files in folders, without those that vanish meanwhile.

    Examples:
        >>> Path("folder").mkdir()
        >>> _ = Path("folder/note.txt").write_bytes(b"abc")
        >>> size_of([Path("folder"), Path("folder/note.txt")])
        6
        >>> size_of([Path("missing")])
        0
    """
    size = 0
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            with suppress(OSError):
                size += file.lstat().st_size if file.is_file() else 0
    return size


def remove(path: Path) -> int:
    """Remove a file or folder as far as possible, and return the bytes freed.

    Examples:
        >>> _ = Path("note.txt").write_bytes(b"abc")
        >>> remove(Path("note.txt"))
        3
        >>> remove(Path("note.txt"))  # it is gone
        0
    """
    size = size_of([path])
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        remove_if_possible(path)
    return size - size_of([path])


def remove_if_possible(path: Path) -> bool:
    """Remove a file, and return whether that succeeded.

    Examples:
        >>> Path("note.txt").touch()
        >>> remove_if_possible(Path("note.txt"))
        True
        >>> remove_if_possible(Path("note.txt"))  # it is gone
        False
    """
    try:
        path.unlink()
    except OSError:
        return False
    return True


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove files and folders that killed processes left, once they are older than `LEFTOVER_SECONDS`.

    Examples:
        >>> Path("leftover").touch()
        >>> remove_leftovers([Path("leftover")])
        >>> Path("leftover").exists()  # another process may still be writing it
        True
        >>> os.utime("leftover", (0, 0))
        >>> remove_leftovers([Path("leftover")])
        >>> Path("leftover").exists()
        False
    """
    for path in paths:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                remove(path)
