"""What a phase trains on: every picture once an epoch, its views in turn, and the same from any epoch on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from app.training.cache import ActivationCache
from app.training.inputs import CachedInputs, FitData, LiveInputs, mixed
from app.training.shards import Rows
from data.augmentation import AUGMENTATIONS
from data.pictures import PictureSet
from data.pipeline import PictureLoader
from tests.pictures import encode

CLASSES = 3
COUNT = 31
TRAIN, VALIDATION = np.arange(0, 22), np.arange(22, 31)
LABELS = np.arange(COUNT) * 7 % CLASSES


def picture(index: int) -> bytes:
    """One colour all over: the picture's number."""
    return encode(np.full((8, 8, 3), index, np.uint8))


@pytest.fixture
def data() -> FitData:
    keys = tuple(f"{index}.png" for index in range(COUNT))
    pictures = PictureSet("memory", ("a", "b", "c"), keys, LABELS, picture)
    return FitData(
        loader=PictureLoader(pictures, 8, "stretch"),
        train=TRAIN,
        validation=VALIDATION,
        batch_size=4,
        augmentation=AUGMENTATIONS["none"],
        class_weights=None,
        seed=0,
    )


def store(folder: Path, pairs: list[tuple[int, int]], row_of: Callable[[int, int], np.ndarray]) -> Rows:
    """Rows of (picture, view) in a cache."""
    space = ActivationCache(folder, 10**9).space({"folder": str(folder)}, row_of(0, 0).shape)
    keys = [f"{index:064x}-{view}" for index, view in pairs]
    with space.writer() as writer:
        writer.add(keys, np.stack([row_of(index, view) for index, view in pairs]))
    return space.rows(keys)


def cached(data: FitData, folder: Path, views: int) -> CachedInputs:
    """Features (number of the picture, number of the view)."""

    def row_of(index: int, view: int) -> np.ndarray:
        return np.array([index, view], np.float32)

    train = store(folder, [(int(index), view) for index in data.train for view in range(views)], row_of)
    validation = store(folder, [(int(index), 0) for index in data.validation], row_of)
    return CachedInputs(keras.Sequential([keras.layers.Dense(CLASSES, name="logits")]), data, train, validation)


def live(data: FitData) -> LiveInputs:
    return LiveInputs(keras.Sequential(), data)


@pytest.fixture(params=["cached", "live"])
def inputs(request: pytest.FixtureRequest, data: FitData, tmp_path: Path) -> CachedInputs | LiveInputs:
    return cached(data, tmp_path, views=3) if request.param == "cached" else live(data)


def numbers(inputs: np.ndarray) -> list[int]:
    """Which pictures a batch shows."""
    return np.rint(inputs.reshape(len(inputs), -1)[:, 0]).astype(int).tolist()


