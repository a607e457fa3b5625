"""Extraction: rows are what the frozen part gives for a view, computed once, and found again by what they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import keras
import numpy as np
import pytest

from app.training.activations import Extractor
from app.training.engines import ENGINES
from app.training.fit_data import FitData
from data.image.augmentation import Augmentation
from data.loading import Loader
from tests.extraction import (
    DEFAULT,
    FILES,
    PLENTY,
    SIZE,
    assert_alike,
    everything,
    examples_of,
    extractor_of,
    features,
    forwarded,
    middle,
    model,
    rows_on_disk,
    seen,
    through,
    views_of,
)

# --- What the rows are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["features", "middle"])
def test_view_0_is_what_the_frozen_part_gives_for_the_image_as_it_is(
    which: str, request: pytest.FixtureRequest, extractor_of: Callable[..., Extractor]
) -> None:
    bottom, extractor = request.getfixturevalue(which), extractor_of()
    order = [7, 2, 11, 0]
    (rows,) = seen(extractor, bottom, views_of(order, 0))

    assert rows.shape == (4, *bottom.output_shape[1:])
    assert_alike(rows, through(bottom, np.stack([extractor.loader.load(index) for index in order])))
    assert np.abs(rows[0] - rows[1]).max() > 0.05


def test_the_views_of_an_image_lie_beside_each_other_in_the_order_of_their_numbers(
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
    examples = examples_of(FILES)
    order = np.random.default_rng(0).permutation(12)
    place = {int(index): position for position, index in enumerate(order)}

    def data(loader: Loader, train: Sequence[int], seed: int) -> FitData:
        rest = np.setdiff1d(np.arange(12), train)
        return FitData(loader, np.array(train), rest, 4, seed, views=2)

    one = extractor_of(examples)
    (before, _) = seen(one, features, *data(one.loader, range(8), 0).all_views)
    assert sum(forwarded) == 8 * 2 + 4
    other = extractor_of(examples.subset(order))
    moved = [place[index] for index in (5, 2, 0, 7)]
    after, validation = seen(other, features, *data(other.loader, moved, 7).all_views)

    np.testing.assert_array_equal(after.reshape(4, 2, -1), before.reshape(8, 2, -1)[[5, 2, 0, 7]])
    # Those that were for training before, and are for validation now, were not there as they are.
    assert len(validation) == 8 and sum(forwarded) == 20 + 4
    assert other.report["views"] == 4


def test_a_view_follows_from_the_bytes_of_the_image_and_its_number(
    features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    """Else two machines, or a cache that was emptied, would give another training."""
    (one,) = seen(extractor_of(folder="one"), features, views_of([0, 1, 2], 1, 2))
    (other,) = seen(extractor_of(examples_of(FILES[::-1]), folder="other"), features, views_of([9, 10, 11], 2, 3, 1))
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
    (fresh,) = seen(extractor_of(examples_of(FILES[::-1])), features, views_of([9, 8, 11], 1, 2))
    np.testing.assert_array_equal(rows, fresh)
    assert forwarded == [3, 4]


def test_copies_of_an_image_share_its_rows(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    copies = examples_of([FILES[0], FILES[1], FILES[0]])
    extractor = extractor_of(copies)
    (rows,) = seen(extractor, features, views_of([0, 1, 2], 1, 2))
    np.testing.assert_array_equal(rows[:2], rows[4:])
    assert extractor.cache.partitions()[0].rows == 4 and extractor.cache.partitions()[0].images == 2

    before = sum(forwarded)
    (renamed,) = seen(extractor_of(examples_of([FILES[3], FILES[1]])), features, views_of([1], 1, 2))
    np.testing.assert_array_equal(renamed, rows[2:4])
    assert sum(forwarded) == before


def test_a_run_that_stopped_half_way_goes_on_from_there(
    features: keras.Model, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    examples = examples_of(FILES * 4)
    examples = replace(examples, digests=tuple(hashlib.sha256(bytes([index])).hexdigest() for index in range(48)))

    def until_40(index: int) -> bytes:
        if index == 40:
            raise KeyboardInterrupt
        return FILES[index % 12]

    stopped = extractor_of(replace(examples, read=until_40))
    with pytest.raises(KeyboardInterrupt):
        seen(stopped, features, views_of(range(48), 0))
    assert forwarded == [32]
    (rows,) = seen(extractor_of(examples), features, views_of(range(48), 0))
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
    assert len(extractor.cache.partitions()) == 2


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

    assert forwarded == [3, 2, 4]  # image 2 was there for both
    assert [rows_on_disk(extractor, bottom) for bottom in (features, middle)] == [5, 5]


def test_the_same_network_twice_is_one(features: keras.Model, extractor_of: Callable[..., Extractor]) -> None:
    """Two phases may be cut at the same layer: where nothing above the boundary of the second has weights."""
    extractor = extractor_of(engine="openvino" if ENGINES["openvino"].is_installed else "litert")
    (rows,) = extractor.rows(features, [features, features], [views_of([0, 1], 0)])
    assert len(rows) == 2 and rows_on_disk(extractor, features) == 2
