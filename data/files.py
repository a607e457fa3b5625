"""Atomic writing of files and folders: complete or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\.[0-9a-f]{8}-(.+)", re.DOTALL)


@contextmanager
def atomic_write(path: Path, *, durable: bool = False, keep_existing: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write a file or folder to; it replaces `path` only if no error occurs.

    The temporary path is a hidden name in the same folder, with the same suffix, by which Keras and NumPy choose a format.

    Args:
        path: the file or folder to write; an existing one is replaced.
        durable: flush the file to the disk before it is renamed. Without this, a power failure may leave an empty file of the
            right name. It takes milliseconds, and is for files that are not checked when they are read.
        keep_existing: keep what another process has put there meanwhile. For content that is equal if its name is: another
            process may be reading it.

    Yields:
        The temporary path. Nothing exists there yet.

    Raises:
        OSError: the file or folder cannot be renamed; `path` is unchanged.

    Examples:
        >>> with atomic_write(Path("names.txt")) as temporary:
        ...     temporary.write_text("apple"), Path("names.txt").exists()
        (5, False)
        >>> Path("names.txt").read_text()
        'apple'
    """
    temporary = _temporary_name(path)
    try:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        _put_in_place(temporary, path, keep_existing=keep_existing)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text file atomically, in UTF-8; `durable` as in `atomic_write`.

    Examples:
        >>> write_text(Path("note.txt"), "apple")
        >>> Path("note.txt").read_text()
        'apple'
        >>> write_text(Path("note.txt"), "banana", durable=True)  # replaces the file
        >>> Path("note.txt").read_text()
        'banana'
    """
    with atomic_write(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write an indented JSON file atomically; `durable` as in `atomic_write`.

    Examples:
        >>> write_json(Path("note.json"), {"épis": 3})
        >>> print(Path("note.json").read_text(encoding="utf-8"), end="")
        {
          "épis": 3
        }
        >>> write_json(Path("note.json"), {"épis": {1, 2}})
        Traceback (most recent call last):
        TypeError: Object of type set is not JSON serializable
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", durable=durable)


def target_name(path: Path) -> str | None:
    """Return the name that a temporary file or folder of `atomic_write` will get; None for any other path.

    Examples:
        >>> target_name(Path("runs/.0a1b2c3d-model.keras"))
        'model.keras'
        >>> target_name(Path("runs/model.keras")) is None
        True
    """
    match = _TEMPORARY.fullmatch(path.name)
    return match[1] if match else None


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")


def _put_in_place(temporary: Path, path: Path, *, keep_existing: bool) -> None:
    if keep_existing and path.exists():
        return
    if path.is_dir():  # a folder cannot be replaced in one step
        old = _temporary_name(path)
        path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            old.rename(path)
            raise
        shutil.rmtree(old)
        return
    try:
        os.replace(temporary, path)
    except OSError:
        if not (keep_existing and path.is_dir()):  # another process may have just made it
            raise
