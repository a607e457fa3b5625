"""What a run says of itself in each state, and that the advice works."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import app
from app.exporting.figures import beyond, percent
from app.interface.errors import UsageError
from tests.conftest import Ended

Cli = Callable[..., Ended]


def set_options(run: app.Run, **options: object) -> None:
    path = run.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | options))


def keep(run: app.Run, *names: str) -> None:
    """Remove all else from the folder."""
    for path in [*run.path.iterdir()]:
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def finished(run: app.Run) -> None:
    pass


def unfinished(run: app.Run) -> None:
    run.report.unlink()
    (run.path / "metrics.json").unlink()


def not_begun(run: app.Run) -> None:
    keep(run, "config.json")
    run.plots.mkdir()
    run.checkpoints.mkdir()


def folds(run: app.Run) -> None:
    keep(run, "config.json")
    set_options(run, folds=2)
    run.folds_file.write_text("{}")


def unfinished_folds(run: app.Run) -> None:
    folds(run)
    run.folds_file.unlink()


STATES = (finished, unfinished, not_begun, folds, unfinished_folds)


@pytest.mark.parametrize("state", STATES)
def test_advice_for_an_output_that_is_taken_works(
    state: Callable[[app.Run], None], tiny_copy: app.Run, fruit: Path, cli: Cli
) -> None:
    set_options(tiny_copy, formats=(), quantize="none")  # the quickest
    state(tiny_copy)
    ended = cli("train", fruit, "--output", tiny_copy.path)
    assert ended.code == 2
    start, _, advice = ended.err.strip().rpartition(": ")
    assert start.startswith(f"Error: {tiny_copy.path} already holds a run; choose another folder with --output, or ")
    if state is folds:
        assert Path(advice) == tiny_copy.folds_file
    else:
        assert cli(*shlex.split(advice.removeprefix("python -m app "))).code == 0
        assert tiny_copy.is_finished


@pytest.mark.parametrize(
    ("state", "name", "reason"),
    [
        (unfinished, "metrics", "it is not finished. Continue it with: python -m app train --resume {path}"),
        (not_begun, "environment", "it is not finished. Continue it with: python -m app train --resume {path}"),
        (unfinished, "folds", "it is not a run of folds; its figures are in metrics.json"),
        (finished, "folds", "it is not a run of folds; its figures are in metrics.json"),
        (folds, "metrics", "it holds a run for each fold; name one of them, such as {path}/fold-1"),
        (folds, "splits", "it holds a run for each fold; name one of them, such as {path}/fold-1"),
        (folds, "class_names", "it holds a run for each fold; name one of them, such as {path}/fold-1"),
        (unfinished_folds, "parity", "it holds a run for each fold; name one of them, such as {path}/fold-1"),
        (unfinished_folds, "folds", "it is not finished. Continue it with: python -m app train --resume {path}"),
    ],
)
def test_what_a_run_does_not_have_is_explained(
    state: Callable[[app.Run], None], name: str, reason: str, tiny_copy: app.Run
) -> None:
    state(tiny_copy)
    with pytest.raises(UsageError) as error:
        getattr(tiny_copy, name)
    text = str(error.value)
    assert text.startswith(f"the run {tiny_copy.path} has no ")
    assert text.endswith(f": {reason.format(path=tiny_copy.path)}")


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_what_was_deleted_from_a_finished_run_is_not_called_unfinished(verb: str, tiny_copy: app.Run, cli: Cli) -> None:
    tiny_copy.model.unlink()
    ended = cli(verb, tiny_copy.path)
    assert ended.code == 2
    assert "has no model.keras: it is finished, so the file was deleted later; put it back, or train again" in ended.err


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no config\.json: it is not a run folder"):
        _ = app.Run(tmp_path).options
    with pytest.raises(UsageError, match=r"has no metrics\.json: it is not a run folder"):
        _ = app.Run(tmp_path).metrics


# --- Figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "limit", "options", "text"),
    [
        (0.7, 0.5, {}, "0.7"),
        (0.52, 0.5, {}, "0.52"),  # 0.5 would not be more than 0.5
        (0.02, 0.0, {}, "0.02"),
        (0.4996, 0.5, {"digits": 3}, "0.4996"),
        (66.66667, 60, {}, "66.7"),
        (0.00104, 0.001, {"digits": 2, "kind": "g"}, "0.00104"),
        (0.5, 0.001, {"digits": 2, "kind": "g"}, "0.5"),
    ],
)
def test_rounding_does_not_contradict_a_verdict(value: float, limit: float, options: dict, text: str) -> None:
    assert beyond(value, limit, **options) == text


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100.0%"), (0.9998, "99.98%"), (0.985, "98.5%"), (0.0001, "0.01%"), (0.0, "0.0%")]
)
def test_only_all_is_all(share: float, text: str) -> None:
    assert percent(share) == text
