"""Says what is on pictures, with a run's model or with any file that Graft exports."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.config import PredictConfig, make_config
from app.console import chatter_to, console, table, track
from app.errors import UsageError
from app.exporting.process import ModelProcess
from app.runs import Run
from data.checking import Checked, describe
from data.decoding import SUFFIXES, UnreadablePicture, load_pixels
from data.errors import DataError


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture: each class's probability, the likeliest class first."""

    path: str
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The likeliest class."""
        return next(iter(self.probabilities))


def predict(model: str, paths: Sequence[str], **options: Any) -> list[Prediction]:
    """Classify pictures.

    Args:
        model: a run folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder.
        paths: picture files, or folders that are searched for them.
        **options: the fields of `app.config.PredictConfig`.

    Returns:
        One prediction a picture, in the order of `paths`.

    Raises:
        UsageError, DataError: no such model or picture, or pictures that cannot be read.
    """
    config = make_config(PredictConfig, model=model, paths=tuple(str(path) for path in paths), **options)
    files = list(_picture_files(config.paths))
    opened = _Model.find(Path(config.model).expanduser())
    with chatter_to(Path(os.devnull)), ModelProcess(opened.file) as runtime:
        predictions, faults = [], []
        starts: Iterable[int] = range(0, len(files), config.batch_size)
        if console.is_terminal and not config.json:  # in a pipe, standard output is for the answers alone
            starts = track(starts, len(files), "asking", step=config.batch_size)
        for start in starts:
            batch, unreadable = _load(
                files[start : start + config.batch_size], runtime.image_size, config.resize or opened.resize
            )
            faults += unreadable
            if faults and not config.skip_unreadable:
                continue  # name every unreadable picture before stopping
            if batch:
                answers = runtime.probabilities(np.stack([pixels for _, pixels in batch]))
                predictions += [_prediction(path, row, opened) for (path, _), row in zip(batch, answers, strict=True)]
    if faults and not config.skip_unreadable:
        raise DataError(f"{describe(faults)}\nLeave them out with --skip-unreadable")
    if not predictions:
        raise DataError(f"{describe(faults)}\nName at least one picture that can be read")
    _say(predictions, faults, config)
    return predictions


@dataclass(frozen=True)
class _Model:
    """A model file and what lies beside it."""

    file: Path
    class_names: tuple[str, ...]
    resize: str

    @classmethod
    def find(cls, path: Path) -> _Model:
        """The model of a run folder, or a model file with the labels and the run that it lies in, if any."""
        if (path / "config.json").is_file():
            run = Run.open(str(path))
            return cls(run.require(run.model), run.class_names, run.config.resize)
        labels = [folder / name for folder in (path.parent, path) for name in ("labels.txt", "classes.txt")]
        found = next((file for file in labels if file.is_file()), None)
        # Not splitlines(), which also breaks at separators that a class name may hold.
        class_names = tuple(found.read_text(encoding="utf-8").rstrip("\n").split("\n")) if found else ()
        return cls(path, class_names, _resize_of_run_around(path))


def _resize_of_run_around(path: Path) -> str:
    """How the run that a model file lies in resized its pictures; "stretch" where it lies in none."""
    for folder in path.resolve().parents[:2]:
        if all((folder / name).is_file() for name in ("config.json", "classes.txt", "splits.csv")):
            return Run.open(str(folder)).config.resize
    return "stretch"


def _picture_files(paths: Sequence[str]) -> Iterator[Path]:
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            found = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES
                and file.is_file()
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
            if not found:
                raise UsageError(f"the folder {path} holds no pictures")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"there is no picture {path}")


def _load(files: Sequence[Path], image_size: int, resize: str) -> tuple[list[tuple[Path, np.ndarray]], list[Checked]]:
    """The pixels of readable pictures, and what is wrong with the others."""

    def load(path: Path) -> np.ndarray | Checked:
        try:
            return load_pixels(path.read_bytes(), image_size, resize)
        except (UnreadablePicture, OSError) as error:
            return Checked(str(path), "", str(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = list(pool.map(load, files))
    pixels = [(path, one) for path, one in zip(files, loaded, strict=True) if isinstance(one, np.ndarray)]
    return pixels, [one for one in loaded if isinstance(one, Checked)]


def _prediction(path: Path, probabilities: np.ndarray, model: _Model) -> Prediction:
    names = model.class_names or tuple(f"class {label}" for label in range(len(probabilities)))
    if len(names) != len(probabilities):
        raise UsageError(
            f"{model.file} knows {len(probabilities)} classes, but the labels beside it name {len(names)}; "
            "put the right labels.txt beside it"
        )
    order = np.argsort(-probabilities, kind="stable")
    return Prediction(str(path), {names[label]: float(probabilities[label]) for label in order})


def _say(predictions: Sequence[Prediction], faults: Sequence[Checked], config: PredictConfig) -> None:
    if faults:
        print(f"Left out: {describe(faults)}", file=sys.stderr)
    if config.json:
        print(json.dumps([vars(one) | {"label": one.label} for one in predictions], indent=2, ensure_ascii=False))
        return
    rows = [
        (one.path, ", ".join(f"{name} {share:.1%}" for name, share in list(one.probabilities.items())[: config.top]))
        for one in predictions
    ]
    table("", ("picture", "answer"), rows)
