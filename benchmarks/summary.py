"""From the results of methods to a table and a figure, by arithmetic alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from scipy.stats import binomtest

from app.evaluation.plots import BLUE, GREY, ORANGE, RED
from benchmarks.job import Epoch

GUIDE, REPAIRED = "keras_guide", "keras_guide_repaired"  # what the others are compared with
COLOURS = (
    *(GREY, "#000000", ORANGE, BLUE, "#16a34a", RED, "#9333ea"),
    *("#0891b2", "#854d0e", "#db2777", "#65a30d", "#1e3a8a"),
)
COLUMNS = (
    "method",
    "test accuracy",
    "95 % interval",
    "seconds",
    "speed against (a)",
    "speed against (a′)",
    "seconds to target",
    "speed to target",
    "peak memory",
)
STAGES = ("start", "engine", "extraction", "head", "fine-tuning", "rest")
CALIBRATION = ("ece_before", "ece", "log_loss_before", "log_loss")
CALIBRATION_COLUMNS = ("method", "calibration error before", "after", "log loss before", "after")
STAGE_COLUMNS = ("method", *STAGES, "extraction, img/s", "engine alone, img/s")


@dataclass(frozen=True)
class Result:
    """What a method reached on one split of a data set.

    Attributes:
        seed: of the split.
        examples: how many are in each split.
        seconds: from the start of the process to the fitted model.
        test: accuracy on the test split.
        peak_memory: of the process, in bytes.
        epochs: in order.
        stages: the seconds of each of `STAGES`, and two rates; only Graft has them.
        calibration: each of `CALIBRATION`, on the test split; only Graft has them.
    """

    seed: int
    examples: dict[str, int]
    seconds: float
    test: float
    peak_memory: int
    epochs: tuple[Epoch, ...]
    stages: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Result:
        """A result file of the driver."""
        saved = json.loads(path.read_text(encoding="utf-8"))
        saved["examples"] = saved.pop("pictures")
        saved["epochs"] = tuple(Epoch(**epoch) for epoch in saved["epochs"])
        return cls(**{name: saved[name] for name in cls.__dataclass_fields__ if name in saved})

    @property
    def best_validation(self) -> float:
        """Validation accuracy of the best epoch."""
        return max(epoch.validation for epoch in self.epochs)

    def seconds_to(self, validation: float) -> float | None:
        """When an epoch first had this validation accuracy, or None if none had."""
        # Accuracies are whole numbers of images, rounded here and there: half an image is no difference.
        least = validation - 0.5 / self.examples["validation"]
        return next((epoch.seconds for epoch in self.epochs if epoch.validation >= least), None)


class Target(NamedTuple):
    """What there is to reach on a split: the best epoch of the better of (a) and (a′)."""

    validation: float
    seconds: float


class Row(NamedTuple):
    """A method on a data set, over all seeds. A figure is None where there is nothing to compare with, or nothing reached it.

    Attributes:
        method: its name in the table of methods.
        accuracy: on test, the mean of the seeds.
        interval: Wilson's, 95 %, over the test answers of all seeds.
        seconds: the mean.
        speeds: the seconds of (a), and those of (a′), for one of this method.
        target_seconds: to the target, the mean of the seeds that reached it.
        target_speed: the seconds to the target of the method that set it, for one of this method.
        reached: how many seeds reached the target.
        compared: how many seeds have a target.
        peak_memory: the highest, in bytes.
    """

    method: str
    accuracy: float
    interval: tuple[float, float]
    seconds: float
    speeds: tuple[float | None, float | None]
    target_seconds: float | None
    target_speed: float | None
    reached: int
    compared: int
    peak_memory: int


Results = Mapping[str, Sequence[Result]]  # by method, one a seed


def targets(results: Results) -> dict[int, Target]:
    """The target of each seed that both (a) and (a′) have run with."""
    guide, repaired = (_by_seed(results.get(name, ())) for name in (GUIDE, REPAIRED))
    found = {}
    for seed in guide.keys() & repaired.keys():
        reached = [(one.best_validation, one.seconds_to(one.best_validation)) for one in (guide[seed], repaired[seed])]
        accuracy, seconds = max(reached, key=lambda pair: (pair[0], -(pair[1] or 0)))
        assert seconds is not None  # the best epoch reaches itself
        found[seed] = Target(accuracy, seconds)
    return found


def _by_seed(results: Sequence[Result]) -> dict[int, Result]:
    return {one.seed: one for one in results}


def summarise(results: Results) -> list[Row]:
    """A row for each method that has results, in their order."""
    guide, repaired = (_seconds(results.get(name, ())) for name in (GUIDE, REPAIRED))
    to_reach = targets(results)
    return [_row(method, found, (guide, repaired), to_reach) for method, found in results.items() if found]


def _seconds(results: Sequence[Result]) -> dict[int, float]:
    return {one.seed: one.seconds for one in results}


def _row(
    method: str,
    results: Sequence[Result],
    references: tuple[dict[int, float], dict[int, float]],
    to_reach: dict[int, Target],
) -> Row:
    predictions = sum(one.examples["test"] for one in results)
    correct = sum(round(one.test * one.examples["test"]) for one in results)
    interval = binomtest(correct, predictions).proportion_ci(0.95, method="wilson")
    compared = [one for one in results if one.seed in to_reach]
    times = {one.seed: one.seconds_to(to_reach[one.seed].validation) for one in compared}
    reached = {seed: seconds for seed, seconds in times.items() if seconds is not None}
    return Row(
        method=method,
        accuracy=_mean([one.test for one in results]),
        interval=(float(interval.low), float(interval.high)),
        seconds=_mean([one.seconds for one in results]),
        speeds=(_speed(_seconds(results), references[0]), _speed(_seconds(results), references[1])),
        target_seconds=_mean(list(reached.values())) if reached else None,
        target_speed=_speed(reached, {seed: target.seconds for seed, target in to_reach.items()}),
        reached=len(reached),
        compared=len(compared),
        peak_memory=max(one.peak_memory for one in results),
    )


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _speed(ours: dict[int, float], theirs: dict[int, float]) -> float | None:
    """Their seconds for one of ours, over the seeds that both have."""
    common = ours.keys() & theirs.keys()
    return sum(theirs[seed] for seed in common) / sum(ours[seed] for seed in common) if common else None


def cells(row: Row, label: str) -> tuple[str, ...]:
    """A row as texts, one for each of `COLUMNS`."""
    missed = f" ({row.reached} of {row.compared} seeds)" if row.reached < row.compared else ""
    return (
        label,
        f"{row.accuracy:.3f}",
        "{:.3f} – {:.3f}".format(*row.interval),
        f"{row.seconds:,.0f}",
        *map(_times, row.speeds),
        ("-" if row.target_seconds is None else f"{row.target_seconds:,.0f}") + missed,
        _times(row.target_speed),
        f"{row.peak_memory / 1e9:.2f} GB",
    )


def stage_cells(results: Sequence[Result], label: str) -> tuple[str, ...]:
    """Where a method's seconds went, means of its seeds, as texts, one for each of `STAGE_COLUMNS`."""
    means = {name: _mean([one.stages[name] for one in results]) for name in results[0].stages}
    rates = (f"{means[name]:,.0f}" if name in means else "-" for name in ("rate", "bare_forward_rate"))
    return (label, *(f"{means[stage]:.1f}" for stage in STAGES), *rates)


