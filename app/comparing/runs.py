"""The runs of a comparison with their test images and predictions, and the images that count for several of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.config import RunConfig, load_config
from app.interface.console import redirect_output
from app.interface.errors import UsageError
from app.job.splits import open_examples
from app.prediction.testing import predict_examples
from app.runs.folder import RunFolder
from app.runs.tested import read_test_predictions
from app.tasks import TASKS, Task
from app.tasks.pairing import Answers
from data.labels import Labels
from data.splits import read_rows, split_indices

_LISTED = 3  # names in an error message


@dataclass(frozen=True, eq=False)
class TestedRun:
    """A finished run with its predictions for its test images.

    Attributes:
        run: the run.
        name: the shortest end of its path that no other run of the comparison has.
        config: its options.
        trained: paths and digests of its training images, as `splits.csv` has them.
        tested: the same of its test images.
        labels: of the test images; the classes of all runs are in the same order.
        predictions: for the test images, float32 (n, outputs).
        thresholds: (outputs,), or None.
        predicted_again: the run folder has no predictions, so the model was asked again.
    """

    run: RunFolder
    name: str
    config: RunConfig
    trained: Sequence[dict[str, str]]
    tested: Sequence[dict[str, str]]
    labels: Labels
    predictions: np.ndarray
    thresholds: np.ndarray | None
    predicted_again: bool

    @property
    def task(self) -> Task:
        """Task of the run."""
        return TASKS[self.config.task]

    @property
    def exports(self) -> dict[str, dict[str, Any]]:
        """Figures of the exported files by format, from `parity.json`; empty if nothing was exported."""
        is_there = (self.run.export / "parity.json").is_file()
        return self.run.parity["formats"] if is_there else {}

    def answers(self, positions: np.ndarray) -> Answers:
        """Return the predictions for the test images at `positions`, and the thresholds."""
        return self.predictions[positions], self.thresholds


@dataclass(frozen=True, eq=False)
class Shared:
    """Test images that count for several runs.

    Attributes:
        positions: for each run, the positions of these images among its test images, int (n,).
        labels: their labels.
        trained_on: how many test images do not count, since one of the runs was trained on them.
        relabelled: how many do not count, since the runs label them differently.
        unshared: how many others are not in the test split of every run.
        repeated: how many files are in the test split of a run already; they count once.
    """

    positions: tuple[np.ndarray, ...]
    labels: Labels
    trained_on: int
    relabelled: int
    unshared: int
    repeated: int

    def __len__(self) -> int:
        return len(self.labels)


def open_runs(paths: Sequence[str]) -> list[TestedRun]:
    """Open finished runs of the same task and classes, with their predictions for their test images.

    A run of an earlier version, whose folder has no predictions, predicts its test images again.

    Raises:
        UsageError, DataError: a folder is not a finished run, two runs differ in their task or classes, or the images of a run
            that has to predict again cannot be found.

    Examples:
        >>> (run,) = open_runs(["runs/fruit"])
        >>> run.name, run.predictions.shape, run.predicted_again
        ('fruit', (3, 3), False)
        >>> open_runs(["runs/fruit", "runs/fruit"])
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/fruit is named twice; name each run once
    """
    folders = [RunFolder.open(path) for path in paths]
    resolved = [folder.path.resolve() for folder in folders]
    for index, path in enumerate(paths):
        if resolved[index] in resolved[:index]:
            raise UsageError(f"{path} is named twice; name each run once")
        folders[index].require(folders[index].report)
    for folder in folders[1:]:
        _check_same_kind(folders[0], folder)
    names = _names(resolved)
    return [_open(folder, name, folders[0].class_names) for folder, name in zip(folders, names, strict=True)]


def _check_same_kind(first: RunFolder, other: RunFolder) -> None:
    if other.task != first.task:
        kinds = (
            f"{first.path} predicts {TASKS[first.task].description}, and {other.path} {TASKS[other.task].description}"
        )
        raise UsageError(f"{kinds}; compare runs of the same task")
    for one, another in ((first, other), (other, first)):
        only = [name for name in one.class_names if name not in another.class_names]
        if only:
            listed = ", ".join(only[:_LISTED]) + (", …" if len(only) > _LISTED else "")
            units = TASKS[first.task].labels.units
            raise UsageError(
                f"{first.path} and {other.path} have different {units} (only in {one.path}: {listed}); "
                f"compare runs of the same {units}"
            )


def _open(run: RunFolder, name: str, class_names: Sequence[str]) -> TestedRun:
    config, rows = load_config(run.options), read_rows(run.splits)
    tested = [row for row in rows if row["split"] == "test"]
    kept = read_test_predictions(run)
    predictions = _predict_again(run, config) if kept is None else kept
    columns = [run.class_names.index(one) for one in class_names]
    thresholds = run.thresholds
    return TestedRun(
        run,
        name,
        config,
        [row for row in rows if row["split"] == "train"],
        tested,
        TASKS[config.task].labels.parse([row["label"] for row in tested], class_names),
        predictions[:, columns],
        None if thresholds is None else thresholds[columns],
        kept is None,
    )


def _predict_again(run: RunFolder, config: RunConfig) -> np.ndarray:
    examples, splits = open_examples(run)
    with redirect_output(Path(os.devnull)):
        return predict_examples(run, examples, split_indices(splits)["test"], config.batch_size)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell them apart."""
    for length in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def share(runs: Sequence[TestedRun]) -> Shared:
    """Select the test images that all runs share and none of them was trained on.

    An image is the same if its file is, by its SHA-256. Where runs of earlier versions did not record that, or the runs
    prepare images in different ways, it is the same if its path is.

    Raises:
        UsageError: there are fewer than two such images.

    Examples:
        >>> (run,) = open_runs(["runs/fruit"])
        >>> shared = share([run, run])
        >>> len(shared), shared.trained_on, shared.relabelled, shared.unshared
        (3, 0, 0, 0)
        >>> [positions.tolist() for positions in shared.positions]
        [[0, 1, 2], [0, 1, 2]]
    """
    key = _key(runs)
    places = [{row[key]: place for place, row in reversed(list(enumerate(run.tested)))} for run in runs]
    every = set().union(*places)
    trained = every & {row[key] for run in runs for row in run.trained}
    common = [one for one in places[0] if all(one in others for others in places) and one not in trained]
    common.sort(key=places[0].__getitem__)
    positions = np.array([[place[one] for one in common] for place in places], np.int64).reshape(len(runs), -1)
    arrays = [run.labels.array[some] for run, some in zip(runs, positions, strict=True)]
    same = np.array([all(np.array_equal(arrays[0][i], other[i]) for other in arrays) for i in range(len(common))], bool)
    found = Shared(
        tuple(some[same] for some in positions),
        runs[0].labels.taken(positions[0][same]),
        trained_on=len(trained),
        relabelled=int((~same).sum()),
        unshared=len(every) - len(trained) - len(common),
        repeated=max(len(run.tested) - len(place) for run, place in zip(runs, places, strict=True)),
    )
    if len(found) < 2:
        raise UsageError(_nothing_shared(runs, found))
    return found


def _key(runs: Sequence[TestedRun]) -> str:
    """Return the column of `splits.csv` by which images are the same."""
    digests = all(row.get("sha256") for run in runs for row in (*run.trained, *run.tested))
    alike = all(run.config.preparation == runs[0].config.preparation for run in runs)
    return "sha256" if digests and alike else "path"


def _nothing_shared(runs: Sequence[TestedRun], found: Shared) -> str:
    reasons = []
    if found.trained_on:
        reasons.append(f"{found.trained_on:,} are training images of another")
    if found.relabelled:
        reasons.append(f"{found.relabelled:,} have different labels")
    names, why = " and ".join(str(run.run.path) for run in runs), f" ({', '.join(reasons)})" if reasons else ""
    return (
        f"{names} share {'one test image' if len(found) else 'no test image'}{why}; "
        "train them on the same images with the same --seed, --validation-fraction and --test-fraction"
    )
