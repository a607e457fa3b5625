"""What a comparison of runs found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.comparing.examples import Differing, thumbnails_of
from app.comparing.pairs import Pair
from app.comparing.runs import TestedRun
from app.comparing.tables import different_rows, figure_rows, pair_cells, pair_columns
from app.runs.display import THUMBNAIL, render
from models.lazy import LazyModule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from app.comparing import figures
else:
    figures = LazyModule("app.comparing.figures")  # imports Matplotlib

_MOST_EXAMPLES = 12  # in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """A comparison of runs: what `compare` returns. It displays itself in a notebook.

    Attributes:
        runs: the runs with their predictions for their test images.
        pairs: the compared pairs, each with its scores, difference, significance and verdict.
        differing: the test images that the runs predict differently, those that only some have right first.
        notes: what does not count, in sentences.

    Examples:
        >>> from app.comparing.runs import open_runs
        >>> found = Comparison(tuple(open_runs(["runs/fruit"])), (), (), ())
        >>> list(found.figures)
        ['metric', 'loss', 'differences']
        >>> found.as_json()["runs"][0]["name"]
        'fruit'
    """

    runs: tuple[TestedRun, ...]
    pairs: tuple[Pair, ...]
    differing: tuple[Differing, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(run.name for run in self.runs)}: {' '.join(self.verdicts)})"

    @property
    def verdicts(self) -> list[str]:
        """The finding about each pair, in a sentence."""
        return [pair.verdict for pair in self.pairs]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Matplotlib figures: "metric" and "loss" of the validation split by epoch, and "differences"."""
        return figures.draw_all(self.runs, self.pairs)

    def as_json(self) -> dict[str, Any]:
        """Return the output of `--json`."""
        return {
            "task": self.runs[0].task.name,
            "runs": [_as_json(run) for run in self.runs],
            "differs": {name: values for name, *values in different_rows(self.runs)},
            "pairs": [pair.as_json() for pair in self.pairs],
            "examples": [one.as_json() for one in self.differing],
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        shown = self.differing[:_MOST_EXAMPLES]
        comparer = self.runs[0].task.comparer
        return render(
            "comparison",
            comparison=self,
            names=[run.name for run in self.runs],
            figure_rows=figure_rows(self.runs),
            different_rows=different_rows(self.runs),
            pair_columns=pair_columns(comparer),
            pair_rows=[pair_cells(comparer, pair) for pair in self.pairs],
            plots={name: figures.png(figure) for name, figure in self.figures.items()},
            shown=shown,
            thumbnails=thumbnails_of(self.runs[0], shown, THUMBNAIL),
        )


def _as_json(run: TestedRun) -> dict[str, Any]:
    metrics = run.run.metrics
    return {
        "name": run.name,
        "path": str(run.run.path),
        "backbone": run.config.backbone,
        "strategy": run.config.strategy,
        "seconds": metrics.get("seconds", {}).get("total"),
        "test": metrics["test"],
        "exports": {name: {"bytes": one["bytes"], "passed": one["passed"]} for name, one in run.exports.items()},
    }
