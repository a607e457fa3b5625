"""Cross-validation: a run for each fold, so that every picture is tested once, by a model that has not seen it."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config import TrainConfig
from app.console import console, print_path, table
from app.errors import BAD_INPUT, GateError
from app.runs import Run, write_json
from data.errors import DataError
from data.pictures import MULTI_LABEL, REGRESSION, SINGLE_LABEL, PictureSet

if TYPE_CHECKING:
    from app.tasks.task import Task

_NORMAL = 1.959964  # standard errors on each side of a mean, for 95 %
# What is said of all pictures together: metric, title and format.
_POOLED = {
    SINGLE_LABEL: ("accuracy", "Accuracy", ".3f"),
    MULTI_LABEL: ("accuracy", "All classes right", ".3f"),
    REGRESSION: ("mae", "Mean absolute error", ".4g"),
}


def train_folds(
    whole: Run,
    pictures: PictureSet,
    sha256: str,
    *,
    begin: Callable[[TrainConfig, PictureSet, str], Run],
    go_on: Callable[[Run, PictureSet, str], Run],
) -> Run:
    """Train each fold as a run of its own, `fold-1` … in the folder of the whole, and sum up their tests.

    Folds that are finished are not trained again.

    Args:
        whole: the run that holds the folds.
        pictures: all of them.
        sha256: over all pictures.
        begin: trains a new run from its options.
        go_on: trains the rest of an interrupted run.

    Returns:
        `whole`, finished.

    Raises:
        DataError: a class has too few pictures for so many folds, or the pictures are others than those of earlier folds.
        GateError: all folds are trained, but an exported file of one does not answer like its model.
    """
    count = whole.config.folds
    assert count is not None
    runs = [Run(whole.path / f"fold-{number}") for number in range(1, count + 1)]
    _check_same(runs, pictures, sha256)
    try:
        for number, run in enumerate(runs, start=1):
            if not run.is_finished:
                console.print(f"Fold {number} of {count}:")
                _train_fold(replace(whole.config, fold=number), run, pictures, sha256, begin, go_on)
    except BAD_INPUT:
        if not any(run.path.exists() for run in runs):  # found bad before anything was trained
            whole.remove()
        raise
    write_json(whole.summary, summarise([run.metrics["test"] for run in runs]))
    _say_folds(whole, pictures.task)
    _check_parity(runs)
    return whole


def _train_fold(
    config: TrainConfig,
    run: Run,
    pictures: PictureSet,
    sha256: str,
    begin: Callable[[TrainConfig, PictureSet, str], Run],
    go_on: Callable[[Run, PictureSet, str], Run],
) -> None:
    try:
        if (run.path / "splits.csv").exists():
            with run.in_use():
                go_on(run, pictures, sha256)
        else:
            shutil.rmtree(run.path, ignore_errors=True)  # it was interrupted before it had begun
            begin(replace(config, output=str(run.path)), pictures, sha256)
    except GateError:
        console.print("An exported file failed its proof; the other folds are trained first.")


def _check_same(runs: Sequence[Run], pictures: PictureSet, sha256: str) -> None:
    """Other pictures would make other folds, and a picture could be tested twice or never."""
    for run in runs:
        if (run.path / "environment.json").exists() and run.environment["data_sha256"] != sha256:
            raise DataError(
                f"the pictures of {pictures.source} are no longer those that {run.path} was trained on; "
                "put back what was changed, or train new folds"
            )


def _check_parity(runs: Sequence[Run]) -> None:
    failures = []
    for run in runs:
        try:
            run.check_parity()
        except GateError as error:
            failures.append(str(error))
    if failures:
        raise GateError("\n".join(failures))


def summarise(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the tests of all folds.

    Args:
        tests: of each fold, what `metrics.json` holds of the test split.

    Returns:
        `folds`, the numbers of each, and their intervals; `test`, by metric, their `mean` and `std`, the sample standard
        deviation over the folds; and `pooled`, over the pictures of all folds: `n`, and `accuracy` with its Wilson score
        interval `accuracy_ci95`, or for numbers `mae` with its normal interval `mae_ci95`.
    """
    numbers = [name for name, value in tests[0].items() if isinstance(value, int | float) and name != "n"]
    names = [name for name in numbers if all(name in test for test in tests)]
    values = {name: [test[name] for test in tests] for name in names}
    kept = ("n", *names, *(f"{name}_ci95" for name in names))
    return {
        "folds": [{name: test[name] for name in kept if name in test} for test in tests],
        "test": {name: {"mean": statistics.fmean(of), "std": statistics.stdev(of)} for name, of in values.items()},
        "pooled": {
            "n": sum(test["n"] for test in tests),
            **(_pool_accuracy(tests) if "accuracy" in names else _pool_error(tests) if "mae" in names else {}),
        },
    }


def _pool_accuracy(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from scipy.stats import binomtest

    count = sum(test["n"] for test in tests)
    correct = sum(round(test["accuracy"] * test["n"]) for test in tests)
    interval = binomtest(correct, count).proportion_ci(0.95, method="wilson")
    return {"accuracy": correct / count, "accuracy_ci95": [float(interval.low), float(interval.high)]}


def _pool_error(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of all pictures' errors; their variance is that within the folds, which intervals tell, and between them."""
    counts = np.array([test["n"] for test in tests])
    means = np.array([test["mae"] for test in tests])
    # Errors of one picture have no variance, and no interval.
    halves = np.array([test["mae_ci95"][1] - test["mae"] if test["n"] > 1 else 0.0 for test in tests])
    mean = float(np.average(means, weights=counts))
    within = np.square(halves / _NORMAL) * counts * (counts - 1)
    squares = within.sum() + (counts * np.square(means - mean)).sum()
    half = _NORMAL * float(np.sqrt(squares / (counts.sum() - 1) / counts.sum()))
    return {"mae": mean, "mae_ci95": [max(0.0, mean - half), mean + half]}


def fold_table(summary: dict[str, Any], task: Task) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """The main figures of each fold, their mean and standard deviation: titles and rows.

    Args:
        summary: what `summarise` gives.
        task: of the run.
    """

    def cells(values: dict[str, Any]) -> list[str]:
        texts = []
        for text in task.columns.values():
            try:
                texts.append(text(values))
            except KeyError:  # intervals have no mean
                texts.append("")
        return texts

    rows: list[Sequence[Any]] = [
        (number, fold["n"], *cells(fold)) for number, fold in enumerate(summary["folds"], start=1)
    ]
    for name, statistic in (("mean", "mean"), ("± std", "std")):
        rows.append((name, "", *cells({key: one[statistic] for key, one in summary["test"].items()})))
    return ("fold", "pictures", *task.columns), rows


def pooled_text(summary: dict[str, Any], task_name: str) -> str:
    """What all images together say, each of them tested once: a sentence.

    Args:
        summary: what `summarise` gives.
        task_name: of the run.
    """
    name, title, digits = _POOLED[task_name]
    pooled = summary["pooled"]
    low, high = pooled[f"{name}_ci95"]
    return (
        f"{title} {pooled[name]:{digits}} (95 % interval {low:{digits}} – {high:{digits}}) of all {pooled['n']:,} pictures, "
        "each tested once."
    )


def _say_folds(whole: Run, task_name: str) -> None:
    """Print what the folds have come to."""
    from app.tasks import TASKS  # its metrics are slow to import

    table("", *fold_table(whole.folds, TASKS[task_name]))
    console.print(pooled_text(whole.folds, task_name))
    print_path("figures", whole.summary)
