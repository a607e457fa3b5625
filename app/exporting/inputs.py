"""What a model file takes: the size, type and layout of its input, and how pixels become that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.interface.errors import UsageError


@dataclass(frozen=True)
class ModelInput:
    """The one input of a model file, for RGB images.

    Attributes:
        height: of the images, in pixels, as `width`.
        dtype: of the tensor, as NumPy calls it.
        channels_first: the tensor is (batch, 3, height, width) instead of (batch, height, width, 3).
        batch: images that each call takes; None for any number.
        mean: what is subtracted from pixels in [0, 255], one number or one a channel; None where the file does not say.
        std: what they are divided by after that.
        bgr: the channels are blue, green, red.
        scale: of the integers that stand for numbers, 0 for none; with `zero_point`, the integer that stands for 0.
    """

    height: int
    width: int
    dtype: str = "float32"
    channels_first: bool = False
    batch: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False
    scale: float = 0.0
    zero_point: int = 0

    @property
    def is_float(self) -> bool:
        """Whether pixels have to be scaled outside of the file, if at all; integers are scaled by their type."""
        return np.dtype(self.dtype).kind == "f"

    def batches(self, pixels: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """The tensors for images, uint8 (n, height, width, 3), and how many images each is about; the rest fills it up."""
        step = self.batch or max(len(pixels), 1)
        for start in range(0, len(pixels), step):
            chosen = pixels[start : start + step]
            count = len(chosen)
            if self.batch and count < step:
                chosen = np.concatenate([chosen, np.repeat(chosen[-1:], step - count, axis=0)])
            yield self._tensor(chosen), count

    def _tensor(self, pixels: np.ndarray) -> np.ndarray:
        values = self._values(pixels[..., ::-1] if self.bgr else pixels)
        return np.ascontiguousarray(np.moveaxis(values, -1, 1) if self.channels_first else values)

    def _values(self, pixels: np.ndarray) -> np.ndarray:
        kind = np.dtype(self.dtype)
        if kind == np.uint8:  # as MediaPipe Tasks: the type of the input is its scale
            return pixels
        if self.is_float:
            return self._normalized(pixels).astype(kind)
        if self.mean is not None and self.scale:
            integers, limits = np.rint(self._normalized(pixels) / self.scale) + self.zero_point, np.iinfo(kind)
            return np.clip(integers, limits.min, limits.max).astype(kind)
        # int8 has the same 256 levels, from -128.
        return (pixels ^ 128).view(np.int8) if kind == np.int8 else pixels.astype(kind)

    def _normalized(self, pixels: np.ndarray) -> np.ndarray:
        values = pixels.astype(np.float32)
        return (
            values if self.mean is None else (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        )


def model_input(
    shape: Sequence[int | None],
    dtype: str,
    path: Path,
    image_size: int | None = None,
    made_for: tuple[int, int] | None = None,
) -> ModelInput:
    """Find out what a file takes by the shape of its input.

    Args:
        shape: with None for what may be any number.
        dtype: of the tensor.
        path: the file, for messages.
        image_size: side of the images where the file takes any.
        made_for: height and width that the file says it was made for, if it does.

    Raises:
        UsageError: it takes no RGB images, or images of any size and nobody says which.
    """
    sides = [None if side is None else int(side) for side in shape]
    channels_first = len(sides) == 4 and sides[1] == 3 and sides[3] != 3
    batch, *others = sides if len(sides) == 4 else (None, None, None, 0)
    channels, height, width = others if channels_first else (others[2], others[0], others[1])
    if channels not in (3, None):
        raise UsageError(f"{path} does not take RGB images; its input has shape {tuple(sides)}")
    if height is None or width is None:
        made_for = (image_size, image_size) if image_size else made_for
        if made_for is None:
            raise UsageError(f"{path} takes images of any size; say which with --image-size, such as --image-size 224")
        height, width = height or made_for[0], width or made_for[1]
    return ModelInput(height, width, dtype, channels_first, batch)


def as_rows(predictions: np.ndarray, count: int) -> np.ndarray:
    """The answers to `count` images as (count, outputs), where they have other axes of one element only; else as they are."""
    predictions = np.asarray(predictions)
    if predictions.ndim == 1 and len(predictions) != count:
        predictions = predictions[None]  # one image, without an axis for the batch
    sides = [side for side in predictions.shape[1:] if side != 1]
    if predictions.ndim and len(predictions) == count and len(sides) <= 1:
        return predictions.reshape(count, -1)
    return predictions.reshape(1, 1) if not predictions.ndim else predictions
