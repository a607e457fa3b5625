"""The cache of activations when processes are killed, or work on it at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.training import cache as module
from app.training.cache import ActivationCache, Space
from app.training.shards import MissingRows
from tests.activations import SHAPE, age, folder, keys_of, read, rows_of, shards_of, space, write

ROOT = Path(__file__).parents[1]
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from app.training import cache

def space_in(folder):
    return cache.ActivationCache(Path(folder), 10**9).space({"weights": "abc"}, (2, 2, 3))

def write(space, numbers):
    with space.writer() as writer:
        for number in numbers:
            values = number + np.arange(12).reshape(1, 2, 2, 3) / 16
            writer.add([f"{number:064x}-plain"], values)

cache.SHARD_BYTES = 3 * 24
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
        write(space_in(name), range(1_000_000))
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


def assert_usable(space: Space, finished: int) -> None:
    """A reader finds what was finished; the next writer goes on from there, and removes leftovers once they are old."""
    np.testing.assert_array_equal(read(space, range(finished)), rows_of(range(finished)))
    write(space, range(finished, finished + 5))
    np.testing.assert_array_equal(read(space, range(finished + 5)), rows_of(range(finished + 5)))
    for path in space.folder.iterdir():
        age(path, 25 * 3600)
    write(space, [])
    files = {path.name for path in space.folder.iterdir()}
    assert files == {"space.json"} | {f"{path.stem}{end}" for path in shards_of(space) for end in (".bin", ".keys")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill")
def test_a_writer_killed_at_any_moment_leaves_its_finished_shards(tmp_path: Path) -> None:
    assert run_python(KILLED, tmp_path).wait() == 0
    for call in range(12):  # two for space.json, then for each shard: sync the data, name it, sync the keys, name them
        space = ActivationCache(tmp_path / f"call {call}", 10**9).space({"weights": "abc"}, SHAPE)
        finished = 3 * (max(0, call - 2) // 4)
        assert space.missing(keys_of(range(9))).tolist() == [False] * finished + [True] * (9 - finished)
        assert_usable(space, finished)
    for written in tmp_path.glob("seconds *"):
        space = ActivationCache(written, 10**9).space({"weights": "abc"}, SHAPE)
        finished = int(np.argmax(space.missing(keys_of(range(100_000)))))
        assert finished % 3 == 0
        assert_usable(space, finished)


def test_two_processes_write_the_same_rows_at_once(tmp_path: Path) -> None:
    # Each says that it is ready and waits for the other: then they do write at once.
    program = """
Path(f"ready {os.getpid()}").touch()
while len(list(Path().glob("ready *"))) < 2:
    time.sleep(0.001)
space = space_in("cache")
write(space, range(30))
assert not space.missing([f"{number:064x}-plain" for number in range(30)]).any()
"""
    processes = [run_python(program, tmp_path) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    space = ActivationCache(tmp_path / "cache", 10**9).space({"weights": "abc"}, SHAPE)
    np.testing.assert_array_equal(read(space, range(30)), rows_of(range(30)))
    assert len(shards_of(space)) == 20
    assert [one.rows for one in space.cache.spaces()] == [30]


def test_a_shard_is_finished_after_a_while(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with space.writer() as writer:
        for number, now in enumerate((0.0, 29.0, 31.0, 40.0, 2000.0, 2090.0, 2110.0)):
            writer.add(keys_of([number]), rows_of([number]))
            finished = int(np.argmax(space.missing(keys_of(range(8)))))
            assert finished == {0.0: 0, 29.0: 0, 31.0: 3, 40.0: 3, 2000.0: 5, 2090.0: 5, 2110.0: 5}[now]
        now = 2195.0  # by now a twentieth of the time is more
        writer.add(keys_of([7]), rows_of([7]))
        assert not space.missing(keys_of(range(8))).any()


def test_rows_outlive_the_removal_of_their_files(space: Space) -> None:
    write(space, range(4))
    rows = space.rows(keys_of(range(4)))
    assert ActivationCache(space.cache.folder, 0).clear() > 0
    np.testing.assert_array_equal(rows.take(np.arange(4)), rows_of(range(4)))
    assert space.missing(keys_of(range(4))).all()


def test_a_shard_that_vanishes_while_it_is_opened_is_missing(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    write(space, range(4))
    [shard] = shards_of(space)
    used = space.cache.use

    def vanish(manifest: Path) -> bool:
        shard.unlink()
        return used(manifest)

    monkeypatch.setattr(space.cache, "use", vanish)
    with pytest.raises(MissingRows):
        space.rows(keys_of(range(4)))


def test_a_writer_survives_that_the_cache_is_cleared(space: Space) -> None:
    with space.writer() as writer:
        writer.add(keys_of(range(4)), rows_of(range(4)))
        space.cache.clear()
    assert space.missing(keys_of(range(4))).all()
    write(space, range(4))
    np.testing.assert_array_equal(read(space, range(4)), rows_of(range(4)))


def test_an_interrupted_writer_saves_what_it_has(space: Space) -> None:
    def interrupted() -> None:
        with space.writer() as writer:
            writer.add(keys_of(range(4)), rows_of(range(4)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    np.testing.assert_array_equal(read(space, range(4)), rows_of(range(4)))


def test_a_write_that_the_system_refuses(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    assert resource
    program = """
import resource
cache.SHARD_BYTES = 10**9
space = space_in("cache")
write(space, range(3))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with space.writer() as writer:
        writer.add([str(number) for number in range(1000)], np.zeros((1000, 2, 2, 3)))
except cache.CacheFull as error:
    print(error)
"""
    process = run_python(program, tmp_path)
    assert "the disk has no room for 0.0 MB more in" in process.communicate()[0]
    assert process.returncode == 0
    space = ActivationCache(tmp_path / "cache", 10**9).space({"weights": "abc"}, SHAPE)
    assert not space.missing(keys_of(range(3))).any()
    assert len(list(space.folder.iterdir())) == 3
