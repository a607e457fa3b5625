"""Sets that lie in several files: the files that a pattern stands for, and short names for them."""

from __future__ import annotations

import glob
import os
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from data.errors import DataError
from data.sources.names import existing_file

_MOST = 100_000  # files of one pattern
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{3,})-of-(?P<count>\d{3,})(?P<rest>[^/\\]*)")


class ByteRanges:
    """Where images lie in files: three numbers per image."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._numbers = array("q")

    def add(self, file: int, offset: int, size: int = 0) -> None:
        """Add an image: the position of its file, its first byte, and its number of bytes."""
        self._numbers.extend((file, offset, size))

    @contextmanager
    def opened(self, index: int) -> Iterator[tuple[BinaryIO, int]]:
        """Open the file of an image at the image's first byte, and yield it with the image's size; thread-safe."""
        file, offset, size = self._numbers[3 * index : 3 * index + 3]
        with open(self._files[file], "rb") as stream:
            stream.seek(offset)
            yield stream, size

    def read(self, index: int) -> bytes:
        """Return the bytes of an image."""
        with self.opened(index) as (stream, size):
            return stream.read(size)


def expand(text: str) -> list[Path]:
    """Return the files that a SOURCE string stands for, in order.

    It may be a file, a pattern with `*`, `?` and `[…]`, or with `{0000..0003}` and `{train,more}`. A shard
    (`NAME-00002-of-00010`) stands for all shards of its set, and so does `NAME` if there is no such file.

    Raises:
        DataError: there are no such files, or some of them are missing.

    Examples:
        >>> [file.name for file in expand("images/apple/0[0-2].png")]
        ['00.png', '01.png', '02.png']
        >>> [file.as_posix() for file in expand("images/{apple,cherry}/00.png")]
        ['images/apple/00.png', 'images/cherry/00.png']
    """
    path = os.path.expanduser(text)
    shard = _SHARD.fullmatch(path)
    try:
        if shard and os.path.isfile(path):
            name, rest = glob.escape(shard["name"]), glob.escape(shard["rest"])
            found = glob.glob(f"{name}-*-of-{shard['count']}{rest}")
        elif os.path.isfile(path):
            return [Path(path)]
        else:
            named = _expand_braces(path)
            if len(named) > 1 and not glob.has_magic(named[0]):
                return [existing_file(one) for one in named]
            patterns = named if glob.has_magic(named[0]) else [f"{glob.escape(path)}-*-of-*"]
            found = [one for pattern in patterns for one in glob.glob(pattern)]
    except (OSError, ValueError, RecursionError, re.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{text} cannot be read: {error}") from error
    files = sorted({Path(one) for one in found if os.path.isfile(one)})
    if not files:
        if glob.has_magic(path):
            raise DataError(f"no file is called {text}; check the path, and the pattern")
        existing_file(text)
    _check_complete(files)
    return files


def shard_names(files: Sequence[Path]) -> list[str]:
    """Return a short name for each file: its path below the folder that all files have in common.

    Examples:
        >>> shard_names([Path("sets/a.tar"), Path("sets/b.tar")])
        ['a.tar', 'b.tar']
        >>> shard_names([Path("sets/train/0.tar"), Path("sets/test/0.tar")])
        ['train/0.tar', 'test/0.tar']
    """
    whole = [file.absolute() for file in files]
    common = os.path.commonpath([file.parent for file in whole])
    return [file.relative_to(common).as_posix() for file in whole]


def _expand_braces(text: str) -> list[str]:
    waiting, done = [text], []
    while waiting:
        one = waiting.pop(0)
        braces = _BRACES.search(one)
        if braces is None:
            done.append(one)
            continue
        waiting += [one[: braces.start()] + part + one[braces.end() :] for part in _alternatives(braces[1])]
        if len(waiting) + len(done) > _MOST:
            raise DataError(f"{text} stands for more than {_MOST:,} files; correct the numbers")
    return done


def _alternatives(inside: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if not numbers:
        return inside.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    last = min(last, first + _MOST)  # one more than allowed, which the caller refuses
    return [f"{number:0{len(numbers[1])}d}" for number in range(first, last + 1)]


def _check_complete(files: Sequence[Path]) -> None:
    """Refuse shards that are fewer than their names say: a download may have been interrupted."""
    numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
    for file in files:
        shard = _SHARD.fullmatch(str(file))
        if shard:
            numbers[shard["name"], int(shard["count"])].add(int(shard["number"]))
    for (name, count), found in numbers.items():
        missing = count - len(found)
        if missing > 0:
            first = next(number for number in range(count) if number not in found)
            raise DataError(
                f"{missing} of the {count} shards of {name} are missing, such as number {first}; get them all"
            )
