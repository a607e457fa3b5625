"""Read the members of a tar archive one by one, with little memory whatever the archive announces."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from gzip import GzipFile
from typing import IO

CHUNK = 2**20  # the most that is read at once, also of long names that a header announces


class Oversized(tarfile.TarError):
    """An archive holds more than it should."""

    def __init__(self) -> None:
        super().__init__("it announces more than it should hold")


class _Bounded(io.RawIOBase):
    """A stream that is read only up to a limit, and in small pieces."""

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
    """Yield the members of a tar from an uncompressed or decompressing stream.

    Args:
        stream: the tar, at its beginning.
        allowed: how many bytes may be read.

    Yields:
        The archive, from which the member must be read before the next is requested, and the member.

    Raises:
        tarfile.TarError: the stream is not a tar, or is damaged.
        Oversized: the tar has more than `allowed` bytes, or a name of more than `CHUNK`.

    Examples:
        >>> import shutil
        >>> archive = shutil.make_archive("fruit", "tar", "images")
        >>> with open(archive, "rb") as stream:
        ...     sum(member.isfile() for _, member in tar_members(stream, allowed=10**6))
        24
        >>> with open(archive, "rb") as stream:
        ...     list(tar_members(stream, allowed=1000))
        Traceback (most recent call last):
            ...
        data.sources.tars.Oversized: it announces more than it should hold
    """
    bounded = _Bounded(stream, allowed)
    with tarfile.open(fileobj=bounded, mode="r:") as file:
        while (member := file.next()) is not None:
            file.members = []  # type: ignore[attr-defined]  # millions of them would fill the memory
            if member.size < 0:
                raise tarfile.ReadError("a member's size is below 0")
            yield file, member
    if bounded.is_at_end:  # `tarfile` accepts a tar that is cut off between two members
        raise tarfile.ReadError("it is cut off")
    while bounded.read(CHUNK):  # the checksum of a compressed tar is at its very end
        pass
