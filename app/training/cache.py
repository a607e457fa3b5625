"""Activations of a frozen backbone on disk: computed once, and found again by what they depend on.

A cache is a folder of spaces. A space holds the rows of one network, cut at one layer, for pictures made in one way; its
folder is named after a hash of all that, and `space.json` in it says what it is. The rows lie in shards
(`app.training.shards`). Processes need not know of each other: two that write the same rows do double work and no harm.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import platformdirs

from app.errors import UsageError
from app.training.shards import (
    Rows,
    Shard,
    discard,
    files_of_space,
    publish,
    read_keys,
    remove_if_possible,
    shards_among,
    temporary_name,
    write_whole,
)
from app.training.summaries import SpaceSummary, read_about, summarise_space

SHARD_BYTES = 256 * 2**20  # small enough to be removed one by one, large enough that few files are open at once
SHARD_SECONDS = 30.0  # of work that an interrupted writer may lose
RESERVE = 2**30  # bytes of the disk that are left to others
LEFTOVER_SECONDS = 24 * 3600.0  # a younger file may be one that another process is still writing

_LAYOUT = 1  # of the files; a new one makes new spaces
_SPACE = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CacheFull(Exception):  # noqa: N818 - no error: the caller goes on without a cache
    """The disk, or the size limit, has no room, or the folder cannot be written to; the text says which."""


def default_cache_folder() -> Path:
    """Where the cache lies unless an option says otherwise: `GRAFT_CACHE`, or the system's place for caches."""
    named = os.environ.get("GRAFT_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("graft")


def open_cache(folder: str | None, gigabytes: float) -> ActivationCache:
    """The cache that options name.

    Args:
        folder: None for the usual one.
        gigabytes: its largest size, in 10^9 bytes.

    Raises:
        UsageError: there is a file in its place.
    """
    path = Path(folder).expanduser() if folder else default_cache_folder()
    if os.path.isfile(path):
        raise UsageError(f"{path} is a file; name the cache's folder with --cache-folder")
    return ActivationCache(path, int(gigabytes * 1e9))


class ActivationCache:
    """A folder of spaces, with one size limit.

    Shards that were asked for or written through this object are in use, and it does not remove them to make room. Make
    one object a run: then the next run in the same process may remove them.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Name a cache; nothing is made or read yet.

        Args:
            folder: may not exist yet.
            limit: largest size in bytes.
        """
        self.folder = folder
        self.limit = limit
        self._in_use: set[Path] = set()
        self._granted = 0

    def space(self, content: Mapping[str, Any], shape: tuple[int, ...]) -> Space:
        """The place of rows that depend on the same things.

        Args:
            content: all that rows depend on besides picture and view; must be JSON. Its "description", if any, is shown.
            shape: of a row.
        """
        return Space(self, {"layout": _LAYOUT, "dtype": "float16", "shape": list(shape), "content": dict(content)})

    def spaces(self) -> list[SpaceSummary]:
        """What is there, the last used first."""
        return sorted(map(summarise_space, self._folders()), key=lambda one: -one.last_used)

    def pictures(self) -> set[str]:
        """Which pictures have rows: what their keys begin with."""
        shards = (shard for folder in self._folders() for shard in shards_among(files_of_space(folder)))
        return {key.partition("-")[0] for shard in shards for key in read_keys(shard.manifest)}

    def room(self) -> int:
        """Bytes that could be written now; what the removal of shards that are not in use would give counts too."""
        allowed, on_disk, removable = self._free()
        return max(0, min(allowed, on_disk) + sum(shard.size for shard in removable))

    def clear(self) -> int:
        """Remove all that is Graft's, and nothing else.

        Returns:
            The bytes freed.
        """
        freed = 0
        for folder in self._folders():
            for path, status in files_of_space(folder).items():
                path.unlink(missing_ok=True)
                freed += status.st_size
            with suppress(OSError):  # something of the user's may lie there
                folder.rmdir()
        return freed

    def use(self, manifest: Path) -> bool:
        """Note that a shard is used: here and, by its manifest's time, for other processes. False if it is gone."""
        try:
            os.utime(manifest)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # a cache that may only be read
        self._in_use.add(manifest)
        return True

    def check_writable(self) -> None:
        """Find out whether anything can be written, before there is something to write.

        Raises:
            CacheFull: nothing can.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise CacheFull(_unwritable(self.folder, error)) from error

    def make_room(self, needed: int) -> int:
        """Remove the least recently used shards until so many bytes fit.

        Returns:
            How many bytes fit now.

        Raises:
            CacheFull: they could not, even if all that may be removed were. Nothing was then.
        """
        allowed, on_disk, removable = self._free()
        free, spare = min(allowed, on_disk), sum(shard.size for shard in removable)
        if free + spare < needed:
            least = f"its limit of {self.limit / 1e9:g} GB" if allowed <= on_disk else "the disk, which is nearly full,"
            raise CacheFull(
                f"the cache {self.folder} needs {needed / 1e6:,.1f} MB more, "
                f"and {least} leaves {max(0, free + spare) / 1e6:,.1f} MB"
            )
        for shard in sorted(removable, key=lambda one: one.last_used):
            if free >= needed:
                break
            free += shard.remove()
        return free

    def reserve(self, needed: int) -> None:
        """Take bytes out of the room there is; looks at the files again only when what it saw last is used up.

        Raises:
            CacheFull: as `make_room`.
        """
        if needed > self._granted:
            self._granted = self.make_room(needed)
        self._granted -= needed

    def look_again(self) -> None:
        """Have the next `reserve` look at the files: other processes write too."""
        self._granted = 0

    def remove_leftovers(self) -> None:
        """Remove what interrupted writers left, once it is so old that nobody is still writing it."""
        for folder in self._folders():
            for path, status in files_of_space(folder).items():
                unfinished = path.suffix == ".bin" and not path.with_suffix(".keys").exists()
                if time.time() - status.st_mtime > LEFTOVER_SECONDS and (unfinished or path.suffix == ".tmp"):
                    remove_if_possible(path)

    def _free(self) -> tuple[int, int, list[Shard]]:
        """Bytes that the limit and the disk leave now, below 0 if there are too many; and what may be removed."""
        files = {path: status for folder in self._folders() for path, status in files_of_space(folder).items()}
        size = sum(status.st_size for status in files.values())
        removable = [shard for shard in shards_among(files) if shard.manifest not in self._in_use]
        folder = self.folder.absolute()
        made = next(one for one in (folder, *folder.parents) if os.path.exists(one))
        return self.limit - size, shutil.disk_usage(made).free - RESERVE, removable

    def _folders(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if _SPACE.fullmatch(path.name) and path.is_dir())
        except OSError:  # it is not there, or may not be looked into
            return []


class Space:
    """Rows of one shape, each under its key.

    Each call reads the keys of the whole space anew, since other processes write and remove too: ask for many at once.
    """

    def __init__(self, cache: ActivationCache, about: dict[str, Any]) -> None:
        canonical = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)
        self.cache = cache
        self.about = about
        self.folder = cache.folder / hashlib.sha256(canonical.encode()).hexdigest()
        self.shape: tuple[int, ...] = tuple(about["shape"])
        self.row_bytes = math.prod(self.shape) * np.dtype(np.float16).itemsize

    def missing(self, keys: Sequence[str]) -> np.ndarray:
        """Which rows are not there, as booleans (n,). From now on those that are there are in use."""
        found = {key for _, held in self._using(keys) for key in held}
        return np.fromiter((key not in found for key in keys), bool, len(keys))

    def rows(self, keys: Sequence[str]) -> Rows:
        """The rows of these keys, in their order; the same key may come again.

        Raises:
            MissingRows: not all are there.
        """
        return Rows(keys, self.shape, self._using(keys))

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Give a writer; what is added is saved at the end, and now and then before it.

        Raises:
            CacheFull: the disk has no room for the last rows.
        """
        self.cache.remove_leftovers()
        writer = Writer(self)
        try:
            yield writer
        except BaseException:
            with suppress(CacheFull):  # what ended the writing matters more
                writer.finish_shard()
            raise
        writer.finish_shard()

    def _using(self, keys: Sequence[str]) -> Iterator[tuple[Shard, list[str]]]:
        """The shards that hold any of the keys, with all their keys; damaged ones are removed."""
        wanted = set(keys)
        for shard in shards_among(files_of_space(self.folder)):
            held = read_keys(shard.manifest)
            if not held or len(held) * self.row_bytes != shard.data_size:
                shard.remove()
            elif not wanted.isdisjoint(held) and self.cache.use(shard.manifest):
                yield shard, held


class Writer:
    """Adds rows to a space: to a shard under a temporary name, which is finished when it is large or old enough."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._file: BinaryIO | None = None
        self._path = Path()
        self._keys: list[str] = []
        self._begun = time.monotonic()
        self._due = 0.0

    def add(self, keys: Sequence[str], rows: np.ndarray) -> None:
        """Add rows.

        Args:
            keys: one a row.
            rows: numbers (n, *shape of the space); they are saved as float16.

        Raises:
            CacheFull: no room. What was added before is saved as far as the disk takes it.
            ValueError: the rows have another shape, or a number that float16 cannot hold (beyond 65,504, or NaN).
        """
        if rows.shape != (len(keys), *self._space.shape):
            raise ValueError(f"{len(keys)} rows of {self._space.shape} were expected, not {rows.shape}")
        most = max(1, SHARD_BYTES // self._space.row_bytes)
        start = 0
        while start < len(keys):
            stop = start + most - len(self._keys)
            self._append(keys[start:stop], rows[start:stop])
            start = stop
            if len(self._keys) == most or time.monotonic() >= self._due:
                self.finish_shard()

    def finish_shard(self) -> None:
        """Save what was added so far.

        Raises:
            CacheFull: the disk has no room for it.
        """
        file, keys = self._file, self._keys
        self._file, self._keys = None, []
        if file is None:
            return
        self._space.cache.look_again()
        manifest = self._path.with_suffix(".keys")
        try:
            file.flush()
            file.truncate(len(keys) * self._space.row_bytes)  # a signal may have ended the last write half way
            publish(file, self._path)
            write_whole(manifest, json.dumps(keys))
            self._space.cache.use(manifest)
        except FileNotFoundError:
            discard(file, self._path)  # another process cleared the cache: these rows are missing like all the others
        except BaseException as error:
            discard(file, self._path)
            self._explain(error, len(keys) * self._space.row_bytes)
            raise

    def _append(self, keys: Sequence[str], rows: np.ndarray) -> None:
        with np.errstate(over="ignore"):  # the next check tells
            values = np.ascontiguousarray(rows, np.float16)
        if not np.isfinite(values).all():
            raise ValueError(f"float16 cannot hold these activations: the largest is {np.abs(rows).max():.4g}")
        needed = values.nbytes + sum(map(len, keys)) + 4 * len(keys)  # each key with what JSON puts around it
        self._space.cache.reserve(needed)
        try:
            file = self._file or self._open_shard()
            file.write(values.data)
        except OSError as error:
            if self._file is not None:
                discard(self._file, self._path)
            self._file, self._keys = None, []
            self._explain(error, needed)
            raise
        self._keys.extend(keys)

    def _open_shard(self) -> BinaryIO:
        folder = self._space.folder
        folder.mkdir(parents=True, exist_ok=True)
        if not read_about(folder):
            write_whole(folder / "space.json", json.dumps(self._space.about, indent=2, ensure_ascii=False) + "\n")
        self._path = folder / f"shard-{uuid.uuid4().hex}.bin"
        self._file = open(temporary_name(self._path), "xb")  # noqa: SIM115 - it stays open until the shard is finished
        now = time.monotonic()
        # Readers keep all shards open: where a row takes long, a fixed time would make hundreds.
        self._due = now + max(SHARD_SECONDS, (now - self._begun) / 20)
        return self._file

    def _explain(self, error: BaseException, needed: int) -> None:
        if isinstance(error, OSError) and error.errno in _FULL:
            text = f"the disk has no room for {needed / 1e6:,.1f} MB more in {self._space.folder}: {error.strerror}"
            raise CacheFull(text) from error
        if isinstance(error, OSError):
            raise CacheFull(_unwritable(self._space.cache.folder, error)) from error


def _unwritable(folder: Path, error: OSError) -> str:
    return f"the cache folder {folder} cannot be written to ({error.strerror}); name another with --cache-folder"
