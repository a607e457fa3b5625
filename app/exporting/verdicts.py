"""The findings about exported files in words, from the figures in `parity.json` alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.exporting.figures import percent
from app.tasks import Task

_COARSE = 0.01  # standard deviations


def export_columns(task: Task) -> tuple[str, ...]:
    """Return the titles of `export_cells`.

    Examples:
        >>> from app.tasks import TASKS
        >>> export_columns(TASKS["single_label"])[:3]
        ('exported file', 'size', 'accuracy')
        >>> export_columns(TASKS["regression"])[2]
        'R²'
    """
    titles = ("exported file", "size", task.score_title, "through MediaPipe", "same answer", "largest difference")
    return (*titles, "left out", "")


def export_cells(task: Task, figures: dict[str, Any]) -> tuple[str, ...]:
    """Return the findings about an exported file, as text.

    Args:
        task: task of the run.
        figures: figures of the file, from `parity.json`.

    Examples:
        >>> from app.tasks import TASKS
        >>> figures = {"file": "model.tflite", "bytes": 4e6, "passed": True}
        >>> export_cells(TASKS["single_label"], figures)
        ('model.tflite', '4.0 MB', '-', '-', '-', '-', '-', 'agrees')
        >>> export_cells(TASKS["single_label"], {**figures, "passed": False})[-1]
        'FAILED'
    """
    return (
        figures["file"],
        f"{figures['bytes'] / 1e6:.1f} MB",
        score_text(task, figures),
        score_text(task, figures.get("mediapipe", {})),
        _same_text(task, figures),
        f"{figures[task.difference]:.1e}" if task.difference in figures else "-",
        ", ".join(str(one["pictures"]) for one in figures.get("left_out", [])) or "-",
        _verdict(figures),
    )


def _same_text(task: Task, figures: dict[str, Any]) -> str:
    """Return the share of images with the same prediction; also the strict and top-5 shares, where they are smaller."""
    if task.same_answer not in figures:
        return "-"
    same = figures[task.same_answer]
    others = {"strictly": figures.get(task.strictly_same or "", same), "top 5": figures.get("top5_agreement", same)}
    less = ", ".join(f"{name} {percent(share)}" for name, share in others.items() if share < same)
    return percent(same) + (f" ({less})" if less else "")


def _verdict(figures: dict[str, Any]) -> str:
    if not figures["passed"]:
        return "FAILED"
    return "too few images to tell" if figures.get("within_chance") else "agrees"


def score_text(task: Task, figures: dict[str, Any]) -> str:
    """Return the score with its difference from the Keras model's, in points, and whether a loss was accepted as chance.

    Examples:
        >>> from app.tasks import TASKS
        >>> score_text(TASKS["single_label"], {"accuracy": 0.9, "accuracy_drop": 0.01})
        '0.900 (-1.0)'
        >>> score_text(TASKS["single_label"], {})
        '-'
    """
    if task.score not in figures:
        return "-"
    points = -100 * figures[f"{task.score}_drop"]
    chance = ", within chance" if figures.get("within_chance") else ""
    return f"{figures[task.score]:.3f}" + (f" ({points:+.1f}{chance})" if abs(points) >= 0.05 or chance else "")


def verdicts(task: Task, parity: dict[str, Any]) -> str:
    """Return how files were verified, in a sentence for the report and the card.

    Examples:
        >>> from app.tasks import TASKS
        >>> from app.runs.folder import RunFolder
        >>> verdicts(TASKS["single_label"], RunFolder.open("runs/fruit").parity)
        'A file that computes in float must give the same predictions as the model; a quantised file may lose 0.5 points of
        accuracy (--max-drop), or more where so few images cannot tell a loss from chance. Through MediaPipe Tasks, a larger
        loss fails a file only beyond chance: if its 95 % interval is above 0.'
        >>> "--max-drop" in verdicts(TASKS["regression"], RunFolder.open("runs/fruit").parity)
        True
    """
    score = f"{parity['max_drop']:g} points of {task.score_title}"
    client = " Through MediaPipe Tasks, a larger loss fails a file only beyond chance: if its 95 % interval is above 0."
    return (
        "A file that computes in float must give the same predictions as the model; a quantised file may lose "
        f"{score} (--max-drop), or more where so few images cannot tell a loss from chance."
        f"{client if task.same_answer else ''}"
    )


def remarks(task: Task, parity: dict[str, Any], *, of_clients: bool = False) -> list[str]:
    """Return the remarks below the table of exported files.

    Args:
        task: task of the run.
        parity: content of `parity.json`.
        of_clients: also explain a loss through MediaPipe that is within chance, which `verdicts` explains in the report.

    Examples:
        >>> from app.runs.folder import RunFolder
        >>> from app.tasks import TASKS
        >>> remarks(TASKS["single_label"], RunFolder.open("runs/fruit").parity)
        []
        >>> remarks(TASKS["single_label"], RunFolder.open("runs/fruit").parity, of_clients=True)
        []
    """
    chance = _within_chance(parity) if of_clients else ()
    return [*_too_few(task, parity), *chance, *_coarse(parity), *_left_out(parity)]


def refused(parity: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of the search for a quantised file before the kept one, which is the last.

    Examples:
        >>> steps = [{"format": "tflite_int8"}, {"format": "tflite_float16"}]
        >>> refused({"quantization": {"steps": steps}})
        [{'format': 'tflite_int8'}]
        >>> refused({"quantization": {"steps": steps[:1]}})
        []
    """
    steps: list[dict[str, Any]] = (parity["quantization"] or {"steps": []})["steps"]
    return steps[:-1]


