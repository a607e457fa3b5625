"""What a Keras model says of pictures."""

from __future__ import annotations

import keras
import numpy as np

from app.console import track
from data.pictures import Indices
from data.pipeline import PictureLoader, evaluation_batches
from models.builder import with_answers


def answer(model: keras.Model, loader: PictureLoader, indices: Indices, batch_size: int) -> np.ndarray:
    """Ask a model about pictures.

    Args:
        model: from `models.builder.build_model`.
        loader: of the pictures.
        indices: which of them, at least one.
        batch_size: pictures a step.

    Returns:
        What `models.builder.with_answers` gives: probabilities or numbers, float32 (len(indices), outputs), in the order of
        `indices`.
    """
    predictor = with_answers(model)
    batches = evaluation_batches(loader, indices, batch_size)
    with loader.naming_errors():
        tracked = track(batches, len(indices), "testing", step=batch_size)
        return np.concatenate([predictor.predict_on_batch(pixels) for pixels, _ in tracked])
