"""Training on datasets of tensors: (image, label) from tf.data, as a Keras user has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import app
from app.interface.errors import UsageError
from data.errors import DataError
from data.sources import open_source
from data.sources.options import SourceOptions
from data.tensors import write_examples
from tests.conftest import TINY

RNG = np.random.default_rng(0)
LABELS = np.arange(24) % 3
IMAGES = RNG.integers(0, 100, (24, 20, 24, 3), dtype=np.uint8)
IMAGES[np.arange(24), ..., LABELS] += 120
NAMES = ["red", "green", "blue"]


def dataset(labels: np.ndarray = LABELS, images: np.ndarray = IMAGES) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((images, labels))


def opened(written: object) -> object:
    columns = dict(role.split("=", 1) for role in written.columns)
    return open_source(written.source, SourceOptions(task=written.task, columns=columns))


SPEC = (tf.TensorSpec((20, 24, 3), tf.uint8), tf.TensorSpec((), tf.int64))


def augmented() -> Iterator[tuple[np.ndarray, int]]:
    """The examples with noise that is another one each time."""
    for image, label in zip(IMAGES, LABELS, strict=True):
        yield image + np.random.default_rng().integers(0, 9, image.shape, np.uint8), label


# --- What is read -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        lambda: dataset(),
        lambda: dataset().batch(5),
        lambda: dataset().shuffle(24),
        lambda: dataset(images=IMAGES.astype(np.float32)).batch(7),
        lambda: dataset(tf.one_hot(LABELS, 3)).batch(7),
        lambda: list(zip(IMAGES, LABELS, strict=True)),
    ],
    ids=["single", "batched", "shuffled", "float", "one-hot", "list"],
)
def test_every_form_gives_the_same_examples(form: Callable[[], object], tmp_path: Path) -> None:
    written = write_examples([form()], tmp_path / "data", class_names=NAMES)
    examples = opened(written)
    assert written.task == "single_label"
    assert sorted(examples.class_names) == sorted(NAMES)
    assert examples.labels.counts().tolist() == [8, 8, 8]
    for index in range(len(examples)):
        pixels = tf.io.decode_image(examples.read(index)).numpy()
        label = NAMES.index(examples.labels.text(index))
        assert any(np.array_equal(pixels, image) for image in IMAGES[label == LABELS])


@pytest.mark.parametrize(
    ("labels", "names", "task", "text"),
    [
        (np.stack([LABELS == 0, LABELS < 2, LABELS == 2], axis=1).astype(np.int32), NAMES, "multi_label", "red|green"),
        (LABELS.astype(np.float32) * 1.5, None, "regression", "0"),
        (RNG.normal(size=(24, 2)).astype(np.float32), ["x", "y"], "regression", None),
        ((LABELS > 0).astype(np.float32)[:, None], ["no", "yes"], "single_label", "no"),
        (LABELS, None, "single_label", "0"),
    ],
    ids=["several", "number", "numbers", "binary", "without names"],
)
def test_labels_say_what_is_learned(
    labels: np.ndarray, names: list[str] | None, task: str, text: str | None, tmp_path: Path
) -> None:
    written = write_examples([dataset(labels)], tmp_path / "data", class_names=names)
    assert written.task == task
    examples = opened(written)
    assert text is None or sorted(examples.labels.text(0).split("|")) == sorted(text.split("|"))
    assert names is None or sorted(examples.class_names) == sorted(names)


def test_images_of_any_size_and_grey_ones(tmp_path: Path) -> None:
    pairs = [(RNG.integers(0, 256, (10 + size, 12, 1), dtype=np.uint8), size % 2) for size in range(6)]
    examples = opened(write_examples([pairs], tmp_path / "data"))
    assert [tf.io.decode_image(examples.read(index)).shape[0] for index in range(6)] == list(range(10, 16))


@pytest.mark.parametrize(
    ("datasets", "options", "sentence"),
    [
        (lambda: [dataset().repeat()], {}, "never ends"),
        (lambda: [dataset().take(0)], {}, "is empty"),
        (lambda: [tf.data.Dataset.from_generator(augmented, output_signature=SPEC)], {}, "random"),
        (lambda: [dataset(images=IMAGES / 255)], {}, "give them from 0 to 255"),
        (lambda: [dataset(images=IMAGES.astype(np.float32) - 128)], {}, "give them from 0 to 255"),
        (lambda: [dataset().map(lambda x, y: x)], {}, "must give pairs"),
        (lambda: [dataset(images=IMAGES[..., 0])], {"class_names": ["a", "b"]}, "2 names, and the labels stand for 3"),
        (lambda: [dataset()], {"class_names": ["a", "a", "b"]}, "a name twice"),
        (lambda: [dataset(LABELS - 1)], {}, "0 or more"),
        (lambda: [dataset(images=IMAGES[..., :2])], {}, "an image is"),
        (lambda: [zip(IMAGES, LABELS, strict=True)], {}, "can be read only once"),
        (lambda: [dataset()] * 4, {}, "4 datasets are given"),
    ],
)
def test_what_cannot_be_trained_on_is_one_sentence(
    datasets: Callable[[], list], options: dict, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        write_examples(datasets(), tmp_path / "data", **options)
    assert list(tmp_path.iterdir()) == []


# --- Training ---------------------------------------------------------------------------------------------------------------


def test_a_run_is_trained_resumable_and_exported(tiny_backbone: str, tmp_path: Path) -> None:
    splits = (dataset().batch(4), dataset().take(6), dataset().skip(6).take(6))
    options = TINY | {"class_names": NAMES, "strategy": "feature_extraction", "verbose": 0, "formats": ["onnx"]}
    with pytest.raises(UsageError, match="in several splits"):
        app.train(splits, output=tmp_path / "leaky", **options)
    assert list(tmp_path.iterdir()) == []
    run = app.train(splits, output=tmp_path / "run", allow_leakage=True, **options)
    assert sorted(run.class_names) == sorted(NAMES)
    assert run.metrics["test"]["n"] == 6
    assert (tmp_path / "run_data" / "list.csv").is_file()
    assert app.evaluate(run, verbose=0)["accuracy"] == run.metrics["test"]["accuracy"]
    assert app.export(run, formats=["tflite_float32"], verbose=0)["passed"]


def test_one_dataset_is_split(tiny_backbone: str, tmp_path: Path) -> None:
    options = TINY | {"class_names": NAMES, "strategy": "feature_extraction", "verbose": 0, "formats": ()}
    run = app.train(dataset(), output=tmp_path / "run", **options)
    assert run.metrics["test"]["n"] == 3


@pytest.mark.parametrize("options", [{"columns": ["label=kind"]}, {"image_folder": "images"}, {"uncertain": "0"}])
def test_options_of_a_source_are_not_for_datasets(options: dict, tmp_path: Path) -> None:
    (name,) = options
    with pytest.raises(UsageError, match=f"^{name} says how a SOURCE is read"):
        app.train(dataset(), output=tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


def test_names_of_classes_are_for_datasets(fruit: Path) -> None:
    with pytest.raises(UsageError, match="class_names is about datasets"):
        app.train(fruit, class_names=NAMES)
