"""Several devices that share each step of training, by `tf.distribute.MirroredStrategy`.

Each device has a copy of the weights and takes its share of a batch; the gradients are added up. A fit on several devices
ends as on one, but for rounding and for what a layer draws or measures by itself: dropout, and BatchNormalization that trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import tensorflow as tf

from app.interface.errors import UsageError


def has_gpu() -> bool:
    """Return whether TensorFlow finds a GPU.

    Examples:
        >>> has_gpu() == bool(tf.config.list_physical_devices("GPU"))
        True
        >>> has_gpu() == bool(tf.config.list_logical_devices("GPU"))
        True
    """
    return bool(tf.config.list_physical_devices("GPU"))


def find_devices(count: int, *, resumed: bool = False) -> tuple[str, ...]:
    """Return the names of the devices that share each step: GPUs, or the processor's logical devices where there is no GPU.

    Args:
        count: number of devices.
        resumed: the run may have been started on a machine with more devices; take those that are here.

    Returns:
        Names, at least two; empty for one device, which is TensorFlow's own choice.

    Raises:
        UsageError: there are fewer devices, and the run is new.

    Examples:
        >>> find_devices(1)
        ()
        >>> find_devices(64, resumed=True)
        ()
        >>> find_devices(64)
        Traceback (most recent call last):
        app.interface.errors.UsageError: --devices 64 is more than TensorFlow finds here, which is ...
    """
    if count == 1:
        return ()
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) < count and not resumed:
        kind = found[0].device_type
        raise UsageError(
            f"--devices {count} is more than TensorFlow finds here, which is {len(found)} ({kind}); give that number, or "
            "leave it out to train on one"
        )
    names = tuple(device.name.removeprefix("/device:") for device in found[:count])
    return names if len(names) > 1 else ()


def shared_by(devices: Sequence[str]) -> AbstractContextManager[Any]:
    """Return a context in which models are built, or loaded, and fitted for several devices.

    Args:
        devices: from `find_devices`; nothing changes if they are empty.

    Examples:
        >>> with shared_by(()):
        ...     device_count()
        1
        >>> with shared_by(["CPU:0"]):
        ...     tf.distribute.has_strategy()
        True
    """
    return _strategy(tuple(devices)).scope() if devices else nullcontext()


@cache  # a second one for the same devices would number its reductions from the start again, and TensorFlow mixes them up
def _strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(devices))


def device_count() -> int:
    """Return the number of devices that share a step in the current context.

    Examples:
        >>> device_count()
        1
        >>> with shared_by(["CPU:0"]):
        ...     device_count()
        1
    """
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def shared(model: keras.Model, batches: tf.data.Dataset, *, weighted: bool = False) -> Any:
    """Split each batch among the devices of the current context, for `model.fit`; on one device, nothing changes.

    TensorFlow's own way may join the last batch of an epoch with the next one, and an example counts for more where a share has
    fewer examples.

    Args:
        model: compiled model that is fitted on the batches.
        batches: of (inputs, targets) or (inputs, targets, weights).
        weighted: give each example the weight in its share that makes it count as in the whole batch. Keras averages over each
            share, then over the devices.

    Returns:
        A distributed data set of the same batches; a share is empty if a batch has fewer examples than there are devices.

    Examples:
        >>> batches = tf.data.Dataset.from_tensors((tf.zeros([5, 2]), tf.ones([5, 1])))
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> shared(model, batches) is batches
        True
        >>> with shared_by(["CPU:0"]):
        ...     shared(model, batches) is batches
        True
    """
    strategy, count = tf.distribute.get_strategy(), device_count()
    if count == 1:
        return batches
    shares = batches.flat_map(lambda *batch: _shares_of(batch, count, weighted))
    # Keras 3.15 averages the first batch over the devices, to build metrics by its shape; shares of unlike sizes stop it.
    model._symbolic_build(data_batch=shares.element_spec)
    model._maybe_symbolic_build = lambda **_: None
    return strategy.distribute_datasets_from_function(lambda _: shares)


def _shares_of(batch: tuple[tf.Tensor, ...], count: int, weighted: bool) -> tf.data.Dataset:
    """Return the shares of a batch, in the order of the devices."""
    size = tf.shape(batch[0], tf.int64)[0]

    def share(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        start, end = size * number // count, size * (number + 1) // count
        inputs, targets, *weights = (tensor[start:end] for tensor in batch)
        if not weighted:
            return inputs, targets, *weights
        factor = tf.cast((end - start) * count, tf.float32) / tf.cast(size, tf.float32)
        own = weights[0] if weights else tf.ones_like(targets[:, 0])
        return inputs, targets, factor * own

    return tf.data.Dataset.range(count).map(share)
