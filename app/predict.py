"""Says what is on pictures, with a run's model or with any file that Graft exports."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np

from app.config import PredictConfig, make_config
from app.console import chatter_to, console, status, table, track
from app.errors import UsageError
from app.evaluation.thresholds import decide
from app.exporting.metadata import LABELS, THRESHOLDS
from app.exporting.process import ModelProcess
from app.runs import Run, read_thresholds
from data.checking import Checked, describe
from data.decoding import SUFFIXES, UnreadablePicture, load_pixels
from data.errors import DataError
from data.pictures import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from data.preparing import PLAIN, Preparation
from data.reading import read_picture
from data.sources.names import check_key
from models.heads import OUTPUTS


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a model says of one picture.

    Attributes:
        path: of the picture.
        answers: each class's probability, the likeliest class first; or numbers by name.
        labels: the classes that are answered: the likeliest one; or that on the right side of the threshold, or all of
            several labels that reach theirs. Empty where answers are numbers.
        task: one of `data.pictures.TASKS`.
    """

    path: str
    answers: dict[str, float]
    labels: tuple[str, ...]
    task: str = SINGLE_LABEL

    def __repr__(self) -> str:
        return f"Prediction({self.path!r}: {_text(self, 1)})"

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()

    @property
    def probabilities(self) -> dict[str, float]:
        """The answers, where they are probabilities."""
        return self.answers

    @property
    def label(self) -> str:
        """The class that is answered, of a model that answers with one."""
        return self.labels[0]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        if self.task == REGRESSION:
            return {"path": self.path, "numbers": self.answers}
        label = {"labels": list(self.labels)} if self.task == MULTI_LABEL else {"label": self.label}
        return {"path": self.path, "probabilities": self.answers, **label}


class Predictions(list[Prediction]):
    """A list of predictions that shows them in a notebook, beside their images."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> Predictions: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Prediction | Predictions:
        found = super().__getitem__(index)
        return Predictions(found) if isinstance(found, list) else found

    def _repr_html_(self) -> str:
        from app.display import predictions_html  # slow to import, and only notebooks ask for it

        return predictions_html(self)


def predict(model: str, paths: Sequence[str], **options: Any) -> Predictions:
    """Ask a model about pictures.

    Args:
        model: a run folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder.
        paths: picture files, or folders that are searched for them.
        **options: the fields of `app.config.PredictConfig`.

    Returns:
        One prediction a picture, in the order of `paths`: a list, which shows itself in a notebook.

    Raises:
        UsageError, DataError: no such model or picture, or pictures that cannot be read.
    """
    config = make_config(PredictConfig, model=model, paths=tuple(str(path) for path in paths), **options)
    files = list(_picture_files(config.paths))
    for file in files:
        check_key(str(file))
    opened, prepare = _Model.find(Path(config.model).expanduser()), _preparation(config)
    # In a pipe, standard output is for the answers alone.
    with console.aside(config.json or not console.is_watched), chatter_to(Path(os.devnull)), ExitStack() as stack:
        with status("loading the model"):
            runtime = stack.enter_context(ModelProcess(opened.file))
        predictions, faults = Predictions(), []
        starts = range(0, len(files), config.batch_size)
        for start in track(starts, len(files), "asking", step=config.batch_size, transient=True):
            batch, unreadable = _load(
                files[start : start + config.batch_size], runtime.image_size, config.resize or opened.resize, prepare
            )
            faults += unreadable
            if faults and not config.skip_unreadable:
                continue  # name every unreadable picture before stopping
            if batch:
                answers = runtime.probabilities(np.stack([pixels for _, pixels in batch]))
                told = opened.told_by(runtime.output, answers.shape[1])
                predictions += [told.prediction(path, row) for (path, _), row in zip(batch, answers, strict=True)]
    if faults and not config.skip_unreadable:
        raise DataError(f"{describe(faults)}\nLeave them out with --skip-unreadable")
    if not predictions:
        raise DataError(f"{describe(faults)}\nName at least one picture that can be read")
    _say(predictions, faults, config)
    return predictions


@dataclass(frozen=True)
class _Model:
    """A model file and what lies beside it.

    Attributes:
        file: the model.
        names: of its classes or numbers; empty where none lie beside it.
        resize: how its pictures become square.
        thresholds: the file that has them, if there is one.
        task: one of `data.pictures.TASKS`.
    """

    file: Path
    names: tuple[str, ...]
    resize: str
    thresholds: Path | None = None
    task: str = SINGLE_LABEL

    @classmethod
    def find(cls, path: Path) -> _Model:
        """The model of a run folder, or a model file with the labels and the run that it lies in, if any."""
        if (path / "config.json").is_file():
            run = Run.open(str(path))
            return cls(run.require(run.model), run.class_names, run.config.resize, _first([path / THRESHOLDS]))
        labels = _first(folder / name for folder in (path.parent, path) for name in (LABELS, "classes.txt"))
        # Not splitlines(), which also breaks at separators that a class name may hold.
        names = tuple(labels.read_text(encoding="utf-8").rstrip("\n").split("\n")) if labels else ()
        return cls(path, names, _resize_of_run_around(path), _first(one / THRESHOLDS for one in (path.parent, path)))

    def told_by(self, output: str, count: int) -> _Model:
        """The same with the task that the model's output tells of, and a name for each of its `count` answers.

        Raises:
            UsageError: the names beside the file are not those of its answers.
        """
        if self.names and len(self.names) != count:
            raise UsageError(
                f"{self.file} knows {count} classes, but the labels beside it name {len(self.names)}; "
                "put the right labels.txt beside it"
            )
        is_regression = output == OUTPUTS[REGRESSION].answers
        what = "number" if is_regression else "class"
        names = self.names or tuple(f"{what} {label}" for label in range(count))
        if is_regression:
            return replace(self, names=names, task=REGRESSION)
        several = self.thresholds is not None and np.isfinite(read_thresholds(self.thresholds, names)).all()
        return replace(self, names=names, task=MULTI_LABEL if several else SINGLE_LABEL)

    def prediction(self, path: Path, answers: np.ndarray) -> Prediction:
        """What the model's answers, (outputs,), say of a picture."""
        if self.task == REGRESSION:
            return Prediction(str(path), dict(zip(self.names, answers.tolist(), strict=True)), (), self.task)
        order = np.argsort(-answers, kind="stable")
        probabilities = {self.names[label]: float(answers[label]) for label in order}
        thresholds = read_thresholds(self.thresholds, self.names) if self.thresholds else None
        if self.task == MULTI_LABEL:
            labels = tuple(self.names[label] for label in order if answers[label] >= thresholds[label])  # type: ignore[index]
        else:
            labels = (self.names[int(decide(answers[None], thresholds)[0])],)
        return Prediction(str(path), probabilities, labels, self.task)


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _resize_of_run_around(path: Path) -> str:
    """How the run that a model file lies in resized its pictures; "stretch" where it lies in none."""
    run = Run.around(path)
    return run.config.resize if run else "stretch"


