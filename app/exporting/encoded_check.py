"""Check of the SavedModel's signature that decodes and resizes image files by itself."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import numpy as np

from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.saved_model import REFUSED, REFUSED_END
from app.exporting.verification import Verification, agreement_of
from app.interface.errors import UsageError
from app.prediction.predictor import Predictor

# TensorFlow's operations round the last bit of a few pixels differently from OpenCV's, so single images may differ a little
# more. A wrong channel order or resize would show in the mean.
ENCODED_TOLERANCE = 0.02
ENCODED_LARGEST = 0.1  # of a single image; a rotated image, or one in wrong colours, differs by more
UNREAD = "what TensorFlow's own decoders do not read"


def check_encoded(verification: Verification, model: Predictor, images: EvaluationSet) -> None:
    """Check that the `encoded` signature of a SavedModel agrees with the one that takes pixels, or refuses files with a reason.

    Args:
        verification: verification of the file, which gets the figures and failures.
        model: the SavedModel.
        images: images to compare on.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> images = EvaluationSet(Loader(open_source("images"), ImageTransform(32, "stretch")), np.array([0]), np.eye(3)[:1])
        >>> with Predictor("runs/fruit/export/model_float32.tflite") as model:  # has no such signature
        ...     check_encoded(Verification({}), model, images)
        Traceback (most recent call last):
        app.interface.errors.UsageError: ...
        >>> ENCODED_TOLERANCE < ENCODED_LARGEST
        True
    """
    predictions, refused = _encoded_predictions(model, images)
    for reason, count in Counter(refused.values()).items():
        verification.leave_out("the encoded signature", count, len(images), f"it refuses {reason}")
    taken = [index for index in range(len(images)) if index not in refused]
    verification.figures["encoded"] = {"pictures": len(taken), "refused": len(refused), "tolerance": ENCODED_TOLERANCE}
    if not taken:
        return
    task = images.task
    figures = agreement_of(np.concatenate(predictions), images, taken)
    largest, mean = (figures[name] for name in (task.difference, task.difference.replace("max", "mean")))
    kept = (task.score, f"{task.score}_drop", task.difference, task.difference.replace("max", "mean"))
    verification.figures["encoded"] |= {name: figures[name] for name in kept}
    if mean > ENCODED_TOLERANCE:
        verification.failures.append(f"its signature for image files differs by {mean:.2g} on average")
    elif largest > ENCODED_LARGEST:
        verification.failures.append(f"its signature for image files differs by {largest:.2g} for one of them")


def _encoded_predictions(model: Predictor, images: EvaluationSet) -> tuple[list[np.ndarray], dict[int, str]]:
    """Return the predictions for the accepted image files, in order, and the reasons for the refused ones, by position."""
    predictions: list[np.ndarray] = []
    refused: dict[int, str] = {}
    for batch in images.batches():
        files = images.encoded(batch)
        with suppress(UsageError):  # one refused file fails the whole batch
            predictions.append(model.predict_encoded(files, by_client=True))
            continue
        for index, file in zip(batch, files, strict=True):
            try:
                predictions.append(model.predict_encoded([file], by_client=True))
            except UsageError as error:
                refused[index] = _reason(error)
                model.predict(images.pixels([0]))  # raises if the process has ended, which is not the file's fault
                last = error
    if not predictions and UNREAD in refused.values():
        raise last
    return predictions, refused


def _reason(error: UsageError) -> str:
    """Return why the signature refuses a file: its own words, or a fixed text for TensorFlow's decoders, which vary."""
    _, refused, rest = str(error).partition(REFUSED)
    return rest.partition(REFUSED_END)[0] if refused else UNREAD
