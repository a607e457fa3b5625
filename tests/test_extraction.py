"""Extraction: what makes other rows, what it reports, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from app.interface.sources import open_readable
from app.training import activations
from app.training.activations import Extractor
from data.cache.activations import CacheFull
from data.errors import DataError
from data.image.augmentation import AUGMENTATIONS
from models.backbones.spec import BACKBONE_LAYER
from models.builder import build_model
from models.freezing import freeze
from models.splitting import split
from tests.conftest import TINY_SPEC
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
from tests.images import write_folder

# --- What makes other rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["weights", "statistics", "size", "resize"])
def test_another_network_or_other_pixels_have_rows_of_their_own(
    change: str, forwarded: list[int], extractor_of: Callable[..., Extractor]
) -> None:
    def bottom_of(size: int, change: str = "") -> keras.Model:
        model = build_model(TINY_SPEC, num_classes=2, image_size=size, weights="none")
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
        model = build_model(
            TINY_SPEC, num_classes=classes, image_size=SIZE, seed=seed, dropout=0.1 * classes, weights="none"
        )
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
    assert 20 / report["rate"] == pytest.approx(report["seconds"], abs=1e-3)  # to which seconds are rounded


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
    assert extractor.partition(bottom).missing(extractor._keys([(0, 0)])).all()


@pytest.mark.parametrize("lacking", [1, 100, 12 * 60])
def test_too_small_a_cache_is_said_before_anything_is_run(
    lacking: int, features: keras.Model, extractor_of: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, views = extractor_of(), views_of(range(12), 0, 1)
    keys = extractor._keys(views.pairs())
    needed = 24 * extractor.partition(features).row_bytes + sum(map(len, keys))  # a row takes its key's place, too
    small = extractor_of(limit=needed - lacking)

    def run(*arguments: object) -> None:
        raise AssertionError("it was run")

    monkeypatch.setattr(activations, "choose_engine", run)
    with pytest.raises(CacheFull, match=r"the cache .* needs .* MB more, and its limit of"):
        seen(small, features, views)
    assert not small.cache.folder.exists()


@pytest.mark.parametrize("lost", [0, 40])  # among those that the engines are tried with, or not
@pytest.mark.parametrize("damage", ["gone", "truncated"])
def test_an_image_that_vanished_is_named(
    lost: int, damage: str, features: keras.Model, tmp_path: Path, extractor_of: Callable[..., Extractor]
) -> None:
    examples, _ = open_readable(str(write_folder(tmp_path / "fruit", examples=16)), skip_unreadable=False)
    file = tmp_path / "fruit" / examples.keys[lost]
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    extractor = extractor_of(examples)
    with pytest.raises(DataError, match=rf"{examples.keys[lost]} can no longer be read"):
        seen(extractor, features, views_of(range(48), 0))
    there = seen(extractor, features, views_of([index for index in range(48) if index != lost], 0))
    assert len(there[0]) == 47
