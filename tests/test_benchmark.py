"""`benchmark`: which files are measured and with how many threads, what is printed and written; never how fast it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import app
from app.exporting.process import ModelProcess, usual_client
from app.interface.errors import UsageError
from app.prediction.predictor import Predictor
from models.builder import load_model
from tests.conftest import Ended, contents

Cli = Callable[..., Ended]
QUICK = ("--seconds", "0.05", "--threads")
TYPES: dict[str, type] = {
    "file": str,
    "client": str,
    "threads": int,
    "median_ms": float,
    "p95_ms": float,
    "images_per_second": float,
    "peak_memory_mb": float,
    "size_mb": float,
    "image_size": int,
    "runs": int,
}


@pytest.fixture
def loose(tmp_path: Path, tiny_run: app.Run) -> Path:
    """A `.tflite` far from its run, with nothing beside it."""
    (tmp_path / "assets").mkdir()
    return Path(shutil.copy(tiny_run.export / "model_float32.tflite", tmp_path / "assets" / "model.tflite"))


def table_rows(out: str, files: list[str]) -> list[list[str]]:
    """The cells of the printed rows: file, threads, median, p95, images a second, speed, memory, size."""
    return [line.split() for line in out.splitlines() if line.split() and line.split()[0] in files]


def row(file: Path | str, threads: int) -> tuple[str, int]:
    return str(file), threads


def asked(figures: dict[str, Any]) -> list[tuple[str, int]]:
    return [row(one["file"], one["threads"]) for one in figures["rows"]]


# --- What is measured -------------------------------------------------------------------------------------------------


def test_a_run_stands_for_all_of_its_files(finished_run: app.Run, tmp_path: Path, cli: Cli) -> None:
    run = app.Run(Path(shutil.copytree(finished_run.path, tmp_path / "run")))
    ended = cli("benchmark", run.path, *QUICK, 1)
    assert (ended.code, ended.err) == (0, "")
    exported = [run.export / one["file"] for one in run.parity["formats"].values()]
    assert {"saved_model", "model_float32.tflite"} <= {file.name for file in exported}
    figures = json.loads((run.path / "benchmark.json").read_text())
    assert asked(figures) == [row(file, 1) for file in (run.model, *exported)]
    names = [Path(one["file"]).name for one in figures["rows"]]
    assert [cells[:2] for cells in table_rows(ended.out, names)] == [[name, "1"] for name in names]
    assert str(run.path / "benchmark.json") in ended.out
    for one in figures["rows"]:
        assert one["client"] == usual_client(Path(one["file"]))
        assert one["image_size"] == 32


def test_figures_have_their_types_and_say_where_they_come_from(loose: Path) -> None:
    figures = app.benchmark([str(loose)], threads=(1,), seconds=0.05)
    (one,) = figures["rows"]
    assert {name: type(value) for name, value in one.items()} == TYPES
    assert 0 < one["median_ms"] <= one["p95_ms"]
    assert one["images_per_second"] > 0
    assert one["runs"] >= 10
    assert one["size_mb"] == loose.stat().st_size / 1e6
    assert figures["machine"]["cpus"] == os.cpu_count()
    assert set(figures["machine"]) == {"platform", "machine", "cpus", "cpu"}
    assert {"tensorflow", "ai-edge-litert", "onnxruntime"} <= set(figures["versions"])
    assert figures["settings"] == {"threads": [1], "seconds": 0.05, "images_at_once": 1}


def test_a_folder_is_as_large_as_its_files(finished_run: app.Run) -> None:
    folder = finished_run.export / "saved_model"
    (one,) = app.benchmark([str(folder)], threads=(1,), seconds=0.05)["rows"]
    assert one["size_mb"] == pytest.approx(
        sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    )
    assert one["client"] == "tensorflow"


def test_each_number_of_threads_is_a_row_once(loose: Path) -> None:
    figures = app.benchmark(
        [str(loose), str(loose.parent / ".." / "assets" / loose.name)], threads=(2, 1, 2), seconds=0.05
    )
    assert asked(figures) == [row(loose, 2), row(loose, 1)]


def test_files_that_a_run_has_lost_are_left_out(tiny_copy: app.Run) -> None:
    (tiny_copy.export / "model_float32.tflite").unlink()
    assert asked(app.benchmark([str(tiny_copy.path)], threads=(1,), seconds=0.05)) == [row(tiny_copy.model, 1)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell it otherwise")
def test_memory_is_that_of_the_process_that_ran_the_file(loose: Path) -> None:
    own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    with Predictor(loose, threads=1) as model:
        model.latencies(0.01)
        peak = model.peak_memory
    assert 10e6 < peak < own * 0.8  # this process has loaded TensorFlow, that one has not


def test_a_keras_file_answers_alike_in_batches_of_any_size(tiny_run: app.Run) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    expected = keras.ops.softmax(load_model(tiny_run.model)(pixels.astype(np.float32)))
    with ModelProcess(tiny_run.model, threads=1) as model:
        for size in (9, 1, 4):
            found = np.concatenate([model.predict(pixels[at : at + size]) for at in range(0, 9, size)])
            np.testing.assert_allclose(found, expected, atol=1e-6)


# --- What is printed and written --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["model_float32.tflite", "other.tflite"], ids=["float32", "the first"])
def test_speed_is_relative(reference: str, loose: Path, cli: Cli) -> None:
    second = "model_float32.tflite" if reference == "model_float32.tflite" else "last.tflite"
    files = [loose.parent / name for name in ("other.tflite", second)]
    for file in files:
        shutil.copy(loose, file)
    output = loose.parent / "figures.json"
    ended = cli("benchmark", *files, *QUICK, 1, 2, "--output", output)
    assert (ended.code, ended.err) == (0, "")
    rows = json.loads(output.read_text())["rows"]
    cells = table_rows(ended.out, [file.name for file in files])
    assert [one[:2] for one in cells] == [[file.name, threads] for file in files for threads in "12"]
    medians = {(Path(one["file"]).name, one["threads"]): one["median_ms"] for one in rows}
    for name, threads, *_, speed, _, _ in cells:
        ratio = medians[reference, int(threads)] / medians[name, int(threads)]
        assert speed.endswith("x") and float(speed[:-1]) == pytest.approx(ratio, abs=0.051)
        assert name != reference or speed == "1.0x"
    assert f"relative to {reference}" in ended.out


@pytest.mark.usefixtures("wide")
def test_files_of_the_same_name_are_told_apart(loose: Path, cli: Cli) -> None:
    other = loose.parent.parent / loose.name
    shutil.copy(loose, other)
    ended = cli("benchmark", loose, other, *QUICK, 1)
    assert ended.code == 0
    assert len(table_rows(ended.out, [str(loose), str(other)])) == 2


def test_the_way_to_measure_on_a_phone_is_told(tiny_copy: app.Run, cli: Cli) -> None:
    out = cli("benchmark", tiny_copy.path, *QUICK, 1).out
    assert f'adb push "{tiny_copy.export / "model_float32.tflite"}" /data/local/tmp/model.tflite' in out
    assert "benchmark_model --graph=/data/local/tmp/model.tflite --num_threads=4" in out
    assert "this machine" in out
    assert "adb" not in cli("benchmark", tiny_copy.model, *QUICK, 1).out


def test_json_is_all_that_is_on_standard_output_and_nothing_is_written(tiny_copy: app.Run, cli: Cli) -> None:
    before = contents(tiny_copy.path)
    ended = cli("benchmark", tiny_copy.path, *QUICK, 1, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert asked(json.loads(ended.out)) == [
        row(tiny_copy.model, 1),
        row(tiny_copy.export / "model_float32.tflite", 1),
    ]
    assert contents(tiny_copy.path) == before


def test_json_can_be_printed_and_written(loose: Path, tmp_path: Path, cli: Cli) -> None:
    ended = cli("benchmark", loose, *QUICK, 1, "--json", "--output", tmp_path / "figures.json")
    assert ended.code == 0
    assert json.loads(ended.out) == json.loads((tmp_path / "figures.json").read_text())


def test_output_goes_elsewhere_than_into_the_run(tiny_copy: app.Run, tmp_path: Path, cli: Cli) -> None:
    before = contents(tiny_copy.path)
    assert cli("benchmark", tiny_copy.path, *QUICK, 1, "--output", tmp_path / "figures.json").code == 0
    assert contents(tiny_copy.path) == before
    assert len(json.loads((tmp_path / "figures.json").read_text())["rows"]) == 2


@pytest.mark.usefixtures("wide")
def test_a_file_alone_is_measured_without_writing(loose: Path, cli: Cli) -> None:
    before = contents(loose.parent)
    ended = cli("benchmark", loose, *QUICK, 1)
    assert (ended.code, ended.err) == (0, "")
    assert "timing" in ended.out and "100%" in ended.out
    assert "figures" not in ended.out.replace("All figures are of this machine", "")
    assert contents(loose.parent) == before


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing.tflite"], "there is no model"),
        (["cut.tflite"], "cut.tflite cannot be"),
        (["cut.keras"], "cut.keras cannot be"),
        (["empty"], "empty is not a model"),
        (["notes.txt"], "notes.txt is not a model"),
        (["begun"], "it is not finished"),
        (["model.tflite", "nothing.tflite"], "there is no model"),
        (["model.tflite", "--threads", "0"], "--threads must be above 0 and at most 256, not 0"),
        (["model.tflite", "--threads", "1", "257"], "--threads must be above 0 and at most 256, not 257"),
        (["model.tflite", "--threads", "two"], "--threads"),
        (["model.tflite", "--seconds", "0"], "--seconds must be above 0"),
        (["model.tflite", "--seconds", "nan"], "--seconds must be above 0"),
        (["model.tflite", "--output", "model.tflite"], "--output must be a .json file"),
        (["model.tflite", "--output", "no/such/figures.json"], "there is no folder"),
        (["model.tflite", "--output", "folder.json"], "it is a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_with_two(
    arguments: list[str], text: str, loose: Path, tiny_run: app.Run, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = loose.parent
    (folder / "cut.tflite").write_bytes(loose.read_bytes()[:2000])
    (folder / "cut.keras").write_bytes(tiny_run.model.read_bytes()[:2000])
    (folder / "notes.txt").write_text("text")
    for name in ("empty", "begun", "folder.json"):
        (folder / name).mkdir()
    shutil.copy(tiny_run.path / "config.json", folder / "begun")
    monkeypatch.chdir(folder)
    before = contents(folder)
    ended = cli("benchmark", *arguments, "--json")
    assert (ended.code, ended.out) == (2, "")
    assert text in ended.err
    assert "Traceback" not in ended.err
    assert contents(folder) == before


def test_no_thread_at_all_is_refused(loose: Path) -> None:
    with pytest.raises(UsageError, match="--threads needs at least one number"):
        app.benchmark([str(loose)], threads=())


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    command = (
        "import sys, app.verbs.benchmark; sys.exit(bool({'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", command], cwd=Path(app.__file__).parents[1], check=False).returncode == 0
    )
