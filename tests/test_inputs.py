"""What a phase trains on: every image once an epoch, its views in turn, and the same from any epoch on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from app.tasks import TASKS
from app.training.fit_data import FitData
from app.training.inputs import CachedInputs, LiveInputs
from app.training.objectives import LabelObjective
from data.cache.activations import ActivationCache
from data.cache.partition import Partition
from data.cache.shards import Rows
from data.examples import Examples
from data.image.augmentation import AUGMENTATIONS
from data.image.transform import ImageTransform
from data.labels import REGRESSION, SingleLabel
from data.loading import Loader
from tests.augmented import with_augmentation
from tests.images import encode
from tests.labelled import random_set

CLASSES = 3
COUNT = 31
TRAIN, VALIDATION = np.arange(0, 22), np.arange(22, 31)
LABELS = np.arange(COUNT) * 7 % CLASSES


def image(index: int) -> bytes:
    """One colour all over: the image's number."""
    return encode(np.full((8, 8, 3), index, np.uint8))


@pytest.fixture
def data() -> FitData:
    keys = tuple(f"{index}.png" for index in range(COUNT))
    examples = Examples("memory", keys, SingleLabel(LABELS, ("a", "b", "c")), image)
    return FitData(
        loader=Loader(examples, ImageTransform(8, "stretch")),
        train=TRAIN,
        validation=VALIDATION,
        batch_size=4,
        seed=0,
    )


def store(folder: Path, pairs: list[tuple[int, int]], row_of: Callable[[int, int], np.ndarray]) -> Rows:
    """Rows of (image, view) in a cache."""
    partition = Partition(ActivationCache(folder, 10**9), {"folder": str(folder)}, row_of(0, 0).shape)
    keys = [f"{index:064x}-{view}" for index, view in pairs]
    with partition.writer() as writer:
        writer.add(keys, np.stack([row_of(index, view) for index, view in pairs]))
    return partition.rows(keys)


def cached(data: FitData, folder: Path, views: int, smoothing: float = 0.0) -> CachedInputs:
    """Features (number of the image, number of the view)."""

    def row_of(index: int, view: int) -> np.ndarray:
        return np.array([index, view], np.float32)

    train = store(folder, [(int(index), view) for index in data.train for view in range(views)], row_of)
    validation = store(folder, [(int(index), 0) for index in data.validation], row_of)
    head = keras.Sequential([keras.layers.Dense(CLASSES, name="logits")])
    return CachedInputs(head, data, LabelObjective(data, smoothing), train, validation)


def live(data: FitData) -> LiveInputs:
    return LiveInputs(keras.Sequential(), data, LabelObjective(data))


@pytest.fixture(params=["cached", "live"])
def inputs(request: pytest.FixtureRequest, data: FitData, tmp_path: Path) -> CachedInputs | LiveInputs:
    return cached(data, tmp_path, views=3) if request.param == "cached" else live(data)


def numbers(inputs: np.ndarray) -> list[int]:
    """Which images a batch shows."""
    return np.rint(inputs.reshape(len(inputs), -1)[:, 0]).astype(int).tolist()


def batches(stream: tf.data.Dataset) -> list[tuple[np.ndarray, ...]]:
    return list(stream.as_numpy_iterator())


def epochs(stream: tf.data.Dataset, data: FitData) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    every = batches(stream)
    for start in range(0, len(every), data.steps_per_epoch):
        yield every[start : start + data.steps_per_epoch]


def alike(one: list[tuple[np.ndarray, np.ndarray]], other: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and np.array_equal(a, b)
        for pair in zip(one, other, strict=True)
        for a, b in zip(*pair, strict=True)
    )


# --- Both kinds -------------------------------------------------------------------------------------------------------


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own(inputs: CachedInputs | LiveInputs) -> None:
    orders = []
    for epoch in epochs(inputs.training(5, 0, 3), inputs.data):
        assert [len(labels) for _, labels in epoch] == [4, 4, 4, 4, 4, 2]
        orders.append([number for pixels, _ in epoch for number in numbers(pixels)])
        assert sorted(orders[-1]) == TRAIN.tolist()
    assert len(orders) == 3 and len({tuple(order) for order in orders} | {tuple(TRAIN)}) == 4


def test_labels_are_those_of_the_rows(inputs: CachedInputs | LiveInputs) -> None:
    for stream in (inputs.training(5, 0, 2), inputs.validation()):
        for rows, labels in batches(stream):
            assert rows.dtype == labels.dtype == np.float32
            np.testing.assert_array_equal(labels, np.eye(CLASSES)[LABELS[numbers(rows)]])


