"""What a Keras model says of pictures."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from app.console import track
from data.pictures import Indices
from data.pipeline import PictureLoader, evaluation_batches
from models.builder import with_answers


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
    answering = with_answers(model)
    # Traced once: Keras' own `predict` does that anew for each size of batch, a second or more a time.
    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    forward = tf.function(lambda pixels: answering(pixels, training=False), input_signature=[pixels], autograph=False)

    def predict(indices: Indices) -> np.ndarray:
        batches = track(evaluation_batches(loader, indices, batch_size), len(indices), "testing", step=batch_size)
        with loader.naming_errors():
            return np.concatenate([forward(pixels).numpy() for pixels, _ in batches])

    return predict
