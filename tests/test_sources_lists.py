"""Lists of images: which columns are used, what labels become, and what bad lists are answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.examples import Examples
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from data.sources import SourceOptions, open_source
from data.splits import write_splits
from tests.images import write_folder
from tests.sources import different, put, refusal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with six images, 0.png to 5.png."""
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(different(number))
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def with_labels(folder: Path, labels: list[str]) -> Path:
    """A list of the first images, one a label; cells are quoted."""
    rows = (f'{number}.png,"{label}"' for number, label in enumerate(labels))
    return write(folder, "\n".join(["path,label", *rows]))


def opened(path: Path, **options: Any) -> Examples:
    return open_source(str(path), SourceOptions(**options))


def labels_of(examples: Examples) -> list[str]:
    return [examples.labels.text(index) for index in range(len(examples))]


# --- What is read -------------------------------------------------------------------------------------------------------


def test_a_list_with_everything(folder: Path) -> None:
    text = "path,label,split,group,weight\n0.png,rose,train,a,1\n1.png,tulip,Val,,0.5\n2.png,rose,testing,b,2e0\n"
    examples = opened(write(folder, text))

    assert examples.keys == ("0.png", "1.png", "2.png")
    assert examples.class_names == ("rose", "tulip") and examples.labels.array.tolist() == [0, 1, 0]
    assert examples.labels.array.dtype == np.int64 and examples.task == SINGLE_LABEL
    assert examples.given_splits == ("train", "validation", "test")
    assert examples.groups == ("a", "", "b")
    assert examples.weights is not None and examples.weights.tolist() == [1, 0.5, 2]
    assert examples.read(2) == different(2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path,label\n0.png,rose\n1.png,tulip\n"),
        ("A.CSV", "path,label\r\n0.png,rose\r\n1.png,tulip\r\n"),
        ("a.csv", "\ufeffpath,label\n0.png,rose\n1.png,tulip"),
        ("a.csv", 'path,label\n"0.png","rose"\n\n1.png, tulip \n  \n'),
        ("a.csv", "path;label\n0.png;rose\n1.png;tulip\n"),
        ("a.csv", 'label,remarks,path\nrose,"two\nlines, and commas",0.png\ntulip,,1.png\n'),
        ("a.tsv", "path\tlabel\n0.png\trose\n1.png\ttulip\n"),
        ("a.jsonl", '{"path": "0.png", "label": "rose"}\n\n{"label": "tulip", "path": "1.png", "more": [1]}'),
    ],
)
def test_formats(name: str, text: str, folder: Path) -> None:
    examples = opened(write(folder, text, name))
    assert examples.keys == ("0.png", "1.png") and labels_of(examples) == ["rose", "tulip"]
    assert examples.given_splits is examples.groups is examples.weights is None


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("file,species", {}),
        ("Image Path,Class-Name", {}),
        ("image_id,category_id", {}),
        ("id,label", {}),
        ("fname,labels", {}),
        ("file,label,id", {}),  # which is another
        ("path,label,file,species", {}),  # the plainest names are meant
        ("one,two", {"columns": {"path": "one", "label": "two"}}),
        ("file,species,class", {"columns": {"label": "species"}}),
        ("file,species,weight", {"columns": {"weight": ""}}),  # grams, say
        ("file,species,split", {"columns": {"split": ""}}),
    ],
)
def test_columns(header: str, options: dict[str, Any], folder: Path) -> None:
    more = "," + ",".join("x" for _ in header.split(",")[2:]) if header.count(",") > 1 else ""
    examples = opened(write(folder, f"{header}\n0.png,rose{more}\n1.png,tulip{more}\n"), **options)
    assert examples.keys == ("0.png", "1.png") and labels_of(examples) == ["rose", "tulip"]


def test_paths_start_at_the_list_and_are_normalised(tmp_path: Path) -> None:
    put(*(tmp_path / name for name in ("in/a.png", "in/deep/b.png", "beside/c.png", "far/d.png")))
    text = f"path,label\n./a.png,x\ndeep\\b.png,x\n../beside/c.png,y\n{tmp_path}/far//d.png,y\n"
    examples = opened(write(tmp_path / "in", text))
    assert examples.keys == ("a.png", "deep/b.png", "../beside/c.png", f"{tmp_path.as_posix()}/far/d.png")
    assert all(examples.read(index) for index in range(4))


def test_a_working_directory_does_not_matter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "path,label\n0.png,rose\n1.png,tulip\n")
    monkeypatch.chdir(folder)
    assert open_source("list.csv").read(1) == different(1)


