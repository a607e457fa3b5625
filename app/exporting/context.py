"""What the export formats are made from: a trained model and what is to be said of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from app.exporting.converter import convert
from app.exporting.metadata import Description
from app.exporting.quantization import Quantizer
from app.interface.events import track
from models.heads import in_units, standardized

if TYPE_CHECKING:
    import keras


class ExportContext:
    """A trained model, ready for export; what several formats share is made once, when it is first asked for."""

    def __init__(
        self,
        model: keras.Model,
        *,
        description: Description,
        calibration: Callable[[], np.ndarray],
        scaling: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Take what there is.

        Args:
            model: from `models.builder.with_predictions`: probabilities, or numbers, for RGB pixels in [0, 255].
            description: for the metadata; the SavedModel decodes images as it says.
            calibration: gives training images, uint8 (n, size, size, 3), for the ranges of integer files.
            scaling: the spread and the mean of numbers in training, each float32 (numbers,).

        Attributes:
            network: what is stored with fewer bits: the model, but numbers are standardised, so that their unit does not
                matter.
            model: answers as the given one does; numbers get their units by the last operations, in float32.
        """
        self.network = model if scaling is None else standardized(model, *scaling)
        self.model = model if scaling is None else in_units(self.network, *scaling)
        self.description, self.scaling = description, scaling
        self._calibration = calibration

    @cached_property
    def float32(self) -> bytes:
        """The float32 `.tflite` of the network, without units and metadata."""
        return convert(self.network)

    @cached_property
    def layer_errors(self) -> dict[str, float]:
        """`Quantizer.layer_errors` of all layers; it takes long, and all quantised files have the same."""
        layers = self.quantizer.layers
        return self.quantizer.layer_errors(track(layers, len(layers), "layers", unit="layers"))

    @cached_property
    def quantizer(self) -> Quantizer:
        """Makes integer files of the float32 one."""
        return Quantizer(self.float32, self._calibration())
