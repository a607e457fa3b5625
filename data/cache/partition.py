"""A partition of the cache: the activations of one network, cut at one layer, for one preprocessing of the images.

Its folder is named after a hash of these, and `space.json` in it describes them. The rows lie in shards
(`data.cache.shards`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from data.cache.activations import ActivationCache, CacheFull
from data.cache.disk import remove_if_possible
from data.cache.shards import Rows, Shard, files_of_partition, read_keys, shards_among
from data.cache.summaries import read_about
from data.files import atomic_write, write_json, write_text

SHARD_BYTES = 256 * 2**20  # small enough to free space in small steps, large enough that few files are open at once
SHARD_SECONDS = 30.0  # of work that an interrupted writer may lose

_LAYOUT = 1  # version of the files; a new version makes new partitions
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Partition:
    """Rows of one shape, each with a key.

    Each call reads the keys of the whole partition again, since other processes write and remove too: request many at once.
    """

    def __init__(self, cache: ActivationCache, content: Mapping[str, Any], shape: tuple[int, ...]) -> None:
        """Set the partition's content; nothing is written or read yet.

        Args:
            cache: the cache of the partition.
            content: all that rows depend on besides image and view; must be JSON. Its "description", if any, is shown.
            shape: of a row.
        """
        self.cache = cache
        self.about = {"layout": _LAYOUT, "dtype": "float16", "shape": list(shape), "content": dict(content)}
        canonical = json.dumps(self.about, sort_keys=True, separators=(",", ":"), allow_nan=False)
        self.folder = cache.folder / hashlib.sha256(canonical.encode()).hexdigest()
        self.shape = shape
        self.row_bytes = math.prod(shape) * np.dtype(np.float16).itemsize

    def missing(self, keys: Sequence[str]) -> np.ndarray:
        """Return which rows are missing, as booleans (n,). The rows found are in use from now on."""
        found = {key for _, held in self._using(keys) for key in held}
        return np.fromiter((key not in found for key in keys), bool, len(keys))

    def rows(self, keys: Sequence[str]) -> Rows:
        """Return the rows of these keys, in their order; a key may be repeated.

        Raises:
            MissingRows: rows are missing.
        """
        return Rows(keys, self.shape, self._using(keys))

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Yield a writer; added rows are saved at the end, and from time to time before it.

        Raises:
            CacheFull: the disk is too full for the last rows.
        """
        self.cache.remove_leftovers()
        writer = Writer(self)
        try:
            yield writer
        except BaseException:
            with suppress(CacheFull):  # the first error matters more
                writer.finish_shard()
            raise
        writer.finish_shard()

    def _using(self, keys: Sequence[str]) -> Iterator[tuple[Shard, list[str]]]:
        """Yield the shards that hold any of the keys, with all their keys; remove damaged shards."""
        wanted = set(keys)
        for shard in shards_among(files_of_partition(self.folder)):
            held = read_keys(shard.manifest)
            if not held or len(held) * self.row_bytes != shard.data_size:
                shard.remove()
            elif not wanted.isdisjoint(held) and self.cache.use(shard.manifest):
                yield shard, held


class _OpenShard:
    """A shard under a temporary name."""

    def __init__(self, path: Path) -> None:
        self.keys: list[str] = []
        self._path = path
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_write(path, durable=True))
            self._file = stack.enter_context(open(temporary, "xb"))
            self._open = stack.pop_all()  # closes the file, then renames it

    def add(self, keys: Sequence[str], values: np.ndarray) -> None:
        self._file.write(values.data)
        self.keys.extend(keys)

    def finish(self, row_bytes: int) -> Path:
        """Rename the rows' file, then write the keys, so that keys imply all their rows. Return the file of the keys."""
        with self._open:
            self._file.truncate(len(self.keys) * row_bytes)  # a signal may have interrupted the last write
        manifest = self._path.with_suffix(".keys")
        write_text(manifest, json.dumps(self.keys), durable=True)
        return manifest

    def discard(self) -> None:
        """Remove the shard, under its temporary or its final name."""
        with suppress(OSError), self._open:  # a full disk refuses the buffered rest again
            raise OSError("discarded")
        remove_if_possible(self._path)


class Writer:
    """Adds rows to a partition's open shard, which is finished once it is large or old enough."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._shard: _OpenShard | None = None
        self._begun = time.monotonic()
        self._due = 0.0

    def add(self, keys: Sequence[str], rows: np.ndarray) -> None:
        """Add rows.

        Args:
            keys: one per row.
            rows: numbers (n, *shape of the partition); they are saved as float16.

        Raises:
            CacheFull: no free space. Rows added before are saved as far as the disk has room.
            ValueError: the rows have another shape, or a number that float16 cannot hold (beyond 65,504, or NaN).
        """
        if rows.shape != (len(keys), *self._partition.shape):
            raise ValueError(f"{len(keys)} rows of {self._partition.shape} were expected, not {rows.shape}")
        most = max(1, SHARD_BYTES // self._partition.row_bytes)
        start = 0
        while start < len(keys):
            stop = start + most - (len(self._shard.keys) if self._shard else 0)
            held = self._append(keys[start:stop], rows[start:stop])
            start = stop
            if held == most or time.monotonic() >= self._due:
                self.finish_shard()

    def finish_shard(self) -> None:
        """Save the rows added so far.

        Raises:
            CacheFull: the disk is too full for them.
        """
        shard, self._shard = self._shard, None
        if shard is None:
            return
        cache = self._partition.cache
        cache.look_again()
        try:
            cache.use(shard.finish(self._partition.row_bytes))
        except FileNotFoundError:
            shard.discard()  # another process cleared the cache: these rows are missing like all the others
        except BaseException as error:
            shard.discard()
            self._explain(error, len(shard.keys) * self._partition.row_bytes)
            raise

    def _append(self, keys: Sequence[str], rows: np.ndarray) -> int:
        """Add rows to the open shard, and return how many rows it holds."""
        with np.errstate(over="ignore"):  # the next check finds overflows
            values = np.ascontiguousarray(rows, np.float16)
        if not np.isfinite(values).all():
            raise ValueError(f"float16 cannot hold these activations: the largest is {np.abs(rows).max():.4g}")
        needed = values.nbytes + sum(map(len, keys)) + 4 * len(keys)  # each key with JSON's punctuation
        self._partition.cache.reserve(needed)
        try:
            shard = self._shard = self._shard or self._open_shard()
            shard.add(keys, values)
        except OSError as error:
            if self._shard is not None:
                self._shard.discard()
            self._shard = None
            self._explain(error, needed)
            raise
        return len(shard.keys)

    def _open_shard(self) -> _OpenShard:
        folder = self._partition.folder
        folder.mkdir(parents=True, exist_ok=True)
        if not read_about(folder):
            write_json(folder / "space.json", self._partition.about, durable=True)
        shard = _OpenShard(folder / f"shard-{uuid.uuid4().hex}.bin")
        now = time.monotonic()
        # Readers keep all shards open: for slow rows, a fixed time would make hundreds of shards.
        self._due = now + max(SHARD_SECONDS, (now - self._begun) / 20)
        return shard

    def _explain(self, error: BaseException, needed: int) -> None:
        folder = self._partition.folder
        if isinstance(error, OSError) and error.errno in _FULL:
            text = f"the disk has no room for {needed / 1e6:,.1f} MB more in {folder}: {error.strerror}"
            raise CacheFull(text) from error
        if isinstance(error, OSError):
            raise self._partition.cache.unwritable(error) from error
