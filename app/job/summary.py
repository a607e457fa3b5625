"""Printed summary of a run, from the files in its folder: figures, exported files, paths, and what to try next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config import load_config
from app.exporting.summary import print_exports
from app.interface.errors import UsageError
from app.interface.events import print_path, print_table, print_text, whole
from app.runs.fold_figures import fold_table, pooled_text
from app.runs.folder import RunFolder
from app.runs.progress import progress_text
from app.tasks import TASKS
from data.image.preparing import PLAIN
from models.lazy import LazyModule

if TYPE_CHECKING:
    from app.evaluation import fonts
else:
    fonts = LazyModule("app.evaluation.fonts")  # imports Matplotlib

_SPLITS = ("validation", "test")


def print_summary(run: RunFolder) -> None:
    """Print what the training of a run printed at its end; of an unfinished run, what is missing and how to continue.

    A run whose model was trained elsewhere prints its exported files.

    Raises:
        UsageError: the folder is not a run, or a file of a finished run is missing or damaged.

    Examples:
        >>> from app.interface.events import SaidPath, listening
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     print_summary(RunFolder.open("runs/fruit"))
        >>> [event.what for event in heard if isinstance(event, SaidPath)]
        ['exported', 'model', 'plots', 'report']
        >>> with listening(lambda event: print(event.text), alone=True):
        ...     print_summary(RunFolder.create({"source": "images"}, output="runs/new"))
        The run runs/new is not finished. It has no model.keras, metrics.json, export/parity.json or report.html yet.
        No epoch is finished yet. Continue with train(resume='runs/new').
    """
    is_of_folds = run.is_of_folds
    if run.state == "exported":
        print_exports(run)
        return
    if not run.is_finished:
        _print_unfinished(run, (run.folds_file,) if is_of_folds else _files(run))
        return
    try:
        (print_folds if is_of_folds else print_results)(run)
    except (LookupError, TypeError, AttributeError) as error:
        what = f"some files of the run {run.path} are damaged, or of another version of Graft"
        raise UsageError(f"{what} ({error})") from error


def print_results(run: RunFolder) -> None:
    """Print the results of a finished run, where everything is, and what to try next.

    Examples:
        >>> from app.interface.events import SaidTable, listening
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     print_results(RunFolder.open("runs/fruit"))
        >>> [event.columns[0] for event in heard if isinstance(event, SaidTable)]
        ['split', 'exported file']
        >>> heard[-1].text
        'Finished in ... s.'
    """
    metrics = run.metrics
    columns = TASKS[run.task].columns
    figures = [(split, metrics[split]) for split in _SPLITS]
    rows = [(split, one["n"], *(text(one) for text in columns.values())) for split, one in figures]
    print_table("", ("split", "images", *columns), rows)
    fonts.print_undrawable(run.class_names)
    print_exports(run)
    for name, path in (("model", run.model), ("plots", run.plots), ("report", run.report)):
        print_path(name, path)
    if load_config(run.options).preparation != PLAIN:
        print_text(
            "note      apps must fill transparent parts and stretch values as this run did, before they ask a file."
        )
    if "extraction" in metrics:
        _print_extraction(metrics["extraction"])
    for number, advice in enumerate(metrics["advice"]):
        print_text(f"{'' if number else 'try next':<10}{advice}")
    print_text(f"Finished in {metrics['seconds']['total']:.0f} s.")


def print_folds(run: RunFolder) -> None:
    """Print the figures of the folds of a finished run, and of all images together.

    Examples:
        >>> from app.interface.events import listening
        >>> from app.runs.fold_figures import summarise
        >>> from data.files import write_json
        >>> run = RunFolder.create({"source": "images", "folds": 2}, output="runs/folds")
        >>> write_json(run.folds_file, summarise([RunFolder.open("runs/fruit").metrics["test"]] * 2))
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     print_folds(run)
        >>> [row[:2] for row in heard[0].rows]
        [('1', '3'), ('2', '3'), ('mean', ''), ('± std', '')]
        >>> heard[1].text
        'Accuracy ... of all 6 images, each tested once.'
    """
    task, summary = TASKS[run.task], run.folds
    print_table("", *fold_table(summary, task))
    print_text(pooled_text(summary, task))
    print_path("figures", run.folds_file)


def _files(run: RunFolder) -> tuple[Path, ...]:
    """Return the main files of a finished run, in the order in which they are written."""
    return run.model, run.path / "metrics.json", run.export / "parity.json", run.report


def _print_unfinished(run: RunFolder, files: tuple[Path, ...]) -> None:
    names = [file.relative_to(run.path).as_posix() for file in files if not file.exists()]
    *most, last = names
    missing = f"{', '.join(most)} or {last}" if most else last
    print_text(f"The run {whole(run.path)} is not finished. It has no {missing} yet.")
    print_text(progress_text(run))


def _print_extraction(extraction: dict[str, Any]) -> None:
    stages = ", ".join(f"{stage} {rate:,.0f}" for stage, rate in extraction["stage_rates"].items())
    print_text(
        f"extracted {extraction['views']:,} views of images at {extraction['rate']:,.0f} img/s by {extraction['engine']}, "
        f"which does {extraction['bare_forward_rate']:,.0f} alone; a thread's img/s: {stages}",
    )