def test_what_graft_writes_can_be_opened(tmp_path: Path) -> None:
    first = open_source(str(write_folder(tmp_path, classes=3, examples=3)))
    splits = ["train", "validation", "test"] * 3
    again = opened(write(tmp_path, write_splits(first, splits)))

    assert (again.keys, again.class_names, again.given_splits) == (first.keys, first.class_names, tuple(splits))
    assert again.labels.array.tolist() == first.labels.array.tolist() and again.task == SINGLE_LABEL


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (["a|b", "b", ""], {"task": MULTI_LABEL}),
        (["0.5", "3", "2"], {}),
        (["1.5", "2", "4"], {"columns": {"label": "label,more"}}),
    ],
)
def test_what_graft_writes_of_other_tasks_can_be_opened(
    labels: list[str], options: dict[str, Any], folder: Path
) -> None:
    rows = [f"{number}.png,{label},7" for number, label in enumerate(labels)]
    first = opened(write(folder, "\n".join(["path,label,more", *rows])), **options)
    again = opened(write(folder, write_splits(first, ["train", "validation", "test"]), "splits.csv"))
    assert again.task == first.task and again.labels.array.tolist() == first.labels.array.tolist()


@pytest.mark.parametrize("split", ["", "train", "test"])
def test_one_split_for_all_is_none(split: str, folder: Path) -> None:
    text = f"path,label,split\n0.png,rose,{split}\n1.png,tulip,{split}\n"
    assert opened(write(folder, text)).given_splits is None


# --- Tasks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "options", "task", "class_names"),
    [
        (["b", "a", "b"], {}, SINGLE_LABEL, ("a", "b")),
        (["1", "0", "1", "0", "1", "0"], {}, SINGLE_LABEL, ("0", "1")),
        (["10", "9", "10", "9", "9", "9"], {}, SINGLE_LABEL, ("9", "10")),  # by size, not by the alphabet
        (["0", "1", "2"], {}, REGRESSION, ("label",)),  # three classes need nine images
        (["0", "1", "2"], {"task": SINGLE_LABEL}, SINGLE_LABEL, ("0", "1", "2")),
        (["1.5", "1.5", "1.5", "2", "2", "2"], {}, REGRESSION, ("label",)),
        (["-3", "1e3", "+.5"], {}, REGRESSION, ("label",)),
        (["a|b", "b", "a"], {}, MULTI_LABEL, ("a", "b")),
        (["a;b", "b", ""], {}, MULTI_LABEL, ("a", "b")),
        (["a, b", "b", "a"], {}, MULTI_LABEL, ("a", "b")),
        (["tench, Tinca tinca", "goldfish, Carassius", "x"], {}, SINGLE_LABEL, None),
        (["a, b", "c", "d"], {"task": MULTI_LABEL}, MULTI_LABEL, ("a", "b", "c", "d")),
        (["a / b", "b", "a/c"], {"label_separator": "/"}, MULTI_LABEL, ("a", "b", "c")),
        (["a|b", "b", "a"], {"task": SINGLE_LABEL}, SINGLE_LABEL, ("a", "a|b", "b")),
        (["a", "b", "a"], {"task": MULTI_LABEL}, MULTI_LABEL, ("a", "b")),
        (["1|2.5", "3|4", "5|6"], {}, REGRESSION, ("label 1", "label 2")),
        (["1|2", "3|4", "5|6"], {}, MULTI_LABEL, ("1", "2", "3", "4", "5", "6")),
        (["1|2", "3|4", "5|6"], {"task": REGRESSION}, REGRESSION, ("label 1", "label 2")),
        (["1|2.5", "3", "5|6"], {}, MULTI_LABEL, None),
        (["1_0", "none", "1e"], {}, SINGLE_LABEL, ("1_0", "1e", "none")),
    ],
)
def test_the_task_follows_from_the_labels(
    labels: list[str], options: dict[str, Any], task: str, class_names: tuple[str, ...] | None, folder: Path
) -> None:
    examples = opened(with_labels(folder, labels), **options)
    assert examples.task == task
    assert class_names is None or examples.class_names == class_names


def test_several_labels(folder: Path) -> None:
    examples = opened(with_labels(folder, ["b|a", "", "c | b|", "b"]))
    assert examples.labels.array.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 1, 0]]
    assert examples.labels.array.dtype == np.float32
    assert labels_of(examples) == ["a|b", "", "b|c", "b"]
    again = opened(with_labels(folder, labels_of(examples)))  # as `write_splits` and `audit` write them
    assert again.labels.array.tolist() == examples.labels.array.tolist()