def calibration_cells(results: Sequence[Result], label: str) -> tuple[str, ...]:
    """What calibration did on test, means of a method's seeds, as texts, one for each of `CALIBRATION_COLUMNS`."""
    return (label, *(f"{_mean([one.calibration[name] for one in results]):.3f}" for name in CALIBRATION))


def _times(speed: float | None) -> str:
    return "-" if speed is None else f"{speed:.2f}×" if speed < 10 else f"{speed:.0f}×"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Names of columns over rows of texts; numbers stand to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figure(title: str, results: Results, labels: Mapping[str, str]) -> Figure:
    """Validation accuracy against time, a colour for each method: seeds as thin lines, their mean as a thick one.

    Args:
        title: of the figure.
        results: of one data set.
        labels: of every method that may be in it, in an order that fixes their colours.
    """
    figure = Figure(figsize=(9, 5))
    axes = figure.subplots()
    for (method, label), colour in zip(labels.items(), COLOURS, strict=False):
        found = [one for one in results.get(method, ()) if one.epochs]
        for one in found:
            axes.plot(*_curve(one), "-", color=colour, lw=0.7, alpha=0.4)
        if found:
            axes.plot(*_mean_curve(found), "o-", ms=3, lw=2, color=colour, label=label)
    to_reach = targets(results)
    if to_reach:
        height = _mean([target.validation for target in to_reach.values()])
        axes.axhline(height, color=GREY, ls="--", lw=1, label="the better of (a) and (a′)")
    axes.set(xscale="log", xlabel="seconds since the process started", ylabel="validation accuracy")
    axes.set_title(title.replace("$", r"\$"))  # between two of them, Matplotlib would read a formula
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _curve(result: Result) -> tuple[list[float], list[float]]:
    return [epoch.seconds for epoch in result.epochs], [epoch.validation for epoch in result.epochs]


def _mean_curve(results: Sequence[Result]) -> tuple[np.ndarray, np.ndarray]:
    """The mean whenever a seed ended an epoch, once all have one; a seed that is done keeps its last accuracy."""
    curves = [_curve(one) for one in results]
    begin = max(seconds[0] for seconds, _ in curves)
    moments = np.unique([moment for seconds, _ in curves for moment in seconds if moment >= begin])
    return moments, np.mean([np.interp(moments, *curve) for curve in curves], axis=0)
