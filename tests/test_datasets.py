"""`data.load`: batches for `model.fit`, split as `train` splits, and the workflow of Keras' guide with Graft's pieces."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import app
import data
import models
from app.config import TrainConfig, make_config
from app.interface.sources import open_readable
from app.job.splits import choose_splits
from data.examples import SPLITS
from data.image.augmentation import AUGMENTATIONS, Augmentation
from data.image.resizing import load_pixels
from data.splits import write_splits
from tests.images import coloured, encode, write_folder


def labels_of(batches: tf.data.Dataset) -> list[Any]:
    return [label for _, labels in batches for label in labels.numpy().tolist()]


def pixels_of(batches: tf.data.Dataset) -> np.ndarray:
    return np.concatenate([pixels.numpy() for pixels, _ in batches])


def write_list(folder: Path, header: str, rows: list[str]) -> Path:
    """A list of as many noisy images as rows; `{}` in a row is the path of its image."""
    random = np.random.default_rng(0)
    for number, _ in enumerate(rows):
        (folder / f"{number}.png").write_bytes(encode(coloured(number % 3, 3, (16, 16), random)))
    path = folder / "list.csv"
    path.write_text("\n".join([header, *(row.format(f"{number}.png") for number, row in enumerate(rows))]))
    return path


# --- The splits ---------------------------------------------------------------------------------------------------------


def test_the_splits_are_those_of_a_run(fruit: Path, tiny_run: app.Run) -> None:
    images = data.load(fruit, image_size=16)
    assert write_splits(images.examples, images.splits) == tiny_run.splits
    assert images.class_names == tiny_run.class_names


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 3},
        {"validation_fraction": 0.25, "test_fraction": 0.4, "seed": 1},
        {"test": True},
        {"validation": True, "test": True},
    ],
    ids=str,
)
def test_the_splits_are_those_that_train_chooses(options: dict[str, Any], fruit: Path, tmp_path: Path) -> None:
    other = {split: write_folder(tmp_path / split, examples=2, seed=seed) for seed, split in enumerate(SPLITS[1:], 1)}
    given = {name: str(other[name]) if value is True else value for name, value in options.items()}
    config = make_config(TrainConfig, source=str(fruit), **given)
    examples, _ = open_readable(str(fruit), config.source_options, skip_unreadable=False)
    examples, splits = choose_splits(examples, config)
    images = data.load(fruit, image_size=16, **options | {name: other[name] for name in other if name in options})
    assert write_splits(images.examples, images.splits) == write_splits(examples, splits)


# --- The batches --------------------------------------------------------------------------------------------------------


def test_batches_have_a_known_number_and_hold_every_image_once(fruit: Path) -> None:
    images = data.load(fruit, image_size=16, batch_size=5, validation_fraction=0.25)
    for split in SPLITS:
        batches, size = getattr(images, split), int((images.splits == split).sum())
        assert int(batches.cardinality()) == math.ceil(size / 5) == sum(1 for _ in batches)
        assert batches.element_spec[0] == tf.TensorSpec((None, 16, 16, 3), tf.float32)
        assert batches.element_spec[1] == tf.TensorSpec((None, 3), tf.float32)
        expected = images.examples.labels.array[images.splits == split]
        assert sorted(np.argmax(labels_of(batches), axis=1).tolist()) == sorted(expected.tolist())


def test_pixels_belong_to_their_labels_and_are_not_scaled(fruit: Path) -> None:
    images = data.load(fruit, image_size=16, resize="crop", labels="integer")
    indices = np.flatnonzero(images.splits == "test")
    expected = np.stack([load_pixels(images.examples.read(index), 16, "crop") for index in indices])
    np.testing.assert_array_equal(pixels_of(images.test), expected)
    assert labels_of(images.test) == images.examples.labels.array[indices].tolist()
    assert images.test.element_spec[1] == tf.TensorSpec((None,), tf.int64)
    assert expected.max() > 1


def test_train_is_shuffled_in_each_epoch_by_the_seed(fruit: Path) -> None:
    def epochs(seed: int) -> list[np.ndarray]:
        train = data.load(fruit, image_size=8, seed=seed, validation_fraction=0.15).train
        return [pixels_of(train) for _ in range(3)]

    first, again = epochs(0), epochs(0)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])
    assert all(np.array_equal(np.sort(one, axis=0), np.sort(first[0], axis=0)) for one in first)  # the same images
    assert not np.array_equal(epochs(1)[0], first[0])


def test_augmentation_is_of_train_only_and_new_in_each_epoch(fruit: Path) -> None:
    plain, augmented = (data.load(fruit, image_size=16, augment=name) for name in ("none", "light"))
    np.testing.assert_array_equal(pixels_of(plain.validation), pixels_of(augmented.validation))
    first, second = pixels_of(augmented.train), pixels_of(augmented.train)
    assert first.min() >= 0 and first.max() <= 255
    # Noise keeps no two views of an image alike.
    assert not {image.tobytes() for image in first} & {image.tobytes() for image in second}


def test_views_may_be_without_mirroring(fruit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AUGMENTATIONS, "mirror", Augmentation(flip=True))
    plain, mirrored, unmirrored = (
        pixels_of(data.load(fruit, image_size=16, augment=augment, flip=flip).train)
        for augment, flip in (("none", True), ("mirror", True), ("mirror", False))
    )
    np.testing.assert_array_equal(unmirrored, plain)
    turned = [np.array_equal(one, other[:, ::-1]) for one, other in zip(mirrored, plain, strict=True)]
    assert 0 < sum(turned) < len(plain)


def test_several_labels_are_vectors(tmp_path: Path) -> None:
    rows = ["{},red|green", "{},green", "{},red", "{},"] * 6
    images = data.load(write_list(tmp_path, "path,labels", rows), image_size=8)
    assert images.task == "multi_label" and images.class_names == ("green", "red")
    assert images.train.element_spec[1] == tf.TensorSpec((None, 2), tf.float32)
    assert {tuple(label) for label in labels_of(images.train)} == {(1, 1), (1, 0), (0, 1), (0, 0)}


def test_numbers_are_vectors(tmp_path: Path) -> None:
    rows = [f"{{}},{number / 4},{-number}" for number in range(24)]
    options = data.SourceOptions(task="regression", columns={"label": "width,height"})
    images = data.load(write_list(tmp_path, "path,width,height", rows), image_size=8, options=options)
    assert images.class_names == ("width", "height")
    assert images.train.element_spec[1] == tf.TensorSpec((None, 2), tf.float32)
    every = [label for split in SPLITS for label in labels_of(getattr(images, split))]
    assert sorted(every) == [[number / 4, -number] for number in range(24)]


# --- What train says ----------------------------------------------------------------------------------------------------


def test_what_train_warns_of(fruit: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images")
    (folder / "banana" / "copy.png").write_bytes((folder / "apple" / "00.png").read_bytes())
    (folder / "cherry" / "07.png").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="Left out") as found:
        images = data.load(folder, image_size=8, skip_unreadable=True)
    texts = [str(one.message) for one in found]
    assert any(
        text.startswith("1 image shows the same as others, once with another label (apple/00.png") for text in texts
    )
    assert any(text.startswith("Left out: 1 image cannot be read:\n  cherry/07.png") for text in texts)
    assert {one.filename for one in found} == {__file__}  # the line that calls `load`
    assert images.notes == (f"Found 24 images of 3 classes (apple, banana, cherry) in {folder}.",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load(fruit, image_size=8)


def test_weights_are_not_dropped_silently(tmp_path: Path) -> None:
    path = write_list(tmp_path, "path,label,weight", ["{},red,1", "{},green,2"] * 8)
    with pytest.warns(UserWarning, match="weights of the images are not in the batches; they are in `examples"):
        images = data.load(path, image_size=8)
    assert images.examples.weights is not None and len(next(iter(images.train))) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"image_size": "96"}, "image_size must be a whole number from 1 up, not '96'"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 up, not 0"),
        ({"seed": -1}, "seed must be a whole number from 0 up, not -1"),
        ({"resize": "strech"}, "resize cannot be 'strech'. Did you mean 'stretch'?"),
        ({"augment": None}, "augment cannot be None. Did you mean 'none'?"),
        ({"validation_fraction": 1.5}, "validation_fraction must be above 0 and below 1, not 1.5"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
        ({"source": 3}, "the source is a path or a text such as 'sample:digits', not 3"),
        ({"source": "nowhere"}, "there is no folder nowhere"),
        ({"background": "no colour"}, "'no colour' is no colour"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_sentence(options: dict[str, Any], text: str, fruit: Path) -> None:
    with pytest.raises(data.DataError, match=text.replace("?", r"\?").replace("(", r"\(")):
        data.load(**{"source": fruit} | options)


def test_unreadable_images_leakage_and_integer_vectors_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images" / "train")
    others = write_folder(tmp_path / "images" / "test", seed=1)
    (others / "apple" / "00.png").write_bytes((folder / "apple" / "00.png").read_bytes())
    repeated = pytest.warns(UserWarning, match="1 image shows the same as others; 'audit' tells more")
    with repeated, pytest.raises(data.DataError, match=r"1 image is in several splits of .*allow_leakage=True"):
        data.load(tmp_path / "images", image_size=8)
    with repeated:
        leaky = data.load(tmp_path / "images", image_size=8, allow_leakage=True)
    assert int((leaky.splits == "test").sum()) == 24
    (folder / "apple" / "00.png").write_bytes(b"torn")
    with pytest.raises(data.DataError, match=r"apple/00\.png"):
        data.load(folder)
    several = tmp_path / "several"
    several.mkdir()
    rows = ["{},red|green", "{},green"] * 8
    with pytest.raises(data.DataError, match="is multi_label, whose labels are vectors; leave out labels='integer'"):
        data.load(write_list(several, "path,labels", rows), labels="integer")


# --- With Keras ---------------------------------------------------------------------------------------------------------


def test_the_workflow_of_the_keras_guide(tmp_path: Path) -> None:
    """https://keras.io/guides/transfer_learning/, from images to a fine-tuned model."""
    folder = write_folder(tmp_path / "images", classes=4, examples=12)

    images = data.load(folder, image_size=64, batch_size=8)
    model = models.build_model("efficientnet_lite0", num_classes=len(images.class_names), image_size=64)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    models.freeze(model)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    head = model.fit(images.train, validation_data=images.validation, epochs=3, verbose=0)

    models.unfreeze_blocks(model, blocks=2)
    model.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"])
    fine = model.fit(images.train, validation_data=images.validation, epochs=2, verbose=0)

    _, accuracy = model.evaluate(images.test, verbose=0)
    probabilities = models.with_predictions(model).predict(images.test, verbose=0)

    assert head.history["loss"][-1] < head.history["loss"][0]
    assert fine.history["val_loss"][-1] < head.history["val_loss"][0]
    assert accuracy == 1.0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_importing_the_packages_imports_nothing_else() -> None:
    lines = (
        "import sys",
        "import data, models",
        "data.SourceOptions, models.BACKBONES, models.find_backbone, models.HEADS, models.freeze, models.unfreeze_blocks",
        "assert not {'tensorflow', 'keras'} & {name.partition('.')[0] for name in sys.modules}",
        "assert {'load', 'Datasets'} <= set(dir(data)) and {'build_model', 'split'} <= set(dir(models))",
        "assert callable(models.build_model) and callable(data.load)",
    )
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    root = Path(app.__file__).parents[1]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=root, env=environment, check=True)


@pytest.mark.parametrize("package", [data, models])
def test_every_name_of_a_package_can_be_had(package: Any) -> None:
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = package.no_such_name
