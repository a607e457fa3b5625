"""Batches: every image once an epoch, the last batch partial, the same from the same seed, errors by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.errors import DataError
from data.examples import Examples
from data.image.augmentation import AUGMENTATIONS, Augmentation
from data.image.resizing import RESIZES, load_pixels
from data.image.transform import ImageTransform
from data.labels import SingleLabel
from data.loading import Loader
from data.pipeline import evaluation_batches, naming_errors, training_batches
from data.sources import open_source
from tests.augmented import augmented
from tests.images import encode, write_folder

SIZE = 16
NONE = AUGMENTATIONS["none"]
HALF_ANTIALIASED = Augmentation(antialiased_resize=0.5)


def numbered(count: int = 23) -> Examples:
    """Image `i` is grey of level `10 * i`, and labelled `i % 3`."""
    files = [encode(np.full((9, 12, 3), 10 * number, np.uint8)) for number in range(count)]
    keys = tuple(f"{number}.png" for number in range(count))
    return Examples("numbered", keys, SingleLabel(np.arange(count) % 3, ("a", "b", "c")), files.__getitem__)


def loader_of(examples: Examples, resize: str = "stretch") -> Loader:
    return Loader(examples, ImageTransform(SIZE, resize))


def numbers_of(pixels: np.ndarray) -> list[int]:
    """Which of the `numbered` images they are."""
    return [round(float(image.mean()) / 10) for image in pixels]


def stream(
    loader: Loader,
    *,
    indices: object = range(23),
    batch_size: int = 5,
    augmentation: Augmentation = NONE,
    seed: int = 0,
    first_epoch: int = 0,
    epochs: int = 1,
) -> list[tuple[np.ndarray, np.ndarray]]:
    batches = training_batches(
        loader if augmentation == NONE else augmented(loader, augmentation),
        indices,  # type: ignore[arg-type]
        batch_size,
        seed=seed,
        first_epoch=first_epoch,
        epochs=epochs,
    )
    return list(batches.as_numpy_iterator())


# --- Evaluation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "sizes"), [(5, [5, 5, 5, 5, 3]), (23, [23]), (100, [23]), (1, [1] * 23)])
def test_evaluation_keeps_the_last_partial_batch_and_the_order(batch_size: int, sizes: list[int]) -> None:
    batches = list(evaluation_batches(loader_of(numbered()), range(23), batch_size).as_numpy_iterator())

    assert [len(pixels) for pixels, _ in batches] == sizes
    assert numbers_of(np.concatenate([pixels for pixels, _ in batches])) == list(range(23))
    assert np.concatenate([numbers for _, numbers in batches]).tolist() == list(range(23))


def test_evaluation_follows_the_indices() -> None:
    ((pixels, numbers),) = evaluation_batches(loader_of(numbered()), np.array([7, 3, 11]), 8).as_numpy_iterator()
    assert numbers_of(pixels) == numbers.tolist() == [7, 3, 11]


@pytest.mark.parametrize("resize", RESIZES)
def test_pixels_are_those_of_the_decoder_as_floats(resize: str, tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path, examples=2, suffix=".jpg")))
    dataset = evaluation_batches(loader_of(examples, resize), range(6), 6)
    ((pixels, numbers),) = dataset.as_numpy_iterator()

    assert dataset.element_spec[0].shape.as_list() == [None, SIZE, SIZE, 3]
    assert pixels.dtype == np.float32 and numbers.dtype == np.int64
    for index, image in enumerate(pixels):
        assert (image == load_pixels(examples.read(index), SIZE, resize)).all()


# --- Training -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [5, 8, 23, 64])
def test_each_epoch_has_every_image_once_with_its_number(batch_size: int) -> None:
    batches = stream(loader_of(numbered()), batch_size=batch_size, epochs=3)
    steps = -(-23 // batch_size)

    assert len(batches) == 3 * steps
    for epoch in range(3):
        members = batches[epoch * steps : (epoch + 1) * steps]
        numbers = numbers_of(np.concatenate([pixels for pixels, _ in members]))
        assert sorted(numbers) == list(range(23))
        assert numbers == np.concatenate([told for _, told in members]).tolist()
        assert len(members[-1][0]) == 23 - batch_size * (steps - 1)


def test_training_sees_only_its_indices() -> None:
    batches = stream(loader_of(numbered()), indices=[2, 5, 9, 14], batch_size=3)
    assert sorted(numbers_of(np.concatenate([pixels for pixels, _ in batches]))) == [2, 5, 9, 14]


def test_epochs_and_seeds_differ_in_order() -> None:
    loader = loader_of(numbered())
    first, second = (numbers_of(pixels) for pixels, _ in stream(loader, batch_size=23, epochs=2))
    ((other, _),) = stream(loader, batch_size=23, seed=1)
    assert first != second and first != numbers_of(other) and first != list(range(23))


@pytest.mark.parametrize(
    "augmentation", [*AUGMENTATIONS.values(), HALF_ANTIALIASED], ids=[*AUGMENTATIONS, "antialiasing alone"]
)
@pytest.mark.parametrize("seed", [0, 2**40])
def test_the_same_seed_gives_equal_batches_and_a_later_start_gives_the_tail(
    augmentation: Augmentation, seed: int, tmp_path: Path
) -> None:
    examples = open_source(str(write_folder(tmp_path, examples=3)))
    options = {"indices": range(9), "batch_size": 4, "augmentation": augmentation, "seed": seed, "epochs": 3}
    whole = stream(loader_of(examples), **options)
    again = stream(loader_of(examples), **options)
    tail = stream(loader_of(examples), first_epoch=2, **options)

    assert len(whole) == len(again) == 9 and len(tail) == 3
    for one, other in [*zip(whole, again, strict=True), *zip(whole[6:], tail, strict=True)]:
        assert (one[0] == other[0]).all() and (one[1] == other[1]).all()


def test_augmentation_changes_training_images_anew_in_each_epoch_and_stays_in_range(tmp_path: Path) -> None:
    examples = open_source(str(write_folder(tmp_path, classes=2, examples=1)))
    loader = loader_of(examples)
    ((plain, numbers),) = evaluation_batches(loader, range(2), 2).as_numpy_iterator()
    batches = stream(loader, indices=range(2), batch_size=2, augmentation=AUGMENTATIONS["default"], epochs=3)

    seen = [pixels[changed.tolist().index(0)] for pixels, changed in batches]
    assert numbers.tolist() == [0, 1]
    assert all((one != other).any() for i, one in enumerate([*seen, plain[0]]) for other in seen[:i])
    assert all(pixels.dtype == np.float32 and 0 <= pixels.min() <= pixels.max() <= 255 for pixels, _ in batches)
    ((once_more, _),) = evaluation_batches(loader, range(2), 2).as_numpy_iterator()
    assert (once_more == plain).all()


def test_a_training_image_is_a_view_by_seed_epoch_and_index(tmp_path: Path) -> None:
    loader = loader_of(open_source(str(write_folder(tmp_path, examples=2))))
    augmentation = AUGMENTATIONS["default"]
    batches = stream(loader, indices=range(6), batch_size=6, augmentation=augmentation, seed=9, epochs=2)
    for epoch, (pixels, _) in enumerate(batches):
        views = [augmented(loader, augmentation).views(index, [(9, epoch, index)])[0] for index in range(6)]
        assert sorted(view.tobytes() for view in views) == sorted(one.astype(np.uint8).tobytes() for one in pixels)


def ways_of_resizing(loader: Loader, resize: str, batches: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Whether each image of each batch was antialiased: bool (batches, images)."""
    ways = np.zeros((len(batches), len(loader.examples)), bool)
    for batch, (pixels, numbers) in enumerate(batches):
        for image, number in zip(pixels, numbers, strict=True):
            encoded = loader.examples.read(int(number))
            usual, antialiased = (load_pixels(encoded, SIZE, resize, antialias=way) for way in (False, True))
            ways[batch, number] = (image == antialiased).all()
            assert (usual != antialiased).any() and (ways[batch, number] or (image == usual).all())
    return ways


