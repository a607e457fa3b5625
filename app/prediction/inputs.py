"""The images to predict, in every form that a user may have them: paths, file contents, PIL images and arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from app.interface.errors import UsageError
from data.image.decoding import SUFFIXES
from data.image.encoding import encode_image
from data.image.reading import read_image
from data.sources.names import check_key

OneInput: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
ImageInputs: TypeAlias = OneInput | Iterable[OneInput]

_CHANNELS = (3, 4)  # RGB, and RGB with alpha
_SHAPES = "(height, width, 3) or (n, height, width, 3)"


@dataclass(frozen=True)
class ImageInput:
    """One image to predict, or a folder of images.

    Attributes:
        name: its path, its file name as PIL knows it, or its position among all inputs, such as "image 0".
        content: a path, the content of an image file, a PIL image, or an array, uint8 (height, width) or
            (height, width, 3 or 4).
    """

    name: str
    content: Path | bytes | Image.Image | np.ndarray

    def read(self) -> bytes:
        """Return the content of an image file with this image.

        Raises:
            UnreadableImage: the file or the PIL image cannot be read.
        """
        match self.content:
            case Path():
                return read_image(self.content)
            case bytes():
                return self.content
            case np.ndarray():
                return encode_image(Image.fromarray(self.content))
        return encode_image(self.content)


def image_inputs(x: ImageInputs) -> list[ImageInput]:
    """List images, without reading any file.

    Args:
        x: see `app.Run.predict`.

    Raises:
        UsageError: something is not an image.

    Examples:
        >>> [one.name for one in image_inputs(["apple.png", np.zeros((2, 32, 32, 3), np.uint8)])]
        ['apple.png', 'image 1', 'image 2']
        >>> image_inputs(np.zeros((32, 32, 5), np.uint8))
        Traceback (most recent call last):
        app.interface.errors.UsageError: image 0 is an array of shape (32, 32, 5); give (height, width, 3) or ...
    """
    found: list[ImageInput] = []
    every: Iterable[Any] = [x] if _is_one(x) else x  # type: ignore[assignment]
    for one in every:
        for content in _contents(one, f"image {len(found)}"):
            found.append(ImageInput(_name(one) or f"image {len(found)}", content))
    return found


def _is_one(x: Any) -> bool:
    """Whether an input is not a sequence of images; an array of objects is a sequence, such as a column of paths."""
    if hasattr(x, "__array__") and not isinstance(x, str | bytes | Image.Image):
        return bool(np.asarray(x).dtype.kind not in "OUT")
    return isinstance(x, str | os.PathLike | bytes | bytearray | Image.Image | dict) or not isinstance(x, Iterable)


def _name(one: OneInput) -> str:
    """Return the path of an image, or its file name as PIL knows it, which is empty for an image made in memory."""
    if isinstance(one, Image.Image):
        return os.fsdecode(getattr(one, "filename", ""))
    return os.fspath(one) if isinstance(one, str | os.PathLike) else ""


def _contents(one: Any, name: str) -> Sequence[Path | bytes | Image.Image | np.ndarray]:
    """Return the images of one input: several, if it is an array of several."""
    if isinstance(one, str | os.PathLike):
        return [Path(one).expanduser()]
    if isinstance(one, bytes | bytearray):
        return [bytes(one)]
    if isinstance(one, Image.Image):
        return [one]
    if hasattr(one, "__array__"):
        return _images_of(np.asarray(one), name)
    raise UsageError(
        f"{name} is of the type {type(one).__name__}; give a path, the bytes of an image file, a PIL image, or an array "
        f"of RGB pixels, uint8 {_SHAPES}"
    )


def _images_of(pixels: np.ndarray, name: str) -> Sequence[np.ndarray]:
    if pixels.dtype != np.uint8:
        raise UsageError(
            f"{name} is an array of {pixels.dtype}; give RGB pixels from 0 to 255 as uint8, such as x.astype('uint8'), or "
            "(255 * x).astype('uint8') if they are from 0 to 1"
        )
    has_colours = pixels.ndim >= 3 and pixels.shape[-1] in _CHANNELS
    if 0 in pixels.shape[-3:] or pixels.ndim > 4 or not (has_colours or pixels.ndim == 2):
        raise UsageError(
            f"{name} is an array of shape {pixels.shape}; give {_SHAPES}, or (height, width) for greyscale"
        )
    return list(pixels) if pixels.ndim == 4 else [pixels]


def find_images(inputs: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """Yield the same images with those in a folder in its place, sorted by path; hidden files are left out.

    Raises:
        UsageError: a path does not exist, or a folder has no images.
        DataError: a name is not valid text.

    Examples:
        >>> len(list(find_images(image_inputs(["apple.png", "images"]))))
        25
        >>> list(find_images(image_inputs("pear.png")))
        Traceback (most recent call last):
        app.interface.errors.UsageError: there is no image pear.png
    """
    for one in inputs:
        files = _files(one.content) if isinstance(one.content, Path) else None
        for image in [one] if files is None else (ImageInput(str(file), file) for file in files):
            check_key(image.name)
            yield image


def _files(path: Path) -> list[Path]:
    if os.path.isdir(path):
        found = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in SUFFIXES
            and not os.path.isdir(file)  # broken links are named, as in `train`
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not found:
            raise UsageError(f"the folder {path} holds no images")
        return found
    if os.path.lexists(path):  # of any kind: `read_image` says what is wrong with it
        return [path]
    raise UsageError(f"there is no image {path}")