@pytest.mark.parametrize("kind", ["cached", "live"])
def test_weights_are_those_of_the_rows_in_training_alone(kind: str, data: FitData, tmp_path: Path) -> None:
    weights = np.linspace(0.5, 3, COUNT, dtype=np.float32)
    data = replace(data, weights=weights)
    inputs = cached(data, tmp_path, 2) if kind == "cached" else live(data)
    for rows, _, shares in batches(inputs.training(5, 0, 2)):
        assert shares.dtype == np.float32
        np.testing.assert_array_equal(shares, weights[numbers(rows)])
    assert {len(batch) for batch in batches(inputs.validation())} == {2}


def test_validation_comes_in_order_and_whole(inputs: CachedInputs | LiveInputs) -> None:
    every = batches(inputs.validation())
    assert [len(labels) for _, labels in every] == [4, 4, 1]
    assert [number for rows, _ in every for number in numbers(rows)] == VALIDATION.tolist()


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("kind", ["cached", "live"])
def test_a_stream_from_an_epoch_is_the_tail_of_the_whole(
    kind: str, mixup: float, data: FitData, tmp_path: Path
) -> None:
    data = replace(with_augmentation(data, AUGMENTATIONS["default"]), mixup=mixup)
    inputs = cached(data, tmp_path, 3) if kind == "cached" else live(data)
    whole = batches(inputs.training(5, 0, 4))
    assert alike(batches(inputs.training(5, 2, 4)), whole[2 * data.steps_per_epoch :])
    assert not alike(batches(inputs.training(6, 0, 4)), whole)
    assert not alike(whole[: data.steps_per_epoch], whole[data.steps_per_epoch : 2 * data.steps_per_epoch])


# --- Cached -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [1, 2, 3])
def test_each_epoch_shows_another_view_until_all_were_seen(views: int, data: FitData, tmp_path: Path) -> None:
    seen: dict[int, list[int]] = {}
    for epoch in epochs(cached(data, tmp_path, views).training(0, 0, 2 * views), data):
        for rows, _ in epoch:
            for number, view in rows.astype(int).tolist():
                seen.setdefault(number, []).append(view)
    for shown in seen.values():
        assert sorted(shown[:views]) == list(range(views))
        assert shown[:views] == shown[views:]
    assert {shown[0] for shown in seen.values()} == set(range(views))  # not the same view of all


@pytest.mark.parametrize("shape", [(5,), (3, 4, 2)])
def test_rows_of_any_shape_arrive_as_they_are(shape: tuple[int, ...], data: FitData, tmp_path: Path) -> None:
    def row_of(index: int, view: int) -> np.ndarray:
        return np.full(shape, index, np.float32) + np.arange(np.prod(shape)).reshape(shape) / 64

    train = store(tmp_path, [(int(index), 0) for index in TRAIN], row_of)
    validation = store(tmp_path, [(int(index), 0) for index in VALIDATION], row_of)
    inputs = CachedInputs(keras.Sequential(), data, LabelObjective(data), train, validation)
    for stream in (inputs.training(0, 0, 1), inputs.validation()):
        assert stream.element_spec[0].shape.as_list() == [None, *shape]
        for rows, _ in batches(stream):
            np.testing.assert_array_equal(rows, np.stack([row_of(number, 0) for number in numbers(rows)]))
    assert inputs.are_features == (len(shape) == 1)


