"""Predictions of a run's model for examples of a source."""

from __future__ import annotations

import numpy as np

from app.interface.stages import status, track
from app.prediction.predictor import Predictor
from app.runs.folder import RunFolder
from data.examples import Examples
from data.image.transform import ImageTransform
from data.loading import Loader, batches_of, load_ahead


def predict_examples(run: RunFolder, examples: Examples, indices: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the predictions of a run's model for the examples at `indices`, float32 (n, outputs).

    Raises:
        UsageError, DataError: the run has no model, or an image can no longer be read.

    Examples:
        >>> from app.interface.events import listening
        >>> from data.sources import open_source
        >>> run, images = RunFolder.open("runs/fruit"), open_source("images")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     predictions = predict_examples(run, images, np.array([0, 8]), batch_size=32)
        >>> [run.class_names[one] for one in predictions.argmax(axis=1)]
        ['apple', 'banana']
        >>> predictions.shape
        (2, 3)
    """
    with status("loading the model"):
        predictor = Predictor(run, in_memory=True)
    with predictor:
        assert predictor.size is not None
        loader = Loader(examples, ImageTransform(predictor.size[0], predictor.resize))
        batches = track(batches_of(load_ahead(loader, indices), batch_size), len(indices), "testing", step=batch_size)
        return np.concatenate([predictor.predict(pixels) for pixels in batches])
