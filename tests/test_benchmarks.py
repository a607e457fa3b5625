"""The driver of `make bench`: its arithmetic, its table and figure, what it runs again, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as driver
from benchmarks.__main__ import METHODS, Method, main
from benchmarks.job import Epoch, Job
from benchmarks.summary import (
    CALIBRATION,
    CALIBRATION_COLUMNS,
    COLOURS,
    COLUMNS,
    STAGE_COLUMNS,
    STAGES,
    Result,
    Row,
    calibration_cells,
    cells,
    figure,
    markdown_table,
    stage_cells,
    summarise,
    targets,
)
from data.sources.folder import open_folder
from data.splits import split_examples, split_indices
from tests.images import write_folder

ROOT = Path(__file__).parents[1]
IMAGES = {"train": 70, "validation": 20, "test": 50}
STAND_IN = """
import json, pathlib, sys
job, result, *arguments = sys.argv[1:]
calls = pathlib.Path(__file__).with_name("calls.txt")
calls.open("a").write(" ".join(arguments) + "\\n")
if "fail" in arguments:
    print("first line")
    sys.exit("the last line")
if "silent" not in arguments:
    epochs = [{"phase": "head", "seconds": seconds, "validation": 0.5, "test": None} for seconds in (1.0, 2.0)]
    made = {"seconds": 3.0, "test": 0.5, "peak_memory": 10**9, "epochs": epochs}
    pathlib.Path(result).write_text(json.dumps(made))