def batches(stream: tf.data.Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
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


def test_every_picture_comes_once_an_epoch_in_an_order_of_its_own(inputs: CachedInputs | LiveInputs) -> None:
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


def test_validation_comes_in_order_and_whole(inputs: CachedInputs | LiveInputs) -> None:
    every = batches(inputs.validation())
    assert [len(labels) for _, labels in every] == [4, 4, 1]
    assert [number for rows, _ in every for number in numbers(rows)] == VALIDATION.tolist()


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("kind", ["cached", "live"])
def test_a_stream_from_an_epoch_is_the_tail_of_the_whole(
    kind: str, mixup: float, data: FitData, tmp_path: Path
) -> None:
    data = replace(data, mixup=mixup, augmentation=AUGMENTATIONS["default"])
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
    inputs = CachedInputs(keras.Sequential(), data, train, validation)
    for stream in (inputs.training(0, 0, 1), inputs.validation()):
        assert stream.element_spec[0].shape.as_list() == [None, *shape]
        for rows, _ in batches(stream):
            np.testing.assert_array_equal(rows, np.stack([row_of(number, 0) for number in numbers(rows)]))
    assert inputs.are_features == (len(shape) == 1)


def test_views_are_kept_only_where_pictures_are_changed(data: FitData) -> None:
    for name, expected in (("none", (0,)), ("light", (1, 2, 3))):
        train, validation = replace(data, augmentation=AUGMENTATIONS[name], views=3).all_views
        assert (train.numbers, validation.numbers) == (expected, (0,))
        assert train.pairs()[: len(expected)] == [(0, number) for number in expected]
        assert validation.pairs() == [(int(index), 0) for index in VALIDATION]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("class_weights", [None, {0: 0.5, 1: 1.0, 2: 3.0}])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_targets_of_the_direct_head(
    smoothing: float,
    class_weights: dict[int, float] | None,
    in_memory: bool,
    data: FitData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.training.inputs._BLOCK", 5)
    if not in_memory:
        monkeypatch.setattr("app.training.inputs._IN_MEMORY", 0)
    blocks = cached(replace(data, class_weights=class_weights), tmp_path, 2).training_blocks(smoothing)
    for _ in range(2):  # as often as they are asked for
        features, targets = (np.concatenate(parts) for parts in zip(*blocks(), strict=True))
        assert features.tolist() == [[index, view] for index in TRAIN for view in range(2)]
        labels = LABELS[features[:, 0].astype(int)]
        weights = np.array([(class_weights or {}).get(label, 1.0) for label in labels.tolist()])
        np.testing.assert_allclose(targets.sum(axis=1), weights, rtol=1e-6)
        right = targets[np.arange(len(targets)), labels]
        np.testing.assert_allclose(right, weights * (1 - smoothing + smoothing / CLASSES), rtol=1e-6)
        others = (targets.sum(axis=1) - right) / (CLASSES - 1)
        np.testing.assert_allclose(targets.min(axis=1), others, rtol=1e-5, atol=1e-7)  # all the others alike


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_figures_are_those_that_keras_reports(
    smoothing: float, data: FitData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.training.inputs._BLOCK", 5)
    inputs = cached(data, tmp_path, 1)
    model = inputs.model
    model.build((None, 2))
    random = np.random.default_rng(0)
    kernel, bias = random.normal(0, 0.1, (2, CLASSES)).astype(np.float32), random.normal(0, 1, CLASSES)
    model.set_weights([kernel, bias.astype(np.float32)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    model.compile(loss=loss, metrics=["accuracy"])
    figures = inputs.figures(lambda features: features.astype(np.float32) @ kernel + bias, smoothing)
    for prefix, stream in (("", inputs.training(0, 0, 1)), ("val_", inputs.validation())):
        for name, value in model.evaluate(stream, verbose=0, return_dict=True).items():
            assert figures[prefix + name] == pytest.approx(value, rel=1e-4)
    assert 0 < figures["accuracy"] < 1 and figures["loss"] > 0.1


# --- MixUp ------------------------------------------------------------------------------------------------------------


def mix(mixup: float, seed: int = 3, step: int = 0, shape: tuple[int, ...] = (6,)) -> tuple[np.ndarray, np.ndarray]:
    """Of six examples, each of a class of its own; inputs repeat the labels, so that both show what was mixed."""
    labels = tf.eye(6)
    inputs = tf.reshape(labels, (6, *shape))
    mixed_inputs, mixed_labels = mixed(inputs, labels, mixup, seed, tf.constant(step, tf.int64))
    return mixed_inputs.numpy(), mixed_labels.numpy()


def test_no_mixup_changes_nothing() -> None:
    inputs, labels = tf.eye(6), tf.eye(6) * 2
    same_inputs, same_labels = mixed(inputs, labels, 0.0, 3, tf.constant(1, tf.int64))
    np.testing.assert_array_equal(same_inputs, inputs)
    np.testing.assert_array_equal(same_labels, labels)


@pytest.mark.parametrize("mixup", [0.1, 1.0, 10.0])
def test_pairs_are_mixed_inputs_and_labels_alike(mixup: float) -> None:
    shares = set()
    for step in range(20):
        inputs, labels = mix(mixup, step=step, shape=(3, 2, 1))
        np.testing.assert_allclose(inputs.reshape(6, 6), labels, rtol=1e-6)
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
        assert (labels >= 0).all() and (labels <= 1 + 1e-6).all()
        assert (np.count_nonzero(labels, axis=1) <= 2).all()
        np.testing.assert_allclose(labels.sum(axis=0), 1, rtol=1e-5)  # each example is a partner once
        shares.add(round(float(np.diag(labels).min()), 4))
    assert len(shares) > 5


def test_a_seed_and_a_step_decide_what_is_mixed() -> None:
    first = mix(0.4, seed=3, step=7)
    assert alike([first], [mix(0.4, seed=3, step=7)])
    assert not alike([first], [mix(0.4, seed=3, step=8)])
    assert not alike([first], [mix(0.4, seed=4, step=7)])


@pytest.mark.parametrize("kind", ["cached", "live"])
def test_training_is_mixed_and_validation_is_not(kind: str, data: FitData, tmp_path: Path) -> None:
    data = replace(data, mixup=1.0)
    inputs = cached(data, tmp_path, 1) if kind == "cached" else live(data)
    labels = np.concatenate([labels for _, labels in batches(inputs.training(5, 0, 2))])
    assert ((labels > 0.01) & (labels < 0.99)).any()
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    assert set(np.unique(np.concatenate([labels for _, labels in batches(inputs.validation())]))) == {0.0, 1.0}
