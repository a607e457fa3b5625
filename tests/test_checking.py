"""Every image is read before a run starts; what cannot be read is named, or left out on request."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from data.checking import ImageCheck, check_images, describe, fingerprint, readable_only
from data.errors import DataError
from data.examples import Examples
from data.labels import SingleLabel
from data.sources import open_source
from tests.images import write_folder


@pytest.fixture
def damaged(tmp_path: Path) -> Examples:
    """Two classes of four; one image is truncated, one is text, one is gone."""
    write_folder(tmp_path, classes=2, examples=4, suffix=".jpg")
    truncated = tmp_path / "apple" / "01.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-200])
    (tmp_path / "apple" / "02.jpg").write_text("these are words")
    examples = open_source(str(tmp_path))
    (tmp_path / "banana" / "03.jpg").unlink()
    return examples


def test_faults_are_found_in_the_order_of_the_set(damaged: Examples) -> None:
    checked = list(check_images(damaged))

    assert [one.key for one in checked] == list(damaged.keys)
    faults = {one.key: one.fault for one in checked if one.fault}
    assert list(faults) == ["apple/01.jpg", "apple/02.jpg", "banana/03.jpg"]
    assert "truncated" in str(faults["apple/01.jpg"])
    assert "not an image" in str(faults["apple/02.jpg"])
    assert "No such file" in str(faults["banana/03.jpg"])


def test_unreadable_images_stop_the_run_and_are_all_named(damaged: Examples) -> None:
    with pytest.raises(DataError) as caught:
        readable_only(damaged, list(check_images(damaged)), skip_unreadable=False)
    text = str(caught.value)
    assert text.startswith("3 images cannot be read:")
    assert all(name in text for name in ("apple/01.jpg", "apple/02.jpg", "banana/03.jpg", "--skip-unreadable"))


def test_unreadable_images_are_left_out_on_request(damaged: Examples) -> None:
    kept = readable_only(damaged, list(check_images(damaged)), skip_unreadable=True)

    assert kept.keys == ("apple/00.jpg", "apple/03.jpg", "banana/00.jpg", "banana/01.jpg", "banana/02.jpg")
    assert kept.labels.array.tolist() == [0, 0, 1, 1, 1]
    assert not any(one.fault for one in check_images(kept))
    assert kept.digests == tuple(hashlib.sha256(kept.read(index)).hexdigest() for index in range(len(kept)))


def test_sound_images_pass(tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path)))
    digests = tuple(hashlib.sha256(examples.read(index)).hexdigest() for index in range(len(examples)))
    for skip in (True, False):
        passed = readable_only(examples, list(check_images(examples)), skip_unreadable=skip)
        assert (passed.keys, passed.digests, passed.read) == (examples.keys, digests, examples.read)
        assert passed.labels == examples.labels


@pytest.mark.parametrize("lost", [["apple"], ["apple", "banana", "cherry"]])
def test_a_class_that_is_left_without_images_is_named(lost: list[str], tmp_path: Path) -> None:
    write_folder(tmp_path, classes=3, examples=2)
    for name in lost:
        for file in (tmp_path / name).iterdir():
            file.write_bytes(b"")
    examples = open_source(str(tmp_path))
    with pytest.raises(DataError) as caught:
        readable_only(examples, list(check_images(examples)), skip_unreadable=True)
    assert ", ".join(map(repr, lost)) in str(caught.value)


def test_an_error_without_a_text_is_a_fault_too() -> None:
    def encoded(index: int) -> bytes:
        raise OSError

    examples = Examples("test", ("a/1", "b/1"), SingleLabel(np.array([0, 1]), ("a", "b")), encoded)
    assert [one.fault for one in check_images(examples)] == ["OSError", "OSError"]


def test_a_long_list_is_cut_and_counted() -> None:
    text = describe([ImageCheck(f"a/{number}.jpg", "", "the file is empty") for number in range(50)])
    assert text.startswith("50 images cannot be read:\n  a/0.jpg: the file is empty\n")
    assert text.endswith("… and 30 more") and text.count("\n") == 21
    assert describe([ImageCheck("a.jpg", "", "odd")]) == "1 image cannot be read:\n  a.jpg: odd"


def test_checking_can_be_broken_off(tmp_path: Path) -> None:
    read = []

    def encoded(index: int) -> bytes:
        read.append(index)
        return b""

    keys = tuple(str(number) for number in range(5000))
    examples = Examples("test", keys, SingleLabel(np.arange(5000) % 2, ("a", "b")), encoded)
    checks = check_images(examples)
    next(checks)
    checks.close()  # type: ignore[attr-defined]
    assert len(read) < 5000


def test_the_fingerprint_depends_on_names_and_contents_and_not_on_order() -> None:
    one, other = ImageCheck("a/1", "11", None), ImageCheck("b/1", "22", None)
    whole = fingerprint([one, other])

    assert fingerprint([other, one]) == whole and len(whole) == 64
    changed = [[one], [one, ImageCheck("b/1", "23", None)], [one, ImageCheck("b/2", "22", None)], [one, other, one]]
    assert len({whole, *map(fingerprint, changed)}) == 5


def test_the_fingerprint_sees_one_changed_byte(tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path)))
    before = fingerprint(list(check_images(examples)))
    assert fingerprint(list(check_images(examples))) == before
    file = tmp_path / "banana" / "03.png"
    file.write_bytes(file.read_bytes() + b"\0")
    assert fingerprint(list(check_images(examples))) != before
