"""Train, validation and test: seeded, stratified, and a picture of every class in each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from data.errors import DataError
from data.pictures import SPLITS, PictureSet

_COLUMNS = ("path", "label", "split")


def split_pictures(pictures: PictureSet, *, validation_fraction: float, test_fraction: float, seed: int) -> np.ndarray:
    """Give every picture a split, class by class.

    Splits that the source brings are kept; one of them that is missing is taken out of train.

    Args:
        pictures: the pictures, with or without splits of their own.
        validation_fraction: of each class, in (0, 1).
        test_fraction: of each class, in (0, 1); the two together are below 1.
        seed: the same seed gives the same splits for the same pictures.

    Returns:
        An array of `SPLITS` names, one a picture.

    Raises:
        DataError: a class has too few pictures for one in each split.
    """
    given = np.array(pictures.given_splits or ["train"] * len(pictures), dtype=object)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    wanted = {split: fraction for split, fraction in fractions.items() if split not in given}
    random = np.random.default_rng(seed)
    splits = given.copy()
    for label, name in enumerate(pictures.class_names):
        members = np.flatnonzero((pictures.labels == label) & (given == "train"))
        available = len(members)
        if available <= len(wanted):
            raise DataError(_too_few(name, available, pictures.given_splits is not None, list(wanted)))
        random.shuffle(members)
        for split, fraction in wanted.items():
            spare = len(members) - (len(wanted) - list(wanted).index(split))  # one for train and each split to come
            count = min(max(1, round(fraction * available)), spare)
            splits[members[:count]] = split
            members = members[count:]
    return splits


def _too_few(name: str, found: int, has_splits: bool, wanted: Sequence[str]) -> str:
    where = "in its train folder" if has_splits else ""
    pictures = "picture" if found == 1 else "pictures"
    need = f"one for train and one for each of {' and '.join(wanted)}" if wanted else "at least one for train"
    return f"class {name!r} has {found} {pictures} {where}".rstrip() + (
        f", but needs {len(wanted) + 1} ({need}); add pictures or remove the class"
    )


def write_splits(pictures: PictureSet, splits: Sequence[str] | np.ndarray) -> str:
    """The text of `splits.csv`: path,label,split, with the label by name."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for key, label, split in zip(pictures.keys, pictures.labels, splits, strict=True):
        writer.writerow((key, pictures.class_names[label], split))
    return file.getvalue()


def read_splits(text: str, pictures: PictureSet) -> tuple[PictureSet, np.ndarray]:
    """Give pictures the splits of an earlier run.

    Args:
        text: a `splits.csv`.
        pictures: the source of that run, opened again.

    Returns:
        The pictures named in the file, in its order, and their splits. Pictures and classes that came later are left out.

    Raises:
        DataError: the file is damaged, or pictures of it are gone or have another class now.
    """
    rows = _read_rows(text)
    index_of = {key: index for index, key in enumerate(pictures.keys)}
    gone = [row["path"] for row in rows if row["path"] not in index_of]
    if gone:
        raise DataError(
            f"{_counted(gone)} of this run no longer in {pictures.source} ({_first(gone)}); put back what is missing"
        )
    chosen = pictures.subset([index_of[row["path"]] for row in rows])
    moved = [
        row["path"]
        for row, label in zip(rows, chosen.labels, strict=True)
        if pictures.class_names[label] != row["label"]
    ]
    if moved:
        raise DataError(
            f"{_counted(moved)} of this run in another class of {pictures.source} now ({_first(moved)}); "
            "put back what was moved, or train a new run"
        )
    known = {row["label"] for row in rows}
    chosen = chosen.with_classes([name for name in pictures.class_names if name in known])
    return chosen, np.array([row["split"] for row in rows], dtype=object)


def _read_rows(text: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or any(set(row) != set(_COLUMNS) or row["split"] not in SPLITS for row in rows):
        raise DataError(f"the run's splits.csv is damaged; every line of it is {','.join(_COLUMNS)}")
    return rows


def _counted(names: Sequence[str]) -> str:
    return "1 picture is" if len(names) == 1 else f"{len(names)} pictures are"


def _first(names: Sequence[str]) -> str:
    return names[0] + (", …" if len(names) > 1 else "")


def split_indices(splits: np.ndarray) -> dict[str, np.ndarray]:
    """Where each split's pictures are: name -> int64 (n,)."""
    return {split: np.flatnonzero(splits == split) for split in SPLITS}
