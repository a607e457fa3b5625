"""Splits: seeded, stratified, never through a group, kept where the source brings them, and read back as written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.errors import DataError
from data.labels import LABELS, MULTI_LABEL, REGRESSION, MultiLabel, SingleLabel
from data.pictures import SPLITS, PictureSet
from data.sources import open_source
from data.splits import changed_since, read_splits, split_indices, write_splits
from tests.labelled import count, crossing, picture_set, random_set, split
from tests.pictures import write_folder

# --- Making them --------------------------------------------------------------------------------------------------------


def test_fractions_hold_in_every_class() -> None:
    pictures = picture_set(100, 40, 200)
    counts = count(pictures, split(pictures, validation=0.2, test=0.1))
    for name, total in zip("abc", (100, 40, 200), strict=True):
        assert counts[name, "validation"] == total * 0.2
        assert counts[name, "test"] == total * 0.1
        assert counts[name, "train"] == total * 0.7


@pytest.mark.parametrize("size", range(3, 12))
@pytest.mark.parametrize("fractions", [(0.15, 0.15), (0.01, 0.01), (0.6, 0.3), (0.01, 0.98)])
def test_every_class_is_in_every_split(size: int, fractions: tuple[float, float]) -> None:
    pictures = picture_set(size, size + 1, 3)
    counts = count(pictures, split(pictures, validation=fractions[0], test=fractions[1]))
    assert set(counts) == {(name, one) for name in "abc" for one in SPLITS}


def test_the_seed_decides() -> None:
    pictures = picture_set(30, 30)
    assert (split(pictures, seed=1) == split(pictures, seed=1)).all()
    assert (split(pictures, seed=1) != split(pictures, seed=2)).any()


def test_pictures_are_drawn_and_not_taken_from_the_front() -> None:
    pictures = picture_set(50, 50)
    drawn = [set(np.flatnonzero(split(pictures, seed=seed) == "test").tolist()) for seed in range(20)]
    assert len(set.union(*drawn)) > 80  # the front alone is 16


def test_pictures_of_one_class_without_groups_are_split_as_they_always_were() -> None:
    """Runs and benchmarks of earlier versions stay comparable."""
    splits = split(picture_set(12, 9, 5), seed=3)
    assert np.flatnonzero(splits == "validation").tolist() == [7, 11, 19, 23]
    assert np.flatnonzero(splits == "test").tolist() == [2, 10, 16, 24]


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_that_is_too_small_is_named(size: int) -> None:
    counted = "1 picture" if size == 1 else "2 pictures"
    with pytest.raises(DataError, match=f"class 'b' has {counted}, but needs 3 .*; add pictures or remove the class"):
        split(picture_set(10, size, 10))


def test_indices_hold_every_picture_once() -> None:
    pictures = picture_set(10, 10)
    indices = split_indices(split(pictures))
    assert tuple(indices) == SPLITS
    assert sorted(np.concatenate(list(indices.values())).tolist()) == list(range(20))


# --- Splits that the source brings ----------------------------------------------------------------------------------------


def test_given_splits_are_kept() -> None:
    given = ["train", "validation", "test", "train"] * 5
    assert split(picture_set(10, 10, given=given), seed=3).tolist() == given


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_a_missing_split_is_taken_from_train(missing: str) -> None:
    kept = "test" if missing == "validation" else "validation"
    given = (["train"] * 20 + [kept] * 10) * 2
    pictures = picture_set(30, 30, given=given)
    splits = split(pictures, validation=0.2, test=0.2)

    assert [one for one, was in zip(splits, given, strict=True) if was == kept] == [kept] * 20
    assert count(pictures, splits) == {
        (name, one): {"train": 16, missing: 4, kept: 10}[one] for name in "ab" for one in SPLITS
    }


def test_train_alone_gives_both() -> None:
    pictures = picture_set(20, 20, given=["train"] * 40)
    assert set(split(pictures)) == set(SPLITS)


def test_what_reaches_into_a_given_split_stays_where_it_is() -> None:
    given = (["train"] * 16 + ["test"] * 4) * 2
    groups = np.array(
        ["spans"] * 8 + [""] * 8 + ["spans"] * 4 + [f"pair {number // 2}" for number in range(16)] + [""] * 4
    )
    for seed in range(10):
        pictures = replace(picture_set(20, 20, given=given), groups=tuple(groups))
        splits = split(pictures, validation=0.2, seed=seed)
        assert set(splits[:8]) == {"train"} and set(splits[16:20]) == {"test"}
        assert count(pictures, splits)["a", "validation"] == 3
        assert crossing(pictures.subset(range(20, 40)), splits[20:]) == []


def test_a_class_that_is_missing_from_the_given_train_is_named() -> None:
    with pytest.raises(DataError, match=r"class 'b' has 0 pictures in train, but needs 1"):
        split(picture_set(4, 2, given=["train", "train", "validation", "test", "test", "validation"]))


# --- splits.csv -----------------------------------------------------------------------------------------------------------

ODD = ("a, b", 'c "d"', "е́ж 犬", " spaced ", "#e;f'")


def odd_set() -> PictureSet:
    keys = tuple(f"{name}/one\ntwo, {number}.png" for name in ODD for number in range(4))
    return PictureSet("odd", keys, SingleLabel(np.repeat(np.arange(len(ODD)), 4), ODD), lambda i: str(i).encode())


def test_the_file_is_a_plain_table() -> None:
    pictures = picture_set(1, 1)
    text = write_splits(pictures, ["train", "test"])
    assert text == "path,label,split\na/0.png,a,train\nb/1.png,b,test\n"


def test_odd_names_survive_the_file(tmp_path: Path) -> None:
    pictures = odd_set()
    splits = split(pictures)
    file = tmp_path / "splits.csv"
    file.write_text(write_splits(pictures, splits), encoding="utf-8")
    read, read_back = read_splits(file.read_text(encoding="utf-8"), pictures)

    assert read.keys == pictures.keys and read.class_names == ODD
    assert read.labels.array.tolist() == pictures.labels.array.tolist()
    assert read_back.tolist() == splits.tolist()


@pytest.mark.parametrize("task", LABELS)
def test_labels_of_every_task_survive_the_file(task: str) -> None:
    pictures = random_set(task, 60, 0)
    splits = split(pictures)
    read, read_back = read_splits(write_splits(pictures, splits), pictures.subset(range(59, -1, -1)))
    assert read.keys == pictures.keys and read.class_names == pictures.class_names
    assert read.labels == pictures.labels
    assert read_back.tolist() == splits.tolist()


@pytest.mark.parametrize(("task", "text"), [(MULTI_LABEL, "another class"), (REGRESSION, "another label")])
def test_other_labels_now_are_named(task: str, text: str) -> None:
    pictures = random_set(task, 60, 0)
    labels = pictures.labels.array.copy()
    labels[3, 1] = 1 - labels[3, 1]
    with pytest.raises(DataError, match=rf"1 picture is .* {text} .*\(3\.png\)"):
        read_splits(
            write_splits(pictures, split(pictures)), replace(pictures, labels=replace(pictures.labels, array=labels))
        )


def test_a_class_of_several_that_came_later_is_left_out() -> None:
    pictures = random_set(MULTI_LABEL, 60, 0)
    text = write_splits(pictures, split(pictures))
    wider = np.hstack([np.zeros((60, 1), np.float32), pictures.labels.array])
    now = replace(pictures, labels=MultiLabel(wider, ("new", *pictures.class_names)))
    read, _ = read_splits(text, now)
    assert read.class_names == pictures.class_names
    assert read.labels == pictures.labels


def test_pictures_and_classes_that_came_later_are_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path, classes=3)
    first = open_source(str(tmp_path))
    splits = split(first)
    text = write_splits(first, splits)
    write_folder(tmp_path, classes=4, pictures=10)  # two more a class, and a class more
    (tmp_path / "damson").rename(tmp_path / "aaa")  # whose name moves the labels of the others
    read, read_back = read_splits(text, open_source(str(tmp_path)))

    assert read.keys == first.keys and read.class_names == first.class_names
    assert read.labels.array.tolist() == first.labels.array.tolist()
    assert read_back.tolist() == splits.tolist()
    assert read.encoded(20) == (tmp_path / read.keys[20]).read_bytes()


@pytest.mark.parametrize("gone", [1, 2])
def test_pictures_that_are_gone_are_counted_and_one_is_named(gone: int) -> None:
    pictures = picture_set(5, 5)
    text = write_splits(pictures, split(pictures))
    left = pictures.subset(range(gone, 10))
    with pytest.raises(DataError, match=rf"^{gone} picture.* no longer in pictures \(a/0\.png"):
        read_splits(text, left)


def test_pictures_of_another_class_now_are_named() -> None:
    pictures = picture_set(5, 5)
    text = write_splits(pictures, split(pictures))
    labels = pictures.labels.array.copy()
    labels[3] = 1
    moved = replace(pictures, labels=replace(pictures.labels, array=labels))
    with pytest.raises(DataError, match=r"1 picture is .* another class .*a/3\.png"):
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
        read_splits(text, picture_set(2, 2))


def test_images_whose_files_changed_are_told_by_their_digests() -> None:
    pictures = replace(picture_set(2, 2), digests=("a", "b", "c", "d"))
    text = write_splits(pictures, ["train", "train", "test", "test"])
    assert text.startswith("path,label,split,sha256\na/0.png,a,train,a\n")
    assert changed_since(text, read_splits(text, pictures)[0]) == []
    assert changed_since(text, replace(pictures, digests=("a", "x", "c", "y"))) == [pictures.keys[1], pictures.keys[3]]
    without = write_splits(picture_set(2, 2), ["train", "train", "test", "test"])
    assert changed_since(without, pictures) == []  # of an earlier version
