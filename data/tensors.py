"""Datasets of tensors as a source: their examples are written once, as image files and a list of them."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from data.errors import DataError
from data.examples import SPLITS
from data.files import atomic_write
from data.image.encoding import encode_image
from data.labels.arrays import cells_of_array, columns_of_array, names_of_array, task_of_array

LIST = "list.csv"
_INFINITE = -1  # what `tf.data.Dataset.cardinality` gives for one that repeats


class WrittenExamples(NamedTuple):
    """Examples on disk.

    Attributes:
        source: SOURCE string of their list.
        task: kind of their labels, a key of `data.labels.LABELS`.
        columns: roles of the list's columns, as `--columns` takes them.
    """

    source: str
    task: str
    columns: tuple[str, ...]


def write_examples(
    datasets: Sequence[Iterable[Any]],
    folder: Path,
    *,
    class_names: Sequence[str] | None = None,
    task: str | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> WrittenExamples:
    """Write the examples of datasets to a folder, from which they can be read again in any order.

    Args:
        datasets: one dataset, or those for training, validation and, optionally, test: each a `tf.data.Dataset`, or any
            iterable that can be read twice, of (image, label) or of batches of them. An image is RGB or grey, (height, width,
            3 or 1), of any size: uint8, or float in [0, 255], which is rounded. A label is the number of a class, a vector of
            0 and 1, or numbers.
        folder: folder to create.
        class_names: name of each class or number; None for its number.
        task: kind of the labels; None to find it in them.
        advance: called with the number of examples read so far.

    Returns:
        Where they are, and how they are read.

    Raises:
        DataError: a dataset is empty, never ends, gives other examples when it is read again, or holds something else than
            images and labels.

    Examples:
        >>> images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
        >>> written = write_examples([list(zip(images, labels))], Path("written"), class_names=["cat", "dog"])
        >>> print(Path(written.source).read_text())
        path,label
        000000.bmp,cat
        000001.bmp,dog
        000002.bmp,cat
        000003.bmp,dog
        >>> write_examples([list(zip(images / 255 - 0.5, labels))], Path("scaled"))
        Traceback (most recent call last):
        data.errors.DataError: example 0 of the training dataset has pixels from -0.5 to -0.5; give them from 0 to 255
    """
    if len(datasets) > len(SPLITS):
        raise DataError(f"{len(datasets)} datasets are given; give one, or those for {', '.join(SPLITS)}")
    with atomic_write(folder) as temporary:
        temporary.mkdir(parents=True)
        rows, labels = _write_images(datasets, temporary, advance)
        task = task or task_of_array(labels, class_names)
        names = names_of_array(labels, class_names, task)
        columns = _write_list(
            temporary / LIST, rows, cells_of_array(labels, names, task), columns_of_array(names, task)
        )
    return WrittenExamples(str(folder / LIST), task, columns)


def _write_images(
    datasets: Sequence[Iterable[Any]], folder: Path, advance: Callable[[int], None]
) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Write each image; return the file name and split of each, and all labels, (n, values)."""
    rows: list[tuple[str, str]] = []
    labels: list[np.ndarray] = []
    for split, dataset in zip(SPLITS, datasets, strict=False):
        name = {"train": "training"}.get(split, split)
        _check_finite(dataset, name)
        read: Counter[bytes] = Counter()
        for number, (image, label) in enumerate(_examples(dataset, name)):
            pixels = _pixels(image, f"example {number} of the {name} dataset")
            read[_digest(pixels, label)] += 1
            encoded = encode_image(Image.fromarray(pixels))
            file = f"{len(rows):06}{'.bmp' if encoded[:2] == b'BM' else '.png'}"
            (folder / file).write_bytes(encoded)
            rows.append((file, split))
            labels.append(np.atleast_1d(label))
            advance(len(rows))
        if not read:
            raise DataError(f"the {name} dataset is empty")
        if split == "train":
            _check_repeatable(dataset, read, name)
    if len({label.shape for label in labels}) > 1 or labels[0].ndim > 1:
        raise DataError(
            "the labels have different shapes; give one number, or one vector of the same length, per image"
        )
    return rows, np.stack(labels)


def _check_finite(dataset: Any, name: str) -> None:
    cardinality = getattr(dataset, "cardinality", None)
    if cardinality is not None and int(cardinality()) == _INFINITE:
        raise DataError(f"the {name} dataset never ends; take out repeat(), since Graft counts the epochs itself")


def _check_repeatable(dataset: Any, read: Counter[bytes], name: str) -> None:
    """Refuse a dataset that gives other examples when it is read again; another order does not matter."""
    again = Counter(_digest(_pixels(image, name), label) for image, label in _examples(dataset, name))
    if not again:
        raise DataError(f"the {name} dataset can be read only once; give a tf.data.Dataset, or a list")
    if again != read:
        raise DataError(
            f"the {name} dataset gives other images or labels when it is read again; take random changes out of it, since "
            "Graft augments images itself (augment=...)"
        )


def _examples(dataset: Any, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each image and its label, of a dataset with or without batches."""
    elements = dataset.as_numpy_iterator() if hasattr(dataset, "as_numpy_iterator") else iter(dataset)
    for element in elements:
        if not isinstance(element, tuple | list) or len(element) != 2:
            raise DataError(f"the {name} dataset must give pairs, (image, label), not {_described(element)}")
        image, label = np.asarray(element[0]), np.asarray(element[1])
        if image.ndim == 4:
            if label.ndim == 0 or len(label) != len(image):
                raise DataError(
                    f"a batch of the {name} dataset has {len(image)} images and labels of shape {label.shape}"
                )
            yield from zip(image, label, strict=True)
        else:
            yield image, label


def _described(element: Any) -> str:
    kind = type(element).__name__
    return f"{kind} of {len(element)}" if isinstance(element, tuple | list | dict) else kind


def _pixels(image: np.ndarray, what: str) -> np.ndarray:
    """Return uint8 (height, width) or (height, width, 3)."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise DataError(f"{what} has shape {image.shape}; an image is (height, width, 3) or (height, width, 1)")
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    looks_scaled = image.dtype.kind == "f" and high <= 1 and bool((image % 1).any())
    if low < 0 or high > 255 or looks_scaled:
        raise DataError(f"{what} has pixels from {low:.3g} to {high:.3g}; give them from 0 to 255")
    return np.asarray(np.rint(image), np.uint8)


def _digest(pixels: np.ndarray, label: np.ndarray) -> bytes:
    content = hashlib.sha256(str(pixels.shape).encode())
    content.update(np.ascontiguousarray(pixels).tobytes())
    content.update(np.ascontiguousarray(label).tobytes())
    return content.digest()


def _write_list(
    path: Path, rows: Sequence[tuple[str, str]], texts: Sequence[Sequence[str]], titles: Sequence[str]
) -> tuple[str, ...]:
    """Write the list; return the roles of its columns."""
    has_splits = len({split for _, split in rows}) > 1
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", *titles, *(["split"] if has_splits else [])])
        for (name, split), cells in zip(rows, texts, strict=True):
            writer.writerow([name, *cells, *([split] if has_splits else [])])
    roles = ("path=path", f"label={','.join(titles)}")
    return (*roles, "split=split") if has_splits else roles
