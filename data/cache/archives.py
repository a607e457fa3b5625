"""Downloaded and extracted archives: kept for all runs, by content.

    SHA256-2/about.json     name of the archive, and what was left out
    SHA256-2/files/         the contents of the archive SHA256; or, for tar shards that are read in place,
    SHA256-2/archive.tar    the archive itself
    urls/HASH.json          the SHA256 of the archive at a URL
    urls/HASH….part         an unfinished download

An entry is made under a temporary name and renamed when it is complete, so that neither two processes nor `kill -9` leave
half an entry. There are no lock files.
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
_VERSION = 2  # of the extraction's result: entries of an earlier version are made again
_OURS = re.compile(r"[0-9a-f]{64}(-\d+)?|urls")


class Extracted(NamedTuple):
    """Result of an extraction besides the files: what was left out, by kind, and what was inferred, in sentences."""

    ignored: Counter[str]
    notes: list[str]


class Entry(NamedTuple):
    """A stored archive: the path of the archive itself (tar shards) or of the folder it was extracted to, and `Extracted`."""

    path: Path
    ignored: dict[str, int]
    notes: tuple[str, ...] = ()


class ArchiveStore:
    """A folder of archives.

    Attributes:
        folder: may not exist yet.
        urls: folder of unfinished downloads, and of the SHA-256 that each URL gave.
    """

    def __init__(self, folder: Path, *, fix: str) -> None:
        """Set the store's folder.

        Args:
            folder: the folder of the store.
            fix: what to do if the folder cannot be used, for error messages.
        """
        self.folder = folder
        self.urls = folder / "urls"
        self._fix = fix

    def find(self, sha256: str) -> Entry | None:
        """Return the entry of the archive with this SHA-256, if there is one."""
        folder = self._entry(sha256)
        try:
            about = json.loads((folder / "about.json").read_bytes())
            ignored, notes = dict(about["ignored"]), tuple(about["notes"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        with suppress(OSError):  # the cache is read-only
            os.utime(folder)
        archive = folder / "archive.tar"
        return Entry(archive if archive.is_file() else folder / "files", ignored, notes)

    def add(self, sha256: str, name: str, fill: Callable[[Path], Extracted]) -> Entry:
        """Add an entry, unless another process has added it meanwhile.

        Args:
            sha256: of the archive.
            name: of the archive, for people who look into the cache.
            fill: writes what is kept into a new folder, and returns what it left out and inferred.

        Raises:
            DataError: the disk is full, or the cache cannot be written.
        """
        with self.explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path for path in self.files() if is_temporary(path))
            # Another process may be reading the entry that it has put there: it is equal, and stays.
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
        """Return the entry of the archive that a URL gave, if there is one."""
        try:
            return self.find(str(json.loads(self._note(url).read_bytes())["sha256"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note_url(self, url: str, sha256: str) -> None:
        """Record which archive a URL gave."""
        self.urls.mkdir(parents=True, exist_ok=True)
        write_json(self._note(url), {"url": url, "sha256": sha256})

    def files(self) -> list[Path]:
        """Return all entries, and what killed processes left: files and folders."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _OURS.fullmatch(final_name(path)))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the file system within the context into one sentence.

        Raises:
            DataError: for any error of the file system within the context.
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
    """Return the SHA-256 of a file, in hexadecimal; `report` gets the progress: "reading", bytes read, bytes in total.

    Examples:
        >>> _ = Path("fruit.zip").write_bytes(b"abc")
        >>> sha256_of(Path("fruit.zip"), lambda *progress: None)[:8]
        'ba7816bf'
        >>> sha256_of(Path("fruit.zip"), print)[:8]
        reading 3 3
        'ba7816bf'
    """
    digest, size, done = hashlib.sha256(), path.stat().st_size, 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report("reading", done, size)
    return digest.hexdigest()
