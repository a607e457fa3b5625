"""Exporting again: what is added, replaced and kept, and what is left when writing goes wrong or is interrupted."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf

import app
from app.exporting.context import ExportContext
from app.exporting.folder import new_export
from app.exporting.formats import FORMATS
from app.interface.errors import UsageError
from data.errors import DataError
from tests.conftest import TINY, Ended, contents
from tests.images import write_folder

Cli = Callable[..., Ended]


# --- Exporting again --------------------------------------------------------------------------------------------------


PAGES = {"model_card.md", "integration.md"}  # of an export folder


def names_in(run: app.Run) -> set[str]:
    return {path.name for path in run.export.iterdir()}


@pytest.mark.usefixtures("wide")
def test_a_format_is_added_to_what_is_there(tiny_copy: app.Run, cli: Cli) -> None:
    (tiny_copy.export / "notes.txt").write_text("my own")
    (tiny_copy.export / "tests").mkdir()
    (tiny_copy.export / "tests" / "one.txt").write_text("mine, too")
    before = contents(tiny_copy.export)
    ended = cli("export", tiny_copy.path, "--formats", "onnx")
    assert (ended.code, ended.err) == (0, "")
    assert "Added model.onnx; kept model_float32.tflite, notes.txt, tests." in ended.out.splitlines()
    after, parity = contents(tiny_copy.export), tiny_copy.parity
    changed = {"parity.json", "golden/expected.json", *PAGES}
    assert {name: after[name] for name in before if name not in changed} == {
        name: before[name] for name in before if name not in changed
    }
    assert set(after) - set(before) == {"model.onnx"}
    assert list(parity["formats"]) == ["tflite_float32", "onnx"] and parity["passed"]
    assert tiny_copy.options["formats"] == ["tflite_float32", "onnx"]
    golden = json.loads((tiny_copy.export / "golden" / "expected.json").read_text())
    assert set(golden["outputs"]) == {"model_float32.tflite", "model.onnx"}


@pytest.mark.usefixtures("wide")
def test_a_format_that_is_there_is_replaced_and_that_is_said(tiny_copy: app.Run, cli: Cli) -> None:
    ended = cli("export", tiny_copy.path, "--formats", "tflite_float32", "--author", "Somebody")
    assert (ended.code, ended.err) == (0, "")
    assert "Replaced model_float32.tflite." in ended.out.splitlines()
    assert names_in(tiny_copy) == {"golden", "labels.txt", "model_float32.tflite", "parity.json"} | PAGES
    assert b"Somebody" in (tiny_copy.export / "model_float32.tflite").read_bytes()


def test_options_are_those_of_the_export_before(tiny_copy: app.Run, tmp_path: Path) -> None:
    german = tmp_path / "german.txt"
    german.write_text("Äpfel\nBananen\nKirschen\n", encoding="utf-8")
    given = {"author": "A. Author", "model_version": "7", "score_threshold": 0.25, "max_drop": 3.0}
    app.export(str(tiny_copy.path), formats=("onnx",), locales=(f"de={german}",), **given)
    german.unlink()  # the export has its own copy
    app.export(str(tiny_copy.path), formats=("tflite_float32",), model_version="8")
    options = tiny_copy.options
    assert {name: options[name] for name in given} == given | {"model_version": "8"}
    assert (tiny_copy.export / "labels_de.txt").read_text(encoding="utf-8") == "Äpfel\nBananen\nKirschen\n"
    file = (tiny_copy.export / "model_float32.tflite").read_bytes()
    assert b"A. Author" in file and b"labels_de.txt" in file


@pytest.mark.usefixtures("wide")
def test_what_is_kept_with_other_metadata_is_said(tiny_copy: app.Run, cli: Cli) -> None:
    ended = cli("export", tiny_copy.path, "--formats", "onnx", "--author", "Somebody")
    assert "Still with the earlier --author in their metadata: model_float32.tflite." in ended.out


def test_without_formats_all_are_written_again(tiny_copy: app.Run) -> None:
    app.export(str(tiny_copy.path), formats="onnx")
    before = {name: (tiny_copy.export / name).stat().st_mtime_ns for name in ("model.onnx", "model_float32.tflite")}
    app.export(str(tiny_copy.path), author="Somebody")
    assert list(tiny_copy.parity["formats"]) == ["tflite_float32", "onnx"]
    assert all((tiny_copy.export / name).stat().st_mtime_ns > time for name, time in before.items())


def test_no_format_at_all_is_refused(tiny_copy: app.Run, cli: Cli) -> None:
    before = contents(tiny_copy.path)
    ended = cli("export", tiny_copy.path, "--formats")
    assert ended.code == 2
    assert ended.err.startswith("Error: --formats needs a name: saved_model, ") and ended.err.count("\n") == 1
    assert contents(tiny_copy.path) == before


def test_what_users_lay_into_a_saved_model_stays(every_format: app.Run, tmp_path: Path) -> None:
    run = app.Run(Path(shutil.copytree(every_format.path, tmp_path / "copy")))
    warm_up = run.export / "saved_model" / "assets.extra" / "tf_serving_warmup_requests"
    warm_up.parent.mkdir(exist_ok=True)  # with what Graft lays there itself
    warm_up.write_bytes(b"requests")
    weights = run.export / "saved_model" / "variables" / "left over"
    weights.write_bytes(b"of an earlier TensorFlow")
    app.export(str(run.path), formats=("saved_model",))
    assert warm_up.read_bytes() == b"requests" and not weights.exists()
    assert names_in(run) == {path.name for path in every_format.export.iterdir()}


def test_a_file_that_failed_before_makes_room_for_one_that_agrees(
    tiny_copy: app.Run, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_garbage(context: ExportContext, path: Path) -> None:
        path.write_bytes(b"no model")

    with monkeypatch.context() as patch:
        patch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=write_garbage))
        assert cli("export", tiny_copy.path, "--formats", "onnx").code == 3
    assert "model_FAILED.onnx" in names_in(tiny_copy)
    assert (
        cli("export", tiny_copy.path, "--formats", "tflite_float32").code == 0
    )  # what failed before is not written now
    assert "model_FAILED.onnx" in names_in(tiny_copy) and not tiny_copy.parity["passed"]
    assert cli("export", tiny_copy.path, "--formats", "onnx").code == 0
    assert names_in(tiny_copy) == {"golden", "labels.txt", "model.onnx", "model_float32.tflite", "parity.json"} | PAGES


def test_config_and_report_follow_a_new_export(tiny_copy: app.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "other", replace(FORMATS["onnx"], file="other_model.onnx"))
    app.export(str(tiny_copy.path), formats=("other",), author="Somebody", max_drop=3.0)
    config = json.loads((tiny_copy.path / "config.json").read_text())
    assert (config["formats"], config["quantize"]) == (["tflite_float32", "other"], "none")
    assert (config["author"], config["max_drop"]) == ("Somebody", 3.0)
    for file in (tiny_copy.report, tiny_copy.path / "model_card.md"):
        assert "other_model.onnx" in file.read_text(encoding="utf-8")
        assert "model_float32.tflite" in file.read_text(encoding="utf-8")


def test_exporting_does_not_finish_an_unfinished_run(tiny_copy: app.Run) -> None:
    tiny_copy.report.unlink()
    app.export(str(tiny_copy.path), formats=("onnx",))
    assert not tiny_copy.is_finished


def test_the_images_may_have_moved(tiny_copy: app.Run, fruit: Path, tmp_path: Path) -> None:
    path = tiny_copy.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": str(tmp_path / "gone")}))
    before = contents(tiny_copy.export)
    with pytest.raises(DataError, match=r"there is no folder.*if they were moved, say where they are now: .*--source"):
        app.export(str(tiny_copy.path), formats=("onnx",))
    assert contents(tiny_copy.export) == before
    moved = shutil.copytree(fruit, tmp_path / "moved")
    assert app.export(str(tiny_copy.path), formats=("onnx",), source=str(moved))["passed"]


def test_a_format_that_is_not_in_the_table(tiny_copy: app.Run) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'tflite_float32'\?"):
        app.export(str(tiny_copy.path), formats=("tflite_float",))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--quantize", "aut"), "--quantize cannot be 'aut'. Did you mean 'auto'?"),
        (("--max-drop", "-1"), "--max-drop must be from 0 to 100 points, not -1.0"),
        (("--max-drop", "nan"), "--max-drop must be from 0 to 100 points"),
        (("--score-threshold", "1.5"), "--score-threshold must be from 0 to 1, not 1.5"),
    ],
)
def test_options_that_cannot_be(options: tuple[str, ...], text: str, tiny_copy: app.Run, cli: Cli) -> None:
    before = contents(tiny_copy.path)
    ended = cli("export", tiny_copy.path, *options)
    assert ended.code == 2
    assert ended.err.startswith("Error: ") and text in ended.err and len(ended.err.splitlines()) == 1
    assert contents(tiny_copy.path) == before


# --- A writer that fails ----------------------------------------------------------------------------------------------


def without_log(run: app.Run) -> dict[str, str]:
    return {name: value for name, value in contents(run.path).items() if name != "log.txt"}


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the writer of float32 files fail when half of a file is written."""

    def fail(context: ExportContext, path: Path) -> None:
        path.write_bytes(b"half a file")
        raise error

    monkeypatch.setitem(FORMATS, "tflite_float32", replace(FORMATS["tflite_float32"], write=fail))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RuntimeError("a defect")], ids=repr)