def test_views_are_kept_only_where_images_are_changed(data: FitData) -> None:
    for name, expected in (("none", (0,)), ("light", (1, 2, 3))):
        train, validation = replace(with_augmentation(data, AUGMENTATIONS[name]), views=3).all_views
        assert (train.numbers, validation.numbers) == (expected, (0,))
        assert train.pairs()[: len(expected)] == [(0, number) for number in expected]
        assert validation.pairs() == [(int(index), 0) for index in VALIDATION]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 3, COUNT, dtype=np.float32)], ids=["alike", "weights"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_targets_and_weights_of_the_direct_head(
    smoothing: float,
    weights: np.ndarray | None,
    in_memory: bool,
    data: FitData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.training.inputs._BLOCK", 5)
    if not in_memory:
        monkeypatch.setattr("app.training.inputs._IN_MEMORY", 0)
    blocks = cached(replace(data, weights=weights), tmp_path, 2, smoothing).training_blocks()
    for _ in range(2):  # as often as they are asked for
        features, targets, shares = (np.concatenate(parts) for parts in zip(*blocks(), strict=True))
        assert features.tolist() == [[index, view] for index in TRAIN for view in range(2)]
        labels = LABELS[features[:, 0].astype(int)]
        expected = np.ones(COUNT) if weights is None else weights
        np.testing.assert_array_equal(shares, expected[features[:, 0].astype(int)])
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
        right = targets[np.arange(len(targets)), labels]
        np.testing.assert_allclose(right, 1 - smoothing + smoothing / CLASSES, rtol=1e-6)
        others = (targets.sum(axis=1) - right) / (CLASSES - 1)
        np.testing.assert_allclose(targets.min(axis=1), others, rtol=1e-5, atol=1e-7)  # all the others alike


def of_task(data: FitData, task: str) -> FitData:
    """The same images with labels of another task."""
    examples = replace(data.loader.examples, labels=random_set(task, COUNT, seed=0).labels)
    return replace(data, loader=Loader(examples, ImageTransform(8, "stretch")))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_figures_are_those_that_keras_reports(
    smoothing: float, task: str, data: FitData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.training.inputs._BLOCK", 5)
    inputs = cached(of_task(data, task), tmp_path, 1, smoothing)
    model = inputs.model
    model.build((None, 2))
    random = np.random.default_rng(0)
    kernel, bias = random.normal(0, 0.1, (2, CLASSES)).astype(np.float32), random.normal(0, 1, CLASSES)
    model.set_weights([kernel, bias.astype(np.float32)])
    metric = TASKS[task].new_metric(CLASSES)
    model.compile(loss=TASKS[task].loss(smoothing), metrics=[metric])
    figures = inputs.figures(lambda features: features.astype(np.float32) @ kernel + bias)
    for prefix, stream in (("", inputs.training(0, 0, 1)), ("val_", inputs.validation())):
        found = model.evaluate(stream, verbose=0, return_dict=True)
        assert set(found) == {"loss", TASKS[task].metric}
        for name, value in found.items():
            assert figures[prefix + name] == pytest.approx(value, rel=1e-4)
    assert figures[TASKS[task].metric] != figures[f"val_{TASKS[task].metric}"] and figures["loss"] > 0.1


@pytest.mark.parametrize("kind", ["cached", "live"])
def test_numbers_are_learned_in_their_spread_over_the_training_images(kind: str, data: FitData, tmp_path: Path) -> None:
    data = of_task(data, REGRESSION)
    labels = data.loader.examples.labels.array
    labels[:] = labels * [1, 1000, 0] + [-5, 0, 7]
    inputs = cached(data, tmp_path, 1) if kind == "cached" else live(data)
    spread, mean = labels[TRAIN].std(axis=0), labels[TRAIN].mean(axis=0)
    spread[2] = 1  # all are the same
    for stream in (inputs.training(5, 0, 1), inputs.validation()):
        for rows, targets in batches(stream):
            np.testing.assert_allclose(targets, (labels[numbers(rows)] - mean) / spread, rtol=1e-4, atol=1e-5)
    every = np.concatenate([targets for _, targets in batches(inputs.training(5, 0, 1))])
    np.testing.assert_allclose(every.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(every.std(axis=0), [1, 1, 0], atol=1e-5)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_validation_images_are_as_they_are_whatever_is_done_in_training(name: str, data: FitData) -> None:
    inputs = live(replace(with_augmentation(data, AUGMENTATIONS[name]), mixup=1.0, cutmix=1.0))
    shown = np.concatenate([pixels for pixels, _ in batches(inputs.validation())])
    np.testing.assert_array_equal(shown, np.stack([data.loader.load(int(index)) for index in VALIDATION]))


# --- Mixing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mixing"), [("cached", "mixup"), ("live", "mixup"), ("live", "cutmix")])
def test_training_is_mixed_and_validation_is_not(kind: str, mixing: str, data: FitData, tmp_path: Path) -> None:
    data = replace(data, **{mixing: 1.0})
    inputs = cached(data, tmp_path, 1) if kind == "cached" else live(data)
    labels = np.concatenate([labels for _, labels in batches(inputs.training(5, 0, 2))])
    assert ((labels > 0.01) & (labels < 0.99)).any()
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    assert set(np.unique(np.concatenate([labels for _, labels in batches(inputs.validation())]))) == {0.0, 1.0}
