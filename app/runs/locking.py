"""A lock on a folder that the system frees when its process ends, even after `kill -9`."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = ".lock"
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class Held(Exception):  # noqa: N818 - not an error by itself: the caller says what is in use
    """Another process holds the lock."""


class FolderLock:
    """A lock on a folder, by a file in it that exists only while the lock is held, or after a crash.

    Some network file systems have no locks; there, nothing is locked and nothing is refused.
    """

    def __init__(self, folder: Path) -> None:
        """Create the lock object without locking."""
        self.path = folder / _NAME
        self._file: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; further calls of the same object within the context do nothing.

        Raises:
            Held: another process holds it.
            OSError: the file cannot be created.
        """
        if self._file is not None:
            yield
            return
        self._file = self._acquire()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Release the lock early: on Windows, a folder with an open file cannot be removed."""
        file, self._file = self._file, None
        if file is None:
            return
        if sys.platform != "win32":  # while the lock is held, so that no other process's new file is removed
            self.path.unlink(missing_ok=True)
        os.close(file)
        if sys.platform == "win32":
            with suppress(OSError):  # another process has just opened it
                self.path.unlink()

    def _acquire(self) -> int:
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(file)
                if _is_at(file, self.path):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # its holder has removed it meanwhile; try the next file


def _lock(file: int) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise Held from error


def _is_at(file: int, path: Path) -> bool:
    """Return whether an open file is still the file at this path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
