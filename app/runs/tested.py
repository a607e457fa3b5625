"""The predictions of a run for its test images, as its folder keeps them: what two runs are compared by."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import numpy as np

from app.interface.errors import UsageError
from app.runs.folder import RunFolder
from data.files import atomic_write
from data.splits import read_rows

FILE = "test_predictions.csv"
_PATH = "path"


def write_test_predictions(run: RunFolder, keys: Sequence[str], predictions: np.ndarray) -> None:
    """Write `test_predictions.csv`: the path of each test image, and the predictions in the order of the classes.

    Args:
        run: the run.
        keys: names of the test images.
        predictions: for these images, float32 (n, outputs). They are written with all their digits.

    Examples:
        >>> run = RunFolder.open("runs/fruit")
        >>> write_test_predictions(run, ["apple/00.png"], np.array([[0.9, 0.1, 0]], np.float32))
        >>> print((run.path / FILE).read_text(), end="")
        path,apple,banana,cherry
        apple/00.png,0.899999976,0.100000001,0
        >>> write_test_predictions(run, [], np.zeros((0, 3)))
        >>> print((run.path / FILE).read_text(), end="")
        path,apple,banana,cherry
    """
    with atomic_write(run.path / FILE) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([_PATH, *run.class_names])
        for key, row in zip(keys, predictions.tolist(), strict=True):
            writer.writerow([key, *(f"{value:.9g}" for value in row)])


def read_test_predictions(run: RunFolder) -> np.ndarray | None:
    """Read the predictions of a run for its test images, float32 (n, outputs), in the order of `splits.csv`.

    Returns:
        The predictions; None for a run of an earlier version, which wrote none.

    Raises:
        UsageError: the file is damaged, or is not about the test images of the run.

    Examples:
        >>> run = RunFolder.open("runs/fruit")
        >>> read_test_predictions(run).shape
        (3, 3)
        >>> (run.path / FILE).unlink()
        >>> read_test_predictions(run) is None
        True
    """
    path = run.path / FILE
    if not path.exists():
        return None
    tested = [row["path"] for row in read_rows(run.splits) if row["split"] == "test"]
    try:
        with open(path, encoding="utf-8", newline="") as file:
            titles, *rows = csv.reader(file)
        values = {key: np.array(numbers, np.float32) for key, *numbers in rows}
        predictions = np.stack([values[key] for key in tested])
        if titles != [_PATH, *run.class_names] or predictions.shape[1] != len(titles) - 1 or len(rows) != len(tested):
            raise ValueError("it is not about the test images and classes of the run")
    except (ValueError, LookupError) as error:
        raise UsageError(
            f"{path} is damaged ({error}); remove it, and the test images are predicted again"
        ) from error
    return predictions
