"""The test images on which runs differ: what each run predicts, and small versions of the images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from app.comparing.runs import TestedRun, share
from app.interface.errors import UsageError
from app.runs.thumbnails import thumbnails_of_files
from data.errors import DataError
from data.examples import Examples
from data.image.decoding import UnreadableImage
from data.kept_images import open_images
from data.sources import open_source


@dataclass(frozen=True)
class Differing:
    """A test image that runs predict differently.

    Attributes:
        path: its path in the source of the first run.
        sha256: of its file; "" if the run did not record it.
        label: its label, as text.
        predictions: what each run predicts, as text with its probability.
        right: whether each run is right; None where predictions are numbers.
    """

    path: str
    sha256: str
    label: str
    predictions: tuple[str, ...]
    right: tuple[bool | None, ...]

    def of_each(self, names: Sequence[str]) -> list[tuple[str, str, bool | None]]:
        """Return for each run its name, what it predicts, and whether that is right."""
        return list(zip(names, self.predictions, self.right, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return the image as `--json` prints it."""
        return {
            "path": self.path,
            "label": self.label,
            "predictions": list(self.predictions),
            "right": list(self.right),
        }


def differing_examples(runs: Sequence[TestedRun]) -> list[Differing]:
    """Return the test images of all runs that they predict differently, those that only some have right first.

    For numbers, these are all of them, the largest differences first. The list is empty if the runs have no test images in
    common.

    Examples:
        >>> from dataclasses import replace
        >>> from app.comparing.runs import open_runs
        >>> (run,) = open_runs(["runs/fruit"])
        >>> differing_examples([run, run])
        []
        >>> other = replace(run, predictions=np.eye(3)[(run.predictions.argmax(axis=1) + 1) % 3])
        >>> found = differing_examples([run, other])
        >>> len(found), len(found[0].predictions)
        (3, 2)
    """
    try:
        shared = share(runs)
    except UsageError:  # each two of them share some, but all do not
        return []
    task, labels = runs[0].task, shared.labels
    answers = [run.answers(some) for run, some in zip(runs, shared.positions, strict=True)]
    disagreement = task.comparer.disagreement(answers, labels.array)
    found = []
    for one in np.argsort(-disagreement, kind="stable")[: np.count_nonzero(disagreement)].tolist():
        captions = [task.caption(values[one], labels.array[one], labels.names, limits) for values, limits in answers]
        row = runs[0].tested[shared.positions[0][one]]
        texts = tuple(text.partition("\n")[0] for text, _ in captions)
        right = tuple(is_right if task.decides else None for _, is_right in captions)
        found.append(Differing(row["path"], row.get("sha256") or "", labels.text(one), texts, right))
    return found


def thumbnails_of(run: TestedRun, examples: Sequence[Differing], size: int) -> dict[str, str]:
    """Return thumbnails of test images of a run, JPEG in base64, by path; images that changed or are gone are left out.

    Examples:
        >>> from app.comparing.runs import open_runs
        >>> (run,) = open_runs(["runs/fruit"])
        >>> thumbnails_of(run, [Differing("no_such_image.png", "", "apple", (), ())], 16)
        {}
        >>> thumbnails_of(run, [], 16)
        {}
    """
    try:
        images = _images(run)
    except (DataError, OSError):
        return {}
    places = {key: place for place, key in enumerate(images.keys)}
    there = [one for one in examples if one.path in places]
    readers: list[Callable[[], bytes]] = [partial(_read, images, places[one.path], one.sha256) for one in there]
    found = thumbnails_of_files(readers, size)
    return {there[position].path: encoded for position, encoded in found.items()}


def _images(run: TestedRun) -> Examples:
    """Return the images that a run keeps, otherwise those of its source, unchecked."""
    if run.run.images.is_file():
        return open_images(run.run.images, run.run.splits, run.run.class_names, run.config.task)[0]
    images = open_source(run.config.source, run.config.source_options)
    return replace(images, read=run.config.preparation.applied_to(images.read))


def _read(images: Examples, place: int, sha256: str) -> bytes:
    encoded = images.read(place)
    if sha256 and hashlib.sha256(encoded).hexdigest() != sha256:
        raise UnreadableImage(f"{images.keys[place]} has changed since it was tested")
    return encoded
