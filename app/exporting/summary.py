"""Prints what was exported, how well it agrees with the model, and where it is."""

from __future__ import annotations

from app.console import console, table
from app.runs import Run


def say_exports(run: Run) -> None:
    """Print one row an exported file."""
    parity = run.parity
    rows = [
        (
            one["file"],
            f"{one['bytes'] / 1e6:.1f} MB",
            f"{one['top1_agreement']:.1%} of {parity['pictures']}",
            f"{one['max_probability_difference']:.1e}",
        )
        for one in parity["formats"].values()
    ]
    table("", ("exported file", "size", "same top class as Keras", "largest difference"), rows)
    for one in parity["formats"].values():
        console.print(f"{'exported':<10}{run.export / one['file']}", markup=False)