"""


def result(seed: int, *epochs: tuple[float, float], seconds: float = 100.0, test: float = 0.5) -> Result:
    """A result whose epochs are (seconds, validation accuracy)."""
    return Result(seed, IMAGES, seconds, test, 2 * 10**9, tuple(Epoch("head", *epoch) for epoch in epochs))


# --- Arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "seconds"),
    [(0.4, 10.0), (0.5, 10.0), (0.55, 20.0), (0.8, 20.0), (0.8 + 0.024, 20.0), (0.85, None), (0.6, 20.0)],
)
def test_the_first_epoch_that_reaches_a_target_counts(target: float, seconds: float | None) -> None:
    assert result(0, (10, 0.5), (20, 0.8), (30, 0.7), (40, 0.8)).seconds_to(target) == seconds


def test_rounding_does_not_make_a_target_unreachable() -> None:
    single = float(np.float32(16 / 20))  # as Keras has it, a little above
    assert single > 0.8
    assert result(0, (10, round(16 / 20, 6))).seconds_to(single) == 10
    assert result(0, (10, 15 / 20)).seconds_to(single) is None  # one image less is less


def test_the_target_is_the_best_epoch_of_the_better_guide() -> None:
    found = targets(
        {
            "keras_guide": [result(0, (10, 0.6), (20, 0.5)), result(1, (10, 0.9), (20, 0.95)), result(2, (10, 0.9))],
            "keras_guide_repaired": [result(0, (15, 0.5), (25, 0.7), (30, 0.7)), result(1, (10, 0.5))],
        }
    )
    assert found == {0: (0.7, 25.0), 1: (0.95, 20.0)}  # seed 2 lacks one of them


def test_of_equally_good_guides_the_faster_one_sets_the_target() -> None:
    found = targets({"keras_guide": [result(0, (30, 0.7))], "keras_guide_repaired": [result(0, (20, 0.7))]})
    assert found == {0: (0.7, 20.0)}


def results() -> dict[str, list[Result]]:
    """Two seeds of the guides and of Graft, which reaches the target with the first of them."""
    return {
        "keras_guide": [result(0, (50, 0.5)), result(1, (50, 0.5))],
        "keras_guide_repaired": [
            result(0, (20, 0.6), (40, 0.8), seconds=200, test=0.8),
            result(1, (60, 0.8), seconds=400, test=0.6),
        ],
        "graft": [result(0, (10, 0.8), seconds=50, test=0.9), result(1, (10, 0.7), seconds=70, test=0.92)],
        "graft_features": [],
    }


def test_rows_hold_means_intervals_and_ratios() -> None:
    guide, repaired, graft = summarise(results())
    assert (guide.method, repaired.method, graft.method) == ("keras_guide", "keras_guide_repaired", "graft")
    assert repaired.accuracy == pytest.approx(0.7)
    assert repaired.interval == pytest.approx((0.604, 0.781), abs=1e-3)  # Wilson's of 70 in 100
    assert (repaired.seconds, repaired.speeds, repaired.target_seconds, repaired.target_speed) == (
        300,
        (1 / 3, 1),
        50,
        1,
    )
    assert (graft.seconds, graft.speeds, graft.target_seconds, graft.target_speed) == (60, (5 / 3, 5), 10, 4)
    assert (graft.reached, graft.compared, graft.peak_memory) == (1, 2, 2 * 10**9)
    assert (guide.target_seconds, guide.target_speed, guide.reached) == (None, None, 0)


def test_without_a_guide_there_is_nothing_to_compare_with() -> None:
    (row,) = summarise({"graft": [result(0, (10, 0.8))]})
    assert (row.speeds, row.target_seconds, row.target_speed, row.compared) == ((None, None), None, None, 0)
    assert cells(row, "Graft")[4:8] == ("-", "-", "-", "-")


def test_speeds_compare_the_same_seeds() -> None:
    some = results() | {"graft": results()["graft"][:1]}
    assert summarise(some)[-1].speeds[1] == 4  # 200 s against 50 s; the repaired guide's other seed took 400


def test_cells_can_be_read() -> None:
    row = Row("graft", 0.9123, (0.85, 0.9499), 1234.4, (None, 5.678), 12.3, 20.4, 1, 2, 1_234_000_000)
    expected = ("(c)", "0.912", "0.850 – 0.950", "1,234", "-", "5.68×", "12 (1 of 2 seeds)", "20×", "1.23 GB")
    assert cells(row, "(c)") == expected
    assert len(expected) == len(COLUMNS)
    assert cells(row._replace(reached=0, target_seconds=None), "(c)")[6] == "- (0 of 2 seeds)"
    assert cells(row._replace(reached=2), "(c)")[6] == "12"


def test_stages_are_means_and_a_rate_that_nobody_measured_is_a_dash() -> None:
    seconds = [dict.fromkeys(STAGES, 1.0), {**dict.fromkeys(STAGES, 1.0), "engine": 4.0}]
    found = [replace(result(seed), stages=stages) for seed, stages in enumerate(seconds)]
    assert stage_cells(found, "(c)") == ("(c)", "1.0", "2.5", "1.0", "1.0", "1.0", "1.0", "-", "-")
    rated = replace(found[0], stages={**seconds[0], "rate": 219.6, "bare_forward_rate": 1290.0})
    assert stage_cells([rated], "(c)")[-2:] == ("220", "1,290")
    assert len(stage_cells(found, "(c)")) == len(STAGE_COLUMNS)


def test_what_calibration_did_is_a_mean_of_the_seeds() -> None:
    figures = [
        dict(zip(CALIBRATION, values, strict=True)) for values in ((0.12, 0.02, 0.3, 0.2), (0.1, 0.03, 0.5, 0.2))
    ]
    found = [replace(result(seed), calibration=one) for seed, one in enumerate(figures)]
    assert calibration_cells(found, "(c)") == ("(c)", "0.110", "0.025", "0.400", "0.200")
    assert len(calibration_cells(found, "(c)")) == len(CALIBRATION_COLUMNS)


def test_markdown_has_a_line_for_each_row() -> None:
    lines = markdown_table(COLUMNS, [["a"] * len(COLUMNS), ["b"] * len(COLUMNS)]).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}


def test_each_method_has_a_colour_of_its_own() -> None:
    assert len(set(COLOURS)) == len(COLOURS) >= len(METHODS)


def test_the_figure_has_thin_seeds_and_a_thick_mean() -> None:
    found = results() | {"graft": [result(0, (10, 0.8)), result(1, (12, 0.6), (20, 0.7))]}
    axes = figure("a $data$ set", found, {name: method.label for name, method in METHODS.items()}).axes[0]
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    shown = [METHODS[name].label for name in ("keras_guide", "keras_guide_repaired", "graft")]
    assert labels == [*shown, "the better of (a) and (a′)"]
    mean = next(line for line in axes.lines if line.get_label() == METHODS["graft"].label)
    # From when both seeds have an epoch; the first keeps its 0.8.
    assert (mean.get_xdata().tolist(), mean.get_ydata().tolist()) == ([12, 20], pytest.approx([0.7, 0.75]))
    assert sum(line.get_linewidth() < 1 for line in axes.lines) == 6


# --- The driver -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images. Nobody changes it."""
    return write_folder(tmp_path_factory.mktemp("benchmarks") / "fruit")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two methods in place of the real ones, one of which fails; the file they write their calls to."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    monkeypatch.setattr(driver, "ROOT", tmp_path)
    monkeypatch.setattr(
        driver,
        "METHODS",
        {
            "keras_guide": Method("guide", "stand_in"),
            "keras_guide_repaired": Method("repaired", "stand_in", ("--repaired",)),
            "graft": Method("broken", "stand_in", ("fail",)),
        },
    )
    return tmp_path / "calls.txt"


