"""Splits: seeded, stratified, never through a group, kept where the source brings them, and read back as written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.errors import DataError
from data.examples import SPLITS, Examples
from data.labels import LABELS, MULTI_LABEL, REGRESSION, MultiLabel, SingleLabel
from data.sources import open_source
from data.splits import changed_since, read_splits, split_indices, write_splits
from tests.images import write_folder
from tests.labelled import count, crossing, example_set, random_set, split

# --- Making them --------------------------------------------------------------------------------------------------------


def test_fractions_hold_in_every_class() -> None:
    examples = example_set(100, 40, 200)
    counts = count(examples, split(examples, validation=0.2, test=0.1))
    for name, total in zip("abc", (100, 40, 200), strict=True):
        assert counts[name, "validation"] == total * 0.2
        assert counts[name, "test"] == total * 0.1
        assert counts[name, "train"] == total * 0.7


@pytest.mark.parametrize("size", range(3, 12))
@pytest.mark.parametrize("fractions", [(0.15, 0.15), (0.01, 0.01), (0.6, 0.3), (0.01, 0.98)])
def test_every_class_is_in_every_split(size: int, fractions: tuple[float, float]) -> None:
    examples = example_set(size, size + 1, 3)
    counts = count(examples, split(examples, validation=fractions[0], test=fractions[1]))
    assert set(counts) == {(name, one) for name in "abc" for one in SPLITS}


def test_the_seed_decides() -> None:
    examples = example_set(30, 30)
    assert (split(examples, seed=1) == split(examples, seed=1)).all()
    assert (split(examples, seed=1) != split(examples, seed=2)).any()


def test_images_are_drawn_and_not_taken_from_the_front() -> None:
    examples = example_set(50, 50)
    drawn = [set(np.flatnonzero(split(examples, seed=seed) == "test").tolist()) for seed in range(20)]
    assert len(set.union(*drawn)) > 80  # the front alone is 16


def test_images_of_one_class_without_groups_are_split_as_they_always_were() -> None:
    """Runs and benchmarks of earlier versions stay comparable."""
    splits = split(example_set(12, 9, 5), seed=3)
    assert np.flatnonzero(splits == "validation").tolist() == [7, 11, 19, 23]
    assert np.flatnonzero(splits == "test").tolist() == [2, 10, 16, 24]


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_that_is_too_small_is_named(size: int) -> None:
    counted = "1 image" if size == 1 else "2 images"
    with pytest.raises(DataError, match=f"class 'b' has {counted}, but needs 3 .*; add images or remove the class"):
        split(example_set(10, size, 10))


def test_indices_hold_every_image_once() -> None:
    examples = example_set(10, 10)
    indices = split_indices(split(examples))
    assert tuple(indices) == SPLITS
    assert sorted(np.concatenate(list(indices.values())).tolist()) == list(range(20))


# --- Splits that the source brings ----------------------------------------------------------------------------------------


def test_given_splits_are_kept() -> None:
    given = ["train", "validation", "test", "train"] * 5
    assert split(example_set(10, 10, given=given), seed=3).tolist() == given


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_a_missing_split_is_taken_from_train(missing: str) -> None:
    kept = "test" if missing == "validation" else "validation"
    given = (["train"] * 20 + [kept] * 10) * 2
    examples = example_set(30, 30, given=given)
    splits = split(examples, validation=0.2, test=0.2)

    assert [one for one, was in zip(splits, given, strict=True) if was == kept] == [kept] * 20
    assert count(examples, splits) == {
        (name, one): {"train": 16, missing: 4, kept: 10}[one] for name in "ab" for one in SPLITS
    }


def test_train_alone_gives_both() -> None:
    examples = example_set(20, 20, given=["train"] * 40)
    assert set(split(examples)) == set(SPLITS)


def test_what_reaches_into_a_given_split_stays_where_it_is() -> None:
    given = (["train"] * 16 + ["test"] * 4) * 2
    groups = np.array(
        ["spans"] * 8 + [""] * 8 + ["spans"] * 4 + [f"pair {number // 2}" for number in range(16)] + [""] * 4
    )
    for seed in range(10):
        examples = replace(example_set(20, 20, given=given), groups=tuple(groups))
        splits = split(examples, validation=0.2, seed=seed)
        assert set(splits[:8]) == {"train"} and set(splits[16:20]) == {"test"}
        assert count(examples, splits)["a", "validation"] == 3
        assert crossing(examples.subset(range(20, 40)), splits[20:]) == []


def test_a_class_that_is_missing_from_the_given_train_is_named() -> None:
    with pytest.raises(DataError, match=r"class 'b' has 0 images in train, but needs 1"):
        split(example_set(4, 2, given=["train", "train", "validation", "test", "test", "validation"]))


# --- splits.csv -----------------------------------------------------------------------------------------------------------

ODD = ("a, b", 'c "d"', "е́ж 犬", " spaced ", "#e;f'")


def odd_set() -> Examples:
    keys = tuple(f"{name}/one\ntwo, {number}.png" for name in ODD for number in range(4))
    return Examples("odd", keys, SingleLabel(np.repeat(np.arange(len(ODD)), 4), ODD), lambda i: str(i).encode())


def test_the_file_is_a_plain_table() -> None:
    examples = example_set(1, 1)
    text = write_splits(examples, ["train", "test"])
    assert text == "path,label,split\na/0.png,a,train\nb/1.png,b,test\n"


def test_odd_names_survive_the_file(tmp_path: Path) -> None:
    examples = odd_set()
    splits = split(examples)
    file = tmp_path / "splits.csv"
    file.write_text(write_splits(examples, splits), encoding="utf-8")
    read, read_back = read_splits(file.read_text(encoding="utf-8"), examples)

    assert read.keys == examples.keys and read.class_names == ODD
    assert read.labels.array.tolist() == examples.labels.array.tolist()
    assert read_back.tolist() == splits.tolist()


@pytest.mark.parametrize("task", LABELS)
def test_labels_of_every_task_survive_the_file(task: str) -> None:
    examples = random_set(task, 60, 0)
    splits = split(examples)
    read, read_back = read_splits(write_splits(examples, splits), examples.subset(range(59, -1, -1)))
    assert read.keys == examples.keys and read.class_names == examples.class_names
    assert read.labels == examples.labels
    assert read_back.tolist() == splits.tolist()


@pytest.mark.parametrize(("task", "text"), [(MULTI_LABEL, "another class"), (REGRESSION, "another label")])
def test_other_labels_now_are_named(task: str, text: str) -> None:
    examples = random_set(task, 60, 0)
    labels = examples.labels.array.copy()
    labels[3, 1] = 1 - labels[3, 1]
    with pytest.raises(DataError, match=rf"1 image is .* {text} .*\(3\.png\)"):
        read_splits(
            write_splits(examples, split(examples)), replace(examples, labels=replace(examples.labels, array=labels))
        )


def test_a_class_of_several_that_came_later_is_left_out() -> None:
    examples = random_set(MULTI_LABEL, 60, 0)
    text = write_splits(examples, split(examples))
    wider = np.hstack([np.zeros((60, 1), np.float32), examples.labels.array])
    now = replace(examples, labels=MultiLabel(wider, ("new", *examples.class_names)))
    read, _ = read_splits(text, now)
    assert read.class_names == examples.class_names
    assert read.labels == examples.labels


def test_images_and_classes_that_came_later_are_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path, classes=3)
    first = open_source(str(tmp_path))
    splits = split(first)
    text = write_splits(first, splits)
    write_folder(tmp_path, classes=4, examples=10)  # two more a class, and a class more
    (tmp_path / "damson").rename(tmp_path / "aaa")  # whose name moves the labels of the others
    read, read_back = read_splits(text, open_source(str(tmp_path)))

    assert read.keys == first.keys and read.class_names == first.class_names
    assert read.labels.array.tolist() == first.labels.array.tolist()
    assert read_back.tolist() == splits.tolist()
    assert read.read(20) == (tmp_path / read.keys[20]).read_bytes()


@pytest.mark.parametrize("gone", [1, 2])
def test_images_that_are_gone_are_counted_and_one_is_named(gone: int) -> None:
    examples = example_set(5, 5)
    text = write_splits(examples, split(examples))
    left = examples.subset(range(gone, 10))
    with pytest.raises(DataError, match=rf"^{gone} image.* no longer in images \(a/0\.png"):
        read_splits(text, left)


def test_images_of_another_class_now_are_named() -> None:
    examples = example_set(5, 5)
    text = write_splits(examples, split(examples))
    labels = examples.labels.array.copy()
    labels[3] = 1
    moved = replace(examples, labels=replace(examples.labels, array=labels))
    with pytest.raises(DataError, match=r"1 image is .* another class .*a/3\.png"):
        read_splits(text, moved)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "path,label,split\n",
        "path;label;split\na/0.png;a;train\n",
        "path,label,split\na/0.png,a\n",
        "path,label,split\na/0.png,a,dev\n",
        "path,label,split\na/0.png,a,train,more\n",
    ],
)
def test_a_damaged_file_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"splits\.csv is damaged"):
        read_splits(text, example_set(2, 2))


def test_images_whose_files_changed_are_told_by_their_digests() -> None:
    examples = replace(example_set(2, 2), digests=("a", "b", "c", "d"))
    text = write_splits(examples, ["train", "train", "test", "test"])
    assert text.startswith("path,label,split,sha256\na/0.png,a,train,a\n")
    assert changed_since(text, read_splits(text, examples)[0]) == []
    assert changed_since(text, replace(examples, digests=("a", "x", "c", "y"))) == [examples.keys[1], examples.keys[3]]
    without = write_splits(example_set(2, 2), ["train", "train", "test", "test"])
    assert changed_since(without, examples) == []  # of an earlier version
