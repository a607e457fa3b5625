"""Predictions: one per image, a list of them, and a table on disk."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, overload

from app.prediction.inputs import ImageInput
from app.prediction.label_files import unique_names
from app.runs.display import THUMBNAIL, render
from app.runs.thumbnails import thumbnails_of_files
from app.tasks import TASKS
from data.files import atomic_write
from data.image.reading import read_image
from data.labels import SEPARATOR, SINGLE_LABEL

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COLUMNS = ("path", "label", "probability")
_MOST_SHOWN = 24  # in a notebook
_MOST_CLASSES = 3  # of a prediction


class Row(NamedTuple):
    """A line under a predicted image.

    Attributes:
        name: name of a class or a number.
        value: its probability or the number, as text.
        share: length of its bar, from 0 to 1; None for no bar.
        is_answer: whether the class is predicted.
    """

    name: str
    value: str
    share: float | None
    is_answer: bool


@dataclass(frozen=True, repr=False)
class Prediction:
    """Prediction of a model for one image.

    Attributes:
        path: path of the image, or another name of an image that is not a file.
        outputs: probability of each class, the likeliest class first; or numbers by name. A name that several classes have
            is followed by the number of the class.
        labels: the predicted classes: the likeliest class, the class on the right side of the threshold, or all classes that
            reach their thresholds. Empty for numbers, or if all classes are below the model's score threshold.
        task: a key of `app.tasks.TASKS`.
        source: the image, if it is not the file at `path`.

    Examples:
        >>> Prediction("apple.png", {"apple": 0.9, "pear": 0.1}, ("apple",), "single_label").label
        'apple'
        >>> Prediction("room.png", {"chair": 0.9, "table": 0.8}, ("chair", "table"), "multi_label").text(top=2)
        'chair 90.0%, table 80.0%'
    """

    path: str
    outputs: dict[str, float]
    labels: tuple[str, ...]
    task: str = SINGLE_LABEL
    source: ImageInput | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Prediction({self.path!r}: {self.text(1)})"

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()

    @property
    def probabilities(self) -> dict[str, float]:
        """`outputs` of a model that predicts probabilities."""
        return self.outputs

    @property
    def answers(self) -> dict[str, float]:
        """`outputs`, by its name in earlier versions."""
        return self.outputs

    @property
    def label(self) -> str | None:
        """The predicted class of a model with one class per image; None if all are below its score threshold."""
        return self.labels[0] if self.labels else None

    def read(self) -> bytes:
        """Return the image, as the content of an image file.

        Raises:
            UnreadableImage: the file does not exist any more.
        """
        return read_image(self.path) if self.source is None else self.source.read()

    def text(self, top: int) -> str:
        """Return the prediction in words; with one class per image, the `top` likeliest classes."""
        return _visible(TASKS[self.task].answer_text(self.outputs, self.labels, top))

    def as_json(self) -> dict[str, Any]:
        """Return the output of `--json`."""
        return {"path": self.path, **TASKS[self.task].answer_json(self.outputs, self.labels)}


class Predictions(list[Prediction]):
    """A list of predictions that displays itself in a notebook, next to the images."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> Predictions: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Prediction | Predictions:
        found = super().__getitem__(index)
        return Predictions(found) if isinstance(found, list) else found

    def _repr_html_(self) -> str:
        shown = self[:_MOST_SHOWN]
        thumbnails = thumbnails_of_files([one.read for one in shown], THUMBNAIL)
        return render(
            "predictions",
            cards=[
                (Path(one.path).name, one.path, prediction_rows(one), thumbnails.get(position))
                for position, one in enumerate(shown)
            ],
            more=len(self) - len(shown),
        )


def prediction_rows(one: Prediction) -> list[Row]:
    """Return the lines under a predicted image: the predicted classes first, then the next likeliest.

    Examples:
        >>> one = Prediction("apple.png", {"apple": 0.9, "pear": 0.1}, ("apple",), "single_label")
        >>> [row.value for row in prediction_rows(one)]
        ['90.0%', '10.0%']
        >>> prediction_rows(Prediction("apple.png", {"weight": 12.5}, (), "regression"))
        [Row(name='weight', value='12.5', share=None, is_answer=True)]
    """
    if not TASKS[one.task].decides:
        return [Row(name, f"{number:.4g}", None, True) for name, number in one.outputs.items()]
    names = list(dict.fromkeys([*one.labels, *one.outputs]))[: max(len(one.labels), _MOST_CLASSES)]
    rows = [Row(name, f"{one.outputs[name]:.1%}", one.outputs[name], name in one.labels) for name in names]
    return rows if one.labels else [Row("none", "", None, True), *rows]


def write_csv(path: Path, predictions: Sequence[Prediction], names: Sequence[str] = ()) -> None:
    """Write predictions as a table: `path`, `label` and `probability`, or `path` and a column for each number.

    Several labels are separated by "|", and so are their probabilities; both are empty if no class is predicted.

    Args:
        path: path of the file, which is written atomically.
        predictions: predictions of one model, at least one.
        names: classes whose probabilities get additional columns.

    Examples:
        >>> one = Prediction("apple.png", {"apple": 0.9, "pear": 0.1}, ("apple",), "single_label")
        >>> write_csv(Path("table.csv"), [one])
        >>> print(Path("table.csv").read_text())
        path,label,probability
        apple.png,apple,0.9
        >>> write_csv(Path("table.csv"), [one], names=["apple", "pear"])
        >>> print(Path("table.csv").read_text())
        path,label,probability,apple,pear
        apple.png,apple,0.9,0.9,0.1
    """
    decides = TASKS[predictions[0].task].decides
    fixed = _COLUMNS if decides else _COLUMNS[:1]
    others = names if decides else list(predictions[0].outputs)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*fixed, *unique_names(others, taken=fixed)])
        for one in predictions:
            writer.writerow([*_cells(one)[: len(fixed)], *(_number(one.outputs[name]) for name in others)])


def _cells(one: Prediction) -> tuple[str, str, str]:
    probabilities = (_number(one.outputs[name]) for name in one.labels)
    return one.path, SEPARATOR.join(one.labels), SEPARATOR.join(probabilities)


def _visible(text: str) -> str:
    """Return a text without characters that control a terminal, which names in a foreign file may contain."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _number(value: float) -> str:
    return f"{value:.7g}"
