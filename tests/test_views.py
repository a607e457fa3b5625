"""Views of images: several from one decode, each decided by its seed, many of them by threads that run ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data import loading
from data.errors import DataError
from data.examples import Examples
from data.image import decoding
from data.image.augmentation import AUGMENTATIONS, Augmentation
from data.image.resizing import load_pixels
from data.image.transform import ImageTransform
from data.labels import SingleLabel
from data.loading import Loader, load_views
from data.sources import open_source
from tests.augmented import augmented
from tests.images import encode, smooth, write_folder

SIZE = 16
DEFAULT = AUGMENTATIONS["default"]
FILES = [encode(smooth(50, 40, seed=number)) for number in range(60)]
JPEG = encode(smooth(150, 120), "JPEG")


def loader_of(files: list[bytes], read: Callable[[int], object] = lambda _: None) -> Loader:
    """Of image files in memory; `read` is called with the number of each file that is read."""

    def encoded(index: int) -> bytes:
        read(index)
        return files[index]

    keys = tuple(f"{number}.png" for number in range(len(files)))
    examples = Examples("memory", keys, SingleLabel(np.arange(len(files)) % 2, ("a", "b")), encoded)
    return Loader(examples, ImageTransform(SIZE, "stretch"))


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one == other).all())


# --- Of one image -----------------------------------------------------------------------------------------------------


def test_without_a_seed_it_is_the_image_as_it_is() -> None:
    loader = loader_of(FILES)
    always = replace(DEFAULT, antialiased_resize=1.0)
    views = augmented(loader, always).views(3, [None, (1,), None])

    assert views.shape == (3, SIZE, SIZE, 3) and views.dtype == np.uint8
    assert alike(views[0], loader.load(3)) and alike(views[2], loader.load(3))
    assert alike(loader.load(3), load_pixels(FILES[3], SIZE, "stretch"))
    assert not alike(views[1], views[0])


@pytest.mark.parametrize("seed", [(0,), (0, 1, 2), (2**31, 7), (2**70, 2**40, 3)])
def test_the_seed_decides_in_any_company_and_place(seed: tuple[int, ...]) -> None:
    loader = loader_of(FILES)
    alone = augmented(loader, DEFAULT).views(3, [seed])[0]
    among = augmented(loader, DEFAULT).views(3, [None, (4, 4), seed, (5, 5)])

    assert alike(alone, among[2])
    assert alike(alone, augmented(loader_of(FILES), DEFAULT).views(3, [list(seed)])[0])
    assert len({view.tobytes() for view in among}) == 4


def test_no_part_of_a_seed_is_without_effect() -> None:
    seeds = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1 + 2**32, 2, 3), (2, 1, 3)]
    assert len({view.tobytes() for view in augmented(loader_of(FILES), DEFAULT).views(0, seeds)}) == len(seeds)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_as_many_views_are_antialiased_as_asked(share: float) -> None:
    views = augmented(loader_of(FILES), Augmentation(antialiased_resize=share)).views(
        0, [(7, one) for one in range(300)]
    )
    usual, antialiased = (load_pixels(FILES[0], SIZE, "stretch", antialias=way) for way in (False, True))
    ways = [alike(view, antialiased) for view in views]

    assert not alike(usual, antialiased)
    assert all(way or alike(view, usual) for way, view in zip(ways, views, strict=True))
    assert abs(np.mean(ways) - share) < (0.1 if 0 < share < 1 else 1e-9)


def test_whether_a_view_is_antialiased_says_nothing_about_its_other_changes() -> None:
    """Both come from one seed: were a draw used twice, antialiased images would all be mirrored, say."""
    flat = loader_of([encode(np.repeat(np.arange(0, 200, 5, np.uint8)[None, :, None], 3, axis=2).repeat(9, axis=0))])
    views = augmented(flat, Augmentation(flip=True, antialiased_resize=0.5)).views(0, [(3, one) for one in range(400)])
    usual, antialiased = (load_pixels(flat.examples.read(0), SIZE, "stretch", antialias=way) for way in (False, True))
    counts = [sum(alike(view, one[:, ::side]) for view in views) for one in (usual, antialiased) for side in (1, -1)]
    assert sum(counts) == 400 and min(counts) > 70


@pytest.mark.parametrize("seeds", [[None], [None, (1,), (2,), (3,), (4,)], [(number,) for number in range(20)]])
def test_an_image_is_read_and_decoded_once_for_all_its_views(
    seeds: list[tuple[int, ...] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    decoded: list[bytes] = []
    opened = decoding.opened
    monkeypatch.setattr(decoding, "opened", lambda encoded: decoded.append(encoded) or opened(encoded))
    loader = augmented(loader_of(FILES, read.append), DEFAULT)
    loader.views(5, seeds)

    assert read == [5] and decoded == [FILES[5]]
    changed = sum(seed is not None for seed in seeds)
    expected = {"read": 1, "decode": 1} | ({"augment": changed} if changed else {})
    assert dict(loader.stages.examples) == expected
    assert list(loader.stages.rates()) == list(expected) and min(loader.stages.rates().values()) > 0


def test_a_jpeg_is_shrunk_by_its_decoder_only_where_all_views_are_antialiased() -> None:
    loader = loader_of([JPEG, JPEG])
    always = Augmentation(antialiased_resize=1.0)
    shrunk = augmented(loader, always).views(0, [(1,), (2,)])
    beside = augmented(loader, always).views(0, [(1,), None])

    assert alike(shrunk[0], load_pixels(JPEG, SIZE, "stretch", antialias=True)) and alike(*shrunk)
    assert alike(beside[1], loader.load(0))
    assert not alike(beside[0], shrunk[0])
    assert np.abs(beside[0].astype(int) - shrunk[0]).mean() < 1.5


@pytest.mark.parametrize("damage", ["gone", "truncated"])
def test_an_image_that_cannot_be_read_any_longer_is_named(damage: str, tmp_path: Path) -> None:
    loader = Loader(open_source(str(write_folder(tmp_path))), ImageTransform(SIZE, "stretch"))
    file = tmp_path / "apple" / "00.png"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"apple/00\.png can no longer be read"):
        augmented(loader, DEFAULT).views(0, [None, (1,)])


# --- Of many images ---------------------------------------------------------------------------------------------------


def wanted_of(count: int) -> list[tuple[int, list[tuple[int, int] | None]]]:
    """Images in a mixed order, with one to three views each."""
    order = np.random.default_rng(0).permutation(count).tolist()
    return [(index, [None, *((number, index) for number in range(index % 3))]) for index in order]


def test_views_come_in_order_whichever_thread_is_faster() -> None:
    slow = loader_of(FILES, lambda index: time.sleep(0.01 * (index % 4 == 0)))
    found = list(load_views(augmented(slow, DEFAULT), wanted_of(60)))

    assert len(found) == 60
    for views, (index, seeds) in zip(found, wanted_of(60), strict=True):
        assert views.shape[0] == len(seeds) and alike(views, augmented(slow, DEFAULT).views(index, seeds))


def test_several_threads_load() -> None:
    meeting = threading.Barrier(loading.PARALLEL, timeout=300)  # breaks unless so many threads come to it
    count = 4 * loading.PARALLEL
    assert (
        len(
            list(
                load_views(augmented(loader_of(FILES[:1] * count, lambda _: meeting.wait()), DEFAULT), wanted_of(count))
            )
        )
        == count
    )


def test_threads_run_ahead_by_a_bounded_number_of_images() -> None:
    read: list[int] = []
    files = FILES[:1] * 500
    views = load_views(augmented(loader_of(files, read.append), DEFAULT), [(index, [None]) for index in range(500)])

    assert read == []
    for taken in range(1, 4):
        next(views)
        end = time.monotonic() + 300
        while len(read) < taken - 1 + loading._AHEAD and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1)  # in which others would be read
        assert len(read) == taken - 1 + loading._AHEAD
    views.close()


@pytest.mark.parametrize("wanted", [0, 1, 3])
def test_few_images_are_no_special_case(wanted: int) -> None:
    assert len(list(load_views(augmented(loader_of(FILES), DEFAULT), wanted_of(wanted)))) == wanted


def test_the_error_of_an_image_is_raised_where_it_is_due() -> None:
    files = [*FILES[:5], b"damaged", *FILES[6:10]]
    loader = loader_of(files)
    views = load_views(augmented(loader, DEFAULT), [(index, [None]) for index in range(10)])
    for index in range(5):
        assert alike(next(views)[0], loader.load(index))
    with pytest.raises(DataError, match=r"5\.png can no longer be read"):
        next(views)
    assert next(views, None) is None


def test_closing_early_stops_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            cancelled.set()
            super().shutdown(wait=wait)

    before = set(threading.enumerate())
    read: list[int] = []

    def held_up(index: int) -> None:
        """Only the first is read before the rest is cancelled, however long that takes."""
        read.append(index)
        if index:
            cancelled.wait(timeout=300)

    monkeypatch.setattr(loading, "ThreadPoolExecutor", Pool)
    views: Iterator[np.ndarray] = load_views(
        loader_of(FILES[:1] * 500, held_up), [(index, [None]) for index in range(500)]
    )
    next(views)
    assert set(threading.enumerate()) - before
    views.close()  # type: ignore[attr-defined]

    assert not set(threading.enumerate()) - before
    assert len(read) <= 1 + loading.PARALLEL < loading._AHEAD  # those that waited were not begun
