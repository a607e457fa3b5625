"""Descriptions of a model file from other places: from the user, from its run, and from files beside it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from app.config import load_config
from app.exporting.description import ModelDescription
from app.exporting.folder import FAILED
from app.exporting.metadata import LABELS, THRESHOLDS
from app.prediction.label_files import read_label_file
from app.runs.folder import RunFolder, read_thresholds

OF_RUN, BESIDE = "of its run", "beside it"


def failure_of(file: Path) -> str | None:
    """Return a warning about an exported file that failed verification; None for any other file.

    Examples:
        >>> failure_of(Path("model_int8.tflite")) is None
        True
        >>> failure_of(Path("model_int8_FAILED.tflite"))
        'model_int8_FAILED.tflite failed its check when it was exported, so its predictions may be wrong'
    """
    if not file.stem.endswith(FAILED):
        return None
    reasons: list[str] = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # foreign, or missing
        formats = json.loads((file.resolve().parent / "parity.json").read_bytes())["formats"].values()
        reasons += [reason for one in formats if one["file"] == file.name for reason in one["failures"]]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"{file.name} failed its check when it was exported{why}, so its predictions may be wrong"


def given_by_user(
    labels: str | None, mean: tuple[float, ...], std: tuple[float, ...], **others: str | None
) -> ModelDescription:
    """Return the description that the user gives.

    Args:
        labels: a file with the class names.
        mean: number, or one per channel, that is subtracted from pixels in [0, 255]; or empty.
        std: number, or one per channel, by which the difference is divided; or empty.
        **others: further fields of the description.

    Raises:
        UsageError: the label file cannot be read.

    Examples:
        >>> given_by_user("runs/fruit/export/labels.txt", (), ()).names
        ('apple', 'banana', 'cherry')
        >>> given_by_user(None, (127.5,), (127.5,), task="single_label").mean
        (127.5,)
    """
    names, guessed = read_label_file(Path(labels).expanduser()) if labels else (None, "")
    return ModelDescription.of(
        f"in {labels}",
        (f"{labels} is read as {guessed}",) if guessed else (),
        names=names,
        mean=(mean or (0.0,)) if mean or std else None,
        std=(std or (1.0,)) if mean or std else None,
        **others,
    )


def is_run(path: Path) -> bool:
    """Return whether a folder is a run folder.

    Examples:
        >>> is_run(Path("runs/fruit"))
        True
        >>> is_run(Path("images"))
        False
    """
    return (path / "config.json").is_file() and not (path / "saved_model.pb").is_file()


def run_of(file: Path) -> RunFolder | None:
    """Return the run that wrote a model file; None if there is none.

    Examples:
        >>> run_of(Path("runs/fruit/export/model_float32.tflite"))
        RunFolder('.../runs/fruit', finished)
        >>> run_of(Path("apple.png")) is None
        True
    """
    for folder in file.resolve().parents[:2]:
        if all((folder / name).is_file() for name in ("config.json", "classes.txt", "splits.csv")):
            run = RunFolder.open(str(folder))
            return run if file.resolve().name in _files_of(run) else None
    return None


def _files_of(run: RunFolder) -> set[str]:
    exported = run.parity["formats"].values() if (run.export / "parity.json").is_file() else ()
    return {run.model.name, *(one["file"] for one in exported)}


def of_run(run: RunFolder) -> ModelDescription:
    """Return the description that a run gives of its files.

    Examples:
        >>> about = of_run(RunFolder.open("runs/fruit"))
        >>> about.task
        'single_label'
        >>> about.names
        ('apple', 'banana', 'cherry')
    """
    config, thresholds = load_config(run.options), run.thresholds
    locales = {file.stem.removeprefix("labels_"): read_label_file(file)[0] for file in run.export.glob("labels_*.txt")}
    return ModelDescription.of(
        OF_RUN,
        names=run.class_names,
        locales=locales or None,
        thresholds=None if thresholds is None else _as_tuple(thresholds),
        score_threshold=config.score_threshold or None,
        task=config.task,
        resize=config.resize,
        background=config.background,
        levels=config.levels,
        is_ours=True,
    )


def beside(path: Path, given: Sequence[str] | None, packed: Sequence[str] | None) -> ModelDescription:
    """Return the labels and thresholds beside a file, unless the file packs different labels.

    Examples:
        >>> beside(Path("runs/fruit/export/model_float32.tflite"), None, None).names
        ('apple', 'banana', 'cherry')
        >>> beside(Path("apple.png"), None, None).names is None
        True
    """
    folders = (path.parent, path, path / "assets")
    labels = _first(folder / name for folder in folders for name in (LABELS, "classes.txt"))
    thresholds = _first(folder / THRESHOLDS for folder in folders)
    if labels is None:
        unused = thresholds and not packed
        return ModelDescription(notes=(f"{THRESHOLDS} beside it is not used without {LABELS}",) if unused else ())
    names, guessed = read_label_file(labels)
    if packed and names != packed:
        what = f"its labels are those in its metadata, not those of {labels.name} beside it (--labels)"
        return ModelDescription(notes=() if given else (what,))
    return ModelDescription.of(
        BESIDE,
        (f"{labels.name} is read as {guessed}",) if guessed and not given else (),
        names=names,
        thresholds=_as_tuple(read_thresholds(thresholds, names)) if thresholds else None,
    )


def _as_tuple(thresholds: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(one) if np.isfinite(one) else None for one in thresholds)


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