def _preparation(config: PredictConfig) -> Preparation:
    """What is made of image files first: as the options say, else as the run did that the model lies in."""
    run = Run.around(Path(config.model).expanduser())
    kept = run.config if run else config
    return Preparation.parse(config.background or kept.background, config.levels or kept.levels)


def _picture_files(paths: Sequence[str]) -> Iterator[Path]:
    for text in paths:
        path = Path(text).expanduser()
        if os.path.isdir(path):
            found = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES
                and not os.path.isdir(file)  # links that lead nowhere are named, as `train` does
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
            if not found:
                raise UsageError(f"the folder {path} holds no pictures")
            yield from found
        elif os.path.lexists(path):  # whatever it is: `read_picture` says what is wrong with it
            yield path
        else:
            raise UsageError(f"there is no picture {path}")


def _load(
    files: Sequence[Path], image_size: int, resize: str, prepare: Preparation = PLAIN
) -> tuple[list[tuple[Path, np.ndarray]], list[Checked]]:
    """The pixels of readable pictures, and what is wrong with the others."""

    def load(path: Path) -> np.ndarray | Checked:
        try:
            return load_pixels(prepare(read_picture(path)), image_size, resize)
        except UnreadablePicture as error:
            return Checked(str(path), "", str(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = list(pool.map(load, files))
    pixels = [(path, one) for path, one in zip(files, loaded, strict=True) if isinstance(one, np.ndarray)]
    return pixels, [one for one in loaded if isinstance(one, Checked)]


def _say(predictions: Sequence[Prediction], faults: Sequence[Checked], config: PredictConfig) -> None:
    if faults:
        print(f"Left out: {describe(faults)}", file=sys.stderr)
    if config.json:
        print(json.dumps([one.as_json() for one in predictions], indent=2, ensure_ascii=False))
    elif not console.in_notebook:  # where they show themselves
        table("", ("picture", "answer"), [(one.path, _text(one, config.top)) for one in predictions])


def _text(one: Prediction, top: int) -> str:
    if one.task == REGRESSION:
        return ", ".join(f"{name} {number:.4g}" for name, number in one.answers.items())
    shown = one.labels if one.task == MULTI_LABEL else list(dict.fromkeys([*one.labels, *one.answers]))[:top]
    return ", ".join(f"{name} {one.answers[name]:.1%}" for name in shown) or "none"
