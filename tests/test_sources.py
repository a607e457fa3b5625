"""SOURCE strings: what each kind of folder holds, and what bad ones are answered. `tfds:` has a file of its own."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.checking import check_images
from data.errors import DataError
from data.image.decoding import SUFFIXES, decode
from data.sources import SOURCES, absolute_source, open_source
from tests.images import NAMES, encode, smooth, write_folder

IMAGE = encode(smooth(12, 9))


def put(*paths: Path) -> None:
    """Write the same image to each path."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGE)


def refusal(source: object) -> str:
    with pytest.raises(DataError) as caught:
        open_source(str(source))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in root.rglob("*")
    }


# --- Folders ------------------------------------------------------------------------------------------------------------


def test_a_folder_a_class(tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path, classes=3, examples=2)))

    assert examples.class_names == NAMES[:3]
    assert examples.keys == tuple(f"{name}/{number:02d}.png" for name in NAMES[:3] for number in range(2))
    assert examples.labels.array.tolist() == [0, 0, 1, 1, 2, 2] and examples.labels.array.dtype == np.int64
    assert examples.given_splits is None
    assert not any(examples.ignored.values())
    assert examples.read(3) == (tmp_path / "banana" / "01.png").read_bytes()


def test_classes_and_images_are_in_alphabetical_order(tmp_path: Path) -> None:
    for name in ("zebra", "Ant", "bee", "10", "9"):
        put(tmp_path / name / "b.png", tmp_path / name / "a.png", tmp_path / name / "B" / "a.png")
    examples = open_source(str(tmp_path))

    assert examples.class_names == ("10", "9", "Ant", "bee", "zebra")
    assert examples.keys[:3] == ("10/B/a.png", "10/a.png", "10/b.png")
    assert examples.keys == open_source(str(tmp_path)).keys


def test_nested_folders_belong_to_their_class(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png", tmp_path / "a" / "old" / "deep" / "2.png", tmp_path / "b" / "only" / "3.png")
    examples = open_source(str(tmp_path))

    assert dict(zip(examples.keys, examples.labels.array.tolist(), strict=True)) == {
        "a/1.png": 0,
        "a/old/deep/2.png": 0,
        "b/only/3.png": 1,
    }


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_suffixes_count_in_either_case(suffix: str, tmp_path: Path) -> None:
    put(tmp_path / "a" / f"1{suffix}", tmp_path / "b" / f"2{suffix.upper()}")
    assert len(open_source(str(tmp_path))) == 2


def test_what_is_not_an_image_in_a_class_folder_is_ignored_and_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, classes=2, examples=1)
    put(
        tmp_path / "loose.png", tmp_path / ".hidden.png", tmp_path / "apple" / "._00.png", tmp_path / "apple" / "README"
    )
    put(tmp_path / ".git" / "a.png", tmp_path / "apple" / ".thumbnails" / "a.png", tmp_path / "banana" / "notes.txt")
    put(tmp_path / "banana" / "deep" / "labels.TXT", tmp_path / "readme.md")
    examples = open_source(str(tmp_path))

    assert examples.keys == ("apple/00.png", "banana/00.png")
    assert {kind: count for kind, count in examples.ignored.items() if count} == {
        "hidden": 4,
        "loose files": 2,
        ".txt": 2,
        "no suffix": 1,
    }


def test_unicode_and_long_names(tmp_path: Path) -> None:
    long = "n" * 240
    names = ("кошка", "犬, 'quoted\" & co", long)
    for name in names:
        put(tmp_path / name / f"ü {long[:-5]}.png")
    examples = open_source(str(tmp_path))

    assert examples.class_names == tuple(sorted(names))
    assert not any(one.fault for one in check_images(examples))


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "fruit", examples=1)
    assert len(open_source("~/fruit")) == 3
    assert "there is no folder ~nobody-of-that-name" in refusal("~nobody-of-that-name/fruit")


def test_opening_and_reading_changes_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path / "train")
    write_folder(tmp_path / "test")
    before = snapshot(tmp_path)
    list(check_images(open_source(str(tmp_path))))
    assert snapshot(tmp_path) == before


