"""Source: the sample data that comes with scikit-learn, for trying Graft without a network."""

from __future__ import annotations

import difflib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from data.errors import DataError
from data.examples import Examples
from data.labels import SingleLabel

_SAMPLES = ("digits",)


@dataclass(frozen=True)
class _PngFiles:
    """Encode images, uint8 (n, height, width), as PNG files."""

    pixels: np.ndarray

    def __call__(self, index: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self.pixels[index]).save(file, format="PNG")
        return file.getvalue()


def open_sample(text: str) -> Examples:
    """Open `sample:digits`: 8 x 8 greyscale images of handwritten digits (UCI, Alpaydin and Kaynak 1998).

    Raises:
        DataError: there is no such sample.

    Examples:
        >>> examples = open_sample("sample:digits")
        >>> len(examples), examples.keys[0]
        (1797, 'digits/0000.png')
        >>> open_sample("sample:digit")
        Traceback (most recent call last):
            ...
        data.errors.DataError: there is no sample 'digit'. Did you mean sample:digits?
    """
    name = text.removeprefix("sample:")
    if name not in _SAMPLES:
        near = difflib.get_close_matches(name, _SAMPLES, n=1, cutoff=0.4)
        hint = f"Did you mean sample:{near[0]}?" if near else f"There is sample:{', sample:'.join(_SAMPLES)}"
        raise DataError(f"there is no sample {name!r}. {hint}")
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # scikit-learn counts ink from 0 to 16
    return Examples(
        source=text,
        keys=tuple(f"digits/{index:04d}.png" for index in range(len(pixels))),
        labels=SingleLabel(digits.target.astype(np.int64), tuple(str(digit) for digit in digits.target_names)),
        read=_PngFiles(pixels),
    )
