"""What a Keras model says of pictures."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from app.config import load_config
from app.events import status, track
from app.runs import Run
from data.labels import Indices
from data.pictures import PictureSet
from data.pipeline import PictureLoader, evaluation_batches
from models.builder import forward_pass, load_model, with_answers


def predictor(model: keras.Model, loader: PictureLoader, batch_size: int) -> Callable[[Indices], np.ndarray]:
    """Make a function that asks a model about some of the loader's pictures.

    Args:
        model: from `models.builder.build_model`; when its weights change, so do the answers.
        loader: of the pictures.
        batch_size: pictures a step.

    Returns:
        A function from positions of pictures, at least one, to what `models.builder.with_answers` gives: probabilities or
        numbers, float32 (pictures, outputs), in the order of the positions.
    """
    forward = forward_pass(with_answers(model))

    def predict(indices: Indices) -> np.ndarray:
        batches = track(evaluation_batches(loader, indices, batch_size), len(indices), "testing", step=batch_size)
        with loader.naming_errors():
            return np.concatenate([forward(pixels).numpy() for pixels, _ in batches])

    return predict


def predictor_of_run(run: Run, pictures: PictureSet, batch_size: int) -> Callable[[Indices], np.ndarray]:
    """`predictor` of a run's model, for images of any source.

    Raises:
        UsageError, ModelError: the run has no model, or it is damaged.
    """
    with status("loading the model"):
        model = load_model(run.require(run.model))
    resize = load_config(run.options).resize
    return predictor(model, PictureLoader(pictures, model.input_shape[1], resize), batch_size)