# --- Folders that bring their splits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("training", "valid", "testing"),
        ("train", "val", "test"),
        ("TRAIN", "Val", "Test"),
    ],
)
def test_split_folders_over_class_folders(names: tuple[str, str, str], tmp_path: Path) -> None:
    for count, name in enumerate(names, start=1):
        write_folder(tmp_path / name, classes=2, examples=count)
    examples = open_source(str(tmp_path))

    assert examples.class_names == ("apple", "banana")
    assert examples.given_splits is not None
    for key, split in zip(examples.keys, examples.given_splits, strict=True):
        assert key.partition("/")[0] == names[("train", "validation", "test").index(split)]
    assert [examples.given_splits.count(split) for split in ("train", "validation", "test")] == [2, 4, 6]


@pytest.mark.parametrize(("names", "given"), [(("train", "test"), {"train", "test"}), (("train",), {"train"})])
def test_some_splits_only(names: tuple[str, ...], given: set[str], tmp_path: Path) -> None:
    for name in names:
        write_folder(tmp_path / name, examples=1)
    examples = open_source(str(tmp_path))
    assert examples.given_splits is not None and set(examples.given_splits) == given
    assert examples.class_names == NAMES[:3]


def test_a_train_among_vehicles_is_a_class(tmp_path: Path) -> None:
    put(tmp_path / "train" / "1.png", tmp_path / "car" / "1.png")
    examples = open_source(str(tmp_path))
    assert examples.class_names == ("car", "train") and examples.given_splits is None


def test_a_folder_beside_split_folders_is_not_taken_for_a_class(tmp_path: Path) -> None:
    for name in ("train", "test", "annotations"):
        write_folder(tmp_path / name)
    assert "besides them 'annotations'" in refusal(tmp_path)


def test_splits_without_train_are_refused(tmp_path: Path) -> None:
    for name in ("val", "test"):
        write_folder(tmp_path / name)
    assert "no train folder" in refusal(tmp_path)


def test_loose_files_beside_split_folders_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path / "train")
    put(tmp_path / "README.md", tmp_path / "train" / "loose.png")
    assert open_source(str(tmp_path)).ignored["loose files"] == 2


# --- Folders that cannot be used ----------------------------------------------------------------------------------------


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "holds no images" in refusal(tmp_path)


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    assert "it is one image; give a folder with a folder of images for each class" in refusal(tmp_path / "a.png")


def test_a_missing_path_names_the_nearest(tmp_path: Path) -> None:
    write_folder(tmp_path / "flowers")
    assert refusal(tmp_path / "flowrs").endswith(f"Did you mean {tmp_path / 'flowers'}?")
    assert refusal(tmp_path / "nothing" / "of" / "it").endswith("Check the path")


