"""The input of a model file: its size, type and layout, and the conversion of pixels to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.interface.errors import UsageError


@dataclass(frozen=True)
class ModelInput:
    """The input of a model file that takes RGB images.

    Attributes:
        height: of the images, in pixels, as is `width`.
        dtype: NumPy name of the tensor's type.
        channels_first: the tensor is (batch, 3, height, width) instead of (batch, height, width, 3).
        batch: images per call; None for any number.
        mean: number, or one per channel, that is subtracted from pixels in [0, 255]; None where the file does not say.
        std: number, or one per channel, by which the difference is divided.
        bgr: the channels are blue, green, red.
        scale: scale of quantised values, 0 for none; `zero_point` is the integer that stands for 0.
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
        """Whether pixels are scaled outside the file, if at all; for integer inputs, the type implies the scale."""
        return np.dtype(self.dtype).kind == "f"

    def batches(self, pixels: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yield tensors for images, uint8 (n, height, width, 3), and the number of images in each; the rest is padding."""
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
        if kind == np.uint8:  # as in MediaPipe Tasks: the type of the input is its scale
            return pixels
        if self.is_float:
            return self._normalized(pixels).astype(kind)
        if self.mean is not None and self.scale:
            integers: np.ndarray = np.rint(self._normalized(pixels) / self.scale) + self.zero_point
            limits = np.iinfo(kind)
            return integers.clip(limits.min, limits.max).astype(kind)
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
    """Derive the input of a file from the shape of its tensor.

    Args:
        shape: shape of the tensor; None for a side of any size.
        dtype: type of the tensor.
        path: the file, for messages.
        image_size: side of the images if the file takes any size.
        made_for: height and width that the file states it was made for, if any.

    Raises:
        UsageError: the file does not take RGB images, or takes any size and the size is not given.

    Examples:
        >>> model_input([1, 224, 224, 3], "float32", Path("model.tflite"))
        ModelInput(height=224, width=224, dtype='float32', channels_first=False, batch=1, mean=None, std=(1.0,), bgr=False,
        scale=0.0, zero_point=0)
        >>> model_input([1, 10], "float32", Path("model.tflite"))
        Traceback (most recent call last):
        app.interface.errors.UsageError: model.tflite does not take RGB images; its input has shape (1, 10)
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
    """Reshape predictions for `count` images to (count, outputs) if all other axes have length 1; else return them as is.

    Examples:
        >>> as_rows(np.zeros((2, 1, 1, 3)), 2).shape
        (2, 3)
        >>> as_rows(np.zeros(3), 1).shape
        (1, 3)
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 1 and len(predictions) != count:
        predictions = predictions[None]  # one image, without an axis for the batch
    sides = [side for side in predictions.shape[1:] if side != 1]
    if predictions.ndim and len(predictions) == count and len(sides) <= 1:
        return predictions.reshape(count, -1)
    return predictions.reshape(1, 1) if not predictions.ndim else predictions
