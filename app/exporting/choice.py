"""Which exported file to take, from the figures in `parity.json` alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.exporting.formats import FORMATS
from app.exporting.verdicts import score_text
from app.tasks import Task

Figures = dict[str, Any]


def recommended(parity: dict[str, Any]) -> Figures | None:
    """Return the figures of the file to take for an app: the one that Graft's search kept, else the smallest that agrees.

    Args:
        parity: content of `parity.json`.

    Examples:
        >>> files = {name: {"file": f"{name}.tflite", "bytes": size, "passed": True} for name, size in (("a", 9), ("b", 3))}
        >>> recommended({"formats": files, "quantization": None})["file"]
        'b.tflite'
        >>> recommended({"formats": files, "quantization": {"kept": "a"}})["file"]
        'a.tflite'
    """
    found = _for_apps(parity)
    kept = (parity["quantization"] or {}).get("kept")
    return found[kept] if kept in found else min(found.values(), key=_size, default=None)


def recommendation(task: Task, parity: dict[str, Any]) -> str:
    """Return which file to take for an app and why, in a sentence or two; "" if there is none.

    Args:
        task: task of the run.
        parity: content of `parity.json`.

    Examples:
        >>> from app.tasks import TASKS
        >>> small = {"file": "small.tflite", "bytes": 4e6, "passed": True, "tolerance": None, "accuracy": 0.98}
        >>> exact = {"file": "exact.tflite", "bytes": 7e6, "passed": True, "tolerance": 0.02, "accuracy": 0.99}
        >>> recommendation(TASKS["single_label"], {"formats": {"a": small, "b": exact}, "quantization": None})
        'Take `small.tflite`, the smallest file for apps that agrees with the trained model: 4.0 MB, accuracy 0.980. Where
        every prediction must be that of the trained model, take `exact.tflite`: 7.0 MB, accuracy 0.990.'
        >>> recommendation(TASKS["single_label"], {"formats": {}, "quantization": None})
        ''
    """
    chosen = recommended(parity)
    if chosen is None:
        return ""
    text = f"Take `{chosen['file']}`, {_merits(chosen, parity)}: {_facts(task, chosen)}."
    exact = [one for one in _for_apps(parity).values() if one["tolerance"] is not None]
    if chosen["tolerance"] is None and exact:
        other = min(exact, key=_size)
        text += (
            f" Where every prediction must be that of the trained model, take `{other['file']}`: {_facts(task, other)}."
        )
    return text


def file_rows(task: Task, parity: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the exported files, one row each: file, what it is for, size, milliseconds per image and score.

    Args:
        task: task of the run.
        parity: content of `parity.json`; files of versions that measured no time show "-".

    Examples:
        >>> from app.runs.folder import RunFolder
        >>> from app.tasks import TASKS
        >>> parity = RunFolder.open("runs/fruit").parity
        >>> file_rows(TASKS["single_label"], parity)[0][:3]
        ('model_float32.tflite', 'LiteRT / TFLite for phones, float32', '0.0 MB')
        >>> file_rows(TASKS["single_label"], {"formats": {}, "quantization": None})
        []
    """
    steps = (parity["quantization"] or {}).get("steps", ())
    searched = {step["format"]: f"LiteRT, {step['what']}" for step in steps}
    return [
        (
            one["file"],
            FORMATS[name].description if name in FORMATS else searched.get(name, ""),
            f"{one['bytes'] / 1e6:.1f} MB",
            f"{one['speed']['best_ms']:.2f}" if "speed" in one else "-",
            score_text(task, one) if one["passed"] else "**failed**",
        )
        for name, one in parity["formats"].items()
    ]


def measured_on(parity: dict[str, Any]) -> str:
    """Return where the milliseconds were measured, in words; "" if none were.

    Examples:
        >>> speed = {"best_ms": 1.5, "threads": 2, "processor": "A CPU"}
        >>> measured_on({"formats": {"onnx": {"speed": speed}}})
        'on 2 threads of A CPU'
        >>> measured_on({"formats": {}})
        ''
    """
    speeds: Sequence[Figures] = [one["speed"] for one in parity["formats"].values() if "speed" in one]
    return " or ".join(dict.fromkeys(map(_place, speeds)))


def was_busy(parity: dict[str, Any]) -> bool:
    """Return whether the machine was busy with other work while files were measured, so that the times are too long.

    Examples:
        >>> was_busy({"formats": {"onnx": {"speed": {"busy": True}}}})
        True
        >>> was_busy({"formats": {"onnx": {}}})
        False
    """
    return any(one["speed"]["busy"] for one in parity["formats"].values() if "speed" in one)


def _place(speed: Figures) -> str:
    threads = "1 thread" if speed["threads"] == 1 else f"{speed['threads']} threads"
    return f"on {threads} of {speed['processor'] or 'an unnamed processor'}"


def _for_apps(parity: dict[str, Any]) -> dict[str, Figures]:
    return {name: one for name, one in parity["formats"].items() if one["passed"] and one["file"].endswith(".tflite")}


def _size(figures: Figures) -> int:
    size: int = figures["bytes"]
    return size


def _merits(chosen: Figures, parity: dict[str, Any]) -> str:
    others = [one for one in _for_apps(parity).values() if one is not chosen]
    if not others:
        return "the only file for apps that agrees with the trained model"
    timed = [one["speed"]["best_ms"] for one in (chosen, *others) if "speed" in one]
    merits = [
        *(["smallest"] if chosen["bytes"] <= min(map(_size, others)) else []),
        *(["fastest"] if not was_busy(parity) and len(timed) == len(others) + 1 and timed[0] == min(timed) else []),
    ]
    if not merits:
        return "which the search for a small file kept"
    return f"the {' and '.join(merits)} file for apps that agrees with the trained model"


def _facts(task: Task, figures: Figures) -> str:
    facts = [f"{figures['bytes'] / 1e6:.1f} MB"]
    if "speed" in figures:
        facts.append(f"{figures['speed']['best_ms']:.2f} ms per image")
    return ", ".join([*facts, f"{task.score_title} {figures[task.score]:.3f}"])
