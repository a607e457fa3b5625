"""What a Keras model says of pictures."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from app.console import track
from data.pictures import Indices
from data.pipeline import PictureLoader, evaluation_batches
from models.builder import with_answers


def answer(
    model: keras.Model, loader: PictureLoader, splits: Mapping[str, Indices], batch_size: int
) -> dict[str, np.ndarray]:
    """Ask a model about pictures.

    Args:
        model: from `models.builder.build_model`.
        loader: of the pictures.
        splits: by name, which of them, at least one.
        batch_size: pictures a step.

    Returns:
        By name, what `models.builder.with_answers` gives: probabilities or numbers, float32 (pictures, outputs), in the order
        of the split.
    """
    answering = with_answers(model)
    # Traced once: Keras' own `predict` does that anew for each size of batch, a second or more a time.
    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    predict = tf.function(lambda pixels: answering(pixels, training=False), input_signature=[pixels], autograph=False)
    answers = {}
    with loader.naming_errors():
        for split, indices in splits.items():
            batches = track(evaluation_batches(loader, indices, batch_size), len(indices), "testing", step=batch_size)
            answers[split] = np.concatenate([predict(pixels).numpy() for pixels, _ in batches])
    return answers