def test_numbers(folder: Path) -> None:
    one = opened(with_labels(folder, ["1.5", "-2", "1e-3"]))
    assert one.labels.array.tolist() == [[1.5], [-2], [np.float32(0.001)]] and one.labels.array.dtype == np.float32
    path = write(folder, "path,height,width\n0.png,1,2\n1.png,3.5,4\n")
    two = opened(path, columns={"label": "width,height"})
    assert (two.task, two.class_names, two.labels.array.tolist()) == (
        REGRESSION,
        ("width", "height"),
        [[2, 1], [4, 3.5]],
    )


def test_a_column_of_zeros_and_ones_for_each_class(folder: Path) -> None:
    path = write(folder, "path,cat,dog\n0.png,1,0\n1.png,1,1\n2.png,0,0\n")
    examples = opened(path, columns={"label": "cat,dog"})
    assert (examples.task, examples.class_names) == (MULTI_LABEL, ("cat", "dog"))
    assert labels_of(examples) == ["cat", "cat|dog", ""]
    assert opened(path, columns={"label": "cat,dog"}, task=REGRESSION).task == REGRESSION


@pytest.mark.parametrize(
    ("labels", "task", "texts"),
    [
        ([["a", "b"], [], "b"], MULTI_LABEL, ["a|b", "", "b"]),
        ([[1, 2], [10], [2]], MULTI_LABEL, ["1|2", "10", "2"]),
        ([[0.5, 1], [2, 3], [4, 5]], REGRESSION, ["0.5|1", "2|3", "4|5"]),
        ([0.5, 1, 2e3], REGRESSION, ["0.5", "1", "2000"]),
        ([True, False, True], SINGLE_LABEL, ["true", "false", "true"]),
        ([1, 1, 1, 2.0, 2, 2], SINGLE_LABEL, ["1", "1", "1", "2", "2", "2"]),
    ],
)
def test_labels_in_json(labels: list[Any], task: str, texts: list[str], folder: Path) -> None:
    lines = [json.dumps({"file": f"{number}.png", "label": label}) for number, label in enumerate(labels)]
    examples = opened(write(folder, "\n".join(lines), "list.jsonl"))
    assert examples.task == task and labels_of(examples) == texts


