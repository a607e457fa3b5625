"""Images that are kept apart from their source, in a ZIP file, for work that is to go on where the source is gone."""

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
    """Reads images from a ZIP file that stays open: its reads may come from several threads."""

    def __init__(self, file: Path, names: Sequence[str]) -> None:
        """Open the file.

        Raises:
            zipfile.BadZipFile: it is damaged.
        """
        self.file, self.names = file, names
        self._archive = zipfile.ZipFile(file)

    def __reduce__(self) -> tuple[type[ZippedImages], tuple[Path, Sequence[str]]]:
        return ZippedImages, (self.file, self.names)

    def __call__(self, index: int) -> bytes:
        """The bytes of an image.

        Raises:
            UnreadableImage: it is not kept, or damaged.
        """
        try:
            return self._archive.read(self.names[index])
        except (KeyError, zipfile.BadZipFile) as error:
            raise UnreadableImage(
                f"{self.file} does not hold it whole; remove that file, and the images of the source are read instead"
            ) from error


def write_images(examples: Examples, members: Iterable[int], file: Path) -> None:
    """Write the files of some images under their names, not compressed once more.

    Args:
        examples: the images.
        members: which of them.
        file: the ZIP file to write.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for index in members:
            archive.writestr(zipfile.ZipInfo(examples.keys[index]), examples.read(index))


def open_images(file: Path, splits: str, class_names: Sequence[str], task: str) -> tuple[Examples, np.ndarray]:
    """Open kept images as those of their run.

    Args:
        file: from `write_images`.
        splits: the text of a `splits.csv`, which names and labels all images, kept or not.
        class_names: those of the run.
        task: a key of `data.labels.LABELS`.

    Returns:
        All images that `splits` names, of which `read` gives those that are kept, and their splits.

    Raises:
        DataError: one of the files is damaged. `read` raises `UnreadableImage` for an image that is not kept.
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
