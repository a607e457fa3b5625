"""Networks with random weights that answer as trained ones do: differently for different images, and calmly."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.images import smooth


def photographs(size: int, count: int = 8) -> np.ndarray:
    """Images that differ as photographs do, uint8 (count, size, size, 3); through noise a deep network sees no difference."""
    return np.stack([smooth(size, size, seed) for seed in range(count)])


def enliven(model: keras.Model, pixels: np.ndarray) -> None:
    """Give BatchNormalization the statistics of images: through random weights alone, nearly nothing reaches the end.

    Args:
        model: from `models.builder.build_model`; its dropout and stochastic depth, which training has, do not disturb.
        pixels: float32 (n, size, size, 3). Where the last feature maps are single pixels, or the images are noise, what
            is left of the images has next to no variance; dividing by it makes a network whose answers change with the
            rounding of a pixel.
    """
    with pytest.MonkeyPatch.context() as patch:
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                patch.setattr(layer, "momentum", 0.0)
            elif isinstance(layer, keras.layers.Dropout):
                patch.setattr(layer, "rate", 0.0)
        model(pixels, training=True)
