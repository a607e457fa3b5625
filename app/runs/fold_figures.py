"""Summary of the tests of all folds, as figures, rows and a sentence."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.tasks import Task

_NORMAL = 1.959964  # standard errors on each side of a mean, for 95 %


def summarise(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarise the tests of all folds.

    Args:
        tests: for each fold, the metrics of the test split in `metrics.json`.

    Returns:
        `folds`, the numbers of each, and their intervals; `test`, by metric, their `mean` and `std`, the sample standard
        deviation over the folds; and `pooled`, over the images of all folds: `n`, and `accuracy` with its Wilson score
        interval `accuracy_ci95`, or for numbers `mae` with its normal interval `mae_ci95`.

    Examples:
        >>> tests = [{"n": 10, "accuracy": 0.8}, {"n": 10, "accuracy": 1.0}]
        >>> summary = summarise(tests)
        >>> summary["pooled"]["accuracy"]
        0.9
        >>> round(summary["test"]["accuracy"]["mean"], 3)
        0.9
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
    """Pool the errors of all images: their variance is that within the folds, from the intervals, plus that between them."""
    counts = np.array([test["n"] for test in tests])
    means = np.array([test["mae"] for test in tests])
    # Errors of a single image have no variance, and no interval.
    halves = np.array([test["mae_ci95"][1] - test["mae"] if test["n"] > 1 else 0.0 for test in tests])
    mean = float(np.average(means, weights=counts))
    within = np.square(halves / _NORMAL) * counts * (counts - 1)
    squares = within.sum() + (counts * np.square(means - mean)).sum()
    half = _NORMAL * float(np.sqrt(squares / (counts.sum() - 1) / counts.sum()))
    return {"mae": mean, "mae_ci95": [max(0.0, mean - half), mean + half]}


def fold_table(summary: dict[str, Any], task: Task) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Return the main figures of each fold, their mean and standard deviation: titles and rows.

    Args:
        summary: from `summarise`.
        task: task of the run.

    Examples:
        >>> from app.tasks import TASKS
        >>> same = {"n": 10, "accuracy_ci95": [0.5, 1.0], "balanced_accuracy": 0.9, "macro_f1": 0.9, "log_loss": 0.1, "ece": 0.1}
        >>> tests = [{**same, "accuracy": share} for share in (0.8, 1.0)]
        >>> titles, rows = fold_table(summarise(tests), TASKS["single_label"])
        >>> titles[:3]
        ('fold', 'images', 'accuracy')
        >>> [row[:3] for row in rows]
        [(1, 10, '0.800'), (2, 10, '1.000'), ('mean', '', '0.900'), ('± std', '', '0.141')]
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
    return ("fold", "images", *task.columns), rows


def pooled_text(summary: dict[str, Any], task: Task) -> str:
    """Return a sentence about the result on all images together, each of them tested once.

    Args:
        summary: from `summarise`.
        task: task of the run.

    Examples:
        >>> from app.tasks import TASKS
        >>> pooled_text(summarise([{"n": 10, "accuracy": 0.8}, {"n": 10, "accuracy": 1.0}]), TASKS["single_label"])
        'Accuracy 0.900 (95 % interval 0.699 – 0.972) of all 20 images, each tested once.'
        >>> pooled_text(summarise([{"n": 1, "accuracy": 1.0}] * 2), TASKS["single_label"])
        'Accuracy 1.000 (95 % interval 0.342 – 1.000) of all 2 images, each tested once.'
    """
    name, title, digits = task.pooled
    pooled = summary["pooled"]
    low, high = pooled[f"{name}_ci95"]
    return (
        f"{title} {pooled[name]:{digits}} (95 % interval {low:{digits}} – {high:{digits}}) of all {pooled['n']:,} images, "
        "each tested once."
    )
