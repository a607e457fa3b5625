"""Images that are kept apart from their source, in a ZIP file, for work that is to go on where the source is gone."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data.decoding import UnreadablePicture
from data.errors import DataError
from data.labels import LABELS
from data.pictures import PictureSet
from data.splits import read_rows


def write_images(pictures: PictureSet, members: Iterable[int], file: Path) -> None:
    """Write the files of some images under their names, not compressed once more.

    Args:
        pictures: the images.
        members: which of them.
        file: the ZIP file to write.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for index in members:
            archive.writestr(zipfile.ZipInfo(pictures.keys[index]), pictures.encoded(index))


def open_images(file: Path, splits: str, class_names: Sequence[str], task: str) -> tuple[PictureSet, np.ndarray]:
    """Open kept images as those of their run.

    Args:
        file: from `write_images`.
        splits: the text of a `splits.csv`, which names and labels all images, kept or not.
        class_names: those of the run.
        task: a key of `data.labels.LABELS`.

    Returns:
        All images that `splits` names, of which `encoded` gives those that are kept, and their splits.

    Raises:
        DataError: one of the files is damaged. `encoded` raises `UnreadablePicture` for an image that is not kept.
    """
    rows = read_rows(splits)
    try:
        archive = zipfile.ZipFile(file)  # stays open: its reads may come from several threads
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{file} is damaged; remove that file, and the images of the source are read instead"
        ) from error

    def encoded(index: int) -> bytes:
        try:
            return archive.read(rows[index]["path"])
        except (KeyError, zipfile.BadZipFile) as error:
            raise UnreadablePicture(
                f"{file} does not hold it whole; remove that file, and the images of the source are read instead"
            ) from error

    pictures = PictureSet(
        source=str(file),
        keys=tuple(row["path"] for row in rows),
        labels=LABELS[task].parse([row["label"] for row in rows], class_names),
        encoded=encoded,
    )
    return pictures, np.array([row["split"] for row in rows], dtype=object)
