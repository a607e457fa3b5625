"""More pictures than there are: those of a set again and again, each a little changed, so that no two are duplicates."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from data.decoding import decode
from data.pictures import PictureSet


def repeated(pictures: PictureSet, number: int) -> PictureSet:
    """A set of `number` pictures: first those there are, then these shifted and tinted at random, each time in another way."""
    count = len(pictures)

    def encoded(index: int) -> bytes:
        again, which = divmod(index, count)
        if not again:
            return pictures.encoded(which)
        image = decode(pictures.encoded(which))
        random = np.random.default_rng(index)
        shifted = np.roll(np.asarray(image), random.integers(1, max(image.size), 2), axis=(0, 1))
        return saved(Image.fromarray(np.clip(shifted + random.integers(-20, 20, 3), 0, 255).astype(np.uint8)))

    return replace(
        pictures,
        keys=tuple(f"{index // count}/{pictures.keys[index % count]}" for index in range(number)),
        labels=pictures.labels.taken(np.arange(number) % count),
        encoded=encoded,
    )


def saved(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()
