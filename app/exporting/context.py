"""Input of the export formats: a trained model and its description."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from app.exporting.converter import Converter
from app.exporting.metadata import Description
from app.exporting.quantization import Quantizer
from app.interface.stages import track
from models.heads import in_units, standardized

if TYPE_CHECKING:
    import keras


class ExportContext:
    """A trained model, ready for export. Parts that several formats share are computed on first use."""

    def __init__(
        self,
        model: keras.Model,
        *,
        description: Description,
        calibration: Callable[[], np.ndarray],
        scaling: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Store the model and what describes it.

        Args:
            model: from `models.builder.with_predictions`: probabilities, or numbers, for RGB pixels in [0, 255].
            description: for the metadata; the SavedModel decodes images according to it.
            calibration: returns training images, uint8 (n, size, size, 3), for the ranges of integer files.
            scaling: standard deviation and mean of the numbers in training, each float32 (numbers,).

        Attributes:
            network: the model that is quantised. Its numbers are standardised, so that their unit does not matter.
            model: has the same outputs as the given model; the last operations give numbers their units, in float32.
        """
        self.network = model if scaling is None else standardized(model, *scaling)
        self.model = model if scaling is None else in_units(self.network, *scaling)
        self.description, self.scaling = description, scaling
        self._calibration = calibration

    @cached_property
    def converter(self) -> Converter:
        """Converter of the network, without units and metadata."""
        return Converter(self.network)

    @cached_property
    def float32(self) -> bytes:
        """The float32 `.tflite` of the network, without units and metadata."""
        return self.converter.convert()

    @cached_property
    def layer_errors(self) -> dict[str, float]:
        """`Quantizer.layer_errors` of all layers. Slow, so it is computed once for all quantised files."""
        layers = self.quantizer.layers
        return self.quantizer.layer_errors(track(layers, len(layers), "layers", unit="layers"))

    @cached_property
    def quantizer(self) -> Quantizer:
        """Quantiser of the float32 file."""
        return Quantizer(self.float32, self._calibration())
