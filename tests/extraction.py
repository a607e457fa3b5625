"""Extractors over small images and a small network, for the tests of what they leave in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.training import activations
from app.training.activations import Extractor, Views
from app.training.engines import Choice
from data.cache.activations import ActivationCache
from data.cache.shards import Rows
from data.examples import Examples
from data.image.augmentation import AUGMENTATIONS, Augmentation
from data.image.transform import ImageTransform
from data.labels import SingleLabel
from data.loading import Loader
from models.backbones.spec import BACKBONE_LAYER
from models.builder import build_model
from models.freezing import freeze, unfreeze_from
from models.splitting import split
from tests.conftest import TINY_SPEC
from tests.images import encode, smooth

SIZE = 32
DEFAULT = AUGMENTATIONS["default"]
FILES = [encode(smooth(50, 40, seed=number)) for number in range(12)]
PLENTY = 10**9


def examples_of(files: Sequence[bytes]) -> Examples:
    """Image files in memory, as `app.interface.sources.open_readable` would give them."""
    return Examples(
        "memory",
        tuple(f"{number}.png" for number in range(len(files))),
        SingleLabel(np.arange(len(files)) % 2, ("a", "b")),
        lambda index: files[index],
        digests=tuple(hashlib.sha256(file).hexdigest() for file in files),
    )


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Three blocks and a linear head; its normalization does something."""
    model = build_model(TINY_SPEC, num_classes=2, image_size=SIZE, weights="none")
    random = np.random.default_rng(0)
    for layer in model.get_layer(BACKBONE_LAYER).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def features(model: keras.Model) -> keras.Model:
    """What is frozen while the head trains alone: vectors of 8."""
    freeze(model)
    return split(model)[0]


@pytest.fixture(scope="module")
def middle(model: keras.Model) -> keras.Model:
    """What is frozen while the last block trains: 8 x 8 x 8."""
    unfreeze_from(model, "block2_conv")
    return split(model)[0]


@pytest.fixture
def forwarded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the network took, the probe's left out; the network stays the same."""
    counts: list[int] = []
    real = activations.choose_engine

    def choose(*arguments: Any) -> Choice:
        choice = real(*arguments)

        def forward(pixels: np.ndarray) -> list[np.ndarray]:
            counts.append(len(pixels))
            return choice.forward(pixels)

        return replace(choice, forward=forward)

    monkeypatch.setattr(activations, "choose_engine", choose)
    return counts


@pytest.fixture
def extractor_of(tmp_path: Path) -> Callable[..., Extractor]:
    """Makes an extractor as another run would, over the one cache of the test."""

    def make(
        examples: Examples | None = None,
        augmentation: Augmentation = DEFAULT,
        *,
        size: int = SIZE,
        resize: str = "stretch",
        limit: int = PLENTY,
        engine: str = "tensorflow",
        folder: str = "cache",
    ) -> Extractor:
        loader = Loader(examples or examples_of(FILES), ImageTransform(size, resize, augmentation))
        cache = ActivationCache(tmp_path / folder, limit)
        return Extractor(loader, cache, backbone="tiny", engine=engine)

    return make


def seen(extractor: Extractor, bottom: keras.Model, *views: Views) -> list[np.ndarray]:
    """All rows of the views, of one bottom alone."""
    return [everything(rows) for rows in extractor.rows(bottom, [bottom], views)]


def rows_on_disk(extractor: Extractor, bottom: keras.Model) -> float:
    """With those that are there more than once."""
    partition = extractor.partition(bottom)
    return sum(path.stat().st_size for path in partition.folder.glob("*.bin")) / partition.row_bytes


def everything(rows: Rows) -> np.ndarray:
    return rows.take(np.arange(len(rows)))


def views_of(examples: Sequence[int], *numbers: int) -> Views:
    return Views(np.array(examples), numbers)


def through(bottom: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(bottom(pixels.astype(np.float32), training=False))


def assert_alike(rows: np.ndarray, expected: np.ndarray) -> None:
    """But for float16's rounding."""
    assert rows.dtype == np.float16
    np.testing.assert_allclose(rows, expected, rtol=2**-10, atol=1e-4 * float(np.abs(expected).max()))
