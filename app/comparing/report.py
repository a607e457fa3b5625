"""The page about a comparison: one HTML file, light or dark as the reader's system is, that needs no network."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.comparing import figures
from app.comparing.comparison import Comparison
from app.comparing.examples import thumbnails_of
from app.comparing.tables import different_rows, equal_text, figure_rows, pair_cells, pair_columns

MARK = '<meta name="generator" content="graft compare">'  # by which a page of ours is known

_TEMPLATES = Path(__file__).parent / "templates"
_EXAMPLES = 60
_SIZE = 144  # pixels
_ALTERNATIVES = {  # what a plot shows, for readers who do not see it
    "differences": "the difference of each pair with its 95 % interval",
    "metric": "the metric of the validation split against epochs, a line for each run",
    "loss": "the loss of the validation split against epochs, a line for each run",
}


def render_page(comparison: Comparison) -> str:
    """Render the page as HTML: verdicts, tables, curves, and the images on which the runs differ.

    Examples:
        >>> from app.comparing.runs import open_runs
        >>> page = render_page(Comparison(tuple(open_runs(["runs/fruit"])), (), (), ("A note.",)))
        >>> MARK in page, "A note." in page
        (True, True)
        >>> page.count("<picture>")
        3
    """
    runs, comparer = comparison.runs, comparison.runs[0].task.comparer
    shown = comparison.differing[:_EXAMPLES]
    light, dark = comparison.figures, figures.draw_all(runs, comparison.pairs, dark=True)
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("comparison.html.jinja").render(
        mark=MARK,
        comparison=comparison,
        names=[run.name for run in runs],
        task=runs[0].task,
        equal=equal_text(runs),
        figure_rows=figure_rows(runs),
        different_rows=different_rows(runs),
        pair_columns=pair_columns(comparer),
        pair_rows=[pair_cells(comparer, pair) for pair in comparison.pairs],
        plots=[(text, figures.png(light[name]), figures.png(dark[name])) for name, text in _ALTERNATIVES.items()],
        shown=shown,
        thumbnails=thumbnails_of(runs[0], shown, _SIZE),
    )
