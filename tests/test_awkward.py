"""Awkward files never crash, hang or fill the memory, and the check of `train`, its loaders and `predict` decide alike."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, JpegImagePlugin

import app
from app.prediction.inputs import ImageInput, find_images, image_inputs
from app.prediction.predicting import _load
from data.checking import check_images
from data.errors import DataError
from data.examples import Examples
from data.image import decoding
from data.image.decoding import UnreadableImage, decode, read_header
from data.image.reading import read_image
from data.image.resizing import RESIZES, load_each_way
from data.labels import SingleLabel
from data.sources import open_source
from tests.awkward import CORPUS, Awkward, decisions, stretched
from tests.images import encode, write_folder
from tests.raw_files import FORMAT_OF, LARGE, PIXELS, animation, gif

# pytest undoes the filters that data.image.decoding sets.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

FOR_EVER = 300  # seconds after which a thread that has nothing to wait for is taken to hang
LONGEST = 10  # seconds of the processor, however busy it is with other things: each takes far less than one


@pytest.mark.parametrize(("name", "awkward"), CORPUS.items(), ids=list(CORPUS))
def test_all_decide_alike(name: str, awkward: Awkward, tmp_path: Path) -> None:
    encoded = awkward.make()
    started = time.process_time()
    found = decisions(encoded, tmp_path / name)
    assert time.process_time() - started < LONGEST

    assert len(set(found.values())) == 1, found
    reason = found["check"]
    if isinstance(awkward.expected, str):
        assert reason is not None and re.search(awkward.expected, reason) and reason.isprintable()
    else:
        assert reason is None
        assert decode(encoded).size == awkward.expected


READABLE = {name: awkward for name, awkward in CORPUS.items() if not isinstance(awkward.expected, str)}


@pytest.mark.parametrize(("name", "awkward"), READABLE.items(), ids=list(READABLE))
def test_what_can_be_read_can_be_made_square_in_every_way(name: str, awkward: Awkward) -> None:
    encoded = awkward.make()
    for resize in RESIZES:
        both, shrunk = (load_each_way(encoded, 32, resize, ways) for ways in ({True, False}, {True}))
        assert set(both) == {True, False} and set(shrunk) == {True}
        assert all(one.shape == (32, 32, 3) and one.dtype == np.uint8 for one in [*both.values(), *shrunk.values()])
        assert np.abs(both[True].astype(int) - shrunk[True]).mean() < 2  # levels


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_may_end_anywhere(suffix: str) -> None:
    """Its first frame counts; to look for the second must not fail."""
    whole = animation(FORMAT_OF[suffix])
    parts = [whole[:length] for length in range(1, len(whole) + 1)]
    keys = tuple(map(str, range(len(parts))))
    examples = Examples("test", keys, SingleLabel(np.zeros(len(parts), np.int64), ("a", "b")), parts.__getitem__)
    found = [one.fault for one in check_images(examples)]
    assert found[-1] is None and found == [fault_of(part) for part in parts]


def fault_of(encoded: bytes) -> str | None:
    try:
        load_each_way(encoded, 32, "stretch", {False})
    except UnreadableImage as error:
        return str(error)
    return None


def test_a_header_says_what_moves_and_what_lies_on_its_side() -> None:
    assert read_header(animation("GIF")) == ("GIF", "P", True, 1)
    assert read_header(CORPUS["palette.png"].make()) == ("PNG", "P", False, 1)
    assert read_header(CORPUS["several images on their side.jpg"].make()) == ("JPEG", "RGB", False, 6)
    assert read_header(CORPUS["orientation 9.png"].make()).orientation == 1


def found_in(path: Path) -> list[ImageInput]:
    return list(find_images(image_inputs([path])))


def test_the_audit_decides_alike(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", classes=2, examples=1)
    for number, (name, awkward) in enumerate(CORPUS.items()):
        (source / "apple" / f"{number} {name}").write_bytes(awkward.make())
    predicted = _load(found_in(source), stretched)[1]
    audited = app.audit(str(source), labels=False, cache_folder=str(tmp_path / "cache")).reading.audit_data.faults

    assert {str(source / one.key): one.fault for one in audited} == {one.key: one.fault for one in predicted}
    assert len(audited) == len(CORPUS) - len(READABLE)


def test_another_librarys_switch_makes_no_half_image_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TensorFlow Datasets sets it, for the whole process."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    found = decisions(CORPUS["truncated 0.jpg"].make(), tmp_path / "half.jpg")
    assert all(reason and "truncated" in reason for reason in found.values())


def test_the_limit_is_ours_where_another_library_lifts_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UnreadableImage, match="179 million pixels"):
        decode(CORPUS["ten gigapixels.png"].make())


def test_no_memory_is_not_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    with pytest.raises(UnreadableImage, match="not enough memory"):
        decode(encode(PIXELS, "JPEG"))


# --- What stands where a file should ------------------------------------------------------------------------------------------


def ended(call: Callable[[], Any]) -> Any:
    """What a call gives; fails if it hangs."""
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(call()), daemon=True)
    thread.start()
    thread.join(FOR_EVER)
    assert given, "it hangs, or has failed"
    return given[0]


def as_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket may have a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


def as_large_file(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(decoding.LARGEST_FILE + 1)  # takes no room on the disk


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "a pipe or a device"),
    "socket": (as_socket, "No such device or address|Operation not supported"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a pipe or a device"),
    "link to nothing": (lambda path: path.symlink_to("nothing"), "No such file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "more than 256 MB": (as_large_file, "larger than 256 MB"),
    "private": (lambda path: path.touch(mode=0), "Permission denied"),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source", classes=2, examples=1, suffix=".jpg")


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_named_by_all(kind: str, source: Path) -> None:
    make, reason = ODD[kind]
    if kind == "private" and os.geteuid() == 0:
        pytest.skip("nothing is private from root")
    path = source / "apple" / "odd.jpg"
    make(path)

    (checked,) = ended(lambda: [one for one in check_images(open_source(str(source))) if one.fault])
    for given in (source, path):
        _, (predicted,) = ended(lambda given=given: _load(found_in(given), stretched))
        assert predicted.fault == checked.fault and Path(predicted.key) == source / checked.key == path
    assert re.search(reason, checked.fault)
    with pytest.raises(UnreadableImage, match=reason):  # before anything is read
        read_image(path)


def test_an_image_that_vanishes_is_named_by_all(source: Path) -> None:
    examples, files = open_source(str(source)), found_in(source)
    Path(files[0].name).unlink()
    faults = [one.fault for one in check_images(examples)]
    assert faults == ["No such file or directory", None]
    assert [one.fault for one in _load(files, stretched)[1]] == faults[:1]


def test_a_folder_named_like_an_image_and_links_in_a_circle_are_walked_alike(source: Path) -> None:
    inner = source / "apple" / "folder.jpg"
    inner.mkdir()
    (inner / "sound.png").write_bytes(encode(PIXELS))
    (inner / "around.jpg").symlink_to(source)
    (source / "apple" / "sideways").symlink_to(source / "banana")
    examples = open_source(str(source))

    assert "apple/folder.jpg/sound.png" in examples.keys and len(examples) == 3
    assert [source / key for key in examples.keys] == [Path(one.name) for one in found_in(source)]
    assert not any(one.fault for one in check_images(examples))


NAMES = [
    "ü €",
    "кошка",
    "犬🐕",
    "two\nlines",
    " spaces ",
    "-rf",
    "--json",
    "[red]",
    "%s {0} \\n",
    "'\"`$(id);&",
    "a.b.jpg",
    "n" * 250,
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_found_read_and_named(name: str, source: Path) -> None:
    path = source / "apple" / f"{name}.jpg"
    path.write_bytes(encode(PIXELS, "JPEG"))
    examples = open_source(str(source))
    assert f"apple/{name}.jpg" in examples.keys and path in [Path(one.name) for one in found_in(source)]
    assert not any(one.fault for one in check_images(examples))

    path.write_bytes(b"")
    (checked,) = [one for one in check_images(examples) if one.fault]
    (predicted,) = _load(image_inputs([path]), stretched)[1]
    assert checked.fault == predicted.fault == "the file is empty" and checked.key == f"apple/{name}.jpg"


def test_a_name_that_no_text_can_hold_is_refused_by_all(source: Path) -> None:
    path = os.path.join(os.fsencode(source / "apple"), b"\xff.jpg")
    with open(path, "wb") as file:
        file.write(encode(PIXELS, "JPEG"))
    with pytest.raises(DataError, match="not UTF-8"):
        open_source(str(source))
    with pytest.raises(DataError, match="not UTF-8"):
        app.predict("model.tflite", [str(source)])


# --- Memory -------------------------------------------------------------------------------------------------------------------


def test_threads_share_one_allowance_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, most = LARGE.shape[0] * LARGE.shape[1], []
    monkeypatch.setattr(decoding, "_BUDGET", decoding.PixelBudget(3 * pixels))
    load, inside, lock = JpegImagePlugin.JpegImageFile.load, [0], threading.Lock()

    def watched(image: Image.Image) -> Any:
        with lock:
            inside[0] += 1
            most.append(inside[0])
        time.sleep(0.01)  # long enough that others would come in
        try:
            return load(image)
        finally:
            with lock:
                inside[0] -= 1

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", watched)
    encoded, damaged = encode(LARGE, "JPEG"), encode(LARGE, "JPEG")[:-1000]

    def work() -> None:
        for ways in ({True}, {False}, {True, False}):
            load_each_way(encoded, 32, "stretch", ways)
            with pytest.raises(UnreadableImage):  # which gives back what it took
                load_each_way(damaged, 32, "stretch", ways)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(FOR_EVER)
        assert not thread.is_alive()
    assert max(most) == 3


MEASURE = """
import re, sys
from concurrent.futures import ThreadPoolExecutor
from data.image.decoding import UnreadableImage, decode
from data.image.resizing import load_each_way

