"""Images kept apart from their source, in a ZIP file, so that work can go on where the source is gone."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.examples import Examples
from data.image.decoding import UnreadableImage
from data.labels import LABELS
from data.splits import read_rows


class ZippedImages:
    """Read images from a ZIP file that stays open; several threads may read at once."""

    def __init__(self, file: Path, names: Sequence[str]) -> None:
        """Open the file.

        Raises:
            zipfile.BadZipFile: the file is damaged.
        """
        self.file, self.names = file, names
        self._archive = zipfile.ZipFile(file)

    def __reduce__(self) -> tuple[type[ZippedImages], tuple[Path, Sequence[str]]]:
        return ZippedImages, (self.file, self.names)

    def __call__(self, index: int) -> bytes:
        """Return the bytes of an image file.

        Raises:
            UnreadableImage: the image is not kept, or is damaged.
        """
        try:
            return self._archive.read(self.names[index])
        except (KeyError, zipfile.BadZipFile) as error:
            raise UnreadableImage(
                f"{self.file} does not hold it whole; remove that file, and the images of the source are read instead"
            ) from error


def write_images(examples: Examples, members: Iterable[int], file: Path) -> None:
    """Write the files of some images under their names, without further compression.

    Args:
        examples: the images.
        members: positions of the images to write.
        file: the ZIP file to write.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> write_images(open_folder("images"), [0, 8], Path("kept.zip"))
        >>> zipfile.ZipFile("kept.zip").namelist()
        ['apple/00.png', 'banana/00.png']
        >>> zipfile.ZipFile("kept.zip").read("apple/00.png") == Path("images/apple/00.png").read_bytes()
        True
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for index in members:
            archive.writestr(zipfile.ZipInfo(examples.keys[index]), examples.read(index))


def open_images(file: Path, splits: str, class_names: Sequence[str], task: str) -> tuple[Examples, np.ndarray]:
    """Open kept images as the examples of their run.

    Args:
        file: a ZIP file from `write_images`.
        splits: the text of a `splits.csv`, which names and labels all images of the run, kept or not.
        class_names: names of the classes of the run.
        task: a key of `data.labels.LABELS`.

    Returns:
        All images that `splits` names, and their splits, object (n,). Only kept images can be read.

    Raises:
        DataError: one of the files is damaged. `read` raises `UnreadableImage` for an image that is not kept.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> from data.splits import write_splits
        >>> fruit = open_folder("images").subset([0, 8])
        >>> write_images(fruit, [0], Path("kept.zip"))
        >>> text = write_splits(fruit, ["train", "test"])
        >>> examples, splits = open_images(Path("kept.zip"), text, fruit.class_names, "single_label")
        >>> examples.keys, splits.tolist()
        (('apple/00.png', 'banana/00.png'), ['train', 'test'])
        >>> examples.read(1)
        Traceback (most recent call last):
            ...
        data.image.decoding.UnreadableImage: kept.zip does not hold it whole; ...
    """
    rows = read_rows(splits)
    keys = tuple(row["path"] for row in rows)
    try:
        read = ZippedImages(file, keys)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{file} is damaged; remove that file, and the images of the source are read instead"
        ) from error
    examples = Examples(
        source=str(file),
        keys=keys,
        labels=LABELS[task].parse([row["label"] for row in rows], class_names),
        read=read,
    )
    return examples, np.array([row["split"] for row in rows], dtype=object)
