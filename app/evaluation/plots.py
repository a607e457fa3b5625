"""Figures, made from saved numbers only, so that they can be made again without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from app.runs import written_whole

BLUE, ORANGE, RED, GREY = "#2563eb", "#ea580c", "#dc2626", "#6b7280"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight", format="png")


def curves(history: Sequence[dict[str, Any]]) -> Figure:
    """Accuracy and loss against epochs, in training and validation, with a line where a phase begins."""
    figure = Figure(figsize=(10, 4))
    epochs = np.arange(1, len(history) + 1)
    starts = [i + 1 for i in range(1, len(history)) if history[i]["phase"] != history[i - 1]["phase"]]
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(epochs, [one[name] for one in history], "o-", ms=3, color=BLUE, label="training (augmented)")
        axes.plot(epochs, [one[f"val_{name}"] for one in history], "o-", ms=3, color=ORANGE, label="validation")
        for start in starts:
            axes.axvline(
                start - 0.5, color=GREY, ls="--", lw=1, label=f"{history[start - 1]['phase'].replace('_', '-')} begins"
            )
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def confusion(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """Confusion matrix: shares of each true class as colour, counts as text while they can be read."""
    matrix = np.array(counts)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(1.5 + 0.5 * len(class_names), 4, 30))
    figure = Figure(figsize=(side + 1, side))
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    ticks = range(len(class_names))
    axes.set_xticks(ticks, [_short(name) for name in class_names], rotation=45, ha="right")
    axes.set_yticks(ticks, [_short(name) for name in class_names])
    axes.set(xlabel="predicted", ylabel="true", title="Test pictures")
    if len(class_names) <= 30:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=9)
    return figure


def predictions(
    pictures: np.ndarray, labels: Sequence[int], probabilities: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """A grid of pictures under what the model says of them; where it errs, in red with the truth.

    Args:
        pictures: uint8 (n, size, size, 3).
        labels: (n,).
        probabilities: (n, classes).
        class_names: one name a label.
    """
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(2 * columns, 2.4 * rows))
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, picture, label, answer in zip(grid, pictures, labels, probabilities, strict=False):
        best = int(answer.argmax())
        text = f"{_short(class_names[best])}: {answer[best]:.0%}"
        axes.imshow(picture)
        if best == label:
            axes.set_title(text, fontsize=8)
        else:
            axes.set_title(f"{text}\nis {_short(class_names[label])}", fontsize=8, color=RED)
    figure.tight_layout()
    return figure


def _short(name: str) -> str:
    shown = name if len(name) <= 20 else name[:19] + "…"
    return shown.replace("$", r"\$")  # between two of them, Matplotlib would read a formula
