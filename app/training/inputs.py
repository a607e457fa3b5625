"""What a phase trains on: activations out of the cache, or live pictures where there is nothing to be saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

from app.training.activations import Views
from app.training.logistic import Blocks
from app.training.shards import Rows
from data.augmentation import Augmentation
from data.pipeline import PictureLoader, evaluation_batches, training_batches

_BLOCK = 4096  # rows
_IN_MEMORY = 256 * 2**20  # bytes of features, as float32, that are held and not read again for each pass


@dataclass(frozen=True)
class FitData:
    """What a fit reads: the loader, and which of its pictures are for training and for validation."""

    loader: PictureLoader
    train: np.ndarray
    validation: np.ndarray
    batch_size: int
    augmentation: Augmentation
    class_weights: dict[int, float] | None
    seed: int
    views: int = 1
    mixup: float = 0.0

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch, the last one partial."""
        return -(-len(self.train) // self.batch_size)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.loader.pictures.class_names)

    @property
    def all_views(self) -> tuple[Views, Views]:
        """What a cache holds: augmented views of each training picture, or each as it is; and the validation pictures."""
        changes = self.augmentation != Augmentation()
        numbers = tuple(range(1, self.views + 1)) if changes else (0,)
        return Views(self.train, numbers), Views(self.validation, (0,))


class Inputs(Protocol):
    """A model to train and the batches for it; both streams give inputs, float32, and labels, one-hot float32."""

    model: keras.Model

    def training(self, seed: int, first_epoch: int, epochs: int) -> tf.data.Dataset:
        """One stream over all epochs from `first_epoch` to `epochs`, each in an order and with views of its own."""
        ...

    def validation(self) -> tf.data.Dataset:
        """The validation pictures as they are, in order."""
        ...


class LiveInputs:
    """Pictures through the whole model, augmented anew in every epoch."""

    def __init__(self, model: keras.Model, data: FitData) -> None:
        self.model, self.data = model, data

    def training(self, seed: int, first_epoch: int, epochs: int) -> tf.data.Dataset:
        data = self.data
        batches = training_batches(
            data.loader,
            data.train,
            data.batch_size,
            augmentation=data.augmentation,
            seed=seed,
            first_epoch=first_epoch,
            epochs=epochs,
        )
        first_step = tf.constant(first_epoch * data.steps_per_epoch, tf.int64)

        def finish(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            return mixed(batch[0], _one_hot(batch[1], data.num_classes), data.mixup, seed, first_step + step)

        return batches.enumerate().map(finish).prefetch(2)

    def validation(self) -> tf.data.Dataset:
        data = self.data
        batches = evaluation_batches(data.loader, data.validation, data.batch_size)
        return batches.map(lambda pixels, labels: (pixels, _one_hot(labels, data.num_classes)))


class CachedInputs:
    """Activations at the freeze boundary through the part of the model above it; a different view in every epoch.

    Attributes:
        model: the top, which shares its layers with the whole model.
    """

    def __init__(self, top: keras.Model, data: FitData, train: Rows, validation: Rows) -> None:
        """Take the rows of the training pictures, the views of a picture beside each other, and of the validation pictures."""
        self.model, self.data = top, data
        self.train_rows, self.validation_rows = train, validation
        self.views = len(train) // len(data.train)

    @property
    def are_features(self) -> bool:
        """Whether they are vectors, for a head alone: so little work that the overhead of a step would be most of it."""
        return len(self.train_rows.shape) == 1

    def training(self, seed: int, first_epoch: int, epochs: int) -> tf.data.Dataset:
        data, steps = self.data, self.data.steps_per_epoch

        @lru_cache(maxsize=2)  # a step of the next epoch may be read ahead
        def order_of(epoch: int) -> np.ndarray:
            return np.random.default_rng([seed, epoch]).permutation(len(data.train))

        def read(step: int) -> tuple[np.ndarray, np.ndarray]:
            epoch, number = divmod(int(step), steps)
            members = order_of(epoch)[number * data.batch_size :][: data.batch_size]
            # Half of the pictures show one view and half another in each epoch, and each picture goes round them all.
            return self.train_rows.take(members * self.views + (members + epoch) % self.views), self._labels[members]

        def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            inputs, labels = _read(read, step, self.train_rows.shape)
            return mixed(inputs, _one_hot(labels, data.num_classes), data.mixup, seed, step)

        return tf.data.Dataset.range(first_epoch * steps, epochs * steps).map(load, num_parallel_calls=2).prefetch(4)

    def validation(self) -> tf.data.Dataset:
        data, rows = self.data, self.validation_rows
        labels = data.loader.pictures.labels[data.validation]

        def read(step: int) -> tuple[np.ndarray, np.ndarray]:
            members = np.arange(len(labels))[int(step) * data.batch_size :][: data.batch_size]
            return rows.take(members), labels[members]

        def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            inputs, labels = _read(read, step, rows.shape)
            return inputs, _one_hot(labels, data.num_classes)

        steps = -(-len(labels) // data.batch_size)
        return tf.data.Dataset.range(steps).map(load, num_parallel_calls=2).prefetch(4)

    def training_blocks(self, label_smoothing: float) -> Blocks:
        """All views of all training pictures: features, and targets whose sum is the example's weight."""
        data = self.data
        smoothed = (1 - label_smoothing) * np.eye(data.num_classes) + label_smoothing / data.num_classes
        weights = data.class_weights or dict.fromkeys(range(data.num_classes), 1.0)
        target_of = (smoothed * np.array([[weights[label]] for label in range(data.num_classes)])).astype(np.float32)

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for members in _in_blocks(len(self.train_rows)):
                yield self.train_rows.take(members), target_of[self._labels[members // self.views]]

        size = 4 * len(self.train_rows) * math.prod(self.train_rows.shape)
        if size > _IN_MEMORY:
            return blocks
        all_at_once = [(features.astype(np.float32), targets) for features, targets in blocks()]
        return lambda: all_at_once

    def figures(self, logits_of: Callable[[np.ndarray], np.ndarray], label_smoothing: float) -> dict[str, float]:
        """What Keras' loop reports, of a head on the features: loss (in nats) and accuracy, and both on validation.

        Class weights, which Keras includes in the training loss, are left out.
        """
        labels = np.repeat(self._labels, self.views)
        loss, accuracy = _figures(self.train_rows, labels, logits_of, label_smoothing)
        return {"loss": loss, "accuracy": accuracy} | self.validation_figures(logits_of, label_smoothing)

    def validation_figures(
        self, logits_of: Callable[[np.ndarray], np.ndarray], label_smoothing: float
    ) -> dict[str, float]:
        """The half of `figures` that is about validation."""
        labels = self.data.loader.pictures.labels[self.data.validation]
        loss, accuracy = _figures(self.validation_rows, labels, logits_of, label_smoothing)
        return {"val_loss": loss, "val_accuracy": accuracy}

    @cached_property
    def _labels(self) -> np.ndarray:
        return self.data.loader.pictures.labels[self.data.train]


def mixed(
    inputs: tf.Tensor, labels: tf.Tensor, mixup: float, seed: int, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """MixUp (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) of a batch with itself in another order.

    On activations it is Manifold MixUp (Verma et al. 2019, https://arxiv.org/abs/1806.05236).

    Args:
        inputs: float32 (batch, ...), pixels, activations or features.
        labels: one-hot, float32 (batch, classes).
        mixup: parameter of the Beta distribution that the share is drawn from; 0 changes nothing.
        seed: with the step, of the draws.
        step: scalar int64, number of the batch in its phase.
    """
    if not mixup:
        return inputs, labels
    seeds = tf.random.experimental.stateless_split(tf.stack([tf.constant(seed, tf.int64), step]), 3)
    first, second = (tf.random.stateless_gamma([], seeds[i], mixup) for i in range(2))
    share = tf.math.divide_no_nan(first, first + second)  # both draws of a very small parameter may be 0
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(inputs)[0]), seeds[2])
    return tuple(share * one + (1 - share) * tf.gather(one, order) for one in (inputs, labels))


def _figures(
    rows: Rows, labels: np.ndarray, logits_of: Callable[[np.ndarray], np.ndarray], label_smoothing: float
) -> tuple[float, float]:
    loss, right = 0.0, 0
    for some in _in_blocks(len(rows)):
        logs = log_softmax(logits_of(rows.take(some)), axis=1)
        of_label = logs[np.arange(len(some)), labels[some]]
        loss -= float((1 - label_smoothing) * of_label.sum() + label_smoothing * logs.mean(axis=1).sum())
        right += int((logs.argmax(axis=1) == labels[some]).sum())
    return loss / len(rows), right / len(rows)


def _in_blocks(count: int) -> Iterator[np.ndarray]:
    """The numbers below `count`, some thousands at a time."""
    for start in range(0, count, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, count))


def _read(read: object, step: tf.Tensor, shape: tuple[int, ...]) -> tuple[tf.Tensor, tf.Tensor]:
    rows, labels = tf.numpy_function(read, [step], (tf.float16, tf.int64))
    return tf.ensure_shape(tf.cast(rows, tf.float32), (None, *shape)), tf.ensure_shape(labels, (None,))


def _one_hot(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    return tf.one_hot(labels, num_classes)
