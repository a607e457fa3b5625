"""Prints what was exported, how well it agrees with the model, and where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.console import console, print_path, table
from app.runs import Run
from data.pictures import SINGLE_LABEL

if TYPE_CHECKING:
    from app.tasks.task import Task


def say_exports(run: Run) -> None:
    """Print one row an exported file, what was found about quantised ones, and where the files are."""
    from app.tasks import TASKS  # slow to import, and `--help` reads this module

    parity = run.parity
    task = TASKS[run.config.task or SINGLE_LABEL]
    rows = [export_cells(task, one) for one in parity["formats"].values()]
    table("", export_columns(task), rows)
    for step in (parity["quantization"] or {"steps": []})["steps"]:
        if step["failures"]:
            console.print(f"Not kept: {step['file']}, {'; '.join(step['failures'])}.")
    for one in parity["formats"].values():
        print_path("exported", run.export / one["file"])


def export_columns(task: Task) -> tuple[str, ...]:
    """The titles of `export_cells`."""
    return ("exported file", "size", task.score_title, "through MediaPipe", "same answer", "largest difference", "")


def export_cells(task: Task, figures: dict[str, Any]) -> tuple[str, ...]:
    """What was found about an exported file, as text.

    Args:
        task: of the run.
        figures: of the file, from `parity.json`.
    """
    return (
        figures["file"],
        f"{figures['bytes'] / 1e6:.1f} MB",
        score_text(task, figures),
        score_text(task, figures.get("mediapipe", {})),
        f"{figures[task.same_answer]:.1%}" if task.same_answer in figures else "-",
        f"{figures[task.difference]:.1e}" if task.difference in figures else "-",
        "agrees" if figures["passed"] else "FAILED",
    )


def score_text(task: Task, figures: dict[str, Any]) -> str:
    """The task's score with its difference to the Keras model's, in points."""
    if task.score not in figures:
        return "-"
    points = -100 * figures[f"{task.score}_drop"]
    return f"{figures[task.score]:.3f}" + (f" ({points:+.1f})" if abs(points) >= 0.05 else "")
