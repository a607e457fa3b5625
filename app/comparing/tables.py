"""The tables of a comparison: the figures of each run, what differs between the runs, and the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.comparing.pairs import Pair, number_text, p_text
from app.comparing.runs import TestedRun
from app.config import recorded
from app.tasks.pairing import Comparer
from data.sources import source_name

Rows = list[tuple[str, ...]]

_NOT_OPTIONS = ("cache_folder",)  # a place, which changes no figure
_PLACES = ("source", "validation", "test", "weights", "image_folder")
_EQUAL = ("backbone", "image_size", "strategy")  # named where all runs have the same
_MISSING = "-"
_REASONS = {  # why images do not count
    "trained_on": "{:,} that one of them was trained on",
    "relabelled": "{:,} with different labels",
    "unshared": "{:,} in the test split of one of them only",
    "repeated": "{:,} that repeat another file",
}
IMAGES = "images"  # title of a column that has less room than others


def figure_rows(runs: Sequence[TestedRun]) -> Rows:
    """Return the figures of the runs, each on its own test images: a row per figure, with a cell for each run.

    Examples:
        >>> from app.comparing.runs import open_runs
        >>> rows = figure_rows(open_runs(["runs/fruit"]))
        >>> rows[0], rows[-1][0]
        (('test images', '3'), 'seconds')
        >>> [title for title, *_ in rows if "MB" in title]
        ['tflite_float32, MB']
    """
    metrics = [run.run.metrics for run in runs]
    rows = [("test images", *(f"{one['test']['n']:,}" for one in metrics))]
    for title, text in runs[0].task.columns.items():
        rows.append((title, *(text(one["test"]) for one in metrics)))
    sizes = [_sizes(run) for run in runs]
    for name in dict.fromkeys(name for one in sizes for name in one):
        rows.append((f"{name}, MB", *(one.get(name, _MISSING) for one in sizes)))
    rows.append(("seconds", *(f"{one['seconds']['total']:.0f}" if "seconds" in one else _MISSING for one in metrics)))
    return rows


def _sizes(run: TestedRun) -> dict[str, str]:
    """Return the sizes of the exported files by format."""
    return {name: f"{one['bytes'] / 1e6:.1f}{'' if one['passed'] else ' FAILED'}" for name, one in run.exports.items()}


def different_rows(runs: Sequence[TestedRun]) -> Rows:
    """Return the options, images and packages that are not the same in all runs: a row each, with a cell for each run.

    Examples:
        >>> from dataclasses import replace
        >>> from app.comparing.runs import open_runs
        >>> (run,) = open_runs(["runs/fruit"])
        >>> other = replace(run, config=replace(run.config, seed=2, cache_folder="elsewhere"))
        >>> different_rows([run, other])
        [('seed', '0', '2')]
        >>> different_rows([run, run])
        []
    """
    facts = [_facts(run) for run in runs]
    names = dict.fromkeys(name for one in facts for name in one)
    rows = [(name, *(_text(one.get(name)) for one in facts)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _facts(run: TestedRun) -> dict[str, Any]:
    """Return all that a run depends on."""
    facts = {name: value for name, value in recorded(run.config).items() if name not in _NOT_OPTIONS}
    facts |= {name: source_name(facts[name]) for name in _PLACES if isinstance(facts.get(name), str)}
    environment = run.run.environment
    sha256 = environment.get("data_sha256")
    facts["SHA-256 of the images"] = sha256 and f"{sha256[:8]}…"
    return {**facts, "Python": environment.get("python"), **environment.get("packages", {})}


def _text(value: Any) -> str:
    if value is None or value == ():
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def equal_text(runs: Sequence[TestedRun]) -> str:
    """Return the main options that all runs have, in words; "" if there are none.

    Examples:
        >>> from app.comparing.runs import open_runs
        >>> equal_text(open_runs(["runs/fruit"]))
        'backbone tiny, image size 32, strategy two_phase'
        >>> equal_text([])
        ''
    """
    values = {name: {getattr(run.config, name) for run in runs} for name in _EQUAL}
    return ", ".join(f"{name.replace('_', ' ')} {one.pop()}" for name, one in values.items() if len(one) == 1)


def pair_columns(comparer: Comparer) -> tuple[str, ...]:
    """Return the titles of `pair_cells`.

    Examples:
        >>> from app.tasks import TASKS
        >>> pair_columns(TASKS["single_label"].comparer)
        ('runs', 'images', 'accuracy', 'difference, points (95 % interval)', 'only one right', 'p')
        >>> pair_columns(TASKS["regression"].comparer)
        ('runs', 'images', 'mean absolute error', 'difference (95 % interval)', 'p')
    """
    unit = f", {comparer.unit}" if comparer.unit else ""
    counts = ("only one right",) if comparer.counts else ()
    return ("runs", IMAGES, comparer.title, f"difference{unit} (95 % interval)", *counts, "p")


def pair_cells(comparer: Comparer, pair: Pair) -> tuple[str, ...]:
    """Return a pair as a row of a table.

    Examples:
        >>> from app.tasks import TASKS
        >>> from dataclasses import replace
        >>> from app.tasks.pairing import Paired
        >>> paired = Paired((0.90, 0.94), 0.04, (0.01, 0.07), 0.02, "McNemar exact", (3, 9))
        >>> pair = Pair("a", "b", 150, {}, 14, paired, 0.02, "")
        >>> pair_cells(TASKS["single_label"].comparer, pair)
        ('a, b', '150', '0.900, 0.940', '+4.0 (+1.0 to +7.0)', '3 : 9', '0.02')
        >>> pair_cells(TASKS["single_label"].comparer, replace(pair, p_corrected=0.04))[-1]
        '0.02, corrected 0.04'
    """
    paired = pair.paired
    first, second = (f"{score:{comparer.digits}}" for score in paired.scores)
    difference, low, high = (number_text(comparer, one, "+") for one in (paired.difference, *paired.ci95))
    counts = () if paired.only_right is None else (" : ".join(f"{count:,}" for count in paired.only_right),)
    p_value = p_text(paired, pair.p_corrected).removeprefix("p ").removeprefix("= ")
    return (
        f"{pair.first}, {pair.second}",
        f"{pair.n:,}",
        f"{first}, {second}",
        f"{difference} ({low} to {high})",
        *counts,
        p_value,
    )


def notes(runs: Sequence[TestedRun], pairs: Sequence[Pair]) -> list[str]:
    """Return what a reader must know of the comparison: images that do not count, and predictions made again.

    Examples:
        >>> from app.comparing.runs import open_runs
        >>> notes(open_runs(["runs/fruit"]), [])
        []
        >>> from app.tasks.pairing import Paired
        >>> paired = Paired((0.90, 0.94), 0.04, (0.01, 0.07), 0.02, "McNemar exact", (3, 9))
        >>> left_out = {"trained_on": 5, "relabelled": 0, "unshared": 12, "repeated": 0}
        >>> notes([], [Pair("a", "b", 150, left_out, 14, paired, 0.02, "")])
        ['a and b are compared on the 150 test images that they share; left out: 5 that one of them ...']
    """
    again = [run.name for run in runs if run.predicted_again]
    found = (
        [f"{', '.join(again)}: without stored predictions, so the test images were predicted again."] if again else []
    )
    return found + [text for pair in pairs if (text := _left_out(pair))]


def _left_out(pair: Pair) -> str:
    parts = [text.format(pair.left_out[reason]) for reason, text in _REASONS.items() if pair.left_out[reason]]
    if not parts:
        return ""
    shared = f"{pair.first} and {pair.second} are compared on the {pair.n:,} test images that they share"
    return f"{shared}; left out: {', '.join(parts)}."
