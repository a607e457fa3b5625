"""Predictions of a Keras model in this process for images of a run."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from app.interface.stages import track
from data.labels import Indices
from data.loading import Loader
from data.pipeline import evaluation_batches, naming_errors
from models.builder import forward_pass, with_predictions


def make_predict_function(model: keras.Model, loader: Loader, batch_size: int) -> Callable[[Indices], np.ndarray]:
    """Create a function that predicts some of the loader's images.

    Args:
        model: from `models.builder.build_model`; later changes of its weights change the predictions.
        loader: loader of the images.
        batch_size: images per batch.

    Returns:
        A function from positions of images, at least one, to the outputs of `models.builder.with_predictions`: probabilities
        or numbers, float32 (images, outputs), in the order of the positions.

    Examples:
        >>> from data.sources import open_source
        >>> from data.image.transform import ImageTransform
        >>> loader = Loader(open_source("images"), ImageTransform(8, "stretch"))
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
        >>> predict = make_predict_function(model, loader, batch_size=4)
        >>> from app.interface.events import listening
        >>> with listening([].append, alone=True):  # prints nothing
        ...     one, six = predict(np.array([0])), predict(np.arange(6))
        >>> one.shape
        (1, 3)
        >>> six.shape
        (6, 3)
    """
    forward = forward_pass(with_predictions(model))

    def predict(indices: Indices) -> np.ndarray:
        batches = track(evaluation_batches(loader, indices, batch_size), len(indices), "testing", step=batch_size)
        with naming_errors(loader):
            return np.concatenate([forward(pixels).numpy() for pixels, _ in batches])

    return predict
