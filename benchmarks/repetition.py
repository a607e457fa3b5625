"""More images than there are: those of a set again and again, each a little changed, so that no two are duplicates."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from data.examples import Examples
from data.image.decoding import decode


def repeated(examples: Examples, number: int) -> Examples:
    """A set of `number` images: first those there are, then these shifted and tinted at random, each time in another way."""
    count = len(examples)

    def encoded(index: int) -> bytes:
        again, which = divmod(index, count)
        if not again:
            return examples.read(which)
        image = decode(examples.read(which))
        random = np.random.default_rng(index)
        shifted = np.roll(np.asarray(image), random.integers(1, max(image.size), 2), axis=(0, 1))
        return saved(Image.fromarray(np.clip(shifted + random.integers(-20, 20, 3), 0, 255).astype(np.uint8)))

    return replace(
        examples,
        keys=tuple(f"{index // count}/{examples.keys[index % count]}" for index in range(number)),
        labels=examples.labels.taken(np.arange(number) % count),
        read=encoded,
    )


def saved(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()
