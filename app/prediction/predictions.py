"""What models say of images: one prediction an image, a list of them, and a table on disk."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, overload

from app.prediction.label_files import unique_names
from app.runs.display import THUMBNAIL, render
from app.runs.thumbnails import thumbnails_of_files
from app.tasks import TASKS
from data.files import atomic_write
from data.labels import SEPARATOR, SINGLE_LABEL

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COLUMNS = ("path", "label", "probability")
_MOST_SHOWN = 24  # in a notebook
_MOST_CLASSES = 3  # of a prediction


class Row(NamedTuple):
    """A line under a predicted image.

    Attributes:
        name: of a class or a number.
        value: its probability or the number, as text.
        share: the length of its bar, from 0 to 1; None for no bar.
        is_answer: whether the model answers with it.
    """

    name: str
    value: str
    share: float | None
    is_answer: bool


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a model says of one image.

    Attributes:
        path: of the image.
        outputs: each class's probability, the likeliest class first; or numbers by name. A name that several classes have
            is followed by the number of the class.
        labels: the classes that are answered: the likeliest one; or that on the right side of the threshold, or all of
            several labels that reach theirs. Empty where answers are numbers, or all below the model's score threshold.
        task: a key of `app.tasks.TASKS`.
    """

    path: str
    outputs: dict[str, float]
    labels: tuple[str, ...]
    task: str = SINGLE_LABEL

    def __repr__(self) -> str:
        return f"Prediction({self.path!r}: {self.text(1)})"

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()

    @property
    def probabilities(self) -> dict[str, float]:
        """The same, where they are probabilities."""
        return self.outputs

    @property
    def answers(self) -> dict[str, float]:
        """The same, by the name of earlier versions."""
        return self.outputs

    @property
    def label(self) -> str | None:
        """The class that is answered, of a model that answers with one; None where all are below its score threshold."""
        return self.labels[0] if self.labels else None

    def text(self, top: int) -> str:
        """The answer in words, of one class each image with the `top` likeliest classes."""
        return _visible(TASKS[self.task].answer_text(self.outputs, self.labels, top))

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"path": self.path, **TASKS[self.task].answer_json(self.outputs, self.labels)}


class Predictions(list[Prediction]):
    """A list of predictions that shows them in a notebook, beside their images."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> Predictions: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Prediction | Predictions:
        found = super().__getitem__(index)
        return Predictions(found) if isinstance(found, list) else found

    def _repr_html_(self) -> str:
        shown = self[:_MOST_SHOWN]
        return render(
            "predictions",
            cards=[(Path(one.path).name, one.path, prediction_rows(one)) for one in shown],
            thumbnails=thumbnails_of_files({one.path for one in shown}, THUMBNAIL),
            more=len(self) - len(shown),
        )


def prediction_rows(one: Prediction) -> list[Row]:
    """What a model says of an image, the answer first, then the next best classes."""
    if not TASKS[one.task].decides:
        return [Row(name, f"{number:.4g}", None, True) for name, number in one.outputs.items()]
    names = list(dict.fromkeys([*one.labels, *one.outputs]))[: max(len(one.labels), _MOST_CLASSES)]
    rows = [Row(name, f"{one.outputs[name]:.1%}", one.outputs[name], name in one.labels) for name in names]
    return rows if one.labels else [Row("none", "", None, True), *rows]


def write_csv(path: Path, predictions: Sequence[Prediction], names: Sequence[str] = ()) -> None:
    """Write predictions as a table: `path`, `label` and `probability`, or `path` and a column for each number.

    Several labels have "|" between them, and so have their probabilities; where there is no answer, both are empty.

    Args:
        path: of the file, which is there only once it is whole.
        predictions: at least one, of one model.
        names: classes whose probabilities get a column each, beside that of the answer.
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
    """A text without characters that control a terminal, which names in a file from elsewhere may hold."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _number(value: float) -> str:
    return f"{value:.7g}"
