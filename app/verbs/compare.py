"""Compare runs on the test images that they share."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.comparing.comparison import Comparison
from app.comparing.examples import differing_examples
from app.comparing.pairs import compare_pairs
from app.comparing.runs import open_runs
from app.comparing.tables import IMAGES, different_rows, equal_text, figure_rows, notes, pair_cells, pair_columns
from app.config import CompareConfig, make_config
from app.config.signatures import with_options
from app.interface.console import aside, console
from app.interface.errors import UsageError
from app.interface.events import print_path, print_table, print_text
from app.interface.output import output_path
from app.interface.stages import status
from data.files import write_text
from models.lazy import LazyModule

if TYPE_CHECKING:
    from app.comparing import report
else:
    report = LazyModule("app.comparing.report")  # imports Matplotlib

_MOST_BESIDE = 3  # runs in a printed table


@with_options(CompareConfig)
def compare(*runs: str | PathLike[str], **options: Any) -> Comparison:
    """Compare runs on the test images that they share: their figures, and whether their difference is more than chance.

    Up to three runs are compared with each other; of more, each is compared with the first. With one class per image,
    accuracies are compared by McNemar's exact test; mean average precisions and mean absolute errors by a paired bootstrap.
    The p-values of several pairs are corrected by Holm's method. Images that one of two runs was trained on do not count.

    Args:
        *runs: finished runs, or their folders, of the same task and classes.
        **options: the fields of `app.config.CompareConfig`.

    Returns:
        The comparison, which displays itself in a notebook.

    Raises:
        UsageError: a folder is not a finished run, the runs differ in task or classes, or they share no test images.
        DataError: the images of a run of an earlier version, which has to predict them again, cannot be read.

    Examples:
        >>> from shutil import copytree
        >>> other = copytree("runs/fruit", "runs/other")
        >>> found = compare("runs/fruit", other, verbose=0)
        >>> found.verdicts
        ['No difference between fruit and other: accuracy of ... for both on 3 images, and they predict the same (95 % ...).']
        >>> compare("runs/fruit", "runs/no_such_run")
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/no_such_run is not a run folder: it has no config.json
    """
    config = make_config(CompareConfig, runs=runs, **options)
    output = _page_path(config.output) if config.output else None
    with aside(config.json):  # standard output holds only the JSON
        opened = open_runs(config.runs)
        with status("comparing"):
            pairs = compare_pairs(opened)
            found = Comparison(
                tuple(opened), tuple(pairs), tuple(differing_examples(opened)), tuple(notes(opened, pairs))
            )
        if not (config.json or console.in_notebook):  # a notebook displays the result
            _print(found)
        if output:
            with status("writing the page"):
                write_text(output, report.render_page(found))
            print_path("page", output)
    if config.json:
        print(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    return found


def _page_path(text: str) -> Path:
    """Return the path of the page; only a page of an earlier comparison is replaced."""
    path = output_path(text)
    if path.is_file() and report.MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(f"{path} is there already and is no page of compare; choose another --output")
    return path


def _print(found: Comparison) -> None:
    names, comparer = [run.name for run in found.runs], found.runs[0].task.comparer
    rows, different = figure_rows(found.runs), different_rows(found.runs)
    for start in range(0, len(names), _MOST_BESIDE):
        beside = slice(start, start + _MOST_BESIDE)
        for title, some in (("on its own test images", rows), ("what differs", different)):
            if some:
                print_table("", (title, *names[beside]), [(name, *cells[beside]) for name, *cells in some])
    same = equal_text(found.runs)
    if same:
        print_text(f"The same in all: {same}.")
    print_table("", pair_columns(comparer), [pair_cells(comparer, pair) for pair in found.pairs], optional=(IMAGES,))
    for sentence in (*found.notes, *found.verdicts):
        print_text(sentence)