def search_steps(parity: dict[str, Any]) -> Iterator[str]:
    """Yield what the search for a quantised file tried and kept, unless it kept the first.

    Examples:
        >>> kept = {"format": "tflite_int8", "what": "full integer", "failures": []}
        >>> list(search_steps({"quantization": {"steps": [kept]}}))
        []
        >>> tried = {**kept, "failures": ["loses 3.0 points"]}
        >>> quantization = {"steps": [tried, {**kept, "what": "float16"}], "kept": "tflite_float16"}
        >>> files = {"tflite_float16": {"file": "model_float16.tflite"}}
        >>> list(search_steps({"quantization": quantization, "formats": files}))
        ['Not kept: full integer, loses 3.0 points.', 'Kept: float16 (model_float16.tflite).']
    """
    for step in refused(parity):
        yield f"Not kept: {step['what']}, {'; '.join(step['failures'])}."
    if refused(parity):
        (*_, last) = parity["quantization"]["steps"]
        file = parity["formats"][parity["quantization"]["kept"]]["file"]
        reason = f", the last to try, though it {'; '.join(last['failures'])}" if last["failures"] else ""
        yield f"Kept: {last['what']} ({file}){reason}."


def _too_few(task: Task, parity: dict[str, Any]) -> Iterator[str]:
    """Yield remarks on quantised files that lose more than allowed, but on so few images that it may be chance."""
    for one in parity["formats"].values():
        if not one.get("within_chance"):
            continue
        low, high = (100 * end for end in one[f"{task.score}_drop_ci95"])
        text = (
            f"Not enough images to tell: {one['file']} loses {100 * one[f'{task.score}_drop']:.1f} points of "
            f"{task.score_title} on {parity['pictures']} test images (95 % interval {low:.1f} to {high:.1f})"
        )
        if "more" in one:
            text += f", {100 * one['more'][f'{task.score}_drop']:.1f} on {one['more']['pictures']} of training and validation"
        yield f"{text}; it is kept."


def _coarse(parity: dict[str, Any]) -> Iterator[str]:
    """Yield remarks on numbers whose spread is so small compared with their size that float32 has few steps for it."""
    step = max((one.get("resolution", 0.0) for one in parity["formats"].values()), default=0.0)
    if step >= _COARSE:
        yield (
            f"The numbers are large beside their spread: float32 goes from one to the next in {step:.2g} standard deviations. "
            "Subtract a constant from the labels to keep more digits."
        )


def _left_out(parity: dict[str, Any]) -> Iterator[str]:
    """Yield what checks left out: one line for all files with the same gaps."""
    files: dict[tuple[str, int, int, str], list[str]] = {}
    for one in parity["formats"].values():
        for left in one.get("left_out", []):
            files.setdefault((left["check"], left["pictures"], left["of"], left["reason"]), []).append(one["file"])
    for (check, count, total, reason), names in files.items():
        yield f"Left out of the check of {check}: {count} of {total} test images; {reason} ({', '.join(names)})."


def _within_chance(parity: dict[str, Any]) -> Iterator[str]:
    if any(one.get("mediapipe", {}).get("within_chance") for one in parity["formats"].values()):
        yield (
            f"Within chance: MediaPipe loses more than the {parity['max_drop']:g} points of --max-drop, but on so few test "
            "images that the loss may be none (its 95 % interval includes 0)."
        )
