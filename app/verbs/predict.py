"""Predict images with a run's model or any model file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from app.config import PredictConfig, make_config
from app.config.signatures import with_options
from app.interface.console import aside, console, redirect_output
from app.interface.errors import UsageError
from app.interface.events import print_path, print_table, print_text
from app.interface.output import output_path
from app.interface.stages import status, track
from app.prediction.descriptions import failure_of
from app.prediction.interpretation import Interpretation
from app.prediction.label_files import unique_names
from app.prediction.predictions import Prediction, Predictions, write_csv
from app.prediction.predictor import Predictor
from app.tasks import TASKS
from data.checking import ImageCheck, describe
from data.errors import DataError
from data.image.decoding import SUFFIXES, UnreadableImage
from data.image.reading import read_image
from data.sources.names import check_key


@with_options(PredictConfig)
def predict(model: str, paths: Sequence[str], **options: Any) -> Predictions:
    """Predict images with a model.

    Args:
        model: a run folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder.
        paths: image files, or folders that are searched for them.
        **options: the fields of `app.config.PredictConfig`.

    Returns:
        One prediction per image, in the order of `paths`: a list, which displays itself in a notebook.

    Raises:
        UsageError, DataError: the model or an image does not exist, or images cannot be read.

    Examples:
        >>> predict("runs/fruit", ["apple.png"])[0].label
        <BLANKLINE>
          image       answer
         ─────────────────────────
          apple.png   apple 98.8%
        <BLANKLINE>
        'apple'
        >>> predict("runs/fruit", ["pear.png"])
        Traceback (most recent call last):
        app.interface.errors.UsageError: there is no image pear.png
    """
    config = make_config(PredictConfig, model=model, paths=tuple(str(path) for path in paths), **options)
    output = output_path(config.output) if config.output else None
    files = list(_image_files(config.paths))
    for file in files:
        check_key(str(file))
    # In a pipe, standard output holds only the predictions.
    with aside(config.json or not console.is_watched), redirect_output(Path(os.devnull)):
        asked = _ask(config, files)
    if output:
        write_csv(output, asked.predictions, asked.names if config.all_probabilities else ())
    _say(asked, config)
    return asked.predictions


class _Asked(NamedTuple):
    """Predictions for the readable images, the names of the classes, and notes about all of them."""

    predictions: Predictions
    names: tuple[str, ...]
    remarks: list[str]


def _ask(config: PredictConfig, files: Sequence[Path]) -> _Asked:
    with status("loading the model"):
        predictor = _predictor(config)
    with predictor:
        _check_size(predictor, config.image_size)
        outputs, read, faults = _outputs(predictor, config, files)
        if faults and not config.skip_unreadable:
            raise DataError(f"{describe(faults)}\nLeave them out with --skip-unreadable")
        if not read:
            raise DataError(f"{describe(faults)}\nName at least one image that can be read")
        predictions = predictor.interpret(outputs)
    failure, names = failure_of(predictor.file), unique_names(predictions.names)
    remarks = [f"Warning: {failure}"] if failure else []
    remarks += [f"{predictor.file.name}: {'; '.join(predictions.notes)}."] if predictions.notes else []
    remarks += [f"Left out: {describe(faults)}"] if faults else []
    return _Asked(_predictions(read, predictions, names), names, remarks)


def _check_size(predictor: Predictor, asked: int | None) -> None:
    size = predictor.size
    if asked is not None and size is not None and size != (asked, asked):
        what = f"takes images of {size[1]} x {size[0]} pixels, not {asked}"
        raise UsageError(f"{predictor.file} {what}; leave out --image-size")


def _predictor(config: PredictConfig) -> Predictor:
    return Predictor(
        config.model,
        labels=config.labels,
        locale=config.locale,
        task=config.task,
        resize=config.resize,
        background=config.background,
        levels=config.levels,
        image_size=config.image_size,
        mean=config.mean,
        std=config.std,
    )


def _outputs(
    predictor: Predictor, config: PredictConfig, files: Sequence[Path]
) -> tuple[np.ndarray, list[Path], list[ImageCheck]]:
    """Return the model's outputs, (images, outputs), for readable images, their paths, and the faults of the other images."""
    parts, read, faults = [], [], []
    starts = range(0, len(files), config.batch_size)
    for start in track(starts, len(files), "asking", step=config.batch_size, transient=True):
        batch, unreadable = _load(files[start : start + config.batch_size], predictor.load)
        faults += unreadable
        if faults and not config.skip_unreadable:
            continue  # name every unreadable image before stopping
        if batch:
            parts.append(predictor.predict(np.stack([pixels for _, pixels in batch])))
            read += [path for path, _ in batch]
    return np.concatenate(parts or [np.zeros((0, 0))]), read, faults


def _predictions(paths: Sequence[Path], predictions: Interpretation, names: Sequence[str]) -> Predictions:
    found = Predictions()
    for path, row, chosen in zip(paths, predictions.values, predictions.chosen, strict=True):
        values = {names[label]: float(row[label]) for label in TASKS[predictions.task].ranked(row)}
        found.append(Prediction(str(path), values, tuple(names[label] for label in chosen), predictions.task))
    return found


def _image_files(paths: Sequence[str]) -> Iterator[Path]:
    for text in paths:
        path = Path(text).expanduser()
        if os.path.isdir(path):
            found = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES
                and not os.path.isdir(file)  # broken links are named, as in `train`
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
            if not found:
                raise UsageError(f"the folder {path} holds no images")
            yield from found
        elif os.path.lexists(path):  # of any kind: `read_image` says what is wrong with it
            yield path
        else:
            raise UsageError(f"there is no image {path}")


def _load(
    files: Sequence[Path], decode: Callable[[bytes], np.ndarray]
) -> tuple[list[tuple[Path, np.ndarray]], list[ImageCheck]]:
    """Return the pixels of readable images, and what is wrong with the others."""

    def load(path: Path) -> np.ndarray | ImageCheck:
        try:
            return decode(read_image(path))
        except UnreadableImage as error:
            return ImageCheck(str(path), "", str(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = list(pool.map(load, files))
    pixels = [(path, one) for path, one in zip(files, loaded, strict=True) if isinstance(one, np.ndarray)]
    return pixels, [one for one in loaded if isinstance(one, ImageCheck)]


def _say(asked: _Asked, config: PredictConfig) -> None:
    with aside():
        for remark in asked.remarks:
            print_text(remark, wraps=False)
    if config.json:
        print(json.dumps([one.as_json() for one in asked.predictions], indent=2, ensure_ascii=False))
    elif config.output:
        print_path("answers", config.output)
    elif not console.in_notebook:  # a notebook displays the result
        print_table("", ("image", "answer"), [(one.path, one.text(config.top)) for one in asked.predictions])
