"""From the bytes of an image file to its pixels, unchanged and in augmented views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data.image.augmentation import AUGMENTATIONS, Augmentation, augment
from data.image.resizing import load_each_way
from data.timing import StageClock
from data.transform import Seed


@dataclass(frozen=True)
class ImageTransform:
    """A `data.transform.Transform` for images, to RGB pixels, uint8.

    Attributes:
        image_size: side of the square result, in pixels.
        resize: a key of `data.image.resizing.RESIZES`.
        augmentation: how strongly views differ from the image.
    """

    image_size: int
    resize: str
    augmentation: Augmentation = AUGMENTATIONS["none"]

    def __str__(self) -> str:
        return f"{self.image_size} px, {self.resize}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        return self.image_size, self.image_size, 3

    @property
    def dtype(self) -> str:
        """Always "uint8"."""
        return "uint8"

    @property
    def key(self) -> Mapping[str, Any]:
        """The size and the kind of resizing."""
        return {"image_size": self.image_size, "resize": self.resize}

    @property
    def view_key(self) -> Mapping[str, Any]:
        """All fields of the augmentation. Another augmentation makes new views of all images; unchanged images stay valid."""
        return asdict(self.augmentation)

    @property
    def is_augmented(self) -> bool:
        """Whether views differ from the unchanged image."""
        return self.augmentation != AUGMENTATIONS["none"]

    @property
    def is_live(self) -> bool:
        """Whether new views are drawn in every epoch."""
        return self.augmentation.live

    def views(
        self, encoded: bytes, seeds: Sequence[Seed], stages: StageClock, *, spare: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Make views as `data.transform.Transform.views` does, timed as "decode" (with resizing) and "augment".

        A seed gives the same view whatever the other seeds are, except for rounding of antialiased views, see
        `data.image.resizing.load_each_way`.

        Raises:
            UnreadableImage: see `data.image.decoding.decode`.
        """
        draws = [None if seed is None else np.random.default_rng(np.random.SeedSequence(seed)) for seed in seeds]
        ways = [random is not None and random.random() < self.augmentation.antialiased_resize for random in draws]
        with stages.time("decode"):
            also = {False} if spare else set[bool]()
            pixels = load_each_way(encoded, self.image_size, self.resize, set(ways), spare=also)
        views = [
            pixels[antialias] if random is None else self._augmented(pixels[antialias], random, stages)
            for antialias, random in zip(ways, draws, strict=True)
        ]
        return np.stack(views), pixels.get(False)

    def _augmented(self, pixels: np.ndarray, random: np.random.Generator, stages: StageClock) -> np.ndarray:
        with stages.time("augment"):
            return augment(pixels, random, self.augmentation)
