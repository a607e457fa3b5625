"""Tiny images and folders of them, for tests."""

from __future__ import annotations

import colorsys
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("apple", "banana", "cherry", "damson", "elder", "fig", "grape", "haw", "ivy", "juniper")


def encode(pixels: np.ndarray | Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file; `options` are those of Pillow's `Image.save`."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def coloured(label: int, classes: int, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A noisy image in its class' colour: uint8 (height, width, 3); `size` is (width, height)."""
    colour = np.array(colorsys.hsv_to_rgb(label / classes, 0.8, 0.8)) * 255
    noise = random.normal(0, 20, (size[1], size[0], 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


def smooth(width: int, height: int, seed: int = 0) -> np.ndarray:
    """An image with edges and slopes, as photographs have: uint8 (height, width, 3)."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def write_folder(
    root: Path,
    classes: int = 3,
    examples: int = 8,
    size: tuple[int, int] = (40, 30),
    seed: int = 0,
    suffix: str = ".png",
) -> Path:
    """Write `root/CLASS/00.png` …: `examples` a class, each class in a colour of its own.

    Args:
        root: the folder to make.
        classes: how many, at most `len(NAMES)`; they are named by `NAMES`.
        examples: how many a class.
        size: (width, height).
        seed: of the noise that makes each image another.
        suffix: `.png`, `.jpg`, `.bmp`, `.gif` or `.webp`.

    Returns:
        `root`.
    """
    random = np.random.default_rng(seed)
    for label in range(classes):
        folder = root / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(examples):
            Image.fromarray(coloured(label, classes, size, random)).save(folder / f"{number:02d}{suffix}")
    return root
