"""Plots of a comparison: the curves of all runs in the same axes, and the differences with their intervals."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.ticker import MaxNLocator

from app.comparing.pairs import Pair
from app.comparing.runs import TestedRun
from app.evaluation.fonts import fonts_for
from app.evaluation.plots import GREY, METRIC_TITLES, blank_figure
from app.tasks.pairing import Comparer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that can be told apart on white and on black, and by readers who confuse red and green (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLES = ("-", "--", ":", "-.")  # for more runs than there are colours
_SIZE = (4.8, 3.5)  # inches: legible on a phone
_DARK: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), "#e5e7eb"),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), "#111827"),  # of the page
}


def draw_all(runs: Sequence[TestedRun], pairs: Sequence[Pair], *, dark: bool = False) -> dict[str, Figure]:
    """Draw the plots: "metric" and "loss", of the validation split against epochs, and "differences".

    Args:
        runs: the runs; each has its colour in all plots.
        pairs: the compared pairs.
        dark: draw light on dark, for a dark page.

    Examples:
        >>> from app.comparing.runs import open_runs
        >>> runs = open_runs(["runs/fruit"])
        >>> figures = draw_all(runs, [])
        >>> list(figures)
        ['metric', 'loss', 'differences']
        >>> figures["loss"].axes[0].get_title()
        'validation loss'
    """
    task = runs[0].task
    with matplotlib.rc_context(_DARK if dark else {}), fonts_for([run.name for run in runs]) as names:
        shown = dict(zip((run.name for run in runs), names, strict=True))
        return {
            "metric": _curves(runs, names, task.metric),
            "loss": _curves(runs, names, "loss"),
            "differences": _differences(pairs, shown, task.comparer),
        }


def png(figure: Figure) -> str:
    """Return a figure as a PNG, in base64.

    Examples:
        >>> base64.b64decode(png(blank_figure(figsize=(1, 1))))[1:4]
        b'PNG'
        >>> len(png(blank_figure(figsize=(1, 1)))) > 100
        True
    """
    file = io.BytesIO()
    figure.savefig(file, dpi=144, format="png")
    return base64.b64encode(file.getvalue()).decode()


def _curves(runs: Sequence[TestedRun], names: Sequence[str], metric: str) -> Figure:
    figure = blank_figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for index, (run, name) in enumerate(zip(runs, names, strict=True)):
        history, colour = run.run.history, _COLOURS[index % len(_COLOURS)]
        values = [one[f"val_{metric}"] for one in history]
        style = _STYLES[index // len(_COLOURS) % len(_STYLES)]
        axes.plot(range(1, len(values) + 1), values, "o", ls=style, ms=3, color=colour, label=name)
        for epoch in range(1, len(history)):
            if history[epoch]["phase"] != history[epoch - 1]["phase"]:
                axes.axvline(epoch + 0.5, color=colour, ls="--", lw=1, alpha=0.6)
        best = run.run.metrics.get("best")
        if best:
            kept = [(one["phase"], one["epoch"]) for one in history].index((best["phase"], best["epoch"]))
            axes.plot(kept + 1, values[kept], "o", ms=9, mfc="none", color=colour)
    axes.set(xlabel="epoch", title=f"validation {METRIC_TITLES.get(metric, metric)}")
    axes.set_xlim(0.5, max(len(run.run.history) for run in runs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=2 if len(runs) > 1 else 1)
    return figure


def _differences(pairs: Sequence[Pair], names: dict[str, str], comparer: Comparer) -> Figure:
    figure = blank_figure(figsize=(_SIZE[0], 1.4 + 0.45 * len(pairs)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=GREY, lw=1)
    for row, pair in enumerate(pairs):
        low, high = (comparer.scale * end for end in pair.paired.ci95)
        colour = _COLOURS[0] if pair.is_significant else GREY
        axes.plot([low, high], [row, row], color=colour, lw=2, solid_capstyle="butt")
        axes.plot(comparer.scale * pair.paired.difference, row, "o", color=colour)
    axes.set_yticks(range(len(pairs)), [f"{names[pair.second]} − {names[pair.first]}" for pair in pairs])
    axes.set_ylim(max(1, len(pairs)) - 0.5, -0.5)
    unit = f", {comparer.unit}" if comparer.unit else ""
    axes.set(xlabel=f"difference in {comparer.title}{unit}, 95 % interval")
    axes.grid(alpha=0.3, axis="x")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure
