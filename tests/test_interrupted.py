"""An interrupted run goes on with the images that it began with, alone, and leaves nothing in the way of the next try."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import app
from app.interface.errors import Interrupted, UsageError
from app.runs.locking import FolderLock, Held
from data.errors import DataError
from tests.conftest import TINY, Ended
from tests.images import write_folder

ROOT = Path(app.__file__).parents[1]
OPTIONS = {"formats": ("tflite_float32",), **TINY}


def interrupt(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source")


@pytest.fixture
def interrupted(source: Path, tmp_path: Path, tiny_backbone: str, monkeypatch: pytest.MonkeyPatch) -> app.Run:
    """A run that Ctrl-C has ended when it was about to fit, and ends again when it is resumed."""
    monkeypatch.setattr("app.job.fit.fit", interrupt)
    with pytest.raises(Interrupted):
        app.train(str(source), output=str(tmp_path / "run"), **OPTIONS)
    return app.Run(tmp_path / "run")


def without_digests(run: app.Run) -> None:
    """Make `splits.csv` what earlier versions wrote."""
    rows = [row[:3] for row in csv.reader(run.splits.splitlines())]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    (run.path / "splits.csv").write_text(text.getvalue(), encoding="utf-8")


def of_split(run: app.Run, split: str) -> list[str]:
    return [row["path"] for row in csv.DictReader(run.splits.splitlines()) if row["split"] == split]


# --- The same images --------------------------------------------------------------------------------------------------------


def test_an_image_that_changed_is_named_and_may_be_put_back(interrupted: app.Run, source: Path) -> None:
    changed = source / of_split(interrupted, "train")[0]
    before = changed.read_bytes()
    changed.write_bytes((write_folder(source.parent / "other", seed=7) / "apple" / "00.png").read_bytes())
    with pytest.raises(DataError, match=rf"1 image of .*\({changed.parent.name}/{changed.name}\) have changed since"):
        app.train(resume=str(interrupted.path))
    assert (interrupted.path / "splits.csv").exists()

    changed.write_bytes(before)
    with pytest.raises(Interrupted):
        app.train(resume=str(interrupted.path))


def test_leakage_is_looked_for_again(interrupted: app.Run, source: Path) -> None:
    without_digests(interrupted)
    train, test = of_split(interrupted, "train")[0], of_split(interrupted, "test")[0]
    (source / test).write_bytes((source / train).read_bytes())
    with pytest.raises(UsageError, match=r"1 image is in several splits.*train a new run"):
        app.train(resume=str(interrupted.path))


def test_images_that_came_later_are_left_out_and_said(
    interrupted: app.Run, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = interrupted.environment["data_sha256"]
    later = write_folder(source.parent / "other", examples=1, seed=7) / "apple" / "00.png"
    (source / "apple" / "later.png").write_bytes(later.read_bytes())
    with pytest.raises(Interrupted):
        app.train(resume=str(interrupted.path))
    assert "Left out 1 image that is not in splits.csv." in capsys.readouterr().out
    assert interrupted.environment["data_sha256"] == before


def test_evaluate_says_that_test_images_changed(
    tiny_copy: app.Run, tmp_path: Path, cli: Callable[..., Ended], wide: None
) -> None:
    source = write_folder(tmp_path / "fruit")
    tiny_copy.write_options(tiny_copy.options | {"source": str(source)})
    assert "changed" not in cli("evaluate", tiny_copy.path).out
    name = of_split(tiny_copy, "test")[0]
    (source / name).write_bytes((write_folder(tmp_path / "other", seed=7) / name).read_bytes())
    ended = cli("evaluate", tiny_copy.path)
    assert ended.code == 0 and f"1 image of {source} ({name}) have changed since the run was trained" in ended.out


# --- One at a time -----------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from app.runs.locking import FolderLock
with FolderLock(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_in_use_is_said_to_be_and_kill_9_frees_it(interrupted: app.Run) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(interrupted.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match="is in use: another process is training it"):
        app.train(resume=str(interrupted.path))
    assert interrupted.starting_model.exists()  # what the other process needs

    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with pytest.raises(Interrupted):
        app.train(resume=str(interrupted.path))
    assert not (interrupted.path / ".lock").exists()


def test_a_lock_is_one_holder_s_and_leaves_nothing(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    with first.held(), first.held(), pytest.raises(Held), second.held():
        pass
    with second.held():
        assert (tmp_path / ".lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_locked_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with FolderLock(tmp_path).held(), FolderLock(tmp_path).held():
        pass


# --- What stops a run --------------------------------------------------------------------------------------------------------


def no_room(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_room_in_another_language(*arguments: object, **options: object) -> None:
    raise RuntimeError(f"write failed: /somewhere/model.pb; {os.strerror(errno.ENOSPC)}")


@pytest.mark.parametrize(
    ("where", "fail"),
    [("app.job.finish.write_exports", no_room), ("app.job.finish.write_report", no_room_in_another_language)],
)
def test_a_disk_that_is_full_names_resume(
    where: str,
    fail: Callable[..., None],
    source: Path,
    tmp_path: Path,
    tiny_backbone: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        with pytest.raises(UsageError, match=r"the disk is full; make room, and continue .*train --resume"):
            app.train(str(source), output=str(tmp_path / "run"), **OPTIONS | {"strategy": "feature_extraction"})
    assert app.train(resume=str(tmp_path / "run")).is_finished


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_what_the_system_refuses_before_anything_is_trained_leaves_nothing(
    number: int, source: Path, tmp_path: Path, tiny_backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("app.job.fit.fit", refuse)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        app.train(str(source), output=str(tmp_path / "new" / "run"), **OPTIONS)
    assert not (tmp_path / "new").exists()


def test_training_goes_on_without_a_cache_that_cannot_be_written_to(
    source: Path, tmp_path: Path, tiny_backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    options = {**OPTIONS, "cache_limit": 1, "cache_folder": str(tmp_path / "a file" / "cache")}
    run = app.train(str(source), output=str(tmp_path / "run"), **options)
    said = " ".join(capsys.readouterr().out.split())
    assert run.is_finished and "without the cache, which takes longer" in said and "cannot be written to" in said


def test_a_run_folder_that_cannot_be_begun_is_removed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.runs.folder.write_json", no_room)
    with pytest.raises(UsageError, match="cannot make the run folder"):
        app.Run.create({"source": str(source)}, output=str(tmp_path / "new" / "run"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("constant", ["height", "height,width"])
def test_a_number_that_never_changes_is_refused(constant: str, source: Path, tmp_path: Path) -> None:
    rows = [f"{path},3.5,{number}" for number, path in enumerate(sorted(source.rglob("*.png")))]
    (tmp_path / "list.csv").write_text("\n".join(["path,height,width", *rows]), encoding="utf-8")
    with pytest.raises(DataError, match=r"height is 3\.5 in every image"):
        app.train(
            str(tmp_path / "list.csv"), output=str(tmp_path / "run"), task="regression", columns=(f"label={constant}",)
        )
    assert not (tmp_path / "run").exists()
