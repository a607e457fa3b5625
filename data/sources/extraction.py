"""Extraction of archives that nobody has looked at: nothing is written outside one folder, or without bound.

Only folders and plain files are made, by this file's own code and never by `zipfile` or `tarfile`: permissions, owners, links
and devices of an archive have no effect.
"""

from __future__ import annotations

import errno
import gzip
import re
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from data.errors import DataError
from data.sources.options import SourceOptions
from data.sources.store import room
from data.sources.tars import CHUNK, Oversized, tar_members

MAX_BYTES = 2**38  # 256 GiB: ImageNet has 155
MAX_MEMBERS = 3_000_000  # ImageNet has 1.4 million
MAX_RATIO = 100  # extracted to compressed; pictures are compressed already, and have 1
FREE_BYTES = 100 * 2**20  # which any archive may have whatever its ratio: a few plain bitmaps compress well
_GZIP = b"\x1f\x8b"
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


class _Member(NamedTuple):
    """A member of an archive: a plain file of `size` bytes that `stream` reads, or else something of a kind."""

    name: str
    size: int = 0
    stream: IO[bytes] | None = None
    kind: str = ""


def extract(archive: Path, name: str, folder: Path, options: SourceOptions) -> Counter[str]:
    """Extract a zip or tar archive; the tar may be compressed by gzip.

    Args:
        archive: the file.
        name: what the user calls it, for errors.
        folder: exists and is empty.
        options: `progress` is told of bytes.

    Returns:
        What was left out, by kind: links, devices, and what macOS adds.

    Raises:
        DataError: no archive, a damaged or encrypted one, or one with a name or a size that is not safe.
        OSError: the disk is full.
    """
    allowed = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size), room(folder))
    ignored: Counter[str] = Counter()
    done = 0
    try:
        for number, member in enumerate(_members(archive, name, allowed), start=1):
            done += member.size
            if number > MAX_MEMBERS or done > allowed:
                raise Oversized
            path = _safe_path(member.name, name)
            if path.parts[:1] == ("__MACOSX",):
                ignored["of macOS"] += 1
            elif member.stream is not None:
                _write(member.stream, member.name, folder / path, name)
                options.report("extracting", done, None)
            elif member.kind:
                ignored[member.kind] += 1
    except Oversized as error:
        raise DataError(
            f"{name} holds more than {MAX_MEMBERS:,} files, more than {allowed / 1e9:,.1f} GB, or far more than its own size; "
            "if it is to be trusted, extract it yourself and give the folder"
        ) from error
    except _DAMAGED as error:
        raise DataError(f"{name} cannot be extracted ({error}); get it again, or extract it yourself") from error
    return ignored


def _members(archive: Path, name: str, allowed: int) -> Iterator[_Member]:
    """The members one by one; a stream is to be read before the next is asked for."""
    with open(archive, "rb") as file:
        is_gzip = file.read(2) == _GZIP
    if zipfile.is_zipfile(archive) and not is_gzip:
        yield from _members_of_zip(archive, name)
    elif is_gzip:
        with gzip.open(archive) as stream:
            yield from _members_of_tar(stream, allowed)
    else:
        with open(archive, "rb") as plain:
            yield from _members_of_tar(plain, allowed)


def _members_of_zip(archive: Path, name: str) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # as Unix has it; 0 from elsewhere
            if info.is_dir():
                yield _Member(info.filename)
            elif kind not in (0, stat.S_IFREG):
                yield _Member(info.filename, kind="links" if kind == stat.S_IFLNK else "devices")
            elif info.flag_bits & 1:
                raise DataError(f"{name} is encrypted; extract it yourself and give the folder")
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotImplementedError(f"it is compressed by method {info.compress_type}")
            else:
                with file.open(info) as stream:
                    yield _Member(info.filename, info.file_size, stream)


def _members_of_tar(stream: IO[bytes] | gzip.GzipFile, allowed: int) -> Iterator[_Member]:
    for file, info in tar_members(stream, 2 * allowed + FREE_BYTES):  # members are counted elsewhere, headers here
        if info.isfile():
            yield _Member(info.name, info.size, file.extractfile(info))
        else:
            kind = "" if info.isdir() else "links" if info.issym() or info.islnk() else "devices"
            yield _Member(info.name, kind=kind)


def _safe_path(member: str, name: str) -> PurePosixPath:
    text = member.replace("\\", "/")  # as some programs for Windows write them
    path = PurePosixPath(text)
    if path.is_absolute() or _DRIVE.match(text) or ".." in path.parts:
        raise DataError(
            f"{name} is not safe: {member!r} in it leads out of the folder; do not use it, or get a clean one"
        )
    if _CONTROL.search(text):
        raise DataError(f"{name} is not safe: the name {member!r} in it has control characters; rename the file")
    return path


def _write(stream: IO[bytes], member: str, path: Path, name: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            while chunk := stream.read(CHUNK):
                file.write(chunk)
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        reason = "it is there twice" if isinstance(error, FileExistsError) else error.strerror
        raise DataError(f"{name} holds {member!r}, which cannot be written ({reason}); extract it yourself") from error
