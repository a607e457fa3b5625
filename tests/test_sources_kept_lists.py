"""Lists as people write them: what labels mean, what is asked, where images are, and other kinds of lists."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from tests.sources import CAFE, IMAGE, different, folder_of, opened, put, refusal, said, texts


def list_of(
    root: Path, labels: Sequence[str], *, name: str = "list.csv", delimiter: str = ",", column: str = "label"
) -> Path:
    """A list of images that are there, one a label."""
    root.mkdir(exist_ok=True)
    text = io.StringIO()
    rows = csv.writer(text, delimiter=delimiter)
    rows.writerow(["file", column])
    for number, label in enumerate(labels):
        (root / f"{number}.png").write_bytes(different(number))
        rows.writerow([f"{number}.png", label])
    (root / name).write_text(text.getvalue(), encoding="utf-8")
    return root / name


# --- Labels -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "options", "task", "predictions"),
    [
        # Names that hold what may be a separator.
        (["AT&amp;T", "Rock &#38; Roll", "Jazz"], {}, SINGLE_LABEL, None),
        (["AT&amp;T;phone", "phone", ""], {}, MULTI_LABEL, ["AT&amp;T|phone", "phone", ""]),
        (["tench, Tinca tinca", "goldfish, Carassius", "shark"], {}, SINGLE_LABEL, None),
        (["small, red", "large, red", "small, blue", "large, blue"], {"task": SINGLE_LABEL}, SINGLE_LABEL, None),
        # Lists in text.
        (["['a', 'b']", "['b']", "[]"], {}, MULTI_LABEL, ["a|b", "b", ""]),
        (['["a", "b"]', '["b"]', ""], {}, MULTI_LABEL, ["a|b", "b", ""]),
        (["('a', 'b')", "('b',)"], {}, MULTI_LABEL, ["a|b", "b"]),
        (["[0.5, 1]", "[2, 3]"], {}, REGRESSION, ["0.5|1", "2|3"]),
        (["[unknown]", "[known]"], {}, SINGLE_LABEL, ["[unknown]", "[known]"]),
        # Blanks between labels.
        (["haze primary", "cloudy road water", "haze"], {"label_separator": " "}, MULTI_LABEL,
         ["haze|primary", "cloudy|road|water", "haze"]),
        (["golden retriever", "border collie"], {}, SINGLE_LABEL, None),
        # Numbers.
        (["3,5", "4,25", "5"], {"task": REGRESSION}, REGRESSION, ["3.5", "4.25", "5"]),
        (["1.234,5", "12,25", "7"], {}, REGRESSION, ["1234.5", "12.25", "7"]),
        (["1,234.5", "12.25", "7"], {}, REGRESSION, ["1234.5", "12.25", "7"]),
        (["1,234,567", "12", "7"], {"task": REGRESSION}, REGRESSION, ["1234567", "12", "7"]),
    ],
)  # fmt: skip
def test_labels_are_read_with_care(
    labels: list[str], options: dict[str, Any], task: str, predictions: list[str] | None, tmp_path: Path
) -> None:
    examples = opened(list_of(tmp_path, labels), **options)
    assert examples.task == task and texts(examples) == (predictions or labels)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas_where_no_comma_separates(delimiter: str, tmp_path: Path) -> None:
    examples = opened(list_of(tmp_path, ["3,5", "2", "7,25"], delimiter=delimiter, column="target"))
    assert examples.task == REGRESSION and texts(examples) == ["3.5", "2", "7.25"]


@pytest.mark.parametrize(
    ("labels", "options", "ways"),
    [
        (["3,5", "4", "3,4"], {}, ("--task regression", "--task multi_label")),
        (["120,000", "350,500"], {"task": REGRESSION}, ("120000", "120.000")),
        (["small, red", "large, red", "small, blue", "large, blue"], {},
         ("--task single_label", "--label-separator ','")),
        (["Paris; Texas", "London"], {}, ("--task single_label", "--label-separator ';'")),
        ([f"{a} {b} {c}" for a in "xyz" for b in "mno" for c in "pq"], {},
         ("--task single_label", "--label-separator ' '")),
    ],
)  # fmt: skip
def test_labels_with_two_readings_are_asked_about(
    labels: list[str], options: dict[str, Any], ways: tuple[str, str], tmp_path: Path
) -> None:
    sentence = refusal(list_of(tmp_path, labels), **options)
    assert all(way in sentence for way in ways) and labels[0] in sentence


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "NULL", "N/A", "#N/A", "<NA>"])
def test_missing_labels_are_no_classes(missing: str, tmp_path: Path) -> None:
    path = list_of(tmp_path, ["a", "b", missing, "a"])
    assert "line 4 of" in refusal(path) and "leave such images out with --skip-unreadable" in refusal(path)
    examples = opened(path, skip_unreadable=True)
    assert texts(examples) == ["a", "b", "a"] and examples.ignored["without a label"] == 1


def test_missing_numbers_are_no_numbers(tmp_path: Path) -> None:
    path = list_of(tmp_path, ["1.5", "NA", "2.5"])
    assert texts(opened(path, skip_unreadable=True)) == ["1.5", "2.5"]


def test_what_was_read_is_said_with_three_examples(tmp_path: Path) -> None:
    examples = opened(list_of(tmp_path, ["3,5", "2", "7,25", "1"], delimiter=";", column="target"))
    assert "images from column 'file', labels from column 'target', read as numbers" in said(examples)
    assert "0.png: 3.5, 1.png: 2, 3.png: 1" in said(examples)


# --- Columns ------------------------------------------------------------------------------------------------------------


def one_hot(root: Path, *rows: str, header: str = "file,cat,dog,owl", name: str = "list.csv") -> Path:
    list_of(root, ["x"] * len(rows), name="other.csv")
    (root / "other.csv").unlink()
    lines = [header, *(f"{number}.png,{row}" for number, row in enumerate(rows))]
    (root / name).write_text("\n".join(lines))
    return root / name


ONE_HOT = {"label": "cat,dog,owl"}


def test_columns_of_zeros_and_ones_can_be_one_class_each(tmp_path: Path) -> None:
    path = one_hot(tmp_path, "1,0,0", "0,0,1", "0,1,0")
    assert "give --task single_label" in said(opened(path, columns=ONE_HOT))
    examples = opened(path, columns=ONE_HOT, task=SINGLE_LABEL)
    assert examples.task == SINGLE_LABEL and texts(examples) == ["cat", "owl", "dog"]


@pytest.mark.parametrize("row", ["0,0,0", "1,1,0"])
def test_one_class_each_means_one_1(row: str, tmp_path: Path) -> None:
    sentence = refusal(one_hot(tmp_path, "1,0,0", row), columns=ONE_HOT, task=SINGLE_LABEL)
    assert "line 3 of" in sentence and "it is one" in sentence


@pytest.mark.parametrize("cell", ["", "-1", "nan", "-1.0"])
@pytest.mark.parametrize(("uncertain", "expected"), [("0", "cat"), ("1", "cat|owl"), ("unknown", "cat|owl?")])
def test_uncertain_cells_count_as_the_user_says(cell: str, uncertain: str, expected: str, tmp_path: Path) -> None:
    path = one_hot(tmp_path, "1,1,0", f"1,0,{cell}")
    assert "--uncertain 0, 1 or unknown" in refusal(path, columns=ONE_HOT, task=MULTI_LABEL)
    assert texts(opened(path, columns=ONE_HOT, uncertain=uncertain)) == ["cat|dog", expected]


def test_columns_of_true_and_false(tmp_path: Path) -> None:
    path = one_hot(tmp_path, "True,False,True", "False,False,False")
    assert texts(opened(path, columns=ONE_HOT)) == ["cat|owl", ""]


@pytest.mark.parametrize(
    ("column", "cells", "splits"),
    [
        ("is_valid", ("True", "False", "True"), ("validation", "train", "validation")),
        ("is_valid", ("0", "1", "0"), ("train", "validation", "train")),
        ("Is Test", ("no", "yes", "no"), ("train", "test", "train")),
        ("is_train", ("true", "true", "false"), ("train", "train", "test")),
        ("split", ("training", "dev", "eval"), ("train", "validation", "test")),
    ],
)
def test_splits_in_columns(column: str, cells: Sequence[str], splits: Sequence[str], tmp_path: Path) -> None:
    path = one_hot(tmp_path, *(f"{'abc'[i]},{cell}" for i, cell in enumerate(cells)), header=f"file,label,{column}")
    assert opened(path).given_splits == tuple(splits)


# --- Paths --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("A.JPG", "a.jpg"),
        ("a.jpg ", "a.jpg"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("a", "a.jpg"),
        (unicodedata.normalize("NFD", f"{CAFE}.jpg"), f"{CAFE}.jpg"),
        (f"{CAFE}.jpg", unicodedata.normalize("NFD", f"{CAFE}.jpg")),
    ],
)
def test_paths_are_found_as_people_write_them(written: str, file: str, tmp_path: Path) -> None:
    put(tmp_path / file, tmp_path / "other.png")
    (tmp_path / "list.csv").write_text(f"path,label\n{written},a\nother.png,b\n")
    examples = opened(tmp_path / "list.csv")
    assert examples.read(0) == IMAGE
    assert "\\" in written or "differ from the files" in said(examples)


def test_two_files_that_a_path_may_mean_are_not_chosen_from(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "list.csv").write_text("path,label\na,x\nb,y\n")
    assert "1 image is not there: 'a'" in refusal(tmp_path / "list.csv")
    assert len(opened(tmp_path / "list.csv", image_suffix=".png")) == 2


def test_images_may_be_in_another_folder(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png", tmp_path / "images" / "b.png")
    (tmp_path / "list.csv").write_text("id,label\na,x\nb,y\n")
    options = {"columns": {"path": "id"}}
    assert "There is" in refusal(tmp_path / "list.csv", **options)
    assert "--image-folder" in refusal(tmp_path / "list.csv", **options)
    examples = opened(tmp_path / "list.csv", image_folder=str(tmp_path / "images"), image_suffix=".png", **options)
    assert examples.keys == ("a.png", "b.png") and examples.read(1) == IMAGE
    assert "check --image-folder" in refusal(tmp_path / "list.csv", image_folder=str(tmp_path / "nowhere"), **options)


def test_missing_images_can_be_left_out(tmp_path: Path) -> None:
    path = list_of(tmp_path, ["a", "b", "a"])
    (tmp_path / "1.png").unlink()
    assert "--skip-unreadable leaves such images out" in refusal(path)
    examples = opened(path, skip_unreadable=True)
    assert examples.keys == ("0.png", "2.png") and examples.read(1) == different(2)
    assert examples.ignored["without a file"] == 1


# --- Other kinds of lists -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "task", "predictions"),
    [
        (["0.png cat", "1.png dog"], SINGLE_LABEL, ["cat", "dog"]),
        (["0.png\t0", "1.png\t1", "2.png\t0", "3.png\t1", "4.png\t0", "5.png\t1"], SINGLE_LABEL, list("010101")),
        (["0.png, golden retriever", "1.png, collie"], SINGLE_LABEL, ["golden retriever", "collie"]),
        (["image label", "0.png cat", "1.png dog"], SINGLE_LABEL, ["cat", "dog"]),
        (["0.png 1 0", "1.png 1 1"], MULTI_LABEL, ["label 1", "label 1|label 2"]),
    ],
)
def test_text_files_of_paths_and_labels(lines: list[str], task: str, predictions: list[str], tmp_path: Path) -> None:
    list_of(tmp_path, ["x"] * 6)
    (tmp_path / "train.txt").write_text("\n".join(lines))
    examples = opened(tmp_path / "train.txt")
    assert examples.task == task and texts(examples) == predictions


def test_a_text_file_without_labels_is_refused(tmp_path: Path) -> None:
    list_of(tmp_path, ["a"])
    (tmp_path / "train.txt").write_text("0.png\n")
    assert "--label-pattern" in refusal(tmp_path / "train.txt")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_hugging_face_image_folders(name: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / split / "0.png", tmp_path / split / "1.png")
        rows = [{"file_name": f"{number}.png", "label": label} for number, label in enumerate(("cat", "dog"))]
        text = "\n".join(map(json.dumps, rows)) if name.endswith("l") else "file_name,label\n0.png,cat\n1.png,dog\n"
        (tmp_path / split / name).write_text(text)
    examples = opened(tmp_path)
    assert examples.class_names == ("cat", "dog") and examples.given_splits == ("train", "train", "test", "test")
    assert examples.read(3) == IMAGE


def test_metadata_above_split_folders(tmp_path: Path) -> None:
    folder_of(tmp_path, "train/", "test/")
    rows = "".join(
        f"{split}/{number}.png,{label}\n" for split in ("train", "test") for number, label in enumerate("ab")
    )
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{rows}")
    examples = opened(tmp_path)
    assert examples.given_splits == ("train", "train", "test", "test") and "Splits are the folders" in said(examples)


def test_roboflow_folders(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        put(tmp_path / split / "0.png", tmp_path / split / "1.png")
        (tmp_path / split / "_classes.csv").write_text("filename, cat, dog\n0.png, 1, 0\n1.png, 1, 1\n")
    examples = opened(tmp_path)
    assert examples.task == MULTI_LABEL and examples.class_names == ("cat", "dog")
    assert texts(examples)[:2] == ["cat", "cat|dog"]
    assert examples.given_splits is not None and set(examples.given_splits) == {"train", "validation", "test"}


def test_labels_from_file_names(tmp_path: Path) -> None:
    put(*(tmp_path / name for name in ("beagle_1.png", "beagle_2.png", "more/shiba_inu_10.png")))
    examples = opened(tmp_path, label_pattern=r"([a-z_]+)_\d+\.png$")
    assert texts(examples) == ["beagle", "beagle", "shiba_inu"]
    assert "beagle_1.png: beagle" in said(examples)
    assert opened(tmp_path, label_pattern=r"(?P<n>x?)(?P<label>[a-z]+)_").class_names == ("beagle", "shiba")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        ("[a-z]+", "has no group"),
        (r"(beagle)_\d+", "finds no class in 1 of 2 paths"),
    ],
)
def test_patterns_that_do_not_fit(pattern: str, message: str, tmp_path: Path) -> None:
    put(tmp_path / "beagle_1.png", tmp_path / "pug_1.png")
    assert message in refusal(tmp_path, label_pattern=pattern)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("labels.xlsx", "save the table as CSV"),
        ("images.7z", "extract it, and give the folder"),
        ("images.rar", "extract it, and give the folder"),
        ("data.parquet", "write a .csv or .jsonl"),
        ("a.jpg", "it is one image"),
        ("a.unknown", "give a folder, or FILE.csv"),
    ],
)
def test_files_that_are_no_sources(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something")
    assert message in refusal(tmp_path / name)


def test_labels_are_composed_and_trimmed(tmp_path: Path) -> None:
    labels = [CAFE, unicodedata.normalize("NFD", CAFE), f" {CAFE}\u00a0", "tea"]
    assert opened(list_of(tmp_path, labels)).class_names == (CAFE, "tea")


def test_a_folder_of_images_and_a_list_names_the_list(tmp_path: Path) -> None:
    path = list_of(tmp_path, ["a", "b"], name="labels.csv")
    assert f"Did you mean the list {path}?" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (("haze", "haze primary", "cloudy road water"), "'haze' is a word of 'haze primary' too"),
        (("red fox", "arctic fox", "wolf"), ""),
    ],
)
def test_several_words_that_may_be_several_labels_are_said(labels: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(IMAGE)
    path = tmp_path / "a.csv"
    path.write_text("path,label\n" + "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels)))
    examples = opened(path)
    assert examples.task == SINGLE_LABEL and len(examples.class_names) == 3
    assert (hint in said(examples)) and ("--label-separator ' '" in said(examples)) == bool(hint)
    assert len(opened(path, label_separator=" ").class_names) == (5 if hint else 4)
