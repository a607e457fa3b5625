"""Extraction: rows are what the frozen part gives for a view, computed once, and found again by what they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.pictures import open_readable
from app.training import activations
from app.training.activations import Extractor, Views
from app.training.cache import ActivationCache, CacheFull
from app.training.engines import ENGINES, Choice
from app.training.inputs import FitData
from app.training.shards import Rows
from data.augmentation import AUGMENTATIONS, Augmentation
from data.errors import DataError
from data.pictures import PictureSet
from data.pipeline import PictureLoader
from models.builder import BACKBONE_LAYER, build_model
from models.freezing import freeze, unfreeze_from
from models.splitting import split
from tests.conftest import TINY_SPEC
from tests.pictures import encode, smooth, write_folder

SIZE = 32
DEFAULT = AUGMENTATIONS["default"]
FILES = [encode(smooth(50, 40, seed=number)) for number in range(12)]
PLENTY = 10**9


def pictures_of(files: Sequence[bytes]) -> PictureSet:
    """Picture files in memory, as `app.pictures.open_readable` would give them."""
    return PictureSet(
        "memory",
        ("a", "b"),
        tuple(f"{number}.png" for number in range(len(files))),
        np.arange(len(files)) % 2,
        lambda index: files[index],
        digests=tuple(hashlib.sha256(file).hexdigest() for file in files),
    )


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Three blocks and a linear head; its normalization does something."""
    model = build_model(TINY_SPEC, num_classes=2, image_size=SIZE)
    random = np.random.default_rng(0)
    for layer in model.get_layer(BACKBONE_LAYER).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def features(model: keras.Model) -> keras.Model:
    """What is frozen while the head trains alone: vectors of 8."""
    freeze(model)
    return split(model)[0]


@pytest.fixture(scope="module")
def middle(model: keras.Model) -> keras.Model:
    """What is frozen while the last block trains: 8 x 8 x 8."""
    unfreeze_from(model, "block2_conv")
    return split(model)[0]


@pytest.fixture
def forwarded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of the network took, the probe's left out; the network stays the same."""
    counts: list[int] = []
    real = activations.choose_engine

    def choose(*arguments: Any) -> Choice:
        choice = real(*arguments)

        def forward(pixels: np.ndarray) -> list[np.ndarray]:
            counts.append(len(pixels))
            return choice.forward(pixels)

        return replace(choice, forward=forward)

    monkeypatch.setattr(activations, "choose_engine", choose)
    return counts


@pytest.fixture
def extractor_of(tmp_path: Path) -> Callable[..., Extractor]:
    """Makes an extractor as another run would, over the one cache of the test."""

    def make(
        pictures: PictureSet | None = None,
        augmentation: Augmentation = DEFAULT,
        *,
        size: int = SIZE,
        resize: str = "stretch",
        limit: int = PLENTY,
        engine: str = "tensorflow",
        folder: str = "cache",
    ) -> Extractor:
        loader = PictureLoader(pictures or pictures_of(FILES), size, resize)
        cache = ActivationCache(tmp_path / folder, limit)
        return Extractor(loader, augmentation, cache, backbone="tiny", engine=engine)

    return make


def seen(extractor: Extractor, bottom: keras.Model, *views: Views) -> list[np.ndarray]:
    """All rows of the views, of one bottom alone."""
    return [everything(rows) for rows in extractor.rows(bottom, [bottom], views)]


def rows_on_disk(extractor: Extractor, bottom: keras.Model) -> float:
    """With those that are there more than once."""
    space = extractor.space(bottom)
    return sum(path.stat().st_size for path in space.folder.glob("*.bin")) / space.row_bytes


def everything(rows: Rows) -> np.ndarray:
    return rows.take(np.arange(len(rows)))


def views_of(pictures: Sequence[int], *numbers: int) -> Views:
    return Views(np.array(pictures), numbers)


