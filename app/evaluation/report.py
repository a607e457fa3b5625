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
    config, metrics, parity = run.config, run.metrics, run.parity
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
        "extraction": metrics.get("extraction"),
        "classes": classes,
        "weakest": sorted(classes, key=lambda name: classes[name]["f1"]),
        "confused": sorted(confused, reverse=True)[:10],
        "parity": parity,
        "phone_file": _phone_file(parity),
        "refused": [step for step in (parity["quantization"] or {"steps": []})["steps"] if step["failures"]],
        "harmful_layers": _harmful_layers(parity),
        "percent": _percent,
        "environment": run.environment,
        "history": run.history,
    }


def _phone_file(parity: dict[str, Any]) -> str | None:
    """The file to recommend for phones: the one that Graft's own search has kept, else the smallest that agrees."""
    proven = {name: one for name, one in parity["formats"].items() if one["passed"] and one["file"].endswith(".tflite")}
    kept = (parity["quantization"] or {}).get("kept")
    smallest = min(proven.values(), key=lambda one: one["bytes"], default={"file": None})
    return proven.get(kept, smallest)["file"]


def _harmful_layers(parity: dict[str, Any]) -> list[dict[str, Any]]:
    """What a search or the proof of a quantised file has found, if either had to look."""
    found = [(parity["quantization"] or {}).get("layers"), *(one.get("layers") for one in parity["formats"].values())]
    return next((layers for layers in found if layers), [])


def _percent(figures: dict[str, float], name: str) -> str:
    return f"{100 * figures[name]:.1f} %" if name in figures else "–"
