"""`--cache-folder`: all that a verb keeps between runs lies there, and `cache` shows and removes all of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import app
from data.cache.cache import Cache
from tests.conftest import TINY, Ended
from tests.images import write_folder
from tests.sources import flowers, refusal, zipped

Cli = Callable[..., Ended]


@pytest.fixture(autouse=True)
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default folder of the cache, which is not there."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "default"))
    return tmp_path / "default"


@pytest.fixture
def archive(fruit: Path, tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "fruit"), "zip", fruit))


def kept(folder: Path) -> list[bool]:
    """Whether a cache holds activations, image statistics and archives."""
    cache = Cache(str(folder))
    return [bool(part.files()) for part in (cache.activations(), cache.image_statistics, cache.archives)]


def assert_can_be_cleared(folder: Path, cli: Cli) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert cli("cache", "clear", "--cache-folder", folder).out == f"Freed {size / 1e6:,.1f} MB in {folder}.\n"
    assert list(folder.iterdir()) == []
    assert cli("cache", "show", "--cache-folder", folder).out == f"The cache {folder} is empty.\n"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["{archive}", "--no-labels"], [False, True, True]),
        (["{archive}", "--backbone", "tiny", "--weights", "none"], [True, True, True]),
        (["{fruit}", "--test", "{archive}", "--no-labels"], [False, True, True]),
        (["{fruit}/apple", "--unlabelled", "--no-labels"], [False, True, False]),
    ],
    ids=["an archive", "with labels", "an archive for the test", "images without labels"],
)
def test_an_audit(
    words: list[str], parts: list[bool], archive: Path, fruit: Path, default: Path, tiny_backbone: str, cli: Cli
) -> None:
    folder = default.with_name("chosen")
    arguments = [word.format(archive=archive, fruit=fruit) for word in words]
    assert cli("audit", *arguments, "--cache-folder", folder).code == 0
    assert kept(folder) == parts
    assert not default.exists()
    assert_can_be_cleared(folder, cli)


def test_a_run_and_all_that_is_done_with_it(
    archive: Path, default: Path, tiny_backbone: str, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    here, elsewhere = default.with_name("here"), default.with_name("elsewhere")
    for path in (here, elsewhere):
        path.mkdir()
    monkeypatch.chdir(here)
    options = TINY | {"cache_limit": 1, "formats": ("tflite_float32",), "keep_images": False, "cache_folder": "cache"}
    run = app.train(str(archive), output=str(here / "run"), **options)
    folder = here / "cache"
    assert kept(folder) == [True, True, True]

    monkeypatch.chdir(elsewhere)  # the run is not where it was trained from
    others = Path(shutil.make_archive(str(default.with_name("others")), "zip", write_folder(default.with_name("set"))))
    before = len(Cache(str(folder)).archives.files())
    app.evaluate(str(run.path))
    app.evaluate(str(run.path), str(others))
    app.export(str(run.path), formats=("onnx",))
    assert len(Cache(str(folder)).archives.files()) == before + 1
    assert not default.exists() and list(elsewhere.iterdir()) == []
    assert_can_be_cleared(folder, cli)


def test_the_audit_that_is_advised_uses_the_same_folder(default: Path, cli: Cli) -> None:
    folder = default.with_name("chosen")
    leaking = {f"{split}/{name}": content for split in ("train", "test") for name, content in flowers().items()}
    archive = zipped(default.with_name("a.zip"), leaking)
    ended = cli("train", archive, "--cache-folder", folder)
    assert ended.code == 2
    assert f"audit {archive} --cache-folder {folder} --fix clean.csv" in ended.err


def test_errors_name_what_was_given(default: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(default.with_name("a.zip"), flowers())
    file = default.with_name("a file")
    file.write_bytes(b"")
    for place in (file, file / "cache"):
        message = refusal(archive, cache_folder=str(place))
        assert str(place) in message and "--cache-folder" in message and "GRAFT_CACHE" not in message
        monkeypatch.setenv("GRAFT_CACHE", str(place))
        message = refusal(archive)
        assert str(place) in message and "set GRAFT_CACHE to" in message and "--cache-folder" not in message
