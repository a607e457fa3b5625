"""Prints what was exported, how well it agrees with the model, and where it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from app.console import console, print_path, table
from app.exporting.delegates import DEVICE_COLUMNS, device_rows
from app.figures import percent
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
    if devices := device_rows(parity):
        table("where they run", DEVICE_COLUMNS, devices)
    for line in (*_within_chance(parity), *_search(parity)):
        console.print(line)
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
        percent(figures[task.same_answer]) if task.same_answer in figures else "-",
        f"{figures[task.difference]:.1e}" if task.difference in figures else "-",
        "agrees" if figures["passed"] else "FAILED",
    )


def score_text(task: Task, figures: dict[str, Any]) -> str:
    """The task's score with its difference to the Keras model's, in points, and whether it was let pass as chance."""
    if task.score not in figures:
        return "-"
    points = -100 * figures[f"{task.score}_drop"]
    chance = ", within chance" if figures.get("within_chance") else ""
    return f"{figures[task.score]:.3f}" + (f" ({points:+.1f}{chance})" if abs(points) >= 0.05 or chance else "")


def verdicts(task: Task, parity: dict[str, Any]) -> str:
    """How files were judged, in a sentence for the report and the card."""
    score = f"{parity['max_drop']:g} points of {task.score_title}"
    client = " Through MediaPipe Tasks, a larger loss fails a file only beyond chance: if its 95 % interval is above 0."
    return (
        "A file that computes in float must give the same answers as the model; a quantised file may lose "
        f"{score} (--max-drop).{client if task.same_answer else ''}"
    )


def refused(parity: dict[str, Any]) -> list[dict[str, Any]]:
    """What the search for a quantised file tried before that which it kept, the last."""
    return (parity["quantization"] or {"steps": []})["steps"][:-1]


def _search(parity: dict[str, Any]) -> Iterator[str]:
    """What the search for a quantised file has tried and kept, unless it kept the first."""
    for step in refused(parity):
        yield f"Not kept: {step['what']}, {'; '.join(step['failures'])}."
    if refused(parity):
        (*_, last) = parity["quantization"]["steps"]
        file = parity["formats"][parity["quantization"]["kept"]]["file"]
        reason = f", the last to try, though it {'; '.join(last['failures'])}" if last["failures"] else ""
        yield f"Kept: {last['what']} ({file}){reason}."


def _within_chance(parity: dict[str, Any]) -> Iterator[str]:
    if any(one.get("mediapipe", {}).get("within_chance") for one in parity["formats"].values()):
        yield (
            f"Within chance: MediaPipe loses more than the {parity['max_drop']:g} points of --max-drop, but on so few test "
            "images that the loss may be none (its 95 % interval includes 0)."
        )
