"""The report and the model card, made only from the files of a run folder."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.config import RunConfig, load_config, recorded
from app.evaluation.advice import describe_best
from app.exporting.delegates import DEVICE_COLUMNS, device_rows
from app.exporting.folder import CARD, GUIDE
from app.exporting.guide import choice, render_markdown
from app.exporting.verdicts import export_cells, export_columns, refused, remarks, score_text, verdicts
from app.interface.stages import status
from app.runs.folder import RunFolder
from app.tasks import TASKS
from data.files import write_text
from data.sources import source_name
from models.backbones import find_backbone
from models.backbones.spec import BackboneSpec

_TEMPLATES = Path(__file__).parent / "templates"
_SPLITS = ("validation", "test")


@status("writing the report")
def write_report(run: RunFolder) -> None:
    """Write `report.html`, which is one file with embedded images, and `model_card.md`, also into the export folder.

    The report is written last: it marks a run as finished.

    Examples:
        >>> from app.interface.events import listening
        >>> run = RunFolder.open("runs/fruit")
        >>> run.report.unlink()
        >>> with listening([].append, alone=True):  # prints nothing
        ...     write_report(run)
        >>> run.is_finished
        True
        >>> (run.path / "model_card.md").read_text().splitlines()[0]
        '# fruit: an image classifier'
    """
    context = _context(run)
    pages = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    for folder, links in ((run.export, ""), (run.path, f"{run.export.name}/")):
        card = render_markdown("model_card.md.jinja", context | {"folder": links}, _TEMPLATES)
        write_text(folder / CARD, card)
    plots = {path.stem: base64.b64encode(path.read_bytes()).decode() for path in run.plots.glob("*.png")}
    write_text(run.report, pages.get_template("report.html.jinja").render(context, plots=plots))


def _context(run: RunFolder) -> dict[str, Any]:
    config, metrics, parity = load_config(run.options), run.metrics, run.parity
    task, names = TASKS[config.task], run.class_names
    spec = find_backbone(config.backbone)
    options = _shareable(config, spec)
    detail_columns, detail_rows = task.details(metrics["test"])
    return {
        "run": run,
        "config": config,
        "options": options,
        "source": options["source"],
        "weights": options.get("weights"),
        "spec": spec,
        "task": task,
        "names": names,
        "highlights": task.highlights(metrics["test"]),
        "split_columns": ("split", "images", *task.columns),
        "split_rows": [
            (split, metrics[split]["n"], *(text(metrics[split]) for text in task.columns.values())) for split in _SPLITS
        ],
        "detail_columns": detail_columns,
        "detail_rows": detail_rows,
        "seconds": metrics["seconds"],
        "extraction": metrics.get("extraction"),
        "confused": _confused(metrics["test"].get("confusion", []), names),
        "parity": parity,
        "export_columns": export_columns(task),
        "export_cells": lambda one: export_cells(task, one),
        "score_text": lambda one: score_text(task, one),
        "guide": GUIDE,
        **choice(task, parity),
        "device_columns": DEVICE_COLUMNS,
        "device_rows": device_rows(parity),
        "verdicts": verdicts(task, parity),
        "remarks": remarks(task, parity),
        "refused": refused(parity),
        "harmful_layers": _harmful_layers(parity),
        "percent": _percent,
        "environment": run.environment,
        "thresholds": run.thresholds is not None,
        # Runs of earlier versions lack the following.
        "best_text": describe_best(metrics["best"], run.history, task.metric) if "best" in metrics else "",
        "advice": metrics.get("advice", []),
        "calibration": metrics.get("calibration"),
        "calibration_text": _temperatures(metrics.get("calibration")),
        "calibration_rows": _calibration_rows(metrics.get("calibration")),
    }


def _temperatures(calibration: dict[str, Any] | None) -> str:
    """Return the divisors of the logits, in words."""
    if not calibration:
        return ""
    found = list(calibration["temperatures"].values())
    low, high = min(found), max(found)
    return f"a temperature of {low:.2f}" if low == high else f"a temperature per class, {low:.2f} to {high:.2f}"


def _calibration_rows(calibration: dict[str, Any] | None) -> list[tuple[str, ...]]:
    if not calibration:
        return []
    rows = [(split, calibration[split]["before"], calibration[split]["after"]) for split in _SPLITS]
    return [
        (split, *(f"{one[key]:.3f}" for key in ("ece", "log_loss") for one in (before, after)))
        for split, before, after in rows
    ]


def _shareable(config: RunConfig, spec: BackboneSpec) -> dict[str, Any]:
    """Return the given options without local folders, since the report and the card are shared."""
    options = {name: value for name, value in recorded(config).items() if value not in (None, ())}
    options.pop("cache_folder", None)
    for name in ("source", "validation", "test", "weights"):
        if name in options:
            options[name] = source_name(options[name])
    if "locales" in options:
        options["locales"] = ", ".join(f"{one.partition('=')[0]}={Path(one).name}" for one in options["locales"])
    return options | {"backbone": spec.name}


def _confused(counts: list[list[int]], names: Sequence[str]) -> list[tuple[int, str, str]]:
    """Return the ten most frequent confusions: the count, the true class and the predicted class."""
    found = [
        (counts[true][predicted], names[true], names[predicted])
        for true in range(len(counts))
        for predicted in range(len(counts))
        if true != predicted and counts[true][predicted]
    ]
    return sorted(found, reverse=True)[:10]


def _harmful_layers(parity: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the harmful layers that a search or the verification of a quantised file found, if it looked for them."""
    found = [(parity["quantization"] or {}).get("layers"), *(one.get("layers") for one in parity["formats"].values())]
    return next((layers for layers in found if layers), [])


def _percent(figures: dict[str, float], name: str) -> str:
    return f"{100 * figures[name]:.1f} %" if name in figures else "–"
