"""Extraction works through images without holding them: its memory does not grow with their number."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest

from app.training import activations
from app.training.activations import Extractor, Views
from app.training.engines import Choice
from data.cache.activations import ActivationCache
from data.examples import Examples
from data.image.augmentation import AUGMENTATIONS
from data.image.transform import ImageTransform
from data.labels import SingleLabel
from data.loading import Loader
from tests.images import encode, smooth

SIZE = 64
FILE = encode(smooth(80, 60))
PIXELS = SIZE * SIZE * 3  # bytes of a view


@pytest.fixture
def bottom(monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    """The mean colour of an image, by NumPy: TensorFlow's own memory is not what is measured here."""
    pixels = keras.Input((SIZE, SIZE, 3))
    averages = keras.layers.GlobalAveragePooling2D()(pixels)

    def choose(*arguments: object) -> Choice:
        return Choice("numpy", lambda pixels: [pixels.mean(axis=(1, 2), dtype=np.float32)], 1.0)

    monkeypatch.setattr(activations, "choose_engine", choose)
    return keras.Model(pixels, averages, name="averages")


def peak_of_extraction(count: int, numbers: tuple[int, ...], bottom: keras.Model, folder: Path) -> int:
    """Most bytes that Python and NumPy held at once, beside what they held before."""
    digests = tuple(hashlib.sha256(str(number).encode()).hexdigest() for number in range(count))
    labels, keys = np.arange(count) % 2, tuple(map(str, range(count)))
    examples = Examples("memory", keys, SingleLabel(labels, ("a", "b")), lambda index: FILE, digests=digests)
    cache = ActivationCache(folder / f"{count}", 10**9)
    loader = Loader(examples, ImageTransform(SIZE, "stretch", AUGMENTATIONS["default"]))
    extractor = Extractor(loader, cache, backbone="averages", engine="auto")
    tracemalloc.start()
    try:
        (rows,) = extractor.rows(bottom, [bottom], [Views(np.arange(count), numbers)])
        assert len(rows) == count * len(numbers)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("numbers", [(0,), (0, 1, 2)])
def test_pixels_are_let_go(numbers: tuple[int, ...], bottom: keras.Model, tmp_path: Path) -> None:
    peak_of_extraction(40, numbers, bottom, tmp_path)  # what is imported and built at the first time stays
    few, many = (peak_of_extraction(count, numbers, bottom, tmp_path) for count in (100, 400))

    assert few > 32 * PIXELS  # a batch, so pixels are counted
    assert many < 1.5 * few
