"""Size and speed of a backbone as an int8 `.tflite`, measured on this machine before anything is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from app.exporting.context import ExportContext
from app.exporting.metadata import Description
from app.exporting.tflite import write_int8
from app.prediction.predictor import Predictor
from models.builder import with_predictions

SECONDS = 1.0  # of measured calls, after a warm-up


class Footprint(NamedTuple):
    """What an int8 file takes.

    Attributes:
        size_mb: millions of bytes.
        median_ms: median time of one image with one thread, in milliseconds, on this machine.
    """

    size_mb: float
    median_ms: float


def footprint(model: keras.Model, pixels: np.ndarray) -> Footprint:
    """Quantise a model to int8, and measure the file in LiteRT with one thread.

    Args:
        model: from `models.build_model`; its head need not be trained.
        pixels: images that set the ranges of activations, uint8 (n, size, size, 3).

    Examples:
        >>> from models.builder import build_model
        >>> model = build_model("mobilenet_v3_small", num_classes=2, image_size=32, weights="none")
        >>> found = footprint(model, np.zeros((2, 32, 32, 3), np.uint8))
        >>> 0.5 < found.size_mb < 5
        True
        >>> found.median_ms > 0
        True
    """
    names = tuple(map(str, range(model.output_shape[1])))
    about = Description("ranking", "", "1", "", "", names)
    context = ExportContext(with_predictions(model), description=about, calibration=lambda: pixels)
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        file = Path(folder) / "model.tflite"
        write_int8(context, file)
        with Predictor(file, client="litert", threads=1) as predictor:
            latencies = predictor.latencies(SECONDS)
        return Footprint(file.stat().st_size / 1e6, float(np.median(latencies) * 1e3))
