"""Prints what was exported, how well it agrees with the model, and where it is."""

from __future__ import annotations

from app.console import console, table
from app.runs import Run


def say_exports(run: Run) -> None:
    """Print one row an exported file, what was found about quantised ones, and where the files are."""
    parity = run.parity
    rows = [
        (
            one["file"],
            f"{one['bytes'] / 1e6:.1f} MB",
            _accuracy(one),
            _accuracy(one.get("mediapipe", {})),
            f"{one['top1_agreement']:.1%}" if "top1_agreement" in one else "-",
            f"{one['max_probability_difference']:.1e}" if "top1_agreement" in one else "-",
            "agrees" if one["passed"] else "FAILED",
        )
        for one in parity["formats"].values()
    ]
    columns = ("exported file", "size", "accuracy", "through MediaPipe", "same top class", "largest difference", "")
    table("", columns, rows)
    for step in (parity["quantization"] or {"steps": []})["steps"]:
        if step["failures"]:
            console.print(f"Not kept: {step['file']}, {'; '.join(step['failures'])}.", markup=False)
    for one in parity["formats"].values():
        console.print(f"{'exported':<10}{run.export / one['file']}", markup=False)


def _accuracy(figures: dict[str, float]) -> str:
    """Accuracy with its difference to the Keras model's, in points."""
    if "accuracy" not in figures:
        return "-"
    points = -100 * figures["accuracy_drop"]
    return f"{figures['accuracy']:.3f}" + (f" ({points:+.1f})" if points else "")
