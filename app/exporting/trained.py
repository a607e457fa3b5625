"""What the export formats are made from: a trained model and what is to be said of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from app.exporting.metadata import Description

if TYPE_CHECKING:
    import keras

    from app.exporting.quantization import Quantizer


class Trained:
    """A trained model, ready for export; what several formats share is made once, when it is first asked for."""

    def __init__(
        self, model: keras.Model, *, resize: str, description: Description, calibration: Callable[[], np.ndarray]
    ) -> None:
        """Take what there is.

        Args:
            model: from `models.builder.with_answers`: probabilities, or numbers, for RGB pixels in [0, 255].
            resize: the way its pictures were made square, a key of `data.decoding.RESIZES`.
            description: for the metadata.
            calibration: gives training pictures, uint8 (n, size, size, 3), for the ranges of integer files.
        """
        self.model, self.resize, self.description = model, resize, description
        self._calibration = calibration

    @cached_property
    def float32(self) -> bytes:
        """The float32 `.tflite`, without metadata."""
        from app.exporting.tflite import convert

        return convert(self.model)

    @cached_property
    def quantizer(self) -> Quantizer:
        """Makes integer files of the float32 one."""
        from app.exporting.quantization import Quantizer

        return Quantizer(self.float32, self._calibration())
