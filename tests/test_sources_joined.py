"""Sources that keep splits apart, joined into one set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.examples import Examples
from data.labels import MULTI_LABEL
from data.sources import SourceOptions, open_source
from data.splits import split_examples
from tests.images import write_folder
from tests.sources import different, refusal


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """A folder of three classes."""
    return write_folder(tmp_path / "train_it", classes=3, examples=3)


def write_list(folder: Path, labels: list[str], *, more: str = "", header: str = "path,label") -> Path:
    """A list `folder/list.csv` of images beside it."""
    folder.mkdir()
    rows = [f'{number}.png,"{label}"{more}' for number, label in enumerate(labels)]
    for number in range(len(labels)):
        (folder / f"{number}.png").write_bytes(different(number))
    (folder / "list.csv").write_text("\n".join([header, *rows]))
    return folder / "list.csv"


def opened(source: Path, **options: Any) -> Examples:
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    return open_source(str(source), SourceOptions(**texts))


def test_a_folder_with_a_list_for_the_test_and_a_folder_for_validation(train: Path, tmp_path: Path) -> None:
    test = write_list(tmp_path / "t", ["cherry", "apple"])
    validation = write_folder(tmp_path / "v", classes=2, examples=1, seed=1)
    (train / "notes.txt").touch()
    (validation / "notes.txt").touch()
    examples = opened(train, test=test, validation=validation)

    assert len(examples) == 9 + 2 + 2 == len(set(examples.keys))
    assert examples.source == str(train) and examples.class_names == ("apple", "banana", "cherry")
    assert examples.given_splits == ("train",) * 9 + ("validation",) * 2 + ("test",) * 2
    assert examples.keys[8:] == (
        "train/cherry/02.png",
        "validation/apple/00.png",
        "validation/banana/00.png",
        "test/0.png",
        "test/1.png",
    )
    assert examples.labels.array.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [0, 1] + [2, 0]
    assert examples.read(8) == (train / "cherry/02.png").read_bytes()
    assert examples.read(9) == (validation / "apple/00.png").read_bytes()
    assert examples.read(12) == different(1)
    assert examples.ignored["loose files"] == 2


def test_a_split_that_is_not_named_is_taken_out_of_train(train: Path, tmp_path: Path) -> None:
    examples = opened(train, test=write_folder(tmp_path / "t", examples=2, seed=1))
    splits = split_examples(examples, validation_fraction=0.3, test_fraction=0.3, seed=0)
    assert [list(splits).count(split) for split in ("train", "validation", "test")] == [6, 3, 6]
    assert all(key.startswith("test/") == (split == "test") for key, split in zip(examples.keys, splits, strict=True))


def test_a_set_that_brings_validation_and_one_for_the_test(tmp_path: Path) -> None:
    write_folder(tmp_path / "a" / "train", examples=2)
    write_folder(tmp_path / "a" / "val", examples=1)
    test = write_folder(tmp_path / "t" / "train", examples=1).parent  # all of it is for the test
    examples = opened(tmp_path / "a", test=test)
    assert examples.given_splits == ("train",) * 6 + ("validation",) * 3 + ("test",) * 3
    assert "has images for validation already; leave" in refusal(tmp_path / "a", validation=str(test))


def test_groups_and_weights(tmp_path: Path) -> None:
    header = "path,label,group,weight"
    train = write_list(tmp_path / "a", ["x", "y", "x"], header=header, more=",g,2")
    test = write_list(tmp_path / "b", ["x", "y"])
    examples = opened(train, test=test)
    assert examples.groups == ("g", "g", "g", "", "")
    assert examples.weights is not None and examples.weights.tolist() == [2, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("labels", "others", "task"),
    [
        (["0", "1"] * 3, ["0", "1"], "single_label"),  # alone, the two would be numbers
        (["1.5", "2"], ["1", "2", "1", "2", "1", "2"], "regression"),
        (["a|b", "c", ""], ["c", "a"], MULTI_LABEL),
        (["a;b", "c;b", ""], ["c;b", "a"], MULTI_LABEL),
    ],
)
def test_the_task_is_that_of_training(labels: list[str], others: list[str], task: str, tmp_path: Path) -> None:
    train, test = write_list(tmp_path / "a", labels), write_list(tmp_path / "b", others)
    examples = opened(train, test=test)
    assert examples.task == task and len(examples) == len(labels) + len(others)
    texts = [examples.labels.text(index).replace("|", ";") for index in range(len(labels), len(examples))]
    assert [set(text.split(";")) for text in texts] == [set(label.split(";")) for label in others]


def test_options_of_lists_are_for_lists(tmp_path: Path, train: Path) -> None:
    listed = write_list(tmp_path / "a", ["apple", "banana", "cherry"], header="path,kind")
    assert len(opened(listed, test=train, columns={"label": "kind"})) == 12


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["aple", "apple"], "('aple'); did you mean 'apple' by 'aple'?"),
        (["x1", "x2", "x3", "x4"], "('x1', 'x2', 'x3', …); rename or remove them"),
    ],
)
def test_other_classes(labels: list[str], message: str, train: Path, tmp_path: Path) -> None:
    assert message in refusal(train, test=str(write_list(tmp_path / "t", labels)))


def test_other_tasks_and_numbers(train: Path, tmp_path: Path) -> None:
    numbers = write_list(tmp_path / "a", ["1.5", "2"])
    assert "is single_label, which cannot be regression" in refusal(numbers, test=str(train))
    other = write_list(tmp_path / "b", ["1.5", "2"], header="path,target")
    assert "has the numbers target, but" in refusal(numbers, test=str(other))


def test_a_split_that_is_not_there(train: Path) -> None:
    assert "there is no folder" in refusal(train, test=f"{train}_no")
    assert "the source is empty" in refusal(train, validation="")
