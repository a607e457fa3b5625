"""The report and the model card, made from a run folder's files only."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.runs import Run, write_text
from models.backbones import find_backbone

_TEMPLATES = Path(__file__).parent / "templates"
_SPLITS = ("validation", "test")


def write_report(run: Run) -> None:
    """Write `model_card.md` and `report.html`, which is one file with its pictures inside.

    The report is written last: it marks a run as finished.
    """
    context = _context(run)
    pages = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    plain = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=False, undefined=StrictUndefined, trim_blocks=True
    )
    write_text(run.path / "model_card.md", plain.get_template("model_card.md.jinja").render(context))
    pictures = {path.stem: base64.b64encode(path.read_bytes()).decode() for path in run.plots.glob("*.png")}
    write_text(run.report, pages.get_template("report.html.jinja").render(context, pictures=pictures))


def _context(run: Run) -> dict[str, Any]:
    config, metrics = run.config, run.metrics
    classes = metrics["test"]["classes"]
    counts = metrics["test"]["confusion"]
    names = list(classes)
    confused = [
        (counts[true][predicted], names[true], names[predicted])
        for true in range(len(names))
        for predicted in range(len(names))
        if true != predicted and counts[true][predicted]
    ]
    return {
        "run": run,
        "config": config,
        "options": {name: value for name, value in vars(config).items() if value is not None},
        "spec": find_backbone(config.backbone),
        "splits": {split: metrics[split] for split in _SPLITS},
        "seconds": metrics["seconds"],
        "classes": classes,
        "weakest": sorted(classes, key=lambda name: classes[name]["f1"]),
        "confused": sorted(confused, reverse=True)[:10],
        "parity": run.parity,
        "environment": run.environment,
        "history": run.history,
    }