@pytest.mark.parametrize("resize", RESIZES)
def test_training_images_are_antialiased_as_often_as_asked(resize: str, tmp_path: Path) -> None:
    loader = loader_of(open_source(str(write_folder(tmp_path, classes=10, examples=1))), resize)

    def ways(share: float, seed: int = 0) -> np.ndarray:
        augmentation = Augmentation(antialiased_resize=share)
        batches = stream(loader, indices=range(10), batch_size=10, augmentation=augmentation, seed=seed, epochs=20)
        return ways_of_resizing(loader, resize, batches)

    assert not ways(0.0).any() and ways(1.0).all()
    half = ways(0.5)
    assert 0.35 < half.mean() < 0.65
    assert half.any(axis=0).all() and not half.all(axis=0).any()  # every image is seen in both ways
    assert (half != ways(0.5, seed=1)).any()


def test_what_an_image_becomes_does_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    loader = loader_of(open_source(str(write_folder(tmp_path, examples=3))))
    options = {"indices": range(9), "augmentation": AUGMENTATIONS["default"]}
    small, large = (stream(loader, batch_size=size, **options) for size in (2, 9))
    assert (np.concatenate([pixels for pixels, _ in small]) == large[0][0]).all()


# --- Images that cannot be read any longer ------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "truncated"])
@pytest.mark.parametrize("training", [True, False])
def test_an_image_that_vanishes_later_is_named(damage: str, training: bool, tmp_path: Path) -> None:
    loader = loader_of(open_source(str(write_folder(tmp_path))))
    file = tmp_path / "banana" / "05.png"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])

    with pytest.raises(DataError, match=r"banana/05\.png can no longer be read"), naming_errors(loader):
        stream(loader, indices=range(24)) if training else list(evaluation_batches(loader, range(24), 5))


def test_loading_one_image_names_it_too(tmp_path: Path) -> None:
    loader = loader_of(open_source(str(write_folder(tmp_path))))
    (tmp_path / "apple" / "00.png").unlink()
    with pytest.raises(DataError, match=r"apple/00\.png can no longer be read"):
        loader.load(0)
    assert loader.load(1).shape == (SIZE, SIZE, 3)


def test_other_errors_of_tensorflow_pass_through() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError), naming_errors(loader_of(numbered())):
        tf.debugging.assert_equal(1, 2)
