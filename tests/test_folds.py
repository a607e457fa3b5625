"""Cross-validation and shots: a run for each fold, each image tested once, taken up again where it was stopped."""

from __future__ import annotations

import csv
import json
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import app
from app import Run
from app.config import TrainConfig
from app.interface.errors import GateError, Interrupted, UsageError
from app.job.splits import choose_splits
from app.runs.fold_figures import summarise
from data.errors import DataError
from data.files import write_json
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from tests.conftest import TINY, Ended, contents
from tests.labelled import example_set, random_set

OPTIONS = {
    **{**TINY, "strategy": "feature_extraction", "folds": 2, "shots": 2, "formats": ("tflite_float32",)},
    "keep_checkpoints": True,  # so that removing a report makes an interrupted run of a finished one
}


@pytest.fixture(scope="module")
def folded(fruit: Path, tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two folds. Tests read it; those that write take `copy`."""
    return app.train(str(fruit), output=str(tmp_path_factory.mktemp("runs") / "folded"), **OPTIONS)


@pytest.fixture
def copy(folded: Run, tmp_path: Path) -> Run:
    """The same, without its sum, as if the end had not come."""
    run = Run(Path(shutil.copytree(folded.path, tmp_path / "copy")))
    run.folds_file.unlink()
    return run


def folds_of(run: Run) -> list[Run]:
    return [Run(run.path / "fold-1"), Run(run.path / "fold-2")]


# --- A run of folds -----------------------------------------------------------------------------------------------------


def test_each_image_is_tested_once_and_shots_are_kept(folded: Run, fruit: Path) -> None:
    rows = [list(csv.DictReader(run.splits.splitlines())) for run in folds_of(folded)]
    tested = [row["path"] for fold in rows for row in fold if row["split"] == "test"]
    assert sorted(tested) == sorted(path.relative_to(fruit).as_posix() for path in fruit.rglob("*.png"))
    for fold in rows:
        counts = Counter((row["label"], row["split"]) for row in fold)
        for name in ("apple", "banana", "cherry"):
            assert [counts[name, split] for split in ("train", "validation", "test")] == [2, 1, 4]


def test_each_fold_is_a_run_and_the_whole_sums_them_up(folded: Run) -> None:
    assert {path.name for path in folded.path.iterdir()} == {"config.json", "folds.json", "fold-1", "fold-2"}
    tests = [run.metrics["test"] for run in folds_of(folded)]
    assert all(run.is_finished and run.parity["passed"] for run in folds_of(folded))
    for name in ("accuracy", "macro_f1", "log_loss"):
        values = [test[name] for test in tests]
        expected = {"mean": statistics.mean(values), "std": statistics.stdev(values)}
        assert folded.folds["test"][name] == pytest.approx(expected)
        assert [fold[name] for fold in folded.folds["folds"]] == values
    pooled = folded.folds["pooled"]
    assert pooled["n"] == 24
    assert pooled["accuracy"] == pytest.approx(statistics.mean(test["accuracy"] for test in tests))
    low, high = pooled["accuracy_ci95"]
    assert tests[0]["accuracy_ci95"][0] - 1 < low < pooled["accuracy"] + 1e-9 and high <= 1
    assert high - low < tests[0]["accuracy_ci95"][1] - tests[0]["accuracy_ci95"][0]  # of more images


def test_the_whole_shows_its_folds_in_a_notebook(folded: Run) -> None:
    html = folded._repr_html_()
    assert repr(folded) == f"Run({str(folded.path)!r}, finished)"
    pooled = folded.folds["pooled"]
    for text in ("mean", "± std", f"Accuracy {pooled['accuracy']:.3f}", "of all 24 images"):
        assert text in html


def test_a_whole_that_is_not_finished_shows_how_far_it_is(copy: Run) -> None:
    (copy.path / "fold-2" / "report.html").unlink()
    assert "1 of 2 folds are finished. Continue with train(resume=" in copy._repr_html_()
    assert repr(copy).endswith(", unfinished)")


def test_a_finished_whole_is_not_continued(folded: Run) -> None:
    with pytest.raises(UsageError, match="is finished"):
        app.train(resume=str(folded.path))


@pytest.mark.parametrize("verb", ["predict", "export", "evaluate"])
def test_verbs_that_need_a_model_ask_for_a_fold(verb: str, folded: Run, cli: Callable[..., Ended], fruit: Path) -> None:
    ended = cli(verb, folded.path, *([fruit] if verb == "predict" else []))
    assert ended.code == 2
    assert f"it holds a run for each fold; name one of them, such as {folded.path / 'fold-1'}" in ended.err


# --- Stopped and continued ----------------------------------------------------------------------------------------------


def stopped_at_its_end(run: Run) -> None:
    run.report.unlink()


def stopped_at_its_beginning(run: Run) -> None:
    for path in [*run.path.iterdir()]:
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("stop", [stopped_at_its_end, stopped_at_its_beginning])
def test_only_what_is_missing_is_trained_again(
    stop: Callable[[Run], None], copy: Run, folded: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = folds_of(copy)
    stop(second)
    before = contents(first.path)
    run = app.train(resume=str(copy.path))
    assert contents(first.path) == before
    assert run.folds == folded.folds
    assert second.splits == folds_of(folded)[1].splits
    out = capsys.readouterr().out
    assert "Fold 2 of 2:" in out and "Fold 1 of 2:" not in out
    accuracy = run.folds["test"]["accuracy"]
    assert re.search(rf"\n  mean +{accuracy['mean']:.3f} .*\n  ± std +{accuracy['std']:.3f} ", out)
    assert "of all 24 images, each tested once." in out


def test_other_images_than_those_of_earlier_folds_are_refused(copy: Run) -> None:
    first, _ = folds_of(copy)
    write_json(first.path / "environment.json", first.environment | {"data_sha256": "0" * 64})
    with pytest.raises(DataError, match=r"are no longer those that .*fold-1 was trained on; put back what was changed"):
        app.train(resume=str(copy.path))


def test_a_file_that_failed_its_proof_is_said_when_all_folds_are_done(copy: Run) -> None:
    first, _ = folds_of(copy)
    parity = first.parity
    parity["formats"]["tflite_float32"] |= {"passed": False, "failures": ["it answers at random"]}
    write_json(first.export / "parity.json", parity)
    with pytest.raises(GateError, match=r"fold-1/export/.*it answers at random"):
        app.train(resume=str(copy.path))
    assert copy.is_finished


def test_ctrl_c_says_how_to_continue_all_folds(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    stopped_at_its_end(folds_of(copy)[1])
    monkeypatch.setattr("app.job.fit.fit", stop)
    with pytest.raises(Interrupted) as ended:
        app.train(resume=str(copy.path))
    assert str(ended.value) == f"Interrupted. Continue with: python -m app train --resume {copy.path}"


def test_what_cannot_be_divided_leaves_nothing_behind(fruit: Path, tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class 'apple' has 8 images, but needs 9 .one for each fold"):
        app.train(str(fruit), output=str(tmp_path / "new" / "run"), **OPTIONS | {"folds": 9})
    assert not [*tmp_path.iterdir()]


# --- Options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--folds 1", "--folds must be from 2 to 100, not 1"),
        ("--fold 1", "--fold must be from 1 to --folds, which is not given, not 1"),
        ("--folds 3 --fold 4", "--fold must be from 1 to 3, not 4"),
        ("--shots 0", "--shots must be above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(words: str, text: str, cli: Callable[..., Ended], fruit: Path) -> None:
    ended = cli("train", fruit, *words.split())
    assert ended.code == 2 and text in ended.err


def test_one_fold_alone_is_the_same_as_among_all() -> None:
    examples = example_set(20, 20)
    chosen = [choose_splits(examples, TrainConfig(folds=4, fold=number))[1] for number in range(1, 5)]
    assert (sum((splits == "test").astype(int) for splits in chosen) == 1).all()


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_shots_leave_the_rest_of_train_out(task: str) -> None:
    examples = random_set(task, 200, 0)
    few, splits = choose_splits(examples, TrainConfig(shots=5))
    whole = choose_splits(examples, TrainConfig())[1]
    assert len(few) == len(splits) < 100 < np.sum(whole == "train")
    assert [np.sum(splits == one) for one in ("validation", "test")] == [
        np.sum(whole == one) for one in ("validation", "test")
    ]


def test_shots_of_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="--shots counts images of each class, and numbers have no classes"):
        choose_splits(random_set(REGRESSION, 60, 0), TrainConfig(shots=5))


# --- The sum ------------------------------------------------------------------------------------------------------------


def test_whatever_number_a_task_has_is_summed_up() -> None:
    tests = [{"n": 10, "map": 0.5, "map_ci95": [0.1, 0.9], "odd": 1.0}, {"n": 30, "map": 0.7, "classes": {"a": 1}}]
    summary = summarise(tests)
    assert summary["test"] == {"map": pytest.approx({"mean": 0.6, "std": 0.02**0.5})}
    assert summary["pooled"] == {"n": 40}
    assert json.loads(json.dumps(summary)) == summary


def test_the_interval_of_an_error_is_that_of_all_images() -> None:
    random = np.random.default_rng(0)
    errors = np.abs(random.normal(size=100)) + np.repeat([0.0, 0.1, 0.4], [20, 30, 50])
    tests = [
        {
            "n": len(part),
            "mae": float(part.mean()),
            "mae_ci95": [0.0, float(part.mean() + 1.959964 * part.std(ddof=1) / len(part) ** 0.5)],
        }
        for part in np.split(errors, [20, 50])
    ]
    half = 1.959964 * errors.std(ddof=1) / 10
    pooled = summarise(tests)["pooled"]
    assert pooled["mae"] == pytest.approx(errors.mean())
    assert pooled["mae_ci95"] == pytest.approx([errors.mean() - half, errors.mean() + half])
