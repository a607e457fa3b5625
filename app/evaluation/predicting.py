"""What a Keras model in this process predicts for images of a run."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from app.config import load_config
from app.events import status, track
from app.runs import Run
from data.labels import Indices
from data.loading import PictureLoader
from data.pictures import PictureSet
from data.pipeline import evaluation_batches, naming_errors
from models.builder import forward_pass, load_model, with_answers


def make_predict_function(
    model: keras.Model, loader: PictureLoader, batch_size: int
) -> Callable[[Indices], np.ndarray]:
    """Make a function that gives a model's predictions for some of the loader's images.

    Args:
        model: from `models.builder.build_model`; when its weights change, so do the predictions.
        loader: of the images.
        batch_size: images a step.

    Returns:
        A function from positions of images, at least one, to what `models.builder.with_answers` gives: probabilities or
        numbers, float32 (images, outputs), in the order of the positions.
    """
    forward = forward_pass(with_answers(model))

    def predict(indices: Indices) -> np.ndarray:
        batches = track(evaluation_batches(loader, indices, batch_size), len(indices), "testing", step=batch_size)
        with naming_errors(loader):
            return np.concatenate([forward(pixels).numpy() for pixels, _ in batches])

    return predict


def predict_function_of_run(run: Run, pictures: PictureSet, batch_size: int) -> Callable[[Indices], np.ndarray]:
    """`make_predict_function` of a run's model, for images of any source.

    Raises:
        UsageError, ModelError: the run has no model, or it is damaged.
    """
    with status("loading the model"):
        model = load_model(run.require(run.model))
    resize = load_config(run.options).resize
    return make_predict_function(model, PictureLoader(pictures, model.input_shape[1], resize), batch_size)