def test_a_failing_writer_leaves_the_earlier_export(
    error: BaseException, tiny_copy: app.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = without_log(tiny_copy)
    fail_with(error, monkeypatch)
    with pytest.raises(type(error)):
        app.export(str(tiny_copy.path), formats=("tflite_float32",))
    assert without_log(tiny_copy) == before


def test_ctrl_c_says_what_is_true(tiny_copy: app.Run, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch)
    ended = cli("export", tiny_copy.path, "--formats", "tflite_float32")
    assert ended.code == 130
    again = "To finish, give the same command again"
    assert ended.err.strip() == f"Interrupted; {tiny_copy.export} is as it was before. {again}"
    shutil.rmtree(tiny_copy.export)
    assert cli("export", tiny_copy.path, "--formats", "tflite_float32").err.strip() == (
        f"Interrupted; nothing is exported. {again}"
    )


def test_ctrl_c_after_the_export_says_that_it_is_complete(
    tiny_copy: app.Run, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(run: app.Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.verbs.export.write_report", interrupted)
    ended = cli("export", tiny_copy.path, "--formats", "onnx")
    assert ended.code == 130 and f"{tiny_copy.export} is complete, but the report" in ended.err
    assert "model.onnx" in names_in(tiny_copy)


def test_what_a_killed_export_left_is_cleared_by_the_next(tiny_copy: app.Run) -> None:
    for name in (".0123abcd-export", ".deadbeef-export"):
        shutil.copytree(tiny_copy.export, tiny_copy.path / name)
    others = [tiny_copy.path / name for name in (".mine-export", ".0123abcd-exported", "0123abcd-export")]
    for other in others:
        other.mkdir()
    with new_export(tiny_copy) as folder:
        (folder / "parity.json").write_text((tiny_copy.export / "parity.json").read_text())
        assert sorted(tiny_copy.path.glob(".????????-export")) == [folder]
    assert all(other.is_dir() for other in others)
    assert not list(tiny_copy.path.glob(".????????-export"))


def test_an_export_that_was_killed_while_folders_changed_places_is_put_back(tiny_copy: app.Run) -> None:
    (tiny_copy.export / "notes.txt").write_text("my own")
    before = contents(tiny_copy.export)
    tiny_copy.export.rename(tiny_copy.path / ".0123abcd-export")
    (tiny_copy.path / ".deadbeef-export").mkdir()  # half written
    with pytest.raises(ZeroDivisionError), new_export(tiny_copy):
        raise ZeroDivisionError
    assert contents(tiny_copy.export) == before
    assert not list(tiny_copy.path.glob(".????????-export"))


def test_two_exports_of_a_run_at_once_are_refused(tiny_copy: app.Run, cli: Cli) -> None:
    with tiny_copy.in_use():
        ended = cli("export", tiny_copy.path, "--formats", "onnx")
    assert ended.code == 2
    assert ended.err == f"Error: the run {tiny_copy.path} is being exported already; wait until that has ended\n"


# TensorFlow has errors of its own for what the system told it.
FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.ENOSPC, "No space left on device", "/tmp/somewhere"),
    tf.errors.ResourceExhaustedError(None, None, "/tmp/somewhere/variables; No space left on device"),
    tf.errors.UnknownError(None, None, "Failed to write 1 of 2 bytes; No space left on device"),
]


@pytest.mark.parametrize("error", FULL, ids=[f"{type(one).__name__}{number}" for number, one in enumerate(FULL)])
def test_a_full_disk_is_one_sentence(
    error: Exception, tiny_copy: app.Run, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = without_log(tiny_copy)
    fail_with(error, monkeypatch)
    ended = cli("export", tiny_copy.path, "--formats", "tflite_float32")
    assert ended.code == 2
    assert ended.err.startswith("Error: No space left on device: ") and len(ended.err.splitlines()) == 1
    assert "Traceback" not in ended.out + ended.err
    assert without_log(tiny_copy) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, where one can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount")
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "graft-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["saved_model", "tflite_float16", "onnx"])
@pytest.mark.parametrize("pages", [2, 12])  # too few for any file, or too few for the last ones
def test_a_disk_that_is_full_indeed(name: str, pages: int, small_disk: Path, tiny_run: app.Run, cli: Cli) -> None:
    run = app.Run(Path(shutil.copytree(tiny_run.path, small_disk / "run")))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    os.truncate(filler, filler.stat().st_size - 4096 * pages)
    before = without_log(run)
    ended = cli("export", run.path, "--formats", name)
    assert ended.code == 2
    assert ended.err.startswith("Error: No space left on device: ") and len(ended.err.splitlines()) == 1
    assert "Traceback" not in ended.out + ended.err
    assert not list(run.path.rglob(".*"))  # nothing half written
    if pages == 12 and name in run.parity["formats"]:  # there was room for the export, but not for the report
        assert {path.name for path in run.export.iterdir()} == {
            FORMATS[name].file,
            "model_float32.tflite",  # was there before
            "labels.txt",
            "golden",
            "parity.json",
            "integration.md",
        }
    else:
        assert without_log(run) == before


# --- From the run folder alone -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept_run(tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> app.Run:
    """A run that keeps its images, whose source is gone."""
    folder = tmp_path_factory.mktemp("kept")
    source = write_folder(folder / "fruit")
    run = app.train(str(source), output=str(folder / "run"), formats=("tflite_float32",), keep_images=True, **TINY)
    shutil.rmtree(source)
    return run


@pytest.fixture
def kept_copy(kept_run: app.Run, tmp_path: Path) -> app.Run:
    """A copy of it to write to."""
    return app.Run(Path(shutil.copytree(kept_run.path, tmp_path / "copy")))


def test_a_run_that_keeps_its_images_needs_no_source(kept_copy: app.Run, cli: Cli) -> None:
    before = kept_copy.parity["formats"]["tflite_float32"]
    names = sorted(row.split(",")[0] for row in kept_copy.splits.splitlines()[1:])
    with zipfile.ZipFile(kept_copy.images) as archive:
        assert sorted(archive.namelist()) == names  # of so few images, all
    ended = cli("export", kept_copy.path, "--formats", "tflite_float32", "tflite_int8", "--max-drop", "100")
    assert ended.code == 0, ended.err
    assert f"The images are those that the run keeps in {kept_copy.images}." in " ".join(ended.out.split())
    after = kept_copy.parity["formats"]["tflite_float32"]
    measured = {"seconds": 0, "bytes": 0, "speed": 0}  # each time; the file tells the run's name
    assert {**after, **measured} == {**before, **measured}
    assert app.evaluate(str(kept_copy.path))["accuracy"] == kept_copy.metrics["test"]["accuracy"]


@pytest.mark.parametrize("damage", ["cut", "one image"])
def test_damaged_images_are_one_sentence(damage: str, kept_copy: app.Run, cli: Cli) -> None:
    if damage == "cut":
        kept_copy.images.write_bytes(kept_copy.images.read_bytes()[:1000])
    else:
        with zipfile.ZipFile(kept_copy.images, "w") as archive:
            archive.writestr("other.png", b"")
    ended = cli("export", kept_copy.path, "--formats", "onnx")
    assert ended.code == 2 and "remove that file, and the images of the source are read instead" in " ".join(
        ended.err.split()
    )


def test_without_them_the_source_is_asked_for(kept_copy: app.Run, cli: Cli) -> None:
    kept_copy.images.unlink()
    ended = cli("export", kept_copy.path, "--formats", "onnx")
    assert ended.code == 2 and "--source FOLDER" in " ".join(ended.err.split())
