"""`integration.md` of an export folder: how an app uses the files, in code whose numbers are those of the model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.config import load_config
from app.exporting.choice import file_rows, measured_on, recommendation, recommended, was_busy
from app.exporting.folder import EXPECTED, GUIDE, PARITY
from app.exporting.metadata import THRESHOLDS
from app.exporting.self_description import TensorType, tensors_of_tflite
from app.runs.folder import RunFolder
from app.tasks import TASKS, Task
from data.files import write_text

_TEMPLATES = Path(__file__).parent / "templates"
# Looked up in November 2026; those of the Python packages are the installed ones.
_VERSIONS = {
    "mediapipe_android": "1.0.0",
    "mediapipe_ios": "1.0",
    "mediapipe_web": "1.1.0",
    "litert": "2.3.0",
    "litertjs": "2.5.3",
    "camerax": "1.6.2",
    "tflite_flutter": "0.12.1",
    "dart_image": "4.5.4",
}
_RESIZES = {
    "stretch": "The whole image is stretched to {0} × {0} pixels.",
    "crop": "The central square of the image, 87.5 % of the shorter side, is resized to {0} × {0} pixels.",
    "pad": "The image is padded with black to a square, and resized to {0} × {0} pixels.",
}


def write_guide(run: RunFolder, folder: Path) -> None:
    """Write `integration.md` into an export folder that is complete otherwise.

    Args:
        run: run of the model.
        folder: its export folder, or the one that is about to replace it.

    Examples:
        >>> run = RunFolder.open("runs/fruit")
        >>> write_guide(run, run.export)
        >>> text = (run.export / "integration.md").read_text()
        >>> text.splitlines()[0]
        '# fruit in an app'
        >>> "com.google.mediapipe:tasks-vision" in text
        True
    """
    write_text(folder / GUIDE, render_markdown("integration.md.jinja", _context(run, folder)))


def render_markdown(template: str, context: Mapping[str, Any], *folders: Path) -> str:
    """Render a template to Markdown, without the spare blank lines that its tags leave.

    Args:
        template: file name of the template.
        context: its variables.
        folders: where templates are, besides those of the guide.

    Examples:
        >>> _ = Path("page.jinja").write_text("# {{ title }}")
        >>> render_markdown("page.jinja", {"title": "Fruit"}, Path(".")).strip()
        '# Fruit'
        >>> "| file |" in render_markdown("files.md.jinja", {"folder": ""}, Path("."))
        Traceback (most recent call last):
        jinja2.exceptions.UndefinedError: 'recommendation' is undefined
    """
    plain = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]), autoescape=False, undefined=StrictUndefined, trim_blocks=True
    )
    text = plain.get_template(template).render(context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def choice(task: Task, parity: dict[str, Any]) -> dict[str, Any]:
    """Return what the template `files.md.jinja` shows: which file to take and why.

    Args:
        task: task of the run.
        parity: content of `parity.json`.

    Examples:
        >>> parity = RunFolder.open("runs/fruit").parity
        >>> choice(TASKS["single_label"], parity)["recommendation"][:27]
        'Take `model_float32.tflite`'
        >>> choice(TASKS["single_label"], parity)["has_differences"]
        False
    """
    rows = file_rows(task, parity)
    return {
        "recommendation": recommendation(task, parity),
        "file_rows": rows,
        "measured_on": measured_on(parity),
        "was_busy": was_busy(parity),
        "has_differences": any("(" in score for *_, score in rows),
    }


def _context(run: RunFolder, folder: Path) -> dict[str, Any]:
    config, names = load_config(run.options), run.class_names
    parity = json.loads((folder / PARITY).read_text(encoding="utf-8"))
    task, chosen = TASKS[config.task], recommended(parity)
    assert config.image_size is not None
    phone = None if chosen is None else _phone(folder / chosen["file"])
    in_mediapipe = not task.not_in_mediapipe
    return {
        **choice(task, parity),
        "name": run.path.resolve().name,
        "folder": "",
        "task": task,
        "names": names,
        "parity": parity,
        "phone": phone,
        "in_mediapipe": in_mediapipe,
        "size": config.image_size,
        "resize": config.resize,
        "resize_text": _RESIZES[config.resize].format(config.image_size),
        "tensors": [(one["file"], *_tensors(folder / one["file"], config.image_size, task)) for one in _passed(parity)],
        "thresholds": _thresholds(folder),
        "score_threshold": config.score_threshold if task.decides else 0,
        "golden": None if phone is None else _golden(folder, phone["file"], in_mediapipe),
        "versions": _VERSIONS | dict(_installed()),
    }


def _passed(parity: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in parity["formats"].values() if one["passed"]]


def _phone(file: Path) -> dict[str, Any]:
    given, answer = tensors_of_tflite(file)
    return {"file": file.name, "given": given, "answer": answer}


def _tensors(file: Path, size: int, task: Task) -> tuple[str, str]:
    """Return the input and the output of a file, in words."""
    if file.suffix == ".tflite":
        given, answer = tensors_of_tflite(file)
        scaled = f"; the value is (number − {answer.zero_point}) × {answer.scale}" if answer.scale else ""
        return _words(given), f"{_words(answer)}{scaled}"
    predictions = task.output.predictions
    pixels = f"`pixels`: float32 (any number, {size}, {size}, 3)"
    if file.suffix == ".onnx":
        return pixels, f"`{predictions}`: float32"
    return f"signature `serving_default`, {pixels}; signature `encoded`: image files", f"`{predictions}`: float32"


def _words(tensor: TensorType) -> str:
    return f"{tensor.type} ({', '.join(map(str, tensor.shape))})"


def _thresholds(folder: Path) -> dict[str, float] | None:
    file = folder / THRESHOLDS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _golden(folder: Path, file: str, in_mediapipe: bool) -> dict[str, Any] | None:
    """Return what the golden vectors hold of a file; None if it is older than they are, so that they lack it."""
    path = folder / EXPECTED
    expected = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"outputs": {}}
    client_tolerance = expected.get("mediapipe_tolerances", {}).get(file)
    if file not in expected["outputs"] or (in_mediapipe and client_tolerance is None):
        return None
    return {
        "images": len(expected["pictures"]),
        "tolerance": expected["tolerances"][file],
        "client_tolerance": client_tolerance,
    }


def _installed() -> Iterator[tuple[str, str]]:
    from importlib.metadata import version  # slow to import, and `--help` reads this module

    yield "mediapipe_python", version("mediapipe")
    yield "litert_python", version("ai-edge-litert")
