"""Image statistics: noted while images are checked, and kept so that none is decoded twice."""

from __future__ import annotations

import io
import os
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from data.auditing.statistics import STATISTICS, statistics_of
from data.cache.cache import Cache
from data.cache.disk import size_of
from data.cache.image_statistics import StatisticsStore
from data.checking import check_images, statistics_among
from data.image.decoding import UnreadableImage
from data.sources import open_source
from tests.images import encode, smooth, write_folder

DIGEST = "ab" * 32


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def animation() -> bytes:
    frames = [Image.fromarray(smooth(40, 30, seed=number)) for number in range(2)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (encode(smooth(40, 30)), {"width": 40, "height": 30, "format": b"PNG", "mode": b"RGB", "orientation": 1}),
        (
            encode(smooth(40, 30), "JPEG", exif=exif(6)),
            {"width": 30, "height": 40, "format": b"JPEG", "orientation": 6},
        ),
        (encode(smooth(40, 30), "JPEG", exif=exif(99)), {"width": 40, "orientation": 1}),
        (encode(Image.new("L", (9, 7), 100)), {"mode": b"L", "width": 9, "sharpness": 0, "animated": False}),
        (encode(Image.new("RGB", (1, 1), (10, 20, 30))), {"width": 1, "height": 1, "sharpness": 0}),
        (animation(), {"format": b"GIF", "animated": True, "width": 40}),
    ],
    ids=["png", "on its side", "damaged exif", "grey", "one pixel", "animation"],
)
def test_what_is_noted(encoded: bytes, expected: dict[str, object]) -> None:
    statistics = statistics_of(encoded, DIGEST)

    assert statistics["sha256"].decode() == DIGEST and statistics["bytes"] == len(encoded)
    assert {name: statistics[name] for name in expected} == expected


def test_brightness_and_colour_are_in_their_units() -> None:
    pixels = np.zeros((50, 50, 3), np.uint8)
    pixels[:, 25:] = (200, 100, 0)
    statistics = statistics_of(encode(pixels), DIGEST)

    np.testing.assert_allclose(statistics["colour"], (100, 50, 0), atol=1)
    assert statistics["dark"] == pytest.approx((0.299 * 200 + 0.587 * 100) / 255, abs=0.02)
    assert statistics["bright"] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_hashes_are_those_of_imagehash_for_each_way_to_turn_the_image(seed: int) -> None:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32), np.uint8))
    turned = [image, *(image.transpose(turn) for turn in Image.Transpose)]

    expected = np.concatenate([np.packbits(imagehash.phash(one).hash) for one in turned]).view(">u8")
    np.testing.assert_array_equal(statistics_of(encode(image), DIGEST)["hashes"], expected)
    np.testing.assert_array_equal([statistics_of(encode(one), DIGEST)["hashes"][0] for one in turned], expected)


def test_what_cannot_be_decoded_has_no_statistics() -> None:
    with pytest.raises(UnreadableImage, match="empty"):
        statistics_of(b"", DIGEST)


@pytest.fixture
def store(tmp_path: Path) -> StatisticsStore:
    return StatisticsStore(tmp_path / "Merkmale äöü [b]" / "facts")


def some_statistics(*numbers: int) -> np.ndarray:
    statistics = np.zeros(len(numbers), STATISTICS)
    statistics["sha256"] = [f"{number:064x}".encode() for number in numbers]
    statistics["width"] = numbers
    return statistics


def test_a_second_check_decodes_nothing(store: StatisticsStore, tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path / "fruit")))
    first = list(check_images(examples, store.read()))
    store.add(statistics_among(first))
    second = list(check_images(examples, StatisticsStore(store.folder).read()))

    assert all(one.is_new for one in first) and not any(one.is_new for one in second)
    np.testing.assert_array_equal(statistics_among(first), statistics_among(second))


def test_an_image_with_other_bytes_is_decoded(store: StatisticsStore, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "fruit")
    store.add(statistics_among(list(check_images(open_source(str(folder))))))
    (folder / "apple" / "03.png").write_bytes(b"no image any more")
    checked = {one.key: one for one in check_images(open_source(str(folder)), store.read())}

    assert [key for key, one in checked.items() if one.fault] == ["apple/03.png"]


def test_stores_of_two_processes_add_up(store: StatisticsStore) -> None:
    store.add(some_statistics(1, 2))
    StatisticsStore(store.folder).add(some_statistics(2, 3))
    known = store.read()

    assert len(known) == 3
    assert [int(known.get(f"{number:064x}")["width"]) for number in (1, 2, 3)] == [1, 2, 3]
    assert known.get(f"{4:064x}") is None


def test_many_small_files_become_one(store: StatisticsStore) -> None:
    for number in range(40):
        store.add(some_statistics(number, 1000))

    assert len(list(store.folder.iterdir())) <= 17
    assert len(store.read()) == 41


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"words", "half", "other version", "other fields"])
def test_damaged_files_count_as_not_there(store: StatisticsStore, damage: bytes | str) -> None:
    store.add(some_statistics(1))
    (file,) = store.folder.iterdir()
    if damage == "half":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "other version":
        file.rename(file.with_name(f"facts-0-{'0' * 32}.npy"))
    elif damage == "other fields":
        np.save(file, np.zeros(3))
    else:
        assert isinstance(damage, bytes)
        file.write_bytes(damage)

    assert len(store.read()) == 0
    store.add(some_statistics(2))
    assert len(store.read()) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be written to")
def test_a_store_that_cannot_be_written_to_is_no_error(store: StatisticsStore) -> None:
    store.folder.mkdir(parents=True)
    store.folder.chmod(0o500)
    store.add(some_statistics(1))
    assert len(store.read()) == 0


def test_a_file_in_its_place_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "facts").write_text("mine")
    store = StatisticsStore(tmp_path / "facts")
    store.add(some_statistics(1))

    assert len(store.read()) == 0 and Cache(str(tmp_path)).clear() == 0
    assert (tmp_path / "facts").read_text() == "mine"


def test_clearing_removes_the_statistics_and_nothing_else(store: StatisticsStore) -> None:
    store.add(some_statistics(1, 2))
    left = f"facts-1-{'a' * 32}.npy"  # what a killed process left, as versions call it
    for name in (f".0123abcd-{left}", f"{left}.tmp"):
        (store.folder / name).write_bytes(b"half")
    mine = [store.folder / name for name in ("mine.txt", "facts-mine.npy")]
    for path in mine:
        path.write_text("mine")
    size = size_of(store.files())

    assert size > 2 * STATISTICS.itemsize + 8 and Cache(str(store.folder.parent)).clear() == size
    assert sorted(store.folder.iterdir()) == sorted(mine)
