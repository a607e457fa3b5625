"""The cache of activations: what was written is found again, within its limits, and nothing else is removed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.cache import disk
from data.cache import partition as module
from data.cache.activations import ActivationCache, CacheFull
from data.cache.disk import is_temporary
from data.cache.partition import Partition
from data.cache.shards import MissingRows
from tests.activations import (
    CONTENT,
    ROW_BYTES,
    SHAPE,
    age,
    folder,
    keys_of,
    partition,
    read,
    rows_of,
    shards_of,
    write,
)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> int:
    """Shards hold three rows."""
    monkeypatch.setattr(module, "SHARD_BYTES", 3 * ROW_BYTES)
    return 3


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_what_was_written_is_found_again(partition: Partition, folder: Path) -> None:
    assert partition.missing(keys_of(range(5))).all()
    assert not folder.exists()  # looking makes nothing
    write(partition, range(4))
    again = Partition(ActivationCache(folder, 10**9), dict(reversed(CONTENT.items())), SHAPE)  # order does not matter
    assert again.missing(keys_of(range(5))).tolist() == [False] * 4 + [True]
    rows = again.rows(keys_of(range(4)))
    assert (len(rows), rows.shape, rows.nbytes) == (4, SHAPE, 4 * ROW_BYTES)
    taken = rows.take(np.arange(4))
    assert taken.dtype == np.float16
    np.testing.assert_array_equal(taken, rows_of(range(4)))


@pytest.mark.parametrize("step", [1, 2, 4, 10])
def test_rows_come_from_several_shards_in_any_order(step: int, partition: Partition, small_shards: int) -> None:
    write(partition, range(10), step)
    assert len(shards_of(partition)) == 4
    order = [9, 0, 5, 5, 3]
    np.testing.assert_array_equal(read(partition, order), rows_of(order))
    rows = partition.rows(keys_of([7, 1, 7, 8]))
    np.testing.assert_array_equal(rows.take(np.array([3, 2, 0, 3, 1])), rows_of([8, 7, 7, 8, 1]))
    assert rows.take(np.array([], int)).shape == (0, *SHAPE)
    assert len(partition.rows([])) == 0


def test_rows_of_two_writers_add_up(partition: Partition) -> None:
    write(partition, range(4))
    write(partition, range(2, 8))
    np.testing.assert_array_equal(read(partition, range(8)), rows_of(range(8)))


def test_missing_rows_are_said(partition: Partition) -> None:
    write(partition, range(4))
    with pytest.raises(MissingRows, match=r"2 of 3 rows are not in the cache; the first is 0+4-plain"):
        partition.rows(keys_of([0, 4, 5]))


@pytest.mark.parametrize(
    ("content", "shape"), [(CONTENT | {"weights": "abd"}, SHAPE), (CONTENT | {"size": 1}, SHAPE), (CONTENT, (12,))]
)
def test_rows_that_depend_on_something_else_lie_elsewhere(
    content: dict[str, Any], shape: tuple[int, ...], partition: Partition
) -> None:
    other = Partition(partition.cache, content, shape)
    assert other.folder != partition.folder
    assert Partition(partition.cache, CONTENT, SHAPE).folder == partition.folder


@pytest.mark.parametrize("value", [65520.0, -1e30, np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused(value: float, partition: Partition) -> None:
    rows = rows_of(range(2))
    rows[1, 0, 0, 0] = value
    with partition.writer() as writer:
        writer.add(keys_of([7]), rows_of([7]))
        with pytest.raises(ValueError, match="float16 cannot hold"):
            writer.add(keys_of(range(2)), rows)
    assert partition.missing(keys_of([0, 1, 7])).tolist() == [True, True, False]


def test_rows_of_another_shape_are_refused(partition: Partition) -> None:
    with pytest.raises(ValueError, match="2 rows of"), partition.writer() as writer:
        writer.add(keys_of(range(2)), rows_of(range(3)))


def test_memory_stays_flat_however_much_is_read(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")

    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) * 1024

    partition = Partition(ActivationCache(tmp_path, 10**9), CONTENT, (2**19,))  # a MB a row
    with partition.writer() as writer:
        for number in range(64):
            writer.add(keys_of([number]), np.full((1, 2**19), number, np.float16))
    rows, before = partition.rows(keys_of(range(64))), mapped()
    for number in range(64):
        assert (rows.take(np.array([number])) == number).all()
    assert mapped() - before < 16 * 2**20


# --- Leftovers and damage ---------------------------------------------------------------------------------------------


def test_leftovers_are_removed_after_a_day_only(partition: Partition) -> None:
    write(partition, range(4))
    shard = partition.folder / f"shard-{'a' * 32}.bin"
    leftovers = [
        shard,
        *(shard.with_name(f".0123abcd-{name}") for name in (shard.name, f"{shard.stem}.keys", "space.json")),
        # As earlier versions called them.
        shard.with_name(f"{shard.name}.{'b' * 32}.tmp"),
        partition.folder / f"space.json.{'c' * 32}.tmp",
    ]
    foreign = [partition.folder / name for name in ("notes.tmp", ".0123abcd-notes.bin")]
    for path in (*leftovers, *foreign):
        path.write_bytes(b"half")
        age(path, 23 * 3600)
    write(partition, [])
    assert all(path.exists() for path in leftovers)
    for path in partition.folder.iterdir():
        age(path, 25 * 3600)
    write(Partition(partition.cache, {"another": 1}, (1,)), [])  # whichever partition is written to
    assert not any(path.exists() for path in leftovers)
    assert all(path.exists() for path in foreign)
    np.testing.assert_array_equal(read(partition, range(4)), rows_of(range(4)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: cut(data),
        lambda data: data.unlink(),
        lambda data: data.write_bytes(b""),
        lambda data: cut(data.with_suffix(".keys")),
        lambda data: data.with_suffix(".keys").write_bytes(b""),
        lambda data: data.with_suffix(".keys").write_bytes(b"\xff\xfe"),
        lambda data: data.with_suffix(".keys").write_text("[1, [2], 3]"),
        lambda data: data.with_suffix(".keys").write_text('{"a": 1}'),
    ],
    ids=["short", "gone", "empty", "keys short", "keys empty", "keys no text", "keys no names", "keys no list"],
)
def test_a_damaged_shard_is_not_there_and_is_removed(
    damage: Callable[[Path], object], partition: Partition, small_shards: int
) -> None:
    write(partition, range(6))
    hurt, whole = sorted(
        shards_of(partition), key=lambda path: keys_of([0])[0] not in path.with_suffix(".keys").read_text()
    )
    damage(hurt)
    assert partition.missing(keys_of(range(6))).tolist() == [True] * 3 + [False] * 3
    assert shards_of(partition) == [whole]
    write(partition, range(3))
    np.testing.assert_array_equal(read(partition, range(6)), rows_of(range(6)))


def test_a_damaged_description_is_written_again(partition: Partition) -> None:
    write(partition, range(1))
    (partition.folder / "space.json").write_text("{")
    assert partition.cache.partitions()[0].content == {}
    write(partition, range(1))
    assert partition.cache.partitions()[0].content == CONTENT


# --- Free space -------------------------------------------------------------------------------------------------------------


def filled(folder: Path, names: Sequence[str]) -> tuple[int, int]:
    """Make a partition of three rows of each name, each older than the next.

    Returns:
        The sizes of a shard and of `space.json`.
    """
    for number, name in enumerate(names):
        partition = Partition(ActivationCache(folder, 10**9), {"description": name}, SHAPE)
        write(partition, range(3))
        [shard] = shards_of(partition)
        age(shard.with_suffix(".keys"), 1000 - number)
    about = (partition.folder / "space.json").stat().st_size
    return sum(path.stat().st_size for path in partition.folder.iterdir()) - about, about


def names_in(folder: Path) -> set[str]:
    return {one.content["description"] for one in ActivationCache(folder, 0).partitions() if one.rows}


def test_the_least_recently_used_shards_go_first(folder: Path) -> None:
    shard, about = filled(folder, "abcd")
    cache = ActivationCache(folder, 4 * (shard + about))
    Partition(ActivationCache(folder, 0), {"description": "a"}, SHAPE).rows(keys_of([0]))  # the run of another process
    write(Partition(cache, {"description": "e"}, SHAPE), range(3))
    assert names_in(folder) == {"a", "c", "d", "e"}


@pytest.mark.parametrize("use", [Partition.missing, Partition.rows])
def test_shards_in_use_stay(use: Callable[[Partition, Sequence[str]], object], folder: Path) -> None:
    shard, about = filled(folder, "abc")
    cache = ActivationCache(folder, 3 * shard + 6 * about)
    use(Partition(cache, {"description": "a"}, SHAPE), keys_of([0]))
    for path in folder.glob("*/*.keys"):
        age(path, 100)
    described = [Partition(cache, {"description": name}, SHAPE) for name in "de"]
    for one in described:
        write(one, range(3))
    assert names_in(folder) == {"a", "d", "e"}
    with pytest.raises(CacheFull, match=r"needs 0\.0 MB more, and its limit of .* GB leaves 0\.0 MB"):
        write(Partition(cache, {"description": "f"}, SHAPE), range(3))
    assert names_in(folder) == {"a", "d", "e"}


def test_what_can_never_fit_removes_nothing(folder: Path) -> None:
    shard, about = filled(folder, "ab")
    cache = ActivationCache(folder, 2 * (shard + about))
    with pytest.raises(CacheFull):
        write(Partition(cache, {"description": "c"}, SHAPE), range(1000))
    assert names_in(folder) == {"a", "b"}


def test_a_full_cache_keeps_what_came_before(folder: Path, small_shards: int) -> None:
    cache = ActivationCache(folder, 2000)
    partition = Partition(cache, CONTENT, SHAPE)
    with pytest.raises(CacheFull):
        write(partition, range(100), step=1)
    finished = int(np.argmax(partition.missing(keys_of(range(100)))))
    assert 5 < finished < 25
    np.testing.assert_array_equal(read(partition, range(finished)), rows_of(range(finished)))
    assert not any(map(is_temporary, partition.folder.iterdir()))


def test_free_space(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ActivationCache(folder, 5000).free_space() == 5000
    filled(folder, "ab")
    cache = ActivationCache(folder, 5000)
    with_others = cache.free_space()
    assert 4000 < with_others < 5000  # what says what the partitions are stays
    partition = Partition(cache, {"description": "a"}, SHAPE)
    partition.missing(keys_of([0]))
    assert cache.free_space() == with_others - sum(path.stat().st_size for path in partition.folder.glob("shard-*"))
    monkeypatch.setattr(disk, "RESERVE", 2**60)
    assert cache.free_space() == 0
    with pytest.raises(CacheFull, match="the disk, which is nearly full, leaves"):
        write(partition, range(3, 6))
    assert ActivationCache(folder, 0).free_space() == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_disk_that_is_full(
    number: int, call: str, after: int, partition: Partition, small_shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(partition, range(3))
    real, calls = getattr(os, call), []

    def refuse(*arguments: Any) -> object:
        calls.append(arguments)
        if len(calls) > after:  # the data, or only the keys
            raise OSError(number, os.strerror(number))
        return real(*arguments)

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(CacheFull, match="the disk has no room for"):
        write(partition, range(3, 6))
    assert len(list(partition.folder.iterdir())) == 3  # nothing is left of it
    np.testing.assert_array_equal(read(partition, range(3)), rows_of(range(3)))


@pytest.mark.parametrize("place", ["a file/cache", "a file"])
def test_a_folder_that_cannot_be_written_to_is_full(place: str, tmp_path: Path) -> None:
    """As a folder that may only be read: the caller goes on without a cache."""
    (tmp_path / "a file").write_bytes(b"")
    cache = ActivationCache(tmp_path / place, 10**9)
    partition = Partition(cache, CONTENT, SHAPE)
    for attempt in (cache.check_writable, lambda: write(partition, range(3))):
        with pytest.raises(CacheFull, match=r"cannot be written to \(.*\); name another with --cache-folder"):
            attempt()
    assert partition.missing(keys_of(range(3))).all() and cache.partitions() == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_a_folder_that_becomes_unwritable(number: int, partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(CacheFull, match="cannot be written to"):
        write(partition, range(3))
