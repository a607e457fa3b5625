"""Reads the members of a tar archive one by one, with little memory whatever the archive says."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from gzip import GzipFile
from typing import IO

CHUNK = 2**20  # the most that is read at once, also of the long names that a header may announce


class Oversized(tarfile.TarError):
    """There is more in an archive than there should be."""

    def __init__(self) -> None:
        super().__init__("it announces more than it should hold")


class _Bounded(io.RawIOBase):
    """A stream that is read only so far, and in small pieces."""

    def __init__(self, stream: IO[bytes] | GzipFile, allowed: int) -> None:
        super().__init__()
        self._stream = stream
        self._allowed = allowed
        self.is_at_end = False

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK or self.tell() > self._allowed:
            raise Oversized
        content = self._stream.read(size)
        self.is_at_end = not content
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or not 0 <= offset <= self._allowed:
            raise Oversized
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()


def tar_members(stream: IO[bytes] | GzipFile, allowed: int) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members of a tar that is not compressed, or no longer.

    Args:
        stream: at its beginning.
        allowed: bytes that may be read of it.

    Yields:
        The archive, to read the member from before the next is asked for, and the member.

    Raises:
        tarfile.TarError: no tar, or a damaged one.
        Oversized: more than `allowed`, or a name of more than `CHUNK`.
    """
    bounded = _Bounded(stream, allowed)
    with tarfile.open(fileobj=bounded, mode="r:") as file:
        while (member := file.next()) is not None:
            file.members = []  # type: ignore[attr-defined]  # of millions, they would fill the memory
            if member.size < 0:
                raise tarfile.ReadError("a member's size is below 0")
            yield file, member
    if bounded.is_at_end:  # `tarfile` takes a tar that was cut off between two members for a whole one
        raise tarfile.ReadError("it is cut off")
    while bounded.read(CHUNK):  # a compressed one has its checksum at its very end
        pass
