"""Augmentation changes pictures, keeps what they show, and repeats itself from its seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data.augmentation import AUGMENTATIONS, Augmentation, augment
from tests.pictures import smooth

CHANGING = [name for name in AUGMENTATIONS if name != "none"]
SIZE = 32
BATCH = np.stack([smooth(SIZE, SIZE, seed=seed) for seed in range(6)]).astype(np.float32)


def augmented(pixels: np.ndarray, augmentation: Augmentation, seed: tuple[int, int] = (0, 0)) -> np.ndarray:
    return augment(tf.constant(pixels), tf.constant(seed, tf.int64), augmentation).numpy()


def copies(picture: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(picture[None], count, axis=0)


def blob(x: float, y: float) -> np.ndarray:
    """A soft white spot at (x, y), as parts of the side, on black."""
    rows, columns = np.indices((SIZE, SIZE)) + 0.5
    spot = np.exp(-((columns - x * SIZE) ** 2 + (rows - y * SIZE) ** 2) / 18)
    return np.repeat(spot[..., None], 3, axis=2).astype(np.float32) * 255


def centre_of(picture: np.ndarray) -> tuple[float, float]:
    """The centre of mass, (x, y), in pixels."""
    weights = picture.sum(axis=-1)
    rows, columns = np.indices(weights.shape) + 0.5
    return (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()


@pytest.mark.parametrize("augmentation", [AUGMENTATIONS["none"], Augmentation(antialiased_resize=1.0)])
def test_what_changes_nothing_after_loading_is_the_identity(augmentation: Augmentation) -> None:
    assert (augmented(BATCH, augmentation) == BATCH).all()


def test_whoever_wants_changes_trains_for_both_ways_of_resizing() -> None:
    assert AUGMENTATIONS["none"].antialiased_resize == 0
    assert {AUGMENTATIONS[name].antialiased_resize for name in CHANGING} == {0.5}


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("batch", [1, 3, 6])
def test_shape_and_range_stay_and_every_picture_changes(name: str, batch: int) -> None:
    extremes = BATCH[:batch].copy()
    extremes[0] = np.where(extremes[0] > 127, 255, 0)
    changed = augmented(extremes, AUGMENTATIONS[name])

    assert changed.shape == extremes.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 255
    assert (np.abs(changed - extremes).mean(axis=(1, 2, 3)) > 1).all()


@pytest.mark.parametrize("name", CHANGING)
def test_the_seed_decides(name: str) -> None:
    first = augmented(BATCH, AUGMENTATIONS[name], (1, 2))
    assert (augmented(BATCH, AUGMENTATIONS[name], (1, 2)) == first).all()
    for other in ((1, 3), (2, 2)):
        assert (augmented(BATCH, AUGMENTATIONS[name], other) != first).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", CHANGING)
def test_pictures_of_a_batch_change_differently(name: str) -> None:
    changed = augmented(copies(BATCH[0], 8), AUGMENTATIONS[name])
    assert len({picture.tobytes() for picture in changed}) == 8


@pytest.mark.parametrize("name", CHANGING)
def test_a_graph_gives_what_eager_calls_give(name: str) -> None:
    graph = tf.function(lambda pixels, seed: augment(pixels, seed, AUGMENTATIONS[name]))
    dataset = tf.data.Dataset.from_tensor_slices(BATCH).batch(4).map(lambda pixels: graph(pixels, [3, 4]))
    first, rest = (batch.numpy() for batch in dataset)
    assert rest.shape[0] == 2  # the partial batch
    np.testing.assert_allclose(first, augmented(BATCH[:4], AUGMENTATIONS[name], (3, 4)), atol=0.1)


@pytest.mark.parametrize("name", CHANGING)
def test_half_of_the_pictures_are_mirrored_and_none_without_flip(name: str) -> None:
    left = copies(blob(0.3, 0.5), 400)
    sides = [
        centre_of(picture)[0] > SIZE / 2 for picture in augmented(left, replace(AUGMENTATIONS[name], min_area=0.9))
    ]
    assert 0.4 < np.mean(sides) < 0.6
    upright = replace(AUGMENTATIONS[name], min_area=0.9).without_flip()
    assert not any(centre_of(picture)[0] > SIZE / 2 for picture in augmented(left, upright))


def test_flip_alone_gives_the_picture_or_its_mirror_image() -> None:
    changed = augmented(copies(BATCH[0], 20), Augmentation(flip=True))
    same, mirrored = (np.abs(changed - one).max(axis=(1, 2, 3)) < 0.01 for one in (BATCH[0], BATCH[0, :, ::-1]))
    assert (same | mirrored).all() and same.any() and mirrored.any()


def test_nothing_is_turned_upside_down() -> None:
    changed = augmented(copies(blob(0.5, 0.3), 400), replace(AUGMENTATIONS["default"], min_area=0.9))
    assert all(centre_of(picture)[1] < SIZE / 2 for picture in changed)


@pytest.mark.parametrize("name", [*CHANGING, "rotation", "crop"])
def test_the_middle_stays_in_the_middle_on_average(name: str) -> None:
    single = {"rotation": Augmentation(rotation=30.0), "crop": Augmentation(min_area=0.7)}
    changed = augmented(copies(blob(0.5, 0.5), 600), (AUGMENTATIONS | single)[name])
    x, y = centre_of(changed.mean(axis=0))
    assert abs(x - SIZE / 2) < 0.7 and abs(y - SIZE / 2) < 0.7


def test_rotation_alone_keeps_the_centre_of_each_picture_and_its_angle_in_bounds() -> None:
    right = augmented(copies(blob(0.75, 0.5), 300), Augmentation(rotation=20.0))
    angles = [np.degrees(np.arctan2(y - SIZE / 2, x - SIZE / 2)) for x, y in map(centre_of, right)]
    assert -21 < min(angles) < -15 and 15 < max(angles) < 21


def test_a_crop_enlarges_and_stays_within_the_picture() -> None:
    border = np.zeros((SIZE, SIZE, 3), np.float32)
    border[4:-4, 4:-4] = 255
    areas = augmented(copies(border, 300), Augmentation(min_area=0.5)).mean(axis=(1, 2, 3)) / 255
    assert areas.max() > border.mean() / 255 + 0.1  # seen from nearer
    slope = np.broadcast_to(np.linspace(0, 255, SIZE, dtype=np.float32)[:, None, None], (SIZE, SIZE, 3))
    columns = augmented(copies(slope, 300), Augmentation(min_area=0.5))[:, :, 0, 0]
    assert (np.diff(columns, axis=1) > -0.01).all()  # nothing from beyond the border is mirrored in


def test_brightness_and_contrast_stay_within_their_bounds() -> None:
    grey = np.full((1, SIZE, SIZE, 3), 120, np.float32)
    grey[:, ::2] = 140
    changed = augmented(np.repeat(grey, 200, axis=0), Augmentation(brightness=0.1, contrast=0.2))
    shifts, spreads = changed.mean(axis=(1, 2, 3)) - 130, np.ptp(changed, axis=(1, 2, 3)) / 20
    assert -25.6 < shifts.min() < -20 and 20 < shifts.max() < 25.6
    assert 0.79 < spreads.min() < 0.85 and 1.15 < spreads.max() < 1.21


def test_neighbouring_seeds_share_no_draws() -> None:
    """Batches are seeded by their number: if a draw came from that number plus a constant, they would repeat each other."""
    picture = np.full((SIZE, SIZE, 3), 100, np.float32)
    picture[::2, :16] = 140  # grey stripes show the contrast
    picture[:, 16:, 0] = 140  # and a red plane the saturation
    contrasts, saturations = [], []
    for number in range(6):
        changed = augmented(copies(picture, 4), Augmentation(contrast=0.3), (5, number))
        contrasts.append((changed[:, 0, 0, 0] - changed[:, 1, 0, 0]) / 40)
        saturations.append((changed[:, 0, 20, 0] - changed[:, 0, 20, 1]) / 40 / contrasts[-1])

    for one in contrasts:
        assert not any(np.allclose(one, other, atol=1e-3) for other in saturations)
    assert len({one.tobytes() for one in [*contrasts, *saturations]}) == 12


def test_corners_are_filled_from_the_picture() -> None:
    plain = np.full((20, SIZE, SIZE, 3), 200, np.float32)
    changed = augmented(plain, Augmentation(flip=True, min_area=0.8, rotation=30.0))
    np.testing.assert_allclose(changed, plain, atol=0.01)