# --- Lists that cannot be used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "none of them is named as the path usually is"),
        ("path,label\n", "has no images"),
        ("0.png,rose\n1.png,tulip\n", "has '0.png', 'rose', and none of them is named as the path usually is (path, "),
        ("path,remark\n0.png,rose\n", "none of them is named as the label usually is (label, "),
        ("file,image,label\n0.png,0.png,a\n", "'file' and 'image' could each be the path; say which it is, as in path=file"),
        ("path,species,class\n0.png,a,b\n", "'species' and 'class' could each be the label"),
        ("path,label,label\n0.png,a,b\n", "2 columns 'label'; rename or remove"),
        ("path,label\n0.png,rose\n1.png\n", "line 3 of"),
        ("path,label\n0.png,rose,red\n", "has 3 cells, but the first line names 2 columns"),
        ('path,label\n0.png,"rose\n', "is not CSV"),
        ('path,label\n0.png,"ro"se\n', "line 2 of"),
        (b"path,label\n0.png,rose\n1.png,caf\xe9\n", "is not UTF-8; save the list as UTF-8"),
        (b"path,label\n0.png,rose\n1.png,caf\xe9\n", "line 3 of"),
        ("path,label\n0.png,rose\n1.png,tulip\n".encode("utf-16"), "line 1 of"),
        ("path,label\n0.png,rose\n1.png, \n", "line 3 of"),
        ("path,label\n0.png,rose\n1.png,\n", "the label is empty or missing; name a class, or set the task to multi_label"),
        ("path,label\n0.png,rose\n1.png,\n", "or leave such images out with --skip-unreadable"),
        ("path,label\n,rose\n", "line 2 of"),
        ("path,label\n,rose\n", "the path is ''"),
        ('path,label\n0.png,"ro\nse"\n1.png,b\n', "has a line break in it"),
        ("path,label\n0.png,rose\n./0.png,tulip\n", "names './0.png' again, after line 2 of"),
        ("path,label\n0.png,rose\n9.png,tulip\n", "1 image is not there: '9.png' (line 3 of"),
        ("path,label\n6.png,a\n7.png,a\n8.png,b\n9.png,b\n", "4 images are not there: '6.png'"),
        ("path,label\n.,a\n", "1 image is not there: '.'"),
        ("path,label,split\n0.png,a,train\n1.png,b,tset\n", "line 3 of"),
        ("path,label,split\n0.png,a,train\n1.png,b,tset\n", "'tset' is none of train, validation, test. Did you mean 'test'?"),
        ("path,label,split\n0.png,a,train\n1.png,b,\n", "the split '' is none of"),
        ("path,label,split\n0.png,a,val\n1.png,b,test\n", "but none for train"),
        *((f"path,label,weight\n0.png,a,1\n1.png,b,{bad}\n", f"the weight {bad!r} is not a number above 0")
          for bad in ("0", "-1", "nan", "inf", "1e-60", "", "heavy")),
    ],
)  # fmt: skip
def test_bad_lists(text: str | bytes, message: str, folder: Path) -> None:
    assert message in refusal(write(folder, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "0.png", "label": "a"}\n{"path": "1.png",', "line 2 of"),
        ('["0.png", "a"]', "is no JSON object"),
        ('{"path": "0.png", "label": NaN}', "NaN is not a number in JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"path": "0.png", "label": {"name": "a"}}', "the label is {'name': 'a'}, not the name of one class"),
        ('{"path": "0.png", "label": [["a"]]}', "['a'] is not the name of a class"),
        ('{"path": 55, "label": "a"}', "1 image is not there: '55'"),
        ('{"path": "0.png", "label": "a"}\n{"path": "1.png"}', "line 2 of"),
        ('{"path": "0.png", "label": "a"}\n{"label": "b"}', "the path is None"),
        ('{"path": "0\\u0000.png", "label": "a"}', "give that of an image file"),
        ('{"path": "\\ud800.png", "label": "a"}', "is not UTF-8"),
        ('{"path": "0.png", "label": "\\ud800"}\n{"path": "1.png", "label": "b"}', "is not text"),
        ('{"path": "0.png", "label": "a", "group": ["b"]}', "the group is ['b']"),
        ('{"path": "0.png", "label": "a", "weight": true}', "the weight True is not"),
    ],
)
def test_bad_json(text: str, message: str, folder: Path) -> None:
    assert message in refusal(write(folder, text, "list.jsonl"))


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["a", "b"], {"columns": {"label": "lable"}}, "has no column 'lable'. Did you mean 'label'?"),
        (["a", "b"], {"columns": {"lable": "label"}}, "Did you mean 'label'?"),
        (["a", "b"], {"task": "multilabel"}, "Did you mean 'multi_label'?"),
        (["a", "b"], {"label_separator": ""}, "the separator of labels is empty"),
        (["a", "b"], {"task": REGRESSION}, "line 2 of"),
        (["1:5", "2"], {"task": REGRESSION}, "'1:5' is not a number; write one such as 3.5"),
        (["1", "nan"], {}, "the label is empty or missing; write a number"),
        (["1.5", ""], {}, "the label is empty or missing; write a number"),
        (["1.5", "1e39"], {}, "'1e39' is not a number"),
        (["", " "], {"task": MULTI_LABEL}, "no image has a label"),
        (["a|b;c", "c"], {"label_separator": ";"}, "has a | in it, which separates labels"),
    ],
)
def test_labels_and_options_that_do_not_fit(
    labels: list[str], options: dict[str, Any], message: str, folder: Path
) -> None:
    assert message in refusal(with_labels(folder, labels), **options)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (SINGLE_LABEL, "the columns cat, dog may hold 0 and 1 only"),
        (MULTI_LABEL, "the columns cat, dog may hold 0 and 1 only"),
        (None, "line 3 of"),
    ],
)
def test_several_columns_that_do_not_fit(task: str | None, message: str, folder: Path) -> None:
    path = write(folder, "path,cat,dog\n0.png,1,0\n1.png,2,x\n")
    assert message in refusal(path, columns={"label": "cat,dog"}, task=task)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("lsit.csv", "Did you mean"),
        ("none/list.csv", "Check the path"),
        ("x" * 5000 + ".csv", "cannot be read"),
        ("\0.csv", ""),
    ],
)
def test_a_list_that_is_not_there(source: str, message: str, folder: Path) -> None:
    write(folder, "")
    assert message in refusal(folder / source)


def test_a_folder_may_be_called_like_a_list(tmp_path: Path) -> None:
    assert len(open_source(str(write_folder(tmp_path / "images.csv", examples=1)))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": {"label": "x"}},
            "holds no list (metadata.csv, metadata.jsonl, metadata.tsv, _classes.csv), so that --columns says nothing",
        ),
        ({"label_separator": "|"}, "so that --label-separator says nothing; leave it out, or give the list itself"),
        ({"task": REGRESSION}, "is single_label, which cannot be regression; give a list"),
    ],
)
def test_options_that_a_folder_cannot_follow(options: dict[str, Any], message: str, fruit_folder: Path) -> None:
    assert message in refusal(fruit_folder, **options)


@pytest.fixture
def fruit_folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "fruit", examples=1)
