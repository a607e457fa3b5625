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

# Of copies in several splits, the copy in the first of these stays, so that the test split keeps its images.
_STAYS = ("test", "validation", "train")


def worth_keeping(
    examples: Examples, shown: np.ndarray, suspects: Collection[int] = (), upright: np.ndarray | None = None
) -> np.ndarray:
    """Return which images stay: one of each group that shows the same, and none of those with contradictory labels.

    Args:
        examples: the readable images.
        shown: int64 (n,), the same number for images that show the same.
        suspects: positions of other images to leave out.
        upright: as `shown`, but for images that are neither turned nor mirrored to each other; None takes `shown`.

    Returns:
        Positions, ascending, int64.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> examples = open_folder("images").subset([0, 1, 8])  # two apples and a banana
        >>> worth_keeping(examples, np.array([0, 0, 2])).tolist()
        [0, 2]
        >>> worth_keeping(examples, np.array([0, 1, 0])).tolist()  # an apple and a banana that show the same
        [1]
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
    """Return a CSV list that is a source: `path,label`, with `split`, `group` and `weight` where the images have them.

    Several classes of an image are separated by `|`. Several numbers, and classes some of which are unknown, have a column
    each, with its own name. The list of images without labels has only paths.

    Args:
        examples: the images.
        kept: positions of the images to list.
        folder: where the list will be saved; the paths are relative to it.
        others: split -> its SOURCE, where splits were kept apart (`data.sources.concatenating`).

    Raises:
        DataError: the images are not files of their own.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> examples = open_folder("images")
        >>> print(write_list(examples, [0, 8], Path(".")), end="")
        path,label
        images/apple/00.png,apple
        images/banana/00.png,banana
        >>> write_list(examples, [0], Path("images/apple")).splitlines()[1]
        '00.png,apple'
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
    """Find the file of an image by its name."""

    def __init__(self, source: str, others: Mapping[str, str]) -> None:
        self._source, self._others = source, others
        self._roots: dict[str, Path] = {}  # by source

    def find(self, key: str) -> Path:
        source = self._source
        if self._others:  # names begin with their split, see `concatenate_splits`
            split, _, key = key.partition("/")
            source = self._others.get(split, source)
        if source not in self._roots:
            self._roots[source] = _root(source, key)
        return self._roots[source] / key


def _root(source: str, key: str) -> Path:
    """Return the folder that names of images start from: the source, or the folder of the list."""
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
