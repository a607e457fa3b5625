"""Writing whole files: what is there is complete, whatever happens on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data.files import atomic_write, target_name, write_json, write_text


def write(path: Path, kind: str, content: str) -> None:
    if kind == "folder":
        path.mkdir()
    (path / "inside" if kind == "folder" else path).write_text(content)


def content(path: Path) -> str:
    return (path / "inside" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_was_written_takes_the_place_of_what_was_there(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.file"
    for text in ("old", "new"):
        with atomic_write(path) as temporary:
            assert temporary.suffix == path.suffix and target_name(temporary) == path.name
            write(temporary, kind, text)
    assert content(path) == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_fails_changes_nothing(kind: str, error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "model.file"
    write(path, kind, "old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            write(temporary, kind, "half")
            raise error

    with pytest.raises(error):
        fail()
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_was_not_written_replaces_nothing(tmp_path: Path) -> None:
    write(tmp_path / "export", "folder", "old")
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "export"):
        pass
    assert content(tmp_path / "export") == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "export"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_has_written_meanwhile_can_be_kept(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "entry"
    with atomic_write(path, keep_existing=True) as temporary:
        write(temporary, kind, "mine")
        write(path, kind, "another's")
    assert content(path) == "another's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("durable", [True, False])
def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, _noting(getattr(os, name), called))
    write_text(tmp_path / "keys", "all of them", durable=durable)
    assert [one.__name__ for one in called] == (["fsync"] if durable else []) + ["replace"]
    assert content(tmp_path / "keys") == "all of them"


def _noting(function: Callable[..., object], called: list[Callable[..., object]]) -> Callable[..., object]:
    def call(*arguments: object) -> object:
        called.append(function)
        return function(*arguments)

    return call


def test_json_is_for_people_to_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"class": "Löwenzahn"})
    assert content(tmp_path / "a.json") == '{\n  "class": "Löwenzahn"\n}\n'
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"class": "Löwenzahn"}


@pytest.mark.parametrize(
    "name", ["notes.txt", ".mine-notes.txt", "0123abcd-notes.txt", ".0123abcd-", ".0123ABCD-notes"]
)
def test_other_names_are_not_temporary(name: str) -> None:
    assert target_name(Path("folder", name)) is None