@pytest.mark.parametrize("within", ["", "train"])
def test_images_without_class_folders(within: str, tmp_path: Path) -> None:
    put(tmp_path / within / "a.png", tmp_path / within / "b.png")
    assert "no class folders" in refusal(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert f"the class folder {tmp_path / 'empty'} holds no images" in refusal(tmp_path)


@pytest.mark.parametrize("source", ["", "  ", "x" * 5000, "a/" * 3000, "nul\0byte"])
def test_impossible_paths(source: str) -> None:
    refusal(source)


def test_a_folder_without_permission(tmp_path: Path) -> None:
    write_folder(tmp_path)
    closed = tmp_path / "apple"
    closed.chmod(0)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("this user may read everything")
        assert "cannot be read" in refusal(tmp_path)
    finally:
        closed.chmod(0o755)


def test_an_error_of_the_file_system_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    write_folder(tmp_path)
    monkeypatch.setattr(os, "scandir", refuse)
    assert "cannot be read: Permission denied" in refusal(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such names")
def test_names_that_cannot_be_written_down(tmp_path: Path) -> None:
    write_folder(tmp_path / "bytes")
    (tmp_path / "bytes" / "apple" / os.fsdecode(b"caf\xe9.png")).write_bytes(IMAGE)
    assert r"caf\udce9.png' is not UTF-8" in refusal(tmp_path / "bytes")

    put(tmp_path / "lines" / "a\nb" / "1.png", tmp_path / "lines" / "c" / "1.png")
    assert r"a\nb' has a line break" in refusal(tmp_path / "lines")


# --- Links --------------------------------------------------------------------------------------------------------------


def link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no symbolic links")


def test_circles_of_links_end_and_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, examples=2)
    link(tmp_path / "all", tmp_path)
    link(tmp_path / "apple" / "up", tmp_path)
    link(tmp_path / "itself", tmp_path / "itself")
    examples = open_source(str(tmp_path))

    assert examples.class_names == NAMES[:3] and len(examples) == 6
    assert (examples.ignored["circular links"], examples.ignored["links to folders"]) == (1, 1)


def test_a_class_folder_may_be_a_link(tmp_path: Path) -> None:
    write_folder(tmp_path / "store", examples=2)
    (tmp_path / "chosen").mkdir()
    for name in NAMES[:2]:
        link(tmp_path / "chosen" / name, tmp_path / "store" / name)
    assert len(open_source(str(tmp_path / "chosen"))) == 4


def test_a_link_to_nowhere_is_an_unreadable_image(tmp_path: Path) -> None:
    write_folder(tmp_path)
    link(tmp_path / "apple" / "lost.png", tmp_path / "nowhere.png")
    faults = [one.key for one in check_images(open_source(str(tmp_path))) if one.fault]
    assert faults == ["apple/lost.png"]


# --- The table ----------------------------------------------------------------------------------------------------------


def test_every_kind_is_described_and_recognised() -> None:
    for name, source in SOURCES.items():
        assert source.description
        assert bool(source.prefixes) + bool(source.names) == (name != "folder")  # else how would it be recognised?
        assert not source.prefixes or source.syntax.startswith(source.prefixes)
        assert not source.names or any(fnmatchcase(source.syntax.lower(), one) for one in source.names)


def test_every_kind_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    for source in SOURCES.values():
        assert f"| `{source.syntax}` | {source.description} |\n" in page


def test_sample_digits() -> None:
    examples = open_source("sample:digits")

    assert len(examples) == 1797 == len(set(examples.keys))
    assert examples.class_names == tuple("0123456789")
    assert examples.source == "sample:digits"
    image = np.asarray(decode(examples.read(0)))
    assert image.shape == (8, 8, 3) and image.min() == 0 and 230 < image.max() <= 255
    assert examples.read(5) == open_source("sample:digits").read(5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sample:digit", "Did you mean sample:digits?"),
        ("sample:", "There is sample:digits"),
        ("sample:roses", "There is sample:digits"),
        ("smaple:digits", "Did you mean sample:digits?"),
        ("TFDS:mnist", "Did you mean tfds:mnist?"),
        ("htps://example.org/a.zip", "Did you mean https://example.org/a.zip?"),
        ("ftp://example.org/a.zip", "Known sources: a folder, FILE.csv, "),
        ("folder:images", "Known sources: a folder, "),
        (r"C:\images\none", r"there is no folder C:\images\none"),
        ("C:/images/none", "there is no folder C:/images/none"),
        ("./time 12:30", "there is no folder time 12:30"),
    ],
)
def test_unknown_sources_get_a_hint(source: str, message: str) -> None:
    assert message in refusal(source)


def test_a_folder_may_have_a_colon_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "shot:12", examples=1)
    monkeypatch.chdir(tmp_path)
    assert len(open_source("shot:12")) == len(open_source(str(tmp_path / "shot:12"))) == 3


def test_a_source_can_be_named_for_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "fruit", examples=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("fruit", "./fruit", "~/fruit", str(tmp_path / "fruit")):
        assert absolute_source(text) == str(tmp_path / "fruit")
    for text in ("list.csv", "a.zip", "a-{0..9}.tar", "a*.tfrecord"):
        assert absolute_source(text) == absolute_source(f"~/{text}") == str(tmp_path / text)
    for text in ("sample:digits", "tfds:mnist", "https://example.org/a.zip#sha256=0", "", " "):
        assert absolute_source(text) == text  # an empty one must stay an error


def test_a_set_can_be_narrowed_and_given_other_labels(tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path, classes=4, examples=2)))
    chosen = examples.subset([7, 2, 0]).subset(np.array([0, 2]))

    assert chosen.keys == ("damson/01.png", "apple/00.png") and chosen.labels.array.tolist() == [3, 0]
    assert chosen.read(0) == (tmp_path / "damson" / "01.png").read_bytes()
    relabelled = chosen.with_classes(("damson", "other", "apple"))
    assert relabelled.labels.array.tolist() == [0, 2] and relabelled.read(1) == chosen.read(1)


def test_writing_a_folder_for_tests_gives_colours_that_differ(tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path, classes=3, size=(20, 10))))
    means = np.array([np.asarray(decode(examples.read(i))).mean(axis=(0, 1)) for i in range(len(examples))])
    centres = np.array([means[examples.labels.has(label)].mean(axis=0) for label in range(3)])
    nearest = np.abs(means[:, None] - centres).sum(axis=2).argmin(axis=1)
    assert (nearest == examples.labels.array).all()
    assert Image.open(tmp_path / "apple" / "00.png").size == (20, 10)
