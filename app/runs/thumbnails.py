"""Small JPEGs of images, in base64, for pages and notebooks."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from data.examples import Examples
from data.image.decoding import UnreadableImage, decode

Name = TypeVar("Name")
Place = TypeVar("Place")


def thumbnails(examples: Examples, keys: Collection[str], size: int) -> dict[str, str]:
    """Return thumbnails of a source's images, at most `size` pixels a side, by name; unreadable images are left out.

    Examples:
        >>> from data.sources import open_source
        >>> list(thumbnails(open_source("images"), ["apple/00.png"], 16))
        ['apple/00.png']
        >>> thumbnails(open_source("images"), ["apple/99.png"], 16)
        {}
    """
    places = {key: index for index, key in enumerate(examples.keys) if key in keys}
    return _thumbnails(places, examples.read, size)


def thumbnails_of_files(readers: Sequence[Callable[[], bytes]], size: int) -> dict[int, str]:
    """Return thumbnails of image files, at most `size` pixels a side, by position; unreadable files are left out.

    Examples:
        >>> from functools import partial
        >>> from data.image.reading import read_image
        >>> list(thumbnails_of_files([partial(read_image, "apple.png"), partial(read_image, "pear.png")], 16))
        [0]
        >>> thumbnails_of_files([lambda: b"no image"], 16)
        {}
    """
    return _thumbnails(dict(enumerate(readers)), lambda read: read(), size)


def _thumbnails(places: Mapping[Name, Place], read: Callable[[Place], bytes], size: int) -> dict[Name, str]:
    def thumbnail(place: Place) -> str | None:
        try:
            return _encode(decode(read(place)), size)
        except (UnreadableImage, OSError):  # the file may be gone by now
            return None

    with ThreadPoolExecutor() as pool:
        found = zip(places, pool.map(thumbnail, places.values()), strict=True)
        return {name: encoded for name, encoded in found if encoded is not None}


def _encode(image: Image.Image, size: int) -> str:
    image.thumbnail((size, size))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
