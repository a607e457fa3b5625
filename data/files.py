"""Files and folders that are written whole or not at all."""

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
    """Give a temporary name to write a file or folder under; it takes the place of `path` only when all went well.

    The temporary name lies beside `path`, is hidden, and has the same suffix, since Keras and NumPy choose a format by it.

    Args:
        path: the file or folder to write; what is there is replaced.
        durable: have the system write the file to the disk before it gets its name. Without this, a power failure may leave
            an empty file of the right name. It takes milliseconds, and is for files that are not checked when they are read.
        keep_existing: leave what another process has put there meanwhile. For content that is equal by its name: another
            process may be reading it.

    Yields:
        The temporary name. Nothing is there yet.

    Raises:
        OSError: it cannot be put in place; `path` is as it was.
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
    """Write a text file atomically, in UTF-8; `durable` is that of `atomic_write`."""
    with atomic_write(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write a JSON file for people to read, atomically; `durable` is that of `atomic_write`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", durable=durable)


def target_name(path: Path) -> str | None:
    """The name that a temporary file or folder of `atomic_write` is written for; None for any other path."""
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
        if not (keep_existing and path.is_dir()):  # another process has just made it
            raise