def through(bottom: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(bottom(pixels.astype(np.float32), training=False))


def assert_alike(rows: np.ndarray, expected: np.ndarray) -> None:
    """But for float16's rounding."""
    assert rows.dtype == np.float16
    np.testing.assert_allclose(rows, expected, rtol=2**-10, atol=1e-4 * float(np.abs(expected).max()))


# --- What the rows are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["features", "middle"])
def test_view_0_is_what_the_frozen_part_gives_for_the_picture_as_it_is(
    which: str, request: pytest.FixtureRequest, extractor_of: Callable[..., Extractor]
) -> None:
    bottom, extractor = request.getfixturevalue(which), extractor_of()
    order = [7, 2, 11, 0]
    (rows,) = seen(extractor, bottom, views_of(order, 0))

    assert rows.shape == (4, *bottom.output_shape[1:])
    assert_alike(rows, through(bottom, np.stack([extractor.loader.load(index) for index in order])))
    assert np.abs(rows[0] - rows[1]).max() > 0.05


def test_the_views_of_a_picture_lie_beside_each_other_in_the_order_of_their_numbers(
    features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    extractor, views = extractor_of(), views_of([3, 0], 2, 0, 1)
    assert views.pairs() == [(3, 2), (3, 0), (3, 1), (0, 2), (0, 0), (0, 1)]
    (rows,) = seen(extractor, features, views)

    assert len(rows) == 6 and len(np.unique(rows, axis=0)) == 6
    for row, pair in zip(rows, views.pairs(), strict=True):
        (alone,) = seen(extractor_of(), features, views_of([pair[0]], pair[1]))
        np.testing.assert_array_equal(row, alone[0])
    assert_alike(rows[[1, 4]], through(features, np.stack([extractor.loader.load(index) for index in (3, 0)])))


def test_a_numbered_view_is_an_augmented_one_and_the_augmentation_is_the_one_asked_for(
    features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    mirror = Augmentation(flip=True)
    extractor = extractor_of(augmentation=mirror)
    (rows,) = seen(extractor, features, views_of([5], *range(1, 9)))
    pixels = extractor.loader.load(5)
    expected = through(features, np.stack([pixels, pixels[:, ::-1]]))

    nearest = np.abs(rows[:, None] - expected[None]).max(axis=2)
    assert (nearest.min(axis=1) < 1e-2 * np.abs(expected).max()).all()
    assert set(nearest.argmin(axis=1)) == {0, 1}


def test_several_views_are_answered_each_in_its_own_order(
    features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    training, validation, nothing = seen(
        extractor_of(), features, views_of([4, 1], 1, 2), views_of([1, 6], 0), views_of([], 0)
    )
    assert [len(one) for one in (training, validation, nothing)] == [4, 2, 0]
    (again,) = seen(extractor_of(), features, views_of([6, 1, 6], 0))
    np.testing.assert_array_equal(again, validation[[1, 0, 1]])


@pytest.mark.parametrize("name", [name for name, engine in ENGINES.items() if engine.is_installed])
def test_whichever_engine_runs_them(
    name: str, middle: keras.Model, features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    extractor, views = extractor_of(engine=name), [views_of(range(12), 0)]
    pixels = np.stack([extractor.loader.load(index) for index in range(12)])
    for bottom in (features, middle):
        rows = everything(extractor.rows(bottom, [features, middle], views)[0]).astype(np.float32)
        expected = through(bottom, pixels)
        assert np.sqrt(np.mean((rows - expected) ** 2)) < 0.1 * np.sqrt(np.mean(expected**2))
        assert np.corrcoef(rows.ravel(), expected.ravel())[0, 1] > 0.99
    assert extractor.report["engine"] == name


# --- What is found again ----------------------------------------------------------------------------------------------


def test_nothing_is_extracted_twice(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    first, views = extractor_of(), [views_of(range(8), 1, 2), views_of(range(8, 12), 0)]
    before = seen(first, features, *views)
    report, seconds = dict(first.report), first.seconds
    assert sum(forwarded) == 20 and report["views"] == 20 and seconds > 0

    again = seen(first, features, *views)
    assert first.report == report and first.seconds == seconds
    later = extractor_of()  # another run
    found = seen(later, features, *views)
    assert later.report == {} and later.seconds == 0
    assert sum(forwarded) == 20
    for one, *others in zip(before, again, found, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)


def test_another_order_split_or_seed_finds_the_same_rows(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    pictures = pictures_of(FILES)
    order = np.random.default_rng(0).permutation(12)
    place = {int(index): position for position, index in enumerate(order)}

    def data(loader: PictureLoader, train: Sequence[int], seed: int) -> FitData:
        rest = np.setdiff1d(np.arange(12), train)
        return FitData(loader, np.array(train), rest, 4, DEFAULT, None, seed, views=2)

    one = extractor_of(pictures)
    (before, _) = seen(one, features, *data(one.loader, range(8), 0).all_views)
    assert sum(forwarded) == 8 * 2 + 4
    other = extractor_of(pictures.subset(order))
    moved = [place[index] for index in (5, 2, 0, 7)]
    after, validation = seen(other, features, *data(other.loader, moved, 7).all_views)

    np.testing.assert_array_equal(after.reshape(4, 2, -1), before.reshape(8, 2, -1)[[5, 2, 0, 7]])
    # Those that were for training before, and are for validation now, were not there as they are.
    assert len(validation) == 8 and sum(forwarded) == 20 + 4
    assert other.report["views"] == 4


def test_a_view_follows_from_the_bytes_of_the_picture_and_its_number(
    features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    """Else two machines, or a cache that was emptied, would give another training."""
    (one,) = seen(extractor_of(folder="one"), features, views_of([0, 1, 2], 1, 2))
    (other,) = seen(extractor_of(pictures_of(FILES[::-1]), folder="other"), features, views_of([9, 10, 11], 2, 3, 1))
    one, other = one.reshape(3, 2, -1), other.reshape(3, 3, -1)

    np.testing.assert_allclose(one[:, 0], other[::-1, 2], rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(one[:, 1], other[::-1, 0], rtol=2e-3, atol=1e-4)
    assert np.abs(one[:, 0] - one[:, 1]).max(axis=1).min() > 1e-3


def test_only_what_is_missing_is_extracted(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    seen(extractor_of(), features, views_of([0, 1, 2], 1))
    extractor = extractor_of()
    (rows,) = seen(extractor, features, views_of([2, 3, 0], 1, 2))

    assert forwarded == [3, 4]
    assert extractor.report["views"] == 4
    (fresh,) = seen(extractor_of(pictures_of(FILES[::-1])), features, views_of([9, 8, 11], 1, 2))
    np.testing.assert_array_equal(rows, fresh)
    assert forwarded == [3, 4]


def test_copies_of_a_picture_share_its_rows(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    copies = pictures_of([FILES[0], FILES[1], FILES[0]])
    extractor = extractor_of(copies)
    (rows,) = seen(extractor, features, views_of([0, 1, 2], 1, 2))
    np.testing.assert_array_equal(rows[:2], rows[4:])
    assert extractor.cache.spaces()[0].rows == 4 and extractor.cache.spaces()[0].pictures == 2

    before = sum(forwarded)
    (renamed,) = seen(extractor_of(pictures_of([FILES[3], FILES[1]])), features, views_of([1], 1, 2))
    np.testing.assert_array_equal(renamed, rows[2:4])
    assert sum(forwarded) == before


def test_a_run_that_stopped_half_way_goes_on_from_there(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    pictures = pictures_of(FILES * 4)
    pictures = replace(pictures, digests=tuple(hashlib.sha256(bytes([index])).hexdigest() for index in range(48)))

    def until_40(index: int) -> bytes:
        if index == 40:
            raise KeyboardInterrupt
        return FILES[index % 12]

    stopped = extractor_of(replace(pictures, encoded=until_40))
    with pytest.raises(KeyboardInterrupt):
        seen(stopped, features, views_of(range(48), 0))
    assert forwarded == [32]
    (rows,) = seen(extractor_of(pictures), features, views_of(range(48), 0))
    assert forwarded == [32, 16]
    np.testing.assert_allclose(rows[:12], rows[36:], rtol=2e-3, atol=1e-4)


# --- Two networks in one pass -----------------------------------------------------------------------------------------


def test_two_networks_are_run_in_one_pass_and_each_gets_its_own_rows(
    features: keras.Model, middle: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    extractor, views = extractor_of(), [views_of(range(6), 0, 1)]
    (of_features,) = extractor.rows(features, [features, middle], views)
    (of_middle,) = extractor.rows(middle, [middle], views)

    assert forwarded == [12]
    assert of_features.shape == (8,) and of_middle.shape == (8, 8, 8)
    pixels = np.stack([extractor.loader.load(index) for index in range(6)])
    assert_alike(everything(of_features)[::2], through(features, pixels))
    assert_alike(everything(of_middle)[::2], through(middle, pixels))
    assert len(extractor.cache.spaces()) == 2


def test_each_of_two_networks_gets_what_it_lacks(
    features: keras.Model, middle: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    seen(extractor_of(), features, views_of([0, 1, 2], 0))
    seen(extractor_of(), middle, views_of([2, 3], 0))
    extractor = extractor_of()
    for bottom in (features, middle):
        (rows,) = extractor.rows(bottom, [features, middle], [views_of([4, 3, 2, 1, 0], 0)])
        pixels = np.stack([extractor.loader.load(index) for index in (4, 3, 2, 1, 0)])
        assert_alike(everything(rows), through(bottom, pixels))

    assert forwarded == [3, 2, 4]  # picture 2 was there for both
    assert [rows_on_disk(extractor, bottom) for bottom in (features, middle)] == [5, 5]


def test_the_same_network_twice_is_one(features: keras.Model, extractor_of: Callable[..., Extractor]) -> None:
    """Two phases may be cut at the same layer: where nothing above the boundary of the second has weights."""
    extractor = extractor_of(engine="openvino" if ENGINES["openvino"].is_installed else "litert")
    (rows,) = extractor.rows(features, [features, features], [views_of([0, 1], 0)])
    assert len(rows) == 2 and rows_on_disk(extractor, features) == 2


# --- What makes other rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["weights", "statistics", "size", "resize"])
def test_another_network_or_other_pixels_have_rows_of_their_own(
    change: str, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    def bottom_of(size: int, change: str = "") -> keras.Model:
        model = build_model(TINY_SPEC, num_classes=2, image_size=size)
        freeze(model)
        named = {"weights": "block0_conv", "statistics": "block2_bn"}
        if change in named:
            layer = model.get_layer(BACKBONE_LAYER).get_layer(named[change])
            layer.set_weights([*layer.get_weights()[:-1], layer.get_weights()[-1] * 1.5])
        return split(model)[0]

    views = views_of(range(4), 0)
    (before,) = seen(extractor_of(), bottom_of(SIZE), views)
    seen(extractor_of(), bottom_of(SIZE), views)  # built again, with the same weights
    assert forwarded == [4]
    size = 48 if change == "size" else SIZE
    other = extractor_of(size=size, resize="crop" if change == "resize" else "stretch")
    bottom = bottom_of(size, change)
    (after,) = seen(other, bottom, views)

    assert forwarded == [4, 4]
    assert_alike(after, through(bottom, np.stack([other.loader.load(index) for index in range(4)])))
    assert np.abs(after - before).max() > 1e-3


def test_another_head_finds_the_same_rows(forwarded: list[int], extractor_of: Callable[..., Extractor]) -> None:
    for classes, seed in ((2, 0), (5, 1)):
        model = build_model(TINY_SPEC, num_classes=classes, image_size=SIZE, seed=seed, dropout=0.1 * classes)
        freeze(model)
        seen(extractor_of(), split(model)[0], views_of(range(4), 0))
    assert forwarded == [4]


def test_the_plain_view_is_shared_between_augmentations_and_others_are_not(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    augmentations = [DEFAULT, AUGMENTATIONS["light"], DEFAULT.without_flip(), replace(DEFAULT, rotation=16.0)]
    plain, changed = [], []
    for augmentation in augmentations:
        rows = seen(extractor_of(augmentation=augmentation), features, views_of(range(4), 0), views_of(range(4), 1))
        plain.append(rows[0])
        changed.append(rows[1])

    assert forwarded == [8, 4, 4, 4]
    assert all((one == plain[0]).all() for one in plain)
    assert len({one.tobytes() for one in changed}) == len(augmentations)


# --- The report -------------------------------------------------------------------------------------------------------


def test_the_report_says_what_was_done_and_how_fast(
    features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    extractor = extractor_of()
    assert extractor.report == {}
    seen(extractor, features, views_of(range(8), 1, 2), views_of(range(8, 12), 0))
    report = extractor.report

    assert list(report) == ["engine", "views", "seconds", "rate", "bare_forward_rate", "stage_rates"]
    assert report["engine"] == "tensorflow" and report["views"] == 20
    assert set(report["stage_rates"]) == {"read", "decode", "augment", "forward", "write"}
    assert min(report["rate"], report["bare_forward_rate"], *report["stage_rates"].values()) > 0
    assert 0 < report["seconds"] <= extractor.seconds
    assert report["rate"] == pytest.approx(20 / report["seconds"], rel=0.1)


def test_without_augmented_views_there_is_no_time_for_them(
    features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    extractor = extractor_of()
    seen(extractor, features, views_of(range(4), 0))
    assert set(extractor.report["stage_rates"]) == {"read", "decode", "forward", "write"}


# --- What goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1e6, np.inf, np.nan])
def test_activations_that_float16_cannot_hold_are_refused(
    factor: float, extractor_of: Callable[..., Extractor]
) -> None:
    pixels = keras.Input((SIZE, SIZE, 3))
    averages = keras.layers.GlobalAveragePooling2D()(pixels)
    dense = keras.layers.Dense(4, name="large")
    bottom = keras.Model(pixels, dense(averages), name="large")
    dense.set_weights([np.full((3, 4), factor, np.float32), np.zeros(4, np.float32)])
    extractor = extractor_of()
    with pytest.raises(CacheFull, match=r"float16, which it is kept in, has no room for activations as large as"):
        seen(extractor, bottom, views_of(range(4), 0))
    assert extractor.space(bottom).missing(extractor._keys([(0, 0)])).all()


@pytest.mark.parametrize("lacking", [1, 100, 12 * 60])
def test_too_small_a_cache_is_said_before_anything_is_run(
    lacking: int, features: keras.Model, extractor_of: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, views = extractor_of(), views_of(range(12), 0, 1)
    keys = extractor._keys(views.pairs())
    needed = 24 * extractor.space(features).row_bytes + sum(map(len, keys))  # a row takes its key's place, too
    small = extractor_of(limit=needed - lacking)

    def run(*arguments: object) -> None:
        raise AssertionError("it was run")

    monkeypatch.setattr(activations, "choose_engine", run)
    with pytest.raises(CacheFull, match=r"the cache .* needs .* MB more, and its limit of"):
        seen(small, features, views)
    assert not small.cache.folder.exists()


@pytest.mark.parametrize("lost", [0, 40])  # among those that the engines are tried with, or not
@pytest.mark.parametrize("damage", ["gone", "truncated"])
def test_a_picture_that_vanished_is_named(
    lost: int, damage: str, features: keras.Model, tmp_path: Path, extractor_of: Callable[..., Extractor]
) -> None:
    pictures, _ = open_readable(str(write_folder(tmp_path / "fruit", pictures=16)), skip_unreadable=False)
    file = tmp_path / "fruit" / pictures.keys[lost]
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    extractor = extractor_of(pictures)
    with pytest.raises(DataError, match=rf"{pictures.keys[lost]} can no longer be read"):
        seen(extractor, features, views_of(range(48), 0))
    there = seen(extractor, features, views_of([index for index in range(48) if index != lost], 0))
    assert len(there[0]) == 47