encoded = sys.stdin.buffer.read()
def load(way):
    try:
        decode(encoded) if way == 2 else load_each_way(encoded, 224, "stretch", {bool(way)})
    except UnreadableImage as error:
        return str(error)
def peak():  # of this process; what getrusage gives begins at that of the process that started it
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read())[1])
before = peak()
with ThreadPoolExecutor(3) as pool:
    (reason,) = set(pool.map(load, range(3)))
print(peak() - before, reason)
"""


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it")


def peak_of_three_threads(encoded: bytes) -> tuple[int, str]:
    """Megabytes that a process needs more when three threads decode a file at once, and why they cannot, or "None"."""
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=encoded,
        cwd=Path(app.__file__).parents[1],
        capture_output=True,
        check=True,
    )
    kilobytes, _, reason = ended.stdout.decode().strip().partition(" ")
    return int(kilobytes) // 1024, reason


@needs_proc
@pytest.mark.parametrize(
    "name",
    [
        "ten gigapixels.png",
        "268 megapixels.webp",
        "a frame of 4 gigapixels.gif",
        "runs that skip lines.bmp",
        "100 MB of text.png",
        "100 MB of profile.png",
        "EXIF tags that all point to one block.jpg",
        "1,000 scans.jpg",
        "50,000 frames.webp",
    ],
)
def test_what_is_made_to_fill_the_memory_does_not(name: str) -> None:
    megabytes, reason = peak_of_three_threads(CORPUS[name].make())
    assert megabytes < 200
    assert (reason == "None") == (name in READABLE)


def largest(file_format: str) -> bytes:
    """An image as large as is accepted, all of one colour: 36 bytes of WebP, for one."""
    width = 16_380 if file_format == "WEBP" else 65_500
    size = (width, decoding.LARGEST_IMAGE // width)
    options = {"WEBP": {"lossless": True, "method": 0}, "JPEG": {"progressive": True, "subsampling": 0}}
    return encode(Image.new("L" if file_format == "BMP" else "RGB", size), file_format, **options.get(file_format, {}))


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("file_format", decoding.FORMATS)
def test_three_of_the_largest_images_take_no_more_than_one(file_format: str) -> None:
    megabytes, reason = peak_of_three_threads(largest(file_format))
    print(f"{file_format}: {megabytes:,} MB")
    assert reason == "None" and megabytes < 4500


@needs_proc
@pytest.mark.slow
def test_a_large_canvas_around_one_pixel_is_bounded_too() -> None:
    megabytes, reason = peak_of_three_threads(gif((65_535, 2730), (0, 0, 1, 1)))
    assert reason == "None" and megabytes < 4500
