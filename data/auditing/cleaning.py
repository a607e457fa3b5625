"""A cleaned list of images: which stay, and the list as CSV. The images themselves are never touched."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.auditing.groups import find_conflicts, groups_in
from data.errors import DataError
from data.examples import Examples

# Of copies in several splits the one in the first of these stays: a test split is to stay as it is.
_STAYS = ("test", "validation", "train")


def worth_keeping(
    examples: Examples, shown: np.ndarray, suspects: Collection[int] = (), upright: np.ndarray | None = None
) -> np.ndarray:
    """Which images stay: one of those that show the same, and none of those whose labels contradict each other.

    Args:
        examples: those that can be read.
        shown: int64 (n,), the same number for images that show the same.
        suspects: others that are left out, by position.
        upright: as `shown`, but for images that are neither turned nor mirrored to each other; `shown` if it is not known.

    Returns:
        Positions, ascending.
    """
    stays = np.ones(len(examples), bool)
    stays[list(suspects)] = False
    splits = examples.given_splits
    conflicts = find_conflicts(examples, shown if upright is None else upright, shown)
    for members in groups_in(conflicts.alike):
        among = [one for one in members if stays[one]] or [members[0]]
        first = min(among, key=lambda one: (_STAYS.index(splits[one]), one)) if splits else among[0]
        kept = stays[first]
        stays[members] = False
        stays[first] = kept
    for members in conflicts.contradictions:
        stays[members] = False
    return np.flatnonzero(stays)


def write_list(
    examples: Examples, kept: Sequence[int] | np.ndarray, folder: Path, others: Mapping[str, str] | None = None
) -> str:
    """A list that is a source: `path,label`, with `split`, `group` and `weight` where the images have them.

    Several classes of an image have `|` between them; of several numbers, and of classes some of which are unknown, each
    has a column with its own name. Of images without labels, it has the paths alone.

    Args:
        examples: the images.
        kept: which of them to list.
        folder: where the list will lie; the paths are relative to it.
        others: where splits were kept apart (`data.sources.concatenating`), split -> its SOURCE.

    Raises:
        DataError: the images do not lie in files of their own.
    """
    labels, in_columns = examples.labels, examples.labels.needs_columns
    given = {"split": examples.given_splits, "group": examples.groups, "weight": examples.weights}
    extras = {name: values for name, values in given.items() if values is not None}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = labels.names if in_columns or not labels.names else ("label",)
    writer.writerow(["path", *names, *extras])
    files = _Files(examples.source, others or {})
    for one in kept:
        label = [f"{number:.7g}" for number in labels.array[one]] if in_columns else [labels.text(one)][: len(names)]
        path = _relative(files.find(examples.keys[one]), folder)
        writer.writerow([path, *label, *(values[one] for values in extras.values())])
    return text.getvalue()


class _Files:
    """The files that names of images stand for."""

    def __init__(self, source: str, others: Mapping[str, str]) -> None:
        self._source, self._others = source, others
        self._roots: dict[str, Path] = {}  # by source

    def find(self, key: str) -> Path:
        source = self._source
        if self._others:  # names begin with the split that they were joined by
            split, _, key = key.partition("/")
            source = self._others.get(split, source)
        if source not in self._roots:
            self._roots[source] = _root(source, key)
        return self._roots[source] / key


def _root(source: str, key: str) -> Path:
    """The folder that names of images start from: the source, or where the list lies that it is."""
    path = Path(os.path.expanduser(source))
    for root in (path, path.parent):
        if (root / key).is_file():
            return root
    raise DataError(
        f"the images of {source} lie in no files of their own, which a list could name; unpack them into a folder first"
    )


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.absolute().as_posix()
