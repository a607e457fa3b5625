"""Where archives are kept once they are downloaded and extracted: one folder for all runs, by content.

    sources/SHA256-2/about.json     what it was, and what was left out
    sources/SHA256-2/files/         what the archive SHA256 holds; or, of tar shards that are read in place,
    sources/SHA256-2/archive.tar    the archive itself
    sources/urls/HASH.json        which SHA256 a URL gave
    sources/urls/HASH….part       a download that is not finished

An entry is made under a temporary name and renamed when it is whole, so that neither two processes nor `kill -9` leave half
of one. There are no lock files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import platformdirs

from data.errors import DataError

if TYPE_CHECKING:
    from data.sources.extraction import Extracted

RESERVE = 2**30  # bytes of the disk that are left to others
LEFTOVER_SECONDS = 24 * 3600.0  # a younger temporary folder may be one that another process is still filling
NAME = "sources"  # of the folder in the cache
_CHUNK = 2**20
_VERSION = 2  # of what extraction makes of an archive: entries of an earlier one are made again
_OURS = re.compile(r"[0-9a-f]{64}(-\d+)?(\.[0-9a-f]{32}\.tmp)?|urls")


class Entry(NamedTuple):
    """What the store holds of an archive: the archive itself (tar shards) or the folder it was extracted to."""

    path: Path
    ignored: dict[str, int]
    notes: tuple[str, ...] = ()


def store_folder() -> Path:
    """`GRAFT_CACHE`/sources, or the same in the system's place for caches."""
    named = os.environ.get("GRAFT_CACHE")
    return (Path(named).expanduser() if named else platformdirs.user_cache_path("graft")) / NAME


def _name_of(sha256: str) -> str:
    return f"{sha256}-{_VERSION}"


def find_entry(sha256: str) -> Entry | None:
    """What there is of the archive with this SHA-256."""
    folder = store_folder() / _name_of(sha256)
    try:
        about = json.loads((folder / "about.json").read_bytes())
        ignored, notes = dict(about["ignored"]), tuple(about["notes"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    with suppress(OSError):  # a cache that may only be read
        os.utime(folder)
    archive = folder / "archive.tar"
    return Entry(archive if archive.is_file() else folder / "files", ignored, notes)


def add_entry(sha256: str, name: str, fill: Callable[[Path], Extracted]) -> Entry:
    """Make an entry, unless another process did meanwhile.

    Args:
        sha256: of the archive.
        name: of the archive, for people who look into the cache.
        fill: puts what is to be kept into a new folder, and says what it left out and inferred.

    Raises:
        DataError: the disk is full, or the cache cannot be written.
    """
    with explained():
        store = store_folder()
        store.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(store)
        folder = store / f"{sha256}.{uuid.uuid4().hex}.tmp"
        folder.mkdir()
        try:
            made = fill(folder)
            about = {"name": name, "ignored": dict(made.ignored), "notes": made.notes}
            (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            with suppress(OSError):  # the other process' is there, and equal
                folder.rename(store / _name_of(sha256))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    entry = find_entry(sha256)
    if entry is None:
        raise DataError(f"{store / _name_of(sha256)} is damaged; remove it, and it is made anew")
    return entry


@contextmanager
def explained() -> Iterator[None]:
    """Say in one sentence what the file system has against an entry."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the cache of sources {store_folder()} cannot be used ({error.strerror or error}); "
            "set GRAFT_CACHE to a folder on a disk with room"
        ) from error


def room(folder: Path) -> int:
    """Bytes of the disk that may be used."""
    made = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    return max(0, shutil.disk_usage(made).free - RESERVE)


def sha256_of(path: Path, report: Callable[[str, int, int | None], None]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest, size, done = hashlib.sha256(), path.stat().st_size, 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report("reading", done, size)
    return digest.hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write a file that has its name only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(store: Path) -> None:
    """Remove what killed processes left."""
    for path in store.glob("*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(path)


def store_size(store: Path) -> int:
    """Bytes that a store takes."""
    return sum(_size(path) for path in _ours(store))


def clear_store(store: Path) -> int:
    """Remove all that is kept of sources, and nothing else.

    Args:
        store: its folder, which may not exist.

    Returns:
        The bytes freed.
    """
    freed = 0
    for path in _ours(store):
        size = _size(path)
        shutil.rmtree(path, ignore_errors=True)
        freed += size - (_size(path) if path.exists() else 0)
    with suppress(OSError):  # something of the user's may lie there
        store.rmdir()
    return freed


def _ours(store: Path) -> list[Path]:
    return sorted(path for path in store.iterdir() if _OURS.fullmatch(path.name)) if store.is_dir() else []


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
