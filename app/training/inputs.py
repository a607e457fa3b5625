"""The inputs of a phase: activations from the cache, or live images where caching saves nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from app.training.fit_data import FitData
from app.training.linear import Blocks
from app.training.mixing import mixed
from app.training.objectives import LIVE, Objective
from data.cache.shards import Rows
from data.pipeline import UNTUNED, epoch_order, evaluation_batches, training_batches
from models.builder import forward_pass

_BLOCK = 4096  # rows
_IN_MEMORY = 256 * 2**20  # bytes of float32 features that are held in memory instead of read for each pass


class Inputs(Protocol):
    """A model to train, and batches for it: inputs and targets, float32; in training, also weights if there are any."""

    model: keras.Model
    data: FitData
    objective: Objective

    def training(self, seed: int, first_epoch: int, epochs: int) -> tf.data.Dataset:
        """Return one stream over the epochs from `first_epoch` to `epochs`, each with its own order and views."""
        ...

    def validation(self) -> tf.data.Dataset:
        """Return the validation images without augmentation, in order."""
        ...


def validation_logits(inputs: Inputs) -> np.ndarray:
    """Return the current logits of the model for the validation images, float32 (n, outputs).

    Examples:
        >>> from app.training.objectives import LabelObjective
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling2D()]
        >>> loader = Loader(open_source("images"), ImageTransform(8, "stretch"))
        >>> data = FitData(loader, train=np.arange(6), validation=np.array([0, 8, 16]), batch_size=2, seed=0)
        >>> logits = validation_logits(LiveInputs(keras.Sequential(layers), data, LabelObjective(data)))
        >>> logits.shape
        (3, 3)
        >>> logits.argmax(axis=1).tolist()  # the images are red, green and blue
        [0, 1, 2]
    """
    forward = forward_pass(inputs.model)
    return np.concatenate([forward(batch).numpy() for batch, _ in inputs.validation()])


class LiveInputs:
    """Images through the whole model, augmented differently in every epoch."""

    def __init__(self, model: keras.Model, data: FitData, objective: Objective) -> None:
        self.model, self.data, self.objective = model, data, objective

    def training(self, seed: int, first_epoch: int, epochs: int) -> tf.data.Dataset:
        """See `Inputs.training`; every epoch has its own views."""
        data = self.data
        batches = training_batches(
            data.loader,
            data.train,
            data.batch_size,
            seed=seed,
            first_epoch=first_epoch,
            epochs=epochs,
        )
        first_step = tf.constant(first_epoch * data.steps_per_epoch, tf.int64)

        def finish(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            targets, *weights = self._targets(batch[1], LIVE)
            mix = {"mixup": data.mixup, "cutmix": data.cutmix, "seed": seed, "step": first_step + step}
            return *mixed(batch[0], targets, **mix), *weights

        return batches.enumerate().map(finish).prefetch(2)

    def validation(self) -> tf.data.Dataset:
        """See `Inputs.validation`."""
        data = self.data
        batches = evaluation_batches(data.loader, data.validation, data.batch_size)
        return batches.map(lambda pixels, numbers: (pixels, self._targets(numbers, 0)[0]))

    def _targets(self, numbers: tf.Tensor, view: int) -> list[tf.Tensor]:
        """Return the targets, and weights if there are any, for the numbers of images in a view."""
        data = self.data

        def targets_of(some: np.ndarray) -> np.ndarray:
            return self.objective.targets(some, np.full(len(some), view))

        targets = tf.numpy_function(targets_of, [numbers], tf.float32)
        targets = tf.ensure_shape(targets, (None, data.num_outputs))
        return [targets] if data.weights is None else [targets, tf.gather(data.weights, numbers)]


class CachedInputs:
    """Activations at the freeze boundary, through the part of the model above it, with a different view in every epoch.

    Attributes:
        model: the top, which shares its layers with the whole model.
    """

    def __init__(self, top: keras.Model, data: FitData, objective: Objective, train: Rows, validation: Rows) -> None:
        """Store the rows of the training images, the views of an image next to each other, and of the validation images."""
        self.model, self.data, self.objective = top, data, objective
        self.train_rows, self.validation_rows = train, validation
        self.views = len(train) // len(data.train)

    @property
    def are_features(self) -> bool:
        """Whether the activations are vectors for a head alone: the work is then smaller than the overhead of a step."""
        return len(self.train_rows.shape) == 1

    def training(self, seed: int, first_epoch: int, epochs: int) -> tf.data.Dataset:
        """See `Inputs.training`; each epoch takes the next view of an image."""
        data, steps = self.data, self.data.steps_per_epoch

        @lru_cache(maxsize=2)  # a step of the next epoch may be prefetched
        def order_of(epoch: int) -> np.ndarray:
            return epoch_order(len(data.train), seed, epoch)

        def read(step: int) -> tuple[np.ndarray, ...]:
            epoch, number = divmod(int(step), steps)
            members = order_of(epoch)[number * data.batch_size :][: data.batch_size]
            # Half of the images show one view and half another in each epoch, and each image cycles through all of its views.
            rows = members * self.views + (members + epoch) % self.views
            return self.train_rows.take(rows), self._targets(rows), data.weights_of(data.train[members])

        def load(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            inputs, targets, weights = self._read(read, step)
            mix = {"mixup": data.mixup, "cutmix": data.cutmix, "seed": seed, "step": step}
            inputs, targets = mixed(inputs, targets, **mix)
            return (inputs, targets) if data.weights is None else (inputs, targets, weights)

        batches = tf.data.Dataset.range(first_epoch * steps, epochs * steps).map(load, num_parallel_calls=2)
        return batches.prefetch(4).with_options(UNTUNED)

    def validation(self) -> tf.data.Dataset:
        """See `Inputs.validation`."""
        data, rows = self.data, self.validation_rows
        count = len(data.validation)

        def read(step: int) -> tuple[np.ndarray, ...]:
            members = np.arange(count)[int(step) * data.batch_size :][: data.batch_size]
            return rows.take(members), self._validation_targets(members), np.ones(len(members), np.float32)

        steps = -(-count // data.batch_size)
        batches = tf.data.Dataset.range(steps).map(lambda step: self._read(read, step)[:2], num_parallel_calls=2)
        return batches.prefetch(4).with_options(UNTUNED)

    def _read(self, read: Callable[[int], tuple[np.ndarray, ...]], step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows, targets, weights = tf.numpy_function(read, [step], (tf.float16, tf.float32, tf.float32))
        return (
            tf.ensure_shape(tf.cast(rows, tf.float32), (None, *self.train_rows.shape)),
            tf.ensure_shape(targets, (None, self.data.num_outputs)),
            tf.ensure_shape(weights, (None,)),
        )

    def training_blocks(self) -> Blocks:
        """Return all views of all training images: features, smoothed targets and weights."""
        data = self.data

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for some in _in_blocks(len(self.train_rows)):
                targets = self.objective.smoothed(self._targets(some))
                yield self.train_rows.take(some), targets, data.weights_of(data.train[some // self.views])

        size = 4 * len(self.train_rows) * math.prod(self.train_rows.shape)
        if size > _IN_MEMORY:
            return blocks
        all_at_once = [(features.astype(np.float32), targets, weights) for features, targets, weights in blocks()]
        return lambda: all_at_once

    def figures(self, logits_of: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
        """Return what Keras' loop reports for a head on the features: loss and metrics, on training and validation.

        The training loss leaves out weights, which Keras includes.
        """
        return self._figures(self.train_rows, self._targets, logits_of) | self.validation_figures(logits_of)

    def validation_figures(self, logits_of: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
        """Return the part of `figures` about validation."""
        figures = self._figures(self.validation_rows, self._validation_targets, logits_of)
        return {f"val_{name}": figure for name, figure in figures.items()}

    def _figures(
        self,
        rows: Rows,
        targets_of: Callable[[np.ndarray], np.ndarray],
        logits_of: Callable[[np.ndarray], np.ndarray],
    ) -> dict[str, Any]:
        objective, summed = self.objective, 0.0
        metrics = [objective.metric(), *objective.more_metrics()]
        for some in _in_blocks(len(rows)):
            logits, targets = logits_of(rows.take(some)), targets_of(some)
            summed += objective.summed_loss(logits, targets)
            for metric in metrics:
                metric.update_state(targets, logits)
        figures: dict[str, Any] = {"loss": summed / len(rows)}
        for metric in metrics:
            result = metric.result()
            named = result if isinstance(result, dict) else {metric.name: result}
            figures |= {name: np.asarray(one).tolist() for name, one in named.items()}
        return figures

    def _targets(self, rows: np.ndarray) -> np.ndarray:
        """Return the targets for rows of the training images."""
        first, *_ = self.data.all_views[0].numbers
        return self.objective.targets(self.data.train[rows // self.views], first + rows % self.views)

    def _validation_targets(self, members: np.ndarray) -> np.ndarray:
        return self.objective.targets(self.data.validation[members], np.zeros(len(members), np.int64))


def _in_blocks(count: int) -> Iterator[np.ndarray]:
    """Yield the numbers below `count` in blocks."""
    for start in range(0, count, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, count))
