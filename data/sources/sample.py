"""Source: the sample data that comes with scikit-learn, so that Graft can show itself without a network."""

from __future__ import annotations

import difflib
import io

import numpy as np
from PIL import Image

from data.errors import DataError
from data.labels import SingleLabel
from data.pictures import PictureSet

_SAMPLES = ("digits",)


def open_sample(text: str) -> PictureSet:
    """Open `sample:digits`: 8 x 8 greyscale pictures of handwritten digits (UCI, Alpaydin and Kaynak 1998).

    Raises:
        DataError: there is no such sample.
    """
    name = text.removeprefix("sample:")
    if name not in _SAMPLES:
        near = difflib.get_close_matches(name, _SAMPLES, n=1, cutoff=0.4)
        hint = f"Did you mean sample:{near[0]}?" if near else f"There is sample:{', sample:'.join(_SAMPLES)}"
        raise DataError(f"there is no sample {name!r}. {hint}")
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = np.round(digits.images * (255 / 16)).astype(np.uint8)  # scikit-learn counts ink from 0 to 16

    def encoded(index: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pictures[index]).save(file, format="PNG")
        return file.getvalue()

    return PictureSet(
        source=text,
        keys=tuple(f"digits/{index:04d}.png" for index in range(len(pictures))),
        labels=SingleLabel(digits.target.astype(np.int64), tuple(str(digit) for digit in digits.target_names)),
        encoded=encoded,
    )
