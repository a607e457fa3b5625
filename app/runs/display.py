"""Display of results in a notebook.

The HTML takes its colours and fonts from the page, so that it fits light and dark themes, and needs no network.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from app.config import load_config
from app.runs.fold_figures import fold_table, pooled_text
from app.exporting.verdicts import export_cells, export_columns
from app.runs.folder import RunFolder
from app.runs.progress import progress_text
from app.tasks import TASKS, Task

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]

_TEMPLATES = Path(__file__).parent / "templates"
_SPLITS = ("validation", "test")
_PLOTS = (
    "curves",
    "confusion",
    "precision_recall",
    "scatter",
    "reliability",
)  # plots that are legible when they are small
_PLOT_WIDTH = 880  # pixels, twice the displayed width, for sharp screens
THUMBNAIL = 128  # pixels, more than displayed, for sharp screens


def run_html(run: RunFolder) -> str:
    """Return a run's figures, exported files and plots, as far as they exist. Damaged files are named and raise nothing.

    Examples:
        >>> "accuracy" in run_html(RunFolder(Path("runs/fruit")))
        True
        >>> isinstance(run_html(RunFolder(Path("no_such_run"))), str)
        True
    """
    try:
        return render("run", run=run, **_run_context(run))
    except Exception as error:  # a display error must not look like an error in the user's cell
        return render("damaged", run=run, error=error)


def render(template: str, **context: Any) -> str:
    """Render `templates/TEMPLATE.html.jinja` as HTML.

    Examples:
        >>> "fruit" in render("damaged", run=RunFolder(Path("runs/fruit")), error="no config.json")
        True
        >>> render("damaged", run=RunFolder(Path("runs/fruit")), error="no config.json")
        '<div><b>Run runs/fruit</b>: some of its files are damaged, or of another version of Graft (no config.json)</div>'
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{template}.html.jinja").render(context)


def _run_context(run: RunFolder) -> dict[str, Any]:
    if run.state == "missing":
        return {"facts": {}, "tables": [], "exports": [], "plots": {}, "notes": ["There is no run in this folder."]}
    config = load_config(run.options)
    task = TASKS[config.task]
    facts = {
        "task": f"{config.task}: {task.description}",
        "source": _source_name(config.source),
        "backbone": config.backbone + (f" at {config.image_size} px" if config.image_size else ""),
    }
    if config.image_size and run.state != "exported":
        facts["backbone"] += f", {config.strategy}"
    if run.report.is_file():
        facts["report"] = str(run.report)
    return {
        "facts": facts,
        "tables": _tables(run, task),
        "export_columns": export_columns(task),
        "exports": [(one, export_cells(task, one)) for one in _parity(run)],
        "plots": {path.stem: _scaled(path) for name in _PLOTS if (path := run.plots / f"{name}.png").is_file()},
        "notes": _notes(run, task),
    }


def _parity(run: RunFolder) -> list[dict[str, Any]]:
    is_there = (run.export / "parity.json").is_file()
    return list(run.parity["formats"].values()) if is_there else []


def _tables(run: RunFolder, task: Task) -> list[Table]:
    tables: list[Table] = []
    if run.folds_file.is_file():
        tables.append(fold_table(run.folds, task))
    if (run.path / "metrics.json").is_file():
        metrics = run.metrics
        rows = [
            (split, f"{metrics[split]['n']:,}", *(text(metrics[split]) for text in task.columns.values()))
            for split in _SPLITS
        ]
        tables.append((("split", "images", *task.columns), rows))
    return tables


def _notes(run: RunFolder, task: Task) -> list[str]:
    if run.folds_file.is_file():
        return [pooled_text(run.folds, task)]
    return [progress_text(run)] if run.state == "unfinished" else []


def _source_name(source: str) -> str:
    """Return a source as the user named it; of a path, which the run stores as absolute, the last part."""
    return Path(source).name if Path(source).is_absolute() else source


def _scaled(path: Path) -> str:
    """Return a plot as a smaller PNG, in base64."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((_PLOT_WIDTH, 2 * _PLOT_WIDTH), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.quantize(64).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
