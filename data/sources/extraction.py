"""Extract untrusted archives: nothing is written outside one folder, and the amount written is limited.

Only folders and plain files are made, by this module's own code and never by `zipfile` or `tarfile`: permissions, owners,
links and devices of an archive have no effect.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from data.cache.archives import Extracted
from data.cache.disk import free_space
from data.errors import DataError
from data.sources.options import SourceOptions
from data.sources.tars import CHUNK, Oversized, tar_members

MAX_BYTES = 2**38  # 256 GiB; ImageNet has 155
MAX_MEMBERS = 3_000_000  # ImageNet has 1.4 million
MAX_RATIO = 100  # of extracted to compressed bytes; images are compressed already, with a ratio of 1
FREE_BYTES = 100 * 2**20  # allowed for any archive, whatever its ratio: a few plain bitmaps compress well
# First bytes of a compressed tar -> function that opens it.
_COMPRESSED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_UTF8 = 0x800  # flag of a zip member
_UNICODE_PATH = 0x7075
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


class _Member(NamedTuple):
    """A member of an archive: a plain file of `size` bytes that `stream` reads, a link to `target`, or another `kind`."""

    name: str
    size: int = 0
    stream: IO[bytes] | None = None
    kind: str = ""
    target: str = ""


def extract(archive: Path, name: str, folder: Path, options: SourceOptions) -> Extracted:
    """Extract a zip or tar archive; the tar may be compressed by gzip, bzip2 or xz. Links to files in it become files.

    Args:
        archive: path of the archive.
        name: the user's name of the archive, for errors.
        folder: an existing, empty folder.
        options: `progress` is told the number of bytes.

    Returns:
        What was left out (links to elsewhere, devices, and files that macOS adds), and notes on names that were guessed.

    Raises:
        DataError: the file is not an archive, is damaged or encrypted, or has a name or a size that is not safe.
        OSError: the disk is full.

    Examples:
        >>> archive = Path(shutil.make_archive("fruit", "zip", "images"))
        >>> Path("extracted").mkdir()
        >>> extracted = extract(archive, "fruit.zip", Path("extracted"), SourceOptions())
        >>> len(list(Path("extracted").rglob("*.png"))), extracted.notes
        (24, [])
        >>> with zipfile.ZipFile("evil.zip", "w") as file:
        ...     file.writestr("../evil.png", b"")
        >>> extract(Path("evil.zip"), "evil.zip", Path("extracted"), SourceOptions())
        Traceback (most recent call last):
            ...
        data.errors.DataError: evil.zip is not safe: '../evil.png' in it leads out of the folder; ...
    """
    allowed = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size), max(0, free_space(folder)))
    ignored: Counter[str] = Counter()
    notes: list[str] = []
    links: dict[PurePosixPath, _Member] = {}
    done = 0
    try:
        for number, member in enumerate(_members(archive, name, allowed, notes), start=1):
            done += member.size
            if number > MAX_MEMBERS or done > allowed:
                raise Oversized
            path = _safe_path(member.name, name)
            if path.parts[:1] == ("__MACOSX",):
                ignored["of macOS"] += 1
            elif member.stream is not None:
                _write(member.stream, member.name, folder / path, name)
                options.report("extracting", done, None)
            elif member.target:
                links[path] = member
            elif member.kind:
                ignored[member.kind] += 1
        ignored["links"] += _follow(links, folder, allowed - done)
    except Oversized as error:
        raise DataError(
            f"{name} holds more than {MAX_MEMBERS:,} files, more than {allowed / 1e9:,.1f} GB, or far more than its own size; "
            "if it is to be trusted, extract it yourself and give the folder"
        ) from error
    except _DAMAGED as error:
        raise DataError(f"{name} cannot be extracted ({error}); get it again, or extract it yourself") from error
    return Extracted(+ignored, notes)


def _follow(links: Mapping[PurePosixPath, _Member], folder: Path, allowed: int) -> int:
    """Put a copy of its file in the place of each link; return the number of links that lead to no file of the archive."""
    left = dict(links)
    while left:
        found = {path: file for path, member in left.items() if (file := _file_of(path, member, folder)) is not None}
        for path, file in found.items():
            allowed -= file.stat().st_size
            if allowed < 0:
                raise Oversized
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if not (folder / path).exists():
                shutil.copyfile(file, folder / path)
            del left[path]
        if not found:  # the other links lead elsewhere, to folders, or in a circle
            break
    return len(left)


def _file_of(path: PurePosixPath, member: _Member, folder: Path) -> Path | None:
    """Return the file that a link leads to: a hard link from the top of the archive, a symbolic link from its own folder."""
    start = PurePosixPath() if member.kind == "hard link" else path.parent
    target = PurePosixPath(os.path.normpath(start / _composed(member.target.replace("\\", "/"))))
    if target.is_absolute() or ".." in target.parts:
        return None
    file = folder / target
    return file if file.is_file() else None


def _members(archive: Path, name: str, allowed: int, notes: list[str]) -> Iterator[_Member]:
    """Yield the members one by one; a stream must be read before the next member is requested."""
    with open(archive, "rb") as file:
        start = file.read(6)
    opened = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
    if opened is None and zipfile.is_zipfile(archive):
        yield from _members_of_zip(archive, name, notes)
    else:
        with (opened or open)(archive, "rb") as stream:
            yield from _members_of_tar(stream, allowed)


def _members_of_zip(archive: Path, name: str, notes: list[str]) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        guessed = []
        for info in file.infolist():
            member, is_certain = member_name(info)
            if not is_certain:
                guessed.append(member)
            kind = stat.S_IFMT(info.external_attr >> 16)  # file type of Unix; 0 in archives from other systems
            if info.is_dir():
                yield _Member(member)
            elif kind == stat.S_IFLNK and info.file_size < CHUNK and not info.flag_bits & 1:
                yield _Member(member, kind="symbolic link", target=file.read(info).decode(errors="replace"))
            elif kind not in (0, stat.S_IFREG):
                yield _Member(member, kind="links" if kind == stat.S_IFLNK else "devices")
            elif info.flag_bits & 1:
                raise DataError(f"{name} is encrypted; extract it yourself and give the folder")
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotImplementedError(f"it is compressed by method {info.compress_type}")
            else:
                with file.open(info) as stream:
                    yield _Member(member, info.file_size, stream)
        if guessed:
            notes.append(
                f"{len(guessed):,} names in {name} do not say how they are encoded and are read as code page 437, such as "
                f"{guessed[0]!r}; if they are wrong, extract it yourself and give the folder."
            )


def member_name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """Return the name of a zip member, and whether it is certain.

    Names without the flag for UTF-8 are code page 437 by the standard, but UTF-8 in archives of most Unix and macOS programs;
    text in another encoding is rarely valid UTF-8. The extra field 0x7075 holds the name in UTF-8, whatever the flag
    (APPNOTE 4.6.9, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).

    Examples:
        >>> member_name(zipfile.ZipInfo("apple.png"))
        ('apple.png', True)
        >>> member_name(zipfile.ZipInfo("äpfel.png"))  # without a flag, and not UTF-8
        ('äpfel.png', False)
    """
    if info.flag_bits & _UTF8 or info.orig_filename.isascii():
        return info.filename, True
    raw = info.orig_filename.encode("cp437")
    for name in (_unicode_path(info.extra, raw), raw):
        with suppress(UnicodeDecodeError):
            if name is not None:
                return name.decode(), True
    return info.filename, False


def _unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """Return the name in the extra field 0x7075, unless its checksum shows that the name has changed since."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack_from("<I", field, 1)
            return field[5:] if checksum == zlib.crc32(raw) else None
    return None


def _members_of_tar(stream: IO[bytes], allowed: int) -> Iterator[_Member]:
    for file, info in tar_members(stream, 2 * allowed + FREE_BYTES):  # `extract` limits the members, this the headers
        if info.isfile():
            yield _Member(info.name, info.size, file.extractfile(info))
        elif info.issym() or info.islnk():
            yield _Member(info.name, kind="hard link" if info.islnk() else "symbolic link", target=info.linkname)
        else:
            yield _Member(info.name, kind="" if info.isdir() else "devices")


def _safe_path(member: str, name: str) -> PurePosixPath:
    text = _composed(member.replace("\\", "/"))  # some Windows programs write backslashes
    path = PurePosixPath(text)
    if path.is_absolute() or _DRIVE.match(text) or ".." in path.parts:
        raise DataError(
            f"{name} is not safe: {member!r} in it leads out of the folder; do not use it, or get a clean one"
        )
    if _CONTROL.search(text):
        raise DataError(f"{name} is not safe: the name {member!r} in it has control characters; rename the file")
    return path


def _composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), which lists and systems other than macOS use."""
    return unicodedata.normalize("NFC", name)


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
