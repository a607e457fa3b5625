"""`python -m app cache`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.interface.program import command
from data.cache.cache import default_cache_folder
from data.cache.partition import Partition
from data.sources import open_source
from tests.activations import SHAPE, folder, partition, rows_of, write
from tests.conftest import Ended
from tests.sources import zipped

Cli = Callable[..., Ended]


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    assert default_cache_folder() == tmp_path
    monkeypatch.setenv("GRAFT_CACHE", "")
    assert "graft" in default_cache_folder().parts


def test_show(partition: Partition, folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    write(partition, range(4))
    with partition.writer() as writer:
        writer.add([f"{number:064x}-changed.{view}" for number in range(2) for view in (1, 2)], rows_of(range(4)))
    used = max(path.stat().st_mtime for path in partition.folder.glob("*.keys"))
    ended = cli("cache", "--cache-folder", folder)
    assert (ended.code, ended.err) == (0, "")
    shown, _, advice = ended.out.rpartition("0.0 MB in all. ")
    first, *_, row, _ = shown.splitlines()
    assert first == f"cache     {folder}"
    assert " ".join(row.split()).startswith("tiny up to block1, 32 px 4 2 8 0.0 ")
    assert row.rstrip().endswith(time.strftime("%Y-%m-%d %H:%M", time.localtime(used)))
    assert advice.split() == f"To empty it: {command('cache', 'clear', '--cache-folder', folder)}".split()
    monkeypatch.setenv("GRAFT_CACHE", str(folder))
    assert cli("cache", "show").out == f"{shown}0.0 MB in all. To empty it: {command('cache', 'clear')}\n"


@pytest.mark.parametrize("action", ["show", "clear"])
def test_an_empty_cache(action: str, folder: Path, cli: Cli) -> None:
    ended = cli("cache", action, "--cache-folder", folder)
    text = {"show": f"The cache {folder} is empty.", "clear": f"Freed 0.0 MB in {folder}."}[action]
    assert ended == (0, text + "\n", "")
    assert not folder.exists()


def test_clear_keeps_what_is_not_ours(partition: Partition, folder: Path, cli: Cli) -> None:
    write(partition, range(4))
    other = Partition(partition.cache, {"another": 1}, SHAPE)
    write(other, range(4))
    for name in (f".0123abcd-shard-{'a' * 32}.bin", f"shard-{'a' * 32}.bin.{'b' * 32}.tmp"):
        (other.folder / name).write_bytes(b"half")
    foreign = [folder / "thesis.txt", folder / "photos" / "space.json", partition.folder / "shard-mine.bin"]
    foreign += [folder / "photos" / f"shard-{'a' * 32}.bin", folder / ("f" * 64)]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
    freed = sum(one.size for one in partition.cache.partitions())
    assert freed > 0
    ended = cli("cache", "clear", "--cache-folder", folder)
    assert ended == (0, f"Freed {freed / 1e6:.1f} MB in {folder}.\n", "")
    assert {path for path in folder.rglob("*") if path.is_file()} == set(foreign)
    assert not other.folder.exists()


def test_a_cache_folder_that_is_a_file(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").write_text("precious")
    ended = cli("cache", "clear", "--cache-folder", tmp_path / "file")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"Error: {tmp_path / 'file'} is a file; name the cache's folder with --cache-folder\n"


def test_sources_are_shown_and_removed_too(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    members = {f"{name}/0.bmp": bytes(100_000) for name in ("a", "b")}
    open_source(str(zipped(tmp_path / "a.zip", members)))
    assert "Downloaded and extracted sources: 0.2 MB.\n0.2 MB in all." in cli("cache").out
    assert cli("cache", "clear").out.startswith("Freed 0.2 MB in ")
    assert "is empty" in cli("cache").out
