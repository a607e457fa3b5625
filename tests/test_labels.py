"""Kinds of labels; and one that is made up, with a task, which everything from a list to a prediction takes as it is."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

import app
from app.config import load_config
from app.tasks import TASKS
from app.tasks.regression import RegressionTask
from app.verbs.list import list_choices
from data.errors import DataError
from data.labels import LABELS, Labelling, MultiLabel, Regression, SingleLabel
from data.labels.written import Written
from data.sources import open_source
from data.sources.options import SourceOptions
from models.heads import NUMBERS, OUTPUTS, Output
from tests.conftest import TINY
from tests.labelled import random_set
from tests.squares import write_squares

KINDS = tuple(LABELS)


@pytest.mark.parametrize("task", KINDS)
def test_labels_are_what_their_texts_say(task: str) -> None:
    labels = random_set(task, 60, 0).labels
    again = type(labels).parse([labels.text(index) for index in range(60)], labels.names)
    assert again.names == labels.names and again.array.dtype == labels.array.dtype
    np.testing.assert_allclose(again.array, labels.array, rtol=1e-6)


@pytest.mark.parametrize("task", KINDS)
def test_labels_are_equal_by_their_contents_and_can_be_pickled(task: str) -> None:
    labels = random_set(task, 60, 0).labels
    assert pickle.loads(pickle.dumps(labels)) == labels == labels.taken(range(60))
    assert labels.taken(range(30)).joined([labels.taken(range(30, 60))]) == labels
    assert labels != labels.taken(range(59)) and labels != labels.taken(range(59, -1, -1))
    assert labels != replace(labels, names=("a", "b", "d")) and labels != random_set(task, 60, 1).labels


@pytest.mark.parametrize("task", KINDS)
def test_strata_are_of_all_examples(task: str) -> None:
    labels = random_set(task, 60, 0).labels
    strata = labels.strata()
    held = [set(members.tolist()) for members in strata.members]
    if strata.required:
        assert [len(one) for one in held] == labels.counts().tolist()
        assert held == [set(np.flatnonzero(labels.has(label))) for label in range(3)]
    else:
        assert all(set().union(*held) == set(range(60)) for _ in labels.names) and labels.classes == ()
    assert sorted(labels.order().tolist()) == list(range(60))


def test_kinds_are_not_mixed_up() -> None:
    with pytest.raises(DataError, match="second is multi_label, but first is single_label; give the task"):
        SingleLabel(np.zeros(1, int), ("a",)).check_joins(MultiLabel(np.ones((1, 1)), ("a",)), "first", "second")


def test_lists_and_single_numbers_in_one_column_are_classes(tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    file.write_text('{"path": "0.png", "label": 1}\n{"path": "1.png", "label": [1, 2]}\n')
    for name in ("0.png", "1.png"):
        (tmp_path / name).touch()
    examples = open_source(str(file), SourceOptions())
    assert examples.labels == MultiLabel(np.array([[1, 0], [1, 1]], np.float32), ("1", "2"))


# --- A made-up kind -------------------------------------------------------------------------------------------------------


class Angle(Regression):
    """Degrees, with their sign in text."""

    task = "angle"
    unit, units = "angle", "angles"

    @classmethod
    def read(cls, written: Written) -> Labelling:
        """Take each cell for degrees."""
        bare = [[str(cell).removesuffix("°") for cell in column] for column in written.cells]
        return super().read(replace(written, cells=bare))._replace(reading="angles")

    @classmethod
    def parse(cls, texts: Sequence[str], names: Sequence[str]) -> Self:
        """The degrees that `text` has written."""
        return super().parse([text.removesuffix("°") for text in texts], names)

    def text(self, index: int) -> str:
        """The degrees."""
        return f"{super().text(index)}°"


class AngleTask(RegressionTask):
    """Learns degrees as numbers."""

    name = Angle.task
    description = "an angle in degrees"
    noun = "a protractor"

    def answer_text(self, predictions: Any, chosen: Sequence[str], top: int) -> str:
        """The degrees."""
        return ", ".join(f"{number:.0f}°" for number in predictions.values())


@pytest.fixture
def angle() -> Iterator[str]:
    """The name of a task that is in the tables for a test only: a class and a row in each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LABELS, Angle.task, Angle)
        patch.setitem(TASKS, Angle.task, AngleTask())
        patch.setitem(OUTPUTS, Angle.task, Output("angle", NUMBERS, "linear"))
        yield Angle.task


def test_a_task_is_a_row_in_each_table(
    angle: str, tiny_backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_squares(tmp_path / "squares")
    with open(folder / "numbers.csv") as file:
        rows = [(row["path"], f"{row['brightness']}°") for row in csv.DictReader(file)]
    with open(folder / "angles.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "turn"), *rows])
    options = {"strategy": "feature_extraction", "formats": ("tflite_float32",), "keep_images": True}
    run = app.train(
        str(folder / "angles.csv"), task=angle, columns=("label=turn",), output=str(tmp_path / "run"), **TINY | options
    )

    assert load_config(run.options).task == angle and run.parity["passed"] and run.metrics["test"]["r2"] < 1
    assert "read as angles" in " ".join(capsys.readouterr().out.split())
    assert f"{rows[0][0]},{rows[0][1]}," in run.splits
    assert ": a protractor" in (run.path / "model_card.md").read_text(encoding="utf-8")
    assert "an angle in degrees: 1 angles from" in run.report.read_text(encoding="utf-8")
    measured = app.evaluate(str(run.path))  # with the images that the run keeps, by the texts of their labels
    assert measured["mae"] == pytest.approx(run.metrics["test"]["mae"], rel=1e-3)
    (one,) = app.predict(str(run.path), [str(folder / rows[0][0])])
    assert one.task == angle and one.text(1) == f"{one.outputs['turn']:.0f}°"
    list_choices("tasks")
    assert "an angle in degrees" in capsys.readouterr().out
