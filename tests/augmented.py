"""The loaders and data of tests with another augmentation."""

from __future__ import annotations

from dataclasses import replace

from app.training.fit_data import FitData
from data.image.augmentation import Augmentation
from data.image.transform import ImageTransform
from data.loading import Loader


def augmented(loader: Loader, augmentation: Augmentation) -> Loader:
    """A loader of the same examples whose views are changed in this way."""
    assert isinstance(loader.transform, ImageTransform)
    return Loader(loader.examples, replace(loader.transform, augmentation=augmentation))


def with_augmentation(data: FitData, augmentation: Augmentation) -> FitData:
    """The same data, changed in this way in training."""
    return replace(data, loader=augmented(data.loader, augmentation))
