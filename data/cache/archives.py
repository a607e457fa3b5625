"""Archives that were downloaded and extracted: kept for all runs, by content.

    SHA256-2/about.json     what it was, and what was left out
    SHA256-2/files/         what the archive SHA256 holds; or, of tar shards that are read in place,
    SHA256-2/archive.tar    the archive itself
    urls/HASH.json          which SHA256 a URL gave
    urls/HASH….part         a download that is not finished

An entry is made under a temporary name and renamed when it is whole, so that neither two processes nor `kill -9` leave half
of one. There are no lock files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from data.cache.disk import final_name, is_temporary, remove_leftovers
from data.errors import DataError
from data.files import atomic_write, write_json

_CHUNK = 2**20
_VERSION = 2  # of what extraction makes of an archive: entries of an earlier one are made again
_OURS = re.compile(r"[0-9a-f]{64}(-\d+)?|urls")


class Extracted(NamedTuple):
    """What became of an archive, besides files: what was left out, by kind, and what was inferred, in sentences."""

    ignored: Counter[str]
    notes: list[str]


class Entry(NamedTuple):
    """What the store holds of an archive: the archive itself (tar shards) or the folder it was extracted to."""

    path: Path
    ignored: dict[str, int]
    notes: tuple[str, ...] = ()


class ArchiveStore:
    """A folder of archives.

    Attributes:
        folder: may not exist yet.
        urls: where downloads that are not finished lie, and which SHA-256 each URL gave.
    """

    def __init__(self, folder: Path, *, fix: str) -> None:
        """Name a store.

        Args:
            folder: its folder.
            fix: what to do if it cannot be used, for errors.
        """
        self.folder = folder
        self.urls = folder / "urls"
        self._fix = fix

    def find(self, sha256: str) -> Entry | None:
        """What there is of the archive with this SHA-256."""
        folder = self._entry(sha256)
        try:
            about = json.loads((folder / "about.json").read_bytes())
            ignored, notes = dict(about["ignored"]), tuple(about["notes"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        with suppress(OSError):  # a cache that may only be read
            os.utime(folder)
        archive = folder / "archive.tar"
        return Entry(archive if archive.is_file() else folder / "files", ignored, notes)

    def add(self, sha256: str, name: str, fill: Callable[[Path], Extracted]) -> Entry:
        """Make an entry, unless another process did meanwhile.

        Args:
            sha256: of the archive.
            name: of the archive, for people who look into the cache.
            fill: puts what is to be kept into a new folder, and says what it left out and inferred.

        Raises:
            DataError: the disk is full, or the cache cannot be written.
        """
        with self.explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path for path in self.files() if is_temporary(path))
            # Another process may be reading what it has put there: it is equal, and stays.
            with atomic_write(self._entry(sha256), keep_existing=True) as folder:
                folder.mkdir()
                made = fill(folder)
                about = {"name": name, "ignored": dict(made.ignored), "notes": made.notes}
                (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        entry = self.find(sha256)
        if entry is None:
            raise DataError(f"{self._entry(sha256)} is damaged; remove it, and it is made again")
        return entry

    def find_url(self, url: str) -> Entry | None:
        """What there is of the archive that a URL gave."""
        try:
            return self.find(str(json.loads(self._note(url).read_bytes())["sha256"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note_url(self, url: str, sha256: str) -> None:
        """Keep which archive a URL gave."""
        self.urls.mkdir(parents=True, exist_ok=True)
        write_json(self._note(url), {"url": url, "sha256": sha256})

    def files(self) -> list[Path]:
        """All that is kept, and what killed processes left: files and folders."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _OURS.fullmatch(final_name(path)))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say in one sentence what the file system has against the store.

        Raises:
            DataError: for any error of the file system within it.
        """
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"the cache of sources {self.folder} cannot be used ({reason}); {self._fix}") from error

    def _entry(self, sha256: str) -> Path:
        return self.folder / f"{sha256}-{_VERSION}"

    def _note(self, url: str) -> Path:
        return self.urls / f"{hashlib.sha256(url.encode()).hexdigest()}.json"


def sha256_of(path: Path, report: Callable[[str, int, int | None], None]) -> str:
    """SHA-256 of a file, in hexadecimal; `report` is told of the bytes that are read."""
    digest, size, done = hashlib.sha256(), path.stat().st_size, 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report("reading", done, size)
    return digest.hexdigest()
