"""Prediction of images in any form, by any model file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.config import PredictConfig
from app.interface.console import aside, console, redirect_output
from app.interface.errors import UsageError
from app.interface.stages import status, track
from app.prediction.descriptions import failure_of
from app.prediction.inputs import ImageInput, find_images
from app.prediction.interpretation import Interpretation
from app.prediction.label_files import unique_names
from app.prediction.predictions import Prediction, Predictions
from app.prediction.predictor import Predictor
from app.tasks import TASKS
from data.checking import ImageCheck, describe
from data.errors import DataError
from data.image.decoding import UnreadableImage


class Predicted(NamedTuple):
    """Predictions for the readable images, the names of the classes, and notes about all of them."""

    predictions: Predictions
    names: tuple[str, ...]
    remarks: list[str]


def predict_images(config: PredictConfig, inputs: Sequence[ImageInput]) -> Predicted:
    """Predict images with a model.

    Args:
        config: the model and how it is used; `paths` is not read.
        inputs: from `app.prediction.inputs.image_inputs`.

    Raises:
        UsageError, DataError: the model or an image does not exist, or images cannot be read.

    Examples:
        >>> from app.config import make_config
        >>> from app.interface.events import listening
        >>> from app.prediction.inputs import image_inputs
        >>> config = make_config(PredictConfig, model="runs/fruit", paths=["apple.png"])
        >>> with listening([].append, alone=True):  # prints nothing
        ...     predicted = predict_images(config, image_inputs("apple.png"))
        >>> predicted.predictions, predicted.names
        ([Prediction('apple.png': apple 98.8%)], ('apple', 'banana', 'cherry'))
        >>> predict_images(config, image_inputs("pear.png"))
        Traceback (most recent call last):
        app.interface.errors.UsageError: there is no image pear.png
    """
    images = list(find_images(inputs))
    # In a pipe, standard output holds only the predictions.
    with aside(config.json or not console.is_watched), redirect_output(Path(os.devnull)):
        return _predict(config, images)


def _predict(config: PredictConfig, images: Sequence[ImageInput]) -> Predicted:
    with status("loading the model"):
        predictor = _predictor(config)
    with predictor:
        _check_size(predictor, config.image_size)
        outputs, read, faults = _outputs(predictor, config, images)
        if faults and not config.skip_unreadable:
            raise DataError(f"{describe(faults)}\nLeave them out with --skip-unreadable")
        if not read:
            raise DataError(f"{describe(faults)}\nName at least one image that can be read")
        predictions = predictor.interpret(outputs)
    failure, names = failure_of(predictor.file), unique_names(predictions.names)
    remarks = [f"Warning: {failure}"] if failure else []
    remarks += [f"{predictor.file.name}: {'; '.join(predictions.notes)}."] if predictions.notes else []
    remarks += [f"Left out: {describe(faults)}"] if faults else []
    return Predicted(_predictions(read, predictions, names), names, remarks)


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
        in_memory=True,
    )


def _outputs(
    predictor: Predictor, config: PredictConfig, images: Sequence[ImageInput]
) -> tuple[np.ndarray, list[ImageInput], list[ImageCheck]]:
    """Return the model's outputs, (images, outputs), for readable images, these images, and the faults of the others."""
    parts, read, faults = [], [], []
    starts = range(0, len(images), config.batch_size)
    for start in track(starts, len(images), "asking", step=config.batch_size, transient=True):
        batch, unreadable = _load(images[start : start + config.batch_size], predictor.load)
        faults += unreadable
        if faults and not config.skip_unreadable:
            continue  # name every unreadable image before stopping
        if batch:
            parts.append(predictor.predict(np.stack([pixels for _, pixels in batch])))
            read += [image for image, _ in batch]
    return np.concatenate(parts or [np.zeros((0, 0))]), read, faults


def _predictions(images: Sequence[ImageInput], predictions: Interpretation, names: Sequence[str]) -> Predictions:
    found = Predictions()
    for image, row, chosen in zip(images, predictions.values, predictions.chosen, strict=True):
        values = {names[label]: float(row[label]) for label in TASKS[predictions.task].ranked(row)}
        labels = tuple(names[label] for label in chosen)
        source = None if isinstance(image.content, Path) else image
        found.append(Prediction(image.name, values, labels, predictions.task, source))
    return found


def _load(
    images: Sequence[ImageInput], decode: Callable[[bytes], np.ndarray]
) -> tuple[list[tuple[ImageInput, np.ndarray]], list[ImageCheck]]:
    """Return the pixels of readable images, and what is wrong with the others."""

    def load(image: ImageInput) -> np.ndarray | ImageCheck:
        try:
            return decode(image.read())
        except UnreadableImage as error:
            return ImageCheck(image.name, "", str(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = list(pool.map(load, images))
    pixels = [(image, one) for image, one in zip(images, loaded, strict=True) if isinstance(one, np.ndarray)]
    return pixels, [one for one in loaded if isinstance(one, ImageCheck)]
