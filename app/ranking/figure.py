"""The plot of a ranking: accuracy against time, with the backbones that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.evaluation.plots import BLUE, GREY, ORANGE, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from app.ranking.candidates import Ranked


def front_of(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Return the Pareto front: the candidates that none is both faster and better than, the fastest first.

    Examples:
        >>> from types import SimpleNamespace
        >>> some = [SimpleNamespace(score=score, footprint=SimpleNamespace(median_ms=ms)) for score, ms in ((0.9, 9), (0.8, 2))]
        >>> [one.score for one in front_of(some)]
        [0.8, 0.9]
        >>> worse = SimpleNamespace(score=0.7, footprint=SimpleNamespace(median_ms=3))
        >>> [one.score for one in front_of([*some, worse])]
        [0.8, 0.9]
    """
    timed = sorted((one for one in ranked if one.footprint), key=lambda one: (_time(one), -one.score))
    front: list[Ranked] = []
    for one in timed:
        if not front or one.score > front[-1].score:
            front.append(one)
    return front


def _time(ranked: Ranked) -> float:
    assert ranked.footprint is not None
    return ranked.footprint.median_ms


def ranking_figure(ranked: Sequence[Ranked], title: str) -> Figure:
    """Plot the score of each candidate against its time as an int8 file, and the Pareto front.

    Examples:
        >>> from types import SimpleNamespace
        >>> fast = SimpleNamespace(candidate="fast", score=0.8, footprint=SimpleNamespace(median_ms=2))
        >>> ranking_figure([fast], "accuracy").axes[0].get_ylabel()
        'accuracy of a linear head'
        >>> [text.get_text() for text in ranking_figure([fast], "accuracy").axes[0].texts]
        ['fast']
    """
    figure = blank_figure(figsize=(8, 5), layout="constrained")
    axes, front = figure.subplots(), front_of(ranked)
    axes.plot([_time(one) for one in front], [one.score for one in front], "-", color=GREY, lw=1, label="Pareto front")
    for one in (one for one in ranked if one.footprint):
        axes.plot(_time(one), one.score, "o", color=BLUE if one in front else ORANGE)
        axes.annotate(
            str(one.candidate),
            (_time(one), one.score),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize=8,
            rotation=20,
        )
    axes.set(xlabel="ms per image as an int8 file, one thread, on this machine", ylabel=f"{title} of a linear head")
    axes.margins(x=0.2, y=0.15)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure
