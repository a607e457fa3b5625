"""Folders and archives as people keep them: what is read of them, what is refused, and what is said."""

from __future__ import annotations

import io
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data.sources.names import split_word, splits_of
from tests.sources import CAFE, IMAGE, flowers, folder_of, opened, put, refusal, said, tarred, zipped

# --- Split folders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("training_set", "test_set"), ["train", "test"]),
        (("train", "dev", "eval"), ["train", "validation", "test"]),
        (("train", "eval", "test"), ["train", "validation", "test"]),
        (("Training Data", "Validation Data"), ["train", "validation"]),
        (("images-train", "images-val"), ["train", "validation"]),
        (("trainset", "valset", "testset"), ["train", "validation", "test"]),
        (("train1", "test1"), ["train", "test"]),
        (("seg_train", "seg_test"), ["train", "test"]),
        (("TrainImages", "TestImages"), ["train", "test"]),
        (("trn", "tst"), ["train", "test"]),
    ],
)
def test_split_folders_are_known_by_their_usual_names(
    names: tuple[str, ...], splits: list[str], tmp_path: Path
) -> None:
    examples = opened(folder_of(tmp_path, *(f"{name}/{label}/" for name in names for label in ("cats", "dogs"))))
    assert examples.class_names == ("cats", "dogs")
    assert examples.given_splits is not None and set(examples.given_splits) == set(splits)
    assert splits_of(names) == splits


@pytest.mark.parametrize(
    "name", ["rose", "trainer", "train station", "latest", "valley", "evaluated", "set", "images", ""]
)
def test_other_names_are_no_splits(name: str) -> None:
    assert split_word(name) == ""


@pytest.mark.parametrize("name", ["test1", "test", "testing_images"])
def test_an_unlabelled_split_is_left_out_and_said(name: str, tmp_path: Path) -> None:
    examples = opened(folder_of(tmp_path, "train/cat/", "train/dog/", f"{name}/"))
    assert examples.class_names == ("cat", "dog") and len(examples) == 4
    assert f"{name} is left out: it has no class folders (2 images)." in said(examples)


@pytest.mark.parametrize("within", ["unknown", "images", "test1"])
def test_a_split_whose_folders_are_no_classes_is_unlabelled(within: str, tmp_path: Path) -> None:
    examples = opened(folder_of(tmp_path, "train/cat/", "train/dog/", f"test/{within}/"))
    assert examples.class_names == ("cat", "dog") and len(examples) == 4
    assert f"test is left out: train has no class {within!r} (2 images)." in said(examples)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("a/cats/", "a/dogs/", "b/cats/", "b/dogs/"), "a, b in"),
        (("a/cats/", "a/dogs/", "b/cats/", "b/dogs/"), "name them train, validation and test"),
        (("cats/", "dogs/", "test/"), "test looks like a split, beside the class folders cats, dogs"),
        (("cats/", "dogs/", "training_set/"), "looks like a split"),
        (("train/", "test/"), "no class folders in them"),
        (("train/", "val/cats/", "val/dogs/"), "train has no class folders"),
        (("train/cats/", "train/dogs/", "annotations/x/"), "besides them 'annotations'"),
    ],
)
def test_folders_that_may_be_splits_or_classes_are_refused(
    paths: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    assert message in refusal(folder_of(tmp_path, *paths))


def test_a_folder_without_images_beside_splits_is_left_out(tmp_path: Path) -> None:
    folder_of(tmp_path, "train/cats/", "train/dogs/", "test/cats/", "test/dogs/")
    (tmp_path / "labels").mkdir()
    assert opened(tmp_path).ignored["folders without images"] == 1


def test_splits_may_be_within_classes(tmp_path: Path) -> None:
    paths = (f"{label}/{split}/" for label in ("cats", "dogs") for split in ("train", "test"))
    examples = opened(folder_of(tmp_path, *paths))
    assert examples.class_names == ("cats", "dogs")
    assert examples.given_splits is not None and examples.given_splits.count("test") == 4


@pytest.mark.parametrize("above", ["set", "set/images"])
def test_class_folders_may_lie_deeper(above: str, tmp_path: Path) -> None:
    examples = opened(folder_of(tmp_path, f"{above}/cats/", f"{above}/dogs/"))
    assert examples.class_names == ("cats", "dogs") and examples.keys[0] == "cats/0.png"
    assert f"The class folders are in {tmp_path / above}." in said(examples)


def test_split_folders_may_hold_themselves(tmp_path: Path) -> None:
    """As archives of Intel's image classification and others unpack."""
    paths = (f"{split}/{split}/{label}/" for split in ("seg_train", "seg_test") for label in ("sea", "street"))
    assert opened(folder_of(tmp_path, *paths)).class_names == ("sea", "street")


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"])
def test_folders_of_systems_are_no_classes(name: str, tmp_path: Path) -> None:
    examples = opened(folder_of(tmp_path, "cats/", "dogs/", f"{name}/", f"cats/{name}/"))
    assert examples.class_names == ("cats", "dogs") and len(examples) == 4
    assert examples.ignored["of the system"] == 2


def test_a_folder_that_is_one_class_is_said_to_be(tmp_path: Path) -> None:
    folder_of(tmp_path, "cats/", "dogs/")
    assert f"give the folder above it: {tmp_path}" in refusal(tmp_path / "cats")


@pytest.mark.parametrize("suffix", [".ppm", ".jp2", ".dcm"])
def test_images_of_other_kinds_are_named(suffix: str, tmp_path: Path) -> None:
    put(*(tmp_path / label / f"0{suffix}" for label in ("cats", "dogs")))
    assert f"holds no images that Graft reads, but 1 {suffix}, which convert to PNG or JPEG first" in refusal(tmp_path)


# --- Names --------------------------------------------------------------------------------------------------------------


def test_class_names_are_composed_and_trimmed(tmp_path: Path) -> None:
    folder_of(tmp_path, f"{unicodedata.normalize('NFD', CAFE)}/a.png", f"{CAFE}/b.png", "rose /c.png")
    assert opened(tmp_path).class_names == (CAFE, "rose")


# --- Archives -----------------------------------------------------------------------------------------------------------


def without_flag(path: Path, members: Mapping[bytes, bytes], extra: Mapping[bytes, bytes] = {}) -> Path:
    """A zip whose names are these bytes, and whose flag for UTF-8 is not set, as Info-ZIP writes them on Unix."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            info = zipfile.ZipInfo("x" * len(name))
            info.extra = extra.get(name, b"")
            file.writestr(info, content)
    content = path.read_bytes()
    for name in members:  # in the order of writing, in local headers and in the directory
        placeholder = b"x" * len(name)
        for start in (b"PK\x03\x04", b"PK\x01\x02"):
            length = 30 if start == b"PK\x03\x04" else 46
            position = content.index(start)
            while content[position + length :][: len(name)] != placeholder or _length(content, position) != len(name):
                position = content.index(start, position + 1)
            content = content[: position + length] + name + content[position + length + len(name) :]
    path.write_bytes(content)
    return path


def _length(content: bytes, position: int) -> int:
    return int(struct.unpack_from("<H", content, position + (26 if content[position + 2] == 3 else 28))[0])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_a_zip_are_utf8_though_it_does_not_say_so(form: Any, tmp_path: Path) -> None:
    names = [f"{unicodedata.normalize(form, name)}/0.png".encode() for name in (CAFE, "th\u00e9")]
    examples = opened(without_flag(tmp_path / "u.zip", dict.fromkeys(names, IMAGE)))
    assert examples.class_names == (CAFE, "th\u00e9") and not examples.notes


def test_the_unicode_path_of_a_zip_counts(tmp_path: Path) -> None:
    raw, name = b"caf\x82/0.png", f"{CAFE}/0.png".encode()
    field = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(raw)) + name
    path = without_flag(tmp_path / "u.zip", {raw: IMAGE, b"tea/0.png": IMAGE}, {raw: field})
    assert opened(path).class_names == (CAFE, "tea")


def test_names_that_are_not_utf8_are_said_to_be_guessed(tmp_path: Path) -> None:
    path = without_flag(tmp_path / "u.zip", {b"caf\x82/0.png": IMAGE, b"tea/0.png": IMAGE})
    examples = opened(path)
    assert examples.class_names == (CAFE, "tea") and "read as code page 437" in said(examples)
    assert said(opened(path)) == said(examples)  # out of the cache, too


def test_a_list_in_a_zip_finds_its_files(tmp_path: Path) -> None:
    list_text = f"path,label\n{CAFE}.png,a\nb.png,b\n".encode()
    name = unicodedata.normalize("NFD", f"{CAFE}.png").encode()
    path = without_flag(tmp_path / "u.zip", {name: IMAGE, b"b.png": IMAGE, b"list.csv": list_text})
    assert opened(path).keys == (f"{CAFE}.png", "b.png")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_within_a_tar_are_files(kind: bytes, tmp_path: Path) -> None:
    link, nowhere = tarfile.TarInfo("twin/0.png"), tarfile.TarInfo("twin/1.png")
    link.type = nowhere.type = kind
    link.linkname = "rose/0.png" if kind == tarfile.LNKTYPE else "../rose/0.png"
    nowhere.linkname = "../../etc/passwd"
    examples = opened(tarred(tmp_path / "a.tar", flowers(), link, nowhere))
    assert examples.class_names == ("rose", "tulip", "twin") and examples.ignored["links"] == 1
    assert examples.read(examples.keys.index("twin/0.png")) == examples.read(examples.keys.index("rose/0.png"))


@pytest.mark.parametrize("suffix", ["xz", "bz2", "gz"])
def test_compressed_tars(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.tar.{suffix}"
    with tarfile.open(path, f"w:{suffix}") as file:  # type: ignore[call-overload]
        for name, content in flowers().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    assert opened(path).class_names == ("rose", "tulip")


def test_a_stray_list_in_an_archive_is_left_out(tmp_path: Path) -> None:
    examples = opened(zipped(tmp_path / "a.zip", {**flowers(), "credits.csv": b"author,year\nme,2020\n"}))
    assert examples.class_names == ("rose", "tulip") and "credits.csv in it is left out" in said(examples)


def test_two_lists_in_an_archive_are_named(tmp_path: Path) -> None:
    lists = dict.fromkeys(("a.csv", "b.csv"), b"path,label\nimages/0.png,a\n")
    sentence = refusal(zipped(tmp_path / "a.zip", {"images/0.png": IMAGE, **lists}), columns={"label": "label"})
    assert "several lists (a.csv, b.csv)" in sentence and "give one of them" in sentence


def test_a_folder_and_two_lists_in_an_archive_are_a_folder(tmp_path: Path) -> None:
    lists = {"a.csv": b"x\n", "b.csv": b"y\n"}
    assert opened(zipped(tmp_path / "a.zip", {**flowers(), **lists})).class_names == ("rose", "tulip")
