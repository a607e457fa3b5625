"""The cache of activations when processes are killed, or work on it at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.cache import partition as module
from data.cache.activations import ActivationCache
from data.cache.cache import Cache
from data.cache.partition import Partition
from data.cache.shards import MissingRows
from tests.activations import SHAPE, age, folder, keys_of, partition, read, rows_of, shards_of, write

ROOT = Path(__file__).parents[1]
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from data.cache import partition as module
from data.cache.activations import ActivationCache, CacheFull

def partition_in(folder):
    return module.Partition(ActivationCache(Path(folder), 10**9), {"weights": "abc"}, (2, 2, 3))

def write(partition, numbers):
    with partition.writer() as writer:
        for number in numbers:
            values = number + np.arange(12).reshape(1, 2, 2, 3) / 16
            writer.add([f"{number:064x}-plain"], values)

module.SHARD_BYTES = 3 * 24
"""

KILLED = """
def deadly(function):
    def call(*arguments):
        global calls
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return function(*arguments)
    return call

def killed(name, seconds):
    child = os.fork()
    if not child:
        os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)
        write(partition_in(name), range(1_000_000))
    if seconds:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

calls = 0
for die_at in range(12):
    killed(f"call {die_at}", 0)
for seconds in (0.05, 0.1, 0.17):
    killed(f"seconds {seconds}", seconds)
"""


def run_python(program: str, folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + program], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


def assert_usable(partition: Partition, finished: int) -> None:
    """A reader finds what was finished; the next writer goes on from there, and removes leftovers once they are old."""
    np.testing.assert_array_equal(read(partition, range(finished)), rows_of(range(finished)))
    write(partition, range(finished, finished + 5))
    np.testing.assert_array_equal(read(partition, range(finished + 5)), rows_of(range(finished + 5)))
    for path in partition.folder.iterdir():
        age(path, 25 * 3600)
    write(partition, [])
    files = {path.name for path in partition.folder.iterdir()}
    assert files == {"space.json"} | {f"{path.stem}{end}" for path in shards_of(partition) for end in (".bin", ".keys")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill")
def test_a_writer_killed_at_any_moment_leaves_its_finished_shards(tmp_path: Path) -> None:
    assert run_python(KILLED, tmp_path).wait() == 0
    for call in range(12):  # two for space.json, then for each shard: sync the data, name it, sync the keys, name them
        partition = Partition(ActivationCache(tmp_path / f"call {call}", 10**9), {"weights": "abc"}, SHAPE)
        finished = 3 * (max(0, call - 2) // 4)
        assert partition.missing(keys_of(range(9))).tolist() == [False] * finished + [True] * (9 - finished)
        assert_usable(partition, finished)
    for written in tmp_path.glob("seconds *"):
        partition = Partition(ActivationCache(written, 10**9), {"weights": "abc"}, SHAPE)
        finished = int(np.argmax(partition.missing(keys_of(range(100_000)))))
        assert finished % 3 == 0
        assert_usable(partition, finished)


def test_two_processes_write_the_same_rows_at_once(tmp_path: Path) -> None:
    # Each says that it is ready and waits for the other: then they do write at once.
    program = """
Path(f"ready {os.getpid()}").touch()
while len(list(Path().glob("ready *"))) < 2:
    time.sleep(0.001)
partition = partition_in("cache")
write(partition, range(30))
assert not partition.missing([f"{number:064x}-plain" for number in range(30)]).any()
"""
    processes = [run_python(program, tmp_path) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    partition = Partition(ActivationCache(tmp_path / "cache", 10**9), {"weights": "abc"}, SHAPE)
    np.testing.assert_array_equal(read(partition, range(30)), rows_of(range(30)))
    assert len(shards_of(partition)) == 20
    assert [one.rows for one in partition.cache.partitions()] == [30]


def test_a_shard_is_finished_after_a_while(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with partition.writer() as writer:
        for number, now in enumerate((0.0, 29.0, 31.0, 40.0, 2000.0, 2090.0, 2110.0)):
            writer.add(keys_of([number]), rows_of([number]))
            finished = int(np.argmax(partition.missing(keys_of(range(8)))))
            assert finished == {0.0: 0, 29.0: 0, 31.0: 3, 40.0: 3, 2000.0: 5, 2090.0: 5, 2110.0: 5}[now]
        now = 2195.0  # by now a twentieth of the time is more
        writer.add(keys_of([7]), rows_of([7]))
        assert not partition.missing(keys_of(range(8))).any()


def test_rows_outlive_the_removal_of_their_files(partition: Partition) -> None:
    write(partition, range(4))
    rows = partition.rows(keys_of(range(4)))
    assert Cache(str(partition.cache.folder)).clear() > 0
    np.testing.assert_array_equal(rows.take(np.arange(4)), rows_of(range(4)))
    assert partition.missing(keys_of(range(4))).all()


def test_a_shard_that_vanishes_while_it_is_opened_is_missing(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(partition, range(4))
    [shard] = shards_of(partition)
    used = partition.cache.use

    def vanish(manifest: Path) -> bool:
        shard.unlink()
        return used(manifest)

    monkeypatch.setattr(partition.cache, "use", vanish)
    with pytest.raises(MissingRows):
        partition.rows(keys_of(range(4)))


def test_a_writer_survives_that_the_cache_is_cleared(partition: Partition) -> None:
    with partition.writer() as writer:
        writer.add(keys_of(range(4)), rows_of(range(4)))
        Cache(str(partition.cache.folder)).clear()
    assert partition.missing(keys_of(range(4))).all()
    write(partition, range(4))
    np.testing.assert_array_equal(read(partition, range(4)), rows_of(range(4)))


def test_an_interrupted_writer_saves_what_it_has(partition: Partition) -> None:
    def interrupted() -> None:
        with partition.writer() as writer:
            writer.add(keys_of(range(4)), rows_of(range(4)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    np.testing.assert_array_equal(read(partition, range(4)), rows_of(range(4)))


def test_a_write_that_the_system_refuses(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    assert resource
    program = """
import resource
module.SHARD_BYTES = 10**9
partition = partition_in("cache")
write(partition, range(3))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with partition.writer() as writer:
        writer.add([str(number) for number in range(1000)], np.zeros((1000, 2, 2, 3)))
except CacheFull as error:
    print(error)
"""
    process = run_python(program, tmp_path)
    assert "the disk has no room for 0.0 MB more in" in process.communicate()[0]
    assert process.returncode == 0
    partition = Partition(ActivationCache(tmp_path / "cache", 10**9), {"weights": "abc"}, SHAPE)
    assert not partition.missing(keys_of(range(3))).any()
    assert len(list(partition.folder.iterdir())) == 3
