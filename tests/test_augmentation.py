"""Augmentation changes images, keeps what they show, and repeats itself from its seed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.image.augmentation import AUGMENTATIONS, Augmentation, augment
from data.image.randaugment import OPERATIONS
from tests.images import smooth

SAME_GEOMETRY = {"operations": 0, "erasing": 0.0}  # what is left of an augmentation then is geometry and colour
CHANGING = [name for name in AUGMENTATIONS if name != "none"]
SIZE = 32
IMAGES = [smooth(SIZE, SIZE, seed=seed) for seed in range(6)]
COLOUR = Augmentation(brightness=0.1, contrast=0.5)
SLOPES = (np.arange(SIZE)[:, None] * 7, np.arange(SIZE)[None] * 7)  # by 7 levels a pixel, downwards and to the right


def augmented(image: np.ndarray, augmentation: Augmentation, count: int = 1, seed: int = 0) -> np.ndarray:
    """`count` variants of an image, uint8 (count, size, size, 3), from one generator."""
    random = np.random.default_rng(seed)
    return np.stack([augment(image, random, augmentation) for _ in range(count)])


def in_grey(levels: np.ndarray) -> np.ndarray:
    """uint8 (size, size, 3) from levels that can be broadcast to (size, size)."""
    return np.repeat(np.broadcast_to(levels, (SIZE, SIZE))[..., None], 3, axis=2).astype(np.uint8)


def blob(x: float, y: float) -> np.ndarray:
    """A soft white spot at (x, y), as parts of the side, on black."""
    rows, columns = np.indices((SIZE, SIZE)) + 0.5
    return in_grey(np.exp(-((columns - x * SIZE) ** 2 + (rows - y * SIZE) ** 2) / 18) * 255)


def centre_of(image: np.ndarray) -> tuple[float, float]:
    """The centre of mass, (x, y), in pixels."""
    weights = image.astype(float).sum(axis=-1)
    rows, columns = np.indices(weights.shape) + 0.5
    return (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()


# --- Every augmentation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "augmentation", [AUGMENTATIONS["none"], Augmentation(antialiased_resize=1.0), Augmentation(live=True)]
)
def test_what_changes_nothing_after_loading_is_the_identity(augmentation: Augmentation) -> None:
    assert not augmentation.changes_pixels
    for image in IMAGES:
        assert (augmented(image, augmentation) == image).all()


def test_whoever_wants_changes_trains_for_both_ways_of_resizing() -> None:
    assert AUGMENTATIONS["none"].antialiased_resize == 0
    assert {AUGMENTATIONS[name].antialiased_resize for name in CHANGING} == {0.5}


def test_live_is_default_drawn_anew_in_every_epoch() -> None:
    assert {name for name, augmentation in AUGMENTATIONS.items() if augmentation.live} == {"live"}
    assert replace(AUGMENTATIONS["live"], live=False) == AUGMENTATIONS["default"]
    assert AUGMENTATIONS["live"].without_flip().live


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("size", [8, 32, 33])
def test_shape_and_type_stay_and_every_image_changes(name: str, size: int) -> None:
    image = np.where(smooth(size, size) > 127, 255, 0).astype(np.uint8)
    for changed in augmented(image, AUGMENTATIONS[name], 6):
        assert changed.shape == image.shape and changed.dtype == np.uint8
        assert np.abs(changed.astype(int) - image).mean() > 1


@pytest.mark.parametrize("name", CHANGING)
def test_the_image_that_is_handed_in_stays_as_it_is(name: str) -> None:
    image = IMAGES[0].copy()
    image.flags.writeable = False
    augmented(image, AUGMENTATIONS[name])
    assert (image == IMAGES[0]).all()


@pytest.mark.parametrize("name", CHANGING)
def test_the_seed_decides(name: str) -> None:
    for image in IMAGES:
        first, again, other = (augmented(image, AUGMENTATIONS[name], seed=seed) for seed in (1, 1, 2))
        assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("name", CHANGING)
def test_each_image_changes_differently(name: str) -> None:
    assert len({image.tobytes() for image in augmented(IMAGES[0], AUGMENTATIONS[name], 8)}) == 8


@pytest.mark.parametrize("name", CHANGING)
def test_the_order_of_calls_does_not_matter(name: str) -> None:
    """Each image has a generator of its own, and nothing else is drawn from."""
    there = [augmented(image, AUGMENTATIONS[name], seed=seed) for seed, image in enumerate(IMAGES)]
    np.random.seed(1)
    back = [augmented(image, AUGMENTATIONS[name], seed=seed) for seed, image in reversed([*enumerate(IMAGES)])]
    assert all((one == other).all() for one, other in zip(there, reversed(back), strict=True))


@pytest.mark.parametrize("augmentation", [Augmentation(flip=True), COLOUR, AUGMENTATIONS["default"]])
def test_the_number_of_draws_for_geometry_and_colour_does_not_depend_on_the_augmentation(
    augmentation: Augmentation,
) -> None:
    random, expected = np.random.default_rng(0), np.random.default_rng(0)
    augment(IMAGES[0], random, augmentation)
    expected.uniform(size=9)
    assert random.random() == expected.random()


def test_operations_and_erasing_leave_geometry_and_colour_as_they_would_be() -> None:
    for seed in range(20):
        plain = augmented(IMAGES[0], AUGMENTATIONS["default"], seed=seed)
        erased = augmented(IMAGES[0], replace(AUGMENTATIONS["default"], erasing=1.0), seed=seed)
        same = augmented(IMAGES[0], replace(AUGMENTATIONS["default"], operations=2), seed=seed)
        assert 0.5 < (erased == plain).mean() < 1
        assert (same == plain).all() or {"autocontrast", "equalize"} & set(drawn(seed, 2))


def drawn(seed: int, count: int) -> list[str]:
    """The operations that `augment` draws from a generator of this seed."""
    random = np.random.default_rng(seed)
    random.uniform(size=9)
    return [tuple(OPERATIONS)[number] for number in random.integers(len(OPERATIONS), size=count)]


# --- Geometry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGING)
def test_half_of_the_images_are_mirrored_and_none_without_flip(name: str) -> None:
    slight = replace(AUGMENTATIONS[name], min_area=0.9, **SAME_GEOMETRY)
    sides = [centre_of(image)[0] > SIZE / 2 for image in augmented(blob(0.3, 0.5), slight, 400)]
    assert 0.4 < np.mean(sides) < 0.6
    upright = augmented(blob(0.3, 0.5), slight.without_flip(), 400)
    assert not any(centre_of(image)[0] > SIZE / 2 for image in upright)


def test_flip_alone_gives_the_image_or_its_mirror_image_to_the_bit() -> None:
    changed = augmented(IMAGES[0], Augmentation(flip=True), 20)
    same, mirrored = ((changed == one).all(axis=(1, 2, 3)) for one in (IMAGES[0], IMAGES[0][:, ::-1]))
    assert (same | mirrored).all() and same.any() and mirrored.any()


def test_nothing_is_turned_upside_down() -> None:
    changed = augmented(blob(0.5, 0.3), replace(AUGMENTATIONS["default"], min_area=0.9), 400)
    assert all(centre_of(image)[1] < SIZE / 2 for image in changed)


@pytest.mark.parametrize("name", [*CHANGING, "rotation", "crop"])
def test_the_middle_stays_in_the_middle_on_average(name: str) -> None:
    single = {"rotation": Augmentation(rotation=30.0), "crop": Augmentation(min_area=0.7)}
    changed = augmented(blob(0.5, 0.5), replace((AUGMENTATIONS | single)[name], **SAME_GEOMETRY), 600)
    x, y = centre_of(changed.mean(axis=0))
    assert abs(x - SIZE / 2) < 0.7 and abs(y - SIZE / 2) < 0.7


def test_rotation_alone_keeps_the_centre_of_each_image_and_its_angle_in_bounds() -> None:
    right = augmented(blob(0.75, 0.5), Augmentation(rotation=20.0), 300)
    angles = [np.degrees(np.arctan2(y - SIZE / 2, x - SIZE / 2)) for x, y in map(centre_of, right)]
    assert -21 < min(angles) < -15 and 15 < max(angles) < 21


def test_a_crop_enlarges_and_stays_within_the_image() -> None:
    border = np.zeros((SIZE, SIZE, 3), np.uint8)
    border[4:-4, 4:-4] = 255
    areas = augmented(border, Augmentation(min_area=0.5), 300).mean(axis=(1, 2, 3)) / 255
    assert areas.max() > border.mean() / 255 + 0.1  # seen from nearer
    slope = in_grey(np.linspace(0, 255, SIZE)[:, None])
    columns = augmented(slope, Augmentation(min_area=0.5), 300)[:, :, 0, 0].astype(int)
    assert (np.diff(columns, axis=1) >= 0).all()  # nothing from beyond the border is mirrored in


def test_a_crop_keeps_at_least_the_area_asked_for_at_an_aspect_ratio_in_bounds() -> None:
    rows, columns = (
        augmented(in_grey(slope), Augmentation(min_area=0.5), 300)[..., 0].astype(float) for slope in SLOPES
    )
    heights = (rows[:, -2, 5] - rows[:, 1, 5]) / (SIZE - 3) / 7  # as parts of the side
    widths = (columns[:, 5, -2] - columns[:, 5, 1]) / (SIZE - 3) / 7
    areas, ratios = heights * widths, widths / heights

    assert 0.49 < areas.min() < 0.52 and 0.97 < areas.max() < 1.01
    assert 0.74 < ratios.min() < 0.82 and 1.22 < ratios.max() < 1.35


def test_corners_are_filled_from_the_image() -> None:
    plain = in_grey(np.array(200))
    assert (augmented(plain, Augmentation(flip=True, min_area=0.8, rotation=30.0), 20) == plain).all()


# --- Colour -------------------------------------------------------------------------------------------------------------


def test_brightness_and_contrast_stay_within_their_bounds() -> None:
    stripes = in_grey(np.where(np.arange(SIZE) % 2, 110, 150)[:, None])
    changed = augmented(stripes, Augmentation(brightness=0.1, contrast=0.2), 300).astype(float)
    shifts, spreads = changed.mean(axis=(1, 2, 3)) - 130, np.ptp(changed, axis=(1, 2, 3)) / 40
    assert -26 < shifts.min() < -23 and 23 < shifts.max() < 26
    assert 0.78 < spreads.min() < 0.83 and 1.17 < spreads.max() < 1.22


def test_contrast_and_saturation_keep_the_mean_grey_and_saturation_leaves_grey_alone() -> None:
    grey = in_grey(np.array(90))
    assert (augmented(grey, Augmentation(contrast=0.5), 20) == grey).all()
    # Shrunk to the middle, so that nothing is cut off at black or white.
    soft = (IMAGES[1] * 0.4 + 70).astype(np.uint8)
    means = augmented(soft, Augmentation(contrast=0.2), 50).mean(axis=(1, 2, 3))
    luma = soft @ [0.299, 0.587, 0.114]
    assert np.abs(means - soft.mean()).max() <= 0.2 * abs(luma.mean() - soft.mean()) + 1


def test_colour_is_that_of_tensorflow() -> None:
    """Saturation about ITU-R 601 grey, then contrast about the mean, then brightness, by another hand."""
    seen = []
    for seed in range(20):
        image = (IMAGES[seed % 6] * [0.2, 0.1, 1.0]).astype(np.uint8)  # bluish: its mean is not that of its grey
        saturation, contrast, brightness = np.random.default_rng(seed).uniform(-1, 1, 9)[6:] * [0.5, 0.5, 25.5]
        pixels = tf.constant(image, tf.float32)
        grey = tf.image.rgb_to_grayscale(pixels)
        pixels = grey + (pixels - grey) * (1 + saturation)
        mean = tf.reduce_mean(pixels)
        pixels = mean + (pixels - mean) * (1 + contrast) + brightness
        expected = tf.clip_by_value(pixels, 0, 255).numpy()

        found = augmented(image, COLOUR, seed=seed)[0]
        assert np.abs(found - expected).max() < 1.6  # whole levels, from coefficients that OpenCV rounds
        seen.append(np.abs(found - image.astype(float)).mean())
    assert np.mean(seen) > 5


def test_levels_beyond_black_and_white_are_cut_off() -> None:
    image = in_grey(np.where(np.arange(SIZE) % 2, 0, 255)[:, None])
    changed = augmented(image, Augmentation(brightness=0.2), 50)
    assert ((changed[:, 1::2] < 52) & (changed[:, ::2] > 203).all()).all()  # and none wrapped round


# --- Random erasing -----------------------------------------------------------------------------------------------------


def erased_boxes(count: int) -> Iterator[np.ndarray]:
    """Which pixels of a plain image were painted over, bool (SIZE, SIZE), in each of `count` images that all are."""
    plain = in_grey(np.array(90))
    for changed in augmented(plain, Augmentation(erasing=1.0), count):
        where = (changed != plain).any(axis=-1)
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        box = np.zeros((SIZE, SIZE), bool)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert where[box].mean() > 0.9  # a rectangle, but for noise that is by chance the image's colour
        yield box


def test_a_rectangle_of_the_area_and_ratio_of_the_paper_is_erased_anywhere() -> None:
    boxes = np.stack(list(erased_boxes(400)))
    areas = boxes.mean(axis=(1, 2))
    heights, widths = (boxes.any(axis=axis).sum(axis=1) for axis in (2, 1))
    assert 0.01 < areas.min() < 0.04 and 0.36 < areas.max() < 0.44
    assert (heights / widths).min() < 0.5 and (heights / widths).max() > 2
    assert boxes.any(axis=0).all()  # to the corners


def test_what_is_erased_is_noise_of_its_own() -> None:
    changed = augmented(in_grey(np.array(0)), Augmentation(erasing=1.0), 50)
    levels = changed[changed != 0]
    assert 120 < levels.mean() < 136 and levels.max() == 255
    assert len({image[image != 0].tobytes() for image in changed}) == 50


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_as_many_images_are_erased_as_asked(share: float) -> None:
    plain = in_grey(np.array(90))
    changed = (augmented(plain, Augmentation(flip=True, erasing=share), 400) != plain).any(axis=(1, 2, 3))
    assert abs(changed.mean() - share) < (0.07 if 0 < share < 1 else 1e-9)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_smallest_images_can_be_erased(size: int) -> None:
    for seed in range(50):
        image = np.zeros((size, size, 3), np.uint8)
        assert augmented(image, Augmentation(erasing=1.0), seed=seed)[0].shape == image.shape


# --- The module ---------------------------------------------------------------------------------------------------------


def test_the_presets_can_be_read_without_opencv_and_tensorflow() -> None:
    code = "import sys, data.image.augmentation; print(sorted({'cv2', 'tensorflow'} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
