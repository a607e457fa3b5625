"""Pixels that are kept: what is decoded once is not decoded again, and is the same as if it were."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from data.examples import Examples
from data.image import decoding
from data.image.augmentation import AUGMENTATIONS, Augmentation
from data.image.resizing import load_each_way, load_pixels
from data.image.transform import ImageTransform
from data.kept_arrays import KeptArrays
from data.labels import SingleLabel
from data.loading import Loader, load_ahead
from tests.augmented import augmented
from tests.conftest import TINY
from tests.images import encode, smooth

SIZE = 16
ANTIALIASED = Augmentation(antialiased_resize=1.0)
SMALL, LARGE = (encode(smooth(*size), "JPEG") for size in ((30, 20), (150, 120)))  # LARGE is shrunk by its decoder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How many times each file was decoded."""
    counts: Counter[bytes] = Counter()
    load = decoding.loaded

    def counted(image: Image.Image, *convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
        counts[image.fp.getvalue()] += 1
        return load(image, *convert)

    monkeypatch.setattr(decoding, "loaded", counted)
    return counts


def loader_of(files: list[bytes]) -> Loader:
    keys = tuple(f"{number}.jpg" for number in range(len(files)))
    examples = Examples("memory", keys, SingleLabel(np.arange(len(files)) % 2, ("a", "b")), files.__getitem__)
    return Loader(examples, ImageTransform(SIZE, "stretch"))


def test_only_what_is_kept_is_decoded_once(decoded: Counter[bytes]) -> None:
    loader = loader_of([SMALL, LARGE])
    loader.keep([1])
    for _ in range(3):
        np.testing.assert_array_equal(loader.load(0), loader.load(0))
        np.testing.assert_array_equal(loader.load(1), load_pixels(LARGE, SIZE, "stretch"))
    assert decoded == {SMALL: 6, LARGE: 4}
    loader.load(1)[:] = 0  # a copy, which may be written to
    np.testing.assert_array_equal(loader.load(1), load_pixels(LARGE, SIZE, "stretch"))


def test_views_keep_and_take_the_image_as_it_is(decoded: Counter[bytes]) -> None:
    loader = augmented(loader_of([LARGE]), Augmentation(flip=True))
    loader.keep([0])
    first = loader.views(0, [None, (1,), (2,)])
    np.testing.assert_array_equal(loader.views(0, [None, None]), first[[0, 0]])
    np.testing.assert_array_equal(loader.load(0), first[0])
    assert decoded == {LARGE: 1}
    loader.views(0, [(1,)])  # views are made of the file
    assert decoded == {LARGE: 2}


@pytest.mark.parametrize(("file", "decodes"), [(SMALL, 1), (LARGE, 2)], ids=["whole", "shrunk"])
def test_a_decode_of_the_whole_image_is_made_use_of(file: bytes, decodes: int, decoded: Counter[bytes]) -> None:
    """Not that of an image which the decoder shrinks: its pixels as they are would be others."""
    loader, other = (augmented(loader_of([file]), ANTIALIASED) for _ in range(2))
    loader.keep([0])
    views = loader.views(0, [(1,), (2,)])
    plain = loader.load(0)
    assert decoded == {file: decodes}
    np.testing.assert_array_equal(views, other.views(0, [(1,), (2,)]))
    np.testing.assert_array_equal(plain, other.load(0))


def test_a_spare_way_changes_nothing_of_the_others() -> None:
    for file, ways in ((SMALL, {True, False}), (LARGE, {True})):
        found = load_each_way(file, SIZE, "crop", {True}, spare={False})
        assert set(found) == ways
        np.testing.assert_array_equal(found[True], load_pixels(file, SIZE, "crop", antialias=True))
        if False in found:
            np.testing.assert_array_equal(found[False], load_pixels(file, SIZE, "crop"))


def test_many_threads_keep_and_read_at_once(decoded: Counter[bytes]) -> None:
    files = [encode(smooth(40, 30, seed=number)) for number in range(40)]
    loader = loader_of(files)
    loader.keep(range(40))
    expected = [load_pixels(file, SIZE, "stretch") for file in files]
    decoded.clear()
    list(load_ahead(loader, range(40)))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            np.testing.assert_array_equal(list(pool.map(loader.load, range(40))), expected)
    assert decoded == dict.fromkeys(files, 1)


def test_without_room_on_the_disk_images_are_decoded_again(
    decoded: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def seek(self, place: int) -> None: ...

        def close(self) -> None: ...

        def write(self, content: bytes) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    loader = loader_of([SMALL])
    loader.keep([0])
    for _ in range(2):
        np.testing.assert_array_equal(loader.load(0), load_pixels(SMALL, SIZE, "stretch"))
    assert decoded[SMALL] == 4


def test_the_file_goes_with_its_owner() -> None:
    kept = KeptArrays((SIZE, SIZE, 3), "uint8")
    kept.want([3])
    kept.add(3, np.zeros((SIZE, SIZE, 3), np.uint8))
    file = kept._file
    assert file is not None and not file.closed
    del kept
    assert file.closed


@pytest.mark.usefixtures("tiny_backbone")
def test_a_run_decodes_each_image_once_to_check_it_and_once_to_use_it(
    fruit: Path, decoded: Counter[bytes], tmp_path: Path
) -> None:
    options = TINY | {"cache_limit": 1, "cache_folder": str(tmp_path / "cache"), "formats": ("tflite_int8", "onnx")}
    first = app.train(str(fruit), output=str(tmp_path / "first"), **options)
    viewed = 15  # `plots/augmentation.png` shows so many training images, also as they are antialiased
    assert AUGMENTATIONS[str(options["augment"])].antialiased_resize > 0
    golden = 3  # test images whose `export/golden/*.png` is made of the whole image, and decoded for its tensor
    assert len(decoded) == 24 and set(decoded.values()) <= {2, 3, 4}
    assert list(decoded.values()).count(4) <= golden
    assert sum(decoded.values()) <= 2 * 24 + viewed + 2 * golden

    decoded.clear()
    second = app.train(str(fruit), output=str(tmp_path / "second"), **options)
    assert (
        set(decoded.values()) <= {1, 2, 3} and list(decoded.values()).count(3) <= golden
    )  # checked and extracted already
    assert sum(decoded.values()) <= 24 + viewed + 2 * golden
    assert second.metrics["test"] == first.metrics["test"]