def run(fruit: Path, output: Path, *options: str) -> int:
    return main([str(fruit), "--seeds", "0", "1", "--output", str(output), *options])


def test_every_method_runs_once_for_each_seed(
    fruit: Path, calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "deep" / "results"
    assert run(fruit, output) == 1
    assert calls.read_text().split("\n") == ["", "--repaired", "fail"] * 2 + [""]
    printed = capsys.readouterr().out
    assert "fruit, seed 0, guide: 3 s, test accuracy 0.500" in printed
    assert printed.count("failed with exit code 1") == 2
    assert "  first line\n  the last line\n" in printed
    kept = sorted(path.name for path in (output / "fruit").iterdir())
    assert kept == [
        f"{method}-seed{seed}.json" for method in ("keras_guide", "keras_guide_repaired") for seed in (0, 1)
    ]
    read = Result.read(output / "fruit" / "keras_guide-seed1.json")
    assert (read.seed, read.seconds, [asdict(epoch)["seconds"] for epoch in read.epochs]) == (1, 3.0, [1.0, 2.0])
    assert read.examples == {"train": 18, "validation": 3, "test": 3}


def test_the_report_is_written(fruit: Path, calls: Path, tmp_path: Path) -> None:
    assert run(fruit, tmp_path / "results", "--methods", "keras_guide_repaired", "keras_guide") == 0
    assert (tmp_path / "results" / "fruit.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "results" / "results.md").read_text(encoding="utf-8")
    assert "24 images of 3 classes (18 train, 3 validation, 3 test); seeds 0, 1." in written
    assert f"| {' | '.join(COLUMNS)} |" in written
    assert "| guide | 0.500 |" in written and "| repaired |" in written
    assert "tensorflow" in written and "CPUs" in written and "](fruit.png)" in written
    assert str(tmp_path) not in written


def test_what_is_there_is_not_run_again(
    fruit: Path, calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(fruit, tmp_path / "results")
    (tmp_path / "results" / "fruit" / "keras_guide-seed1.json").unlink()
    calls.unlink()
    capsys.readouterr()
    assert run(fruit, tmp_path / "results") == 1
    assert calls.read_text().split("\n") == ["fail", "", "fail", ""]  # what was missing, and what failed
    assert capsys.readouterr().out.count("is there already, not run again") == 3


def test_results_of_other_images_are_not_mixed_in(
    fruit: Path, calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(fruit, tmp_path / "results")
    other = write_folder(tmp_path / "other" / "fruit", examples=9)
    calls.unlink()
    assert run(other, tmp_path / "results") == 2
    assert "was measured on other images" in capsys.readouterr().err
    assert not calls.exists()


def test_a_method_without_a_result_has_failed(
    fruit: Path, calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver, "METHODS", {"graft": Method("silent", "stand_in", ("silent",))})
    assert run(fruit, tmp_path / "results") == 1
    assert "failed with exit code 0" in capsys.readouterr().out


def test_an_interruption_says_how_to_continue(
    fruit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_call", interrupt)
    assert run(fruit, tmp_path / "results") == 130
    assert "continues with what is missing" in capsys.readouterr().err


def test_a_job_has_the_splits_that_graft_makes(fruit: Path, tmp_path: Path) -> None:
    examples = open_folder(str(fruit))
    driver.make_job(examples, 5).write(tmp_path / "job.json")
    job = Job.read(str(tmp_path / "job.json"))
    splits = split_examples(examples, validation_fraction=0.15, test_fraction=0.15, seed=5)
    for split, indices in split_indices(splits).items():
        assert job.paths[split] == [str(fruit / examples.keys[i]) for i in indices]
        assert job.labels[split] == examples.labels.array[indices].tolist()
    assert (job.seed, job.class_names) == (5, list(examples.class_names))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name at least one folder of images"),
        (["no/such/folder"], "there is no folder"),
        (["{fruit}", "--methods", "keras_giude"], "Did you mean keras_guide?"),
        (["{fruit}", "--methods", "x"], "Take some of keras_guide, "),
        (["{fruit}", "--seeds", "-1"], "--seeds must be from 0"),
        (["{fruit}", "{twin}"], "two folders are named 'fruit'"),
        (["{fruit}", "--output", "{file}"], "cannot make the folder"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    arguments: Sequence[str], expected: str, fruit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    names = {"fruit": fruit, "twin": write_folder(tmp_path / "fruit", examples=3), "file": tmp_path / "file"}
    options = [argument.format(**names) for argument in arguments]
    assert main(options if "--output" in options else [*options, "--output", str(tmp_path / "results")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ") and expected in err
    assert err.count("\n") == 1


def test_the_same_folder_twice_is_one(fruit: Path, calls: Path, tmp_path: Path) -> None:
    run(fruit, tmp_path / "results", "--methods", "keras_guide")
    assert main([str(fruit), f"{fruit}/", "--seeds", "0", "0", "--output", str(tmp_path / "again")]) == 1
    assert calls.read_text().split("\n") == ["", "", "", "--repaired", "fail", ""]


def test_help_explains_every_option_without_a_framework() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "benchmarks", "--help"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0
    for word in ("DATA", "--seeds", "--methods", "--output", *METHODS):
        assert word in ended.stdout
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines()}
    assert "benchmarks" in names  # the list was understood
    assert not names & {"tensorflow", "keras", "torch", "timm"}


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_every_method_is_a_module_that_exists(method: Method) -> None:
    assert ROOT.joinpath(*method.module.split(".")).with_suffix(".py").is_file()


# --- The real thing ---------------------------------------------------------------------------------------------------


INSTALLED_BY_MAKE_BENCH = {"pytorch_timm": "timm", "graft_openvino": "openvino"}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_gives_a_result(method: str, fruit: Path, tmp_path: Path) -> None:
    module = INSTALLED_BY_MAKE_BENCH.get(method)
    if module and find_spec(module) is None:
        pytest.skip(f"{module} is installed by `make bench` only")
    assert main([str(fruit), "--seeds", "0", "--methods", method, "--output", str(tmp_path)]) == 0
    saved = json.loads((tmp_path / "fruit" / f"{method}-seed0.json").read_text())
    moments = [epoch["seconds"] for epoch in saved["epochs"]]
    assert moments == sorted(moments) and moments[0] > 0 and moments[-1] <= saved["seconds"]
    assert 0 <= saved["test"] <= 1
    assert saved["peak_memory"] > 10**8
    if method.startswith("graft"):
        assert set(saved["calibration"]) == set(CALIBRATION)
        stages = [saved["stages"][stage] for stage in STAGES]
        assert min(stages[:-1]) >= 0 and sum(stages) == pytest.approx(saved["seconds"])
