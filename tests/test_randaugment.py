"""RandAugment: every operation keeps the kind of image, does what it is named after, and grows with its strength."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data.image.randaugment import OPERATIONS, rand_augment
from tests.images import smooth

SIZE = 40
IMAGE = smooth(SIZE, SIZE)
DULL = (IMAGE * 0.5 + 40).astype(np.uint8)  # with room for more contrast
WITHOUT_STRENGTH = ("autocontrast", "equalize")
WITH_STRENGTH = [name for name in OPERATIONS if name not in (*WITHOUT_STRENGTH, "identity")]
WITH_DIRECTION = [name for name in WITH_STRENGTH if name not in ("solarize", "posterize")]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_the_operations_are_those_of_the_paper() -> None:
    assert len(OPERATIONS) == 14
    assert {"identity", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"} < set(OPERATIONS)


# --- Each operation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [1, 7, 32])
@pytest.mark.parametrize("name", OPERATIONS)
def test_shape_type_and_the_image_that_is_handed_in_stay(name: str, size: int, strength: float) -> None:
    image = smooth(size, size, seed=2)
    before = image.copy()
    image.flags.writeable = False
    changed = OPERATIONS[name](image, strength)
    assert changed.shape == image.shape and changed.dtype == np.uint8
    assert (image == before).all()


@pytest.mark.parametrize("name", ["identity", *WITH_STRENGTH])
def test_strength_0_changes_nothing(name: str) -> None:
    assert (OPERATIONS[name](IMAGE, 0.0) == IMAGE).all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_all_but_the_identity_change_the_image(name: str) -> None:
    assert (distance(OPERATIONS[name](DULL, 0.6), DULL) > 0.3) == (name != "identity")


@pytest.mark.parametrize("name", WITH_STRENGTH)
@pytest.mark.parametrize("direction", [-1, 1])
def test_more_strength_changes_more(name: str, direction: int) -> None:
    distances = [distance(OPERATIONS[name](IMAGE, direction * strength), IMAGE) for strength in (0.03, 0.1, 0.3)]
    assert sorted(distances) == distances and distances[-1] > distances[0]


@pytest.mark.parametrize("name", WITH_STRENGTH)
def test_the_direction_matters_where_there_is_one(name: str) -> None:
    there, back = (OPERATIONS[name](DULL, strength) for strength in (-0.7, 0.7))
    assert (there != back).any() == (name in WITH_DIRECTION)


@pytest.mark.parametrize("name", WITHOUT_STRENGTH)
def test_some_know_no_strength_and_use_the_whole_range(name: str) -> None:
    weak, strong = (OPERATIONS[name](DULL, strength) for strength in (0.0, 1.0))
    assert (weak == strong).all()
    assert weak.min() == 0 and weak.max() == 255


def test_what_each_operation_on_colours_does() -> None:
    levels = np.repeat(np.arange(0, 256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(256, axis=0)
    solarized = OPERATIONS["solarize"](levels, 0.5)[0, :, 0]
    assert (solarized == [level if level < 128 else 255 - level for level in range(256)]).all()
    assert (OPERATIONS["solarize"](levels, 1.0) == 255 - levels).all()
    assert len(np.unique(OPERATIONS["posterize"](levels, -1.0))) == 2**4
    assert np.abs(OPERATIONS["brightness"](levels, 0.5)[0, :150, 0] - levels[0, :150, 0] * 1.45).max() <= 1
    assert np.ptp(OPERATIONS["contrast"](levels, -1.0).astype(int)) in (25, 26)  # a tenth
    assert np.ptp(OPERATIONS["color"](IMAGE, -1.0).astype(int), axis=2).max() < 30 < np.ptp(IMAGE, axis=2).max()
    edges = [np.abs(np.diff(OPERATIONS["sharpness"](DULL, one).astype(int), axis=0)).sum() for one in (-1, 0, 1)]
    assert sorted(edges) == edges and len(set(edges)) == 3


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("translate_x", [[1, 0, -9], [0, 1, 0]]),
        ("translate_y", [[1, 0, 0], [0, 1, -9]]),
        ("shear_x", [[1, -0.15, 0.15 * 19.5], [0, 1, 0]]),
        ("shear_y", [[1, 0, 0], [-0.15, 1, 0.15 * 19.5]]),
        ("rotate", cv2.getRotationMatrix2D((19.5, 19.5), 15, 1)),
    ],
)
def test_what_each_operation_on_geometry_does_and_that_it_leaves_grey(name: str, matrix: object) -> None:
    """Half of the largest: 0.225 of the side, a shear of 0.15, 15 degrees; here as a map from input to output."""
    expected = cv2.warpAffine(IMAGE, np.array(matrix, float), (SIZE, SIZE), borderValue=(128, 128, 128))
    found = OPERATIONS[name](IMAGE, 0.5)
    assert distance(found, expected) < 1.5 < distance(IMAGE, expected)
    assert (found == 128).all(axis=-1).any()


# --- All of them --------------------------------------------------------------------------------------------------------


def results(seed: int, operations: int = 2, magnitude: float = 0.5, count: int = 1) -> list[bytes]:
    random = np.random.default_rng(seed)
    return [rand_augment(DULL, random, operations=operations, magnitude=magnitude).tobytes() for _ in range(count)]


def test_the_generator_decides() -> None:
    for seed in range(10):
        assert results(seed) == results(seed)
    assert len(set(results(0, count=60))) > 40


def test_each_operation_is_drawn_in_both_directions() -> None:
    expected = {OPERATIONS[name](DULL, strength).tobytes() for name in OPERATIONS for strength in (-0.5, 0.5)}
    assert set(results(0, operations=1, count=1000)) == expected


@pytest.mark.parametrize("operations", [0, 1, 2, 5])
def test_as_many_operations_are_carried_out_as_asked(operations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[float] = []
    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, lambda pixels, strength: done.append(strength) or pixels)
    rand_augment(DULL, np.random.default_rng(0), operations=operations, magnitude=0.3)
    assert [abs(strength) for strength in done] == [0.3] * operations
