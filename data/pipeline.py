"""From a `Examples` to `tf.data`: RGB pixels, float32 in [0, 255], and which image of the set they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from data.labels import Indices
from data.loading import PARALLEL, Loader

# How parallel a stream is, is said where it is made. The thread of tf.data that would tune it sleeps for up to ten seconds at a
# time, and a stream that ends may have to wait until it wakes up: seven to ten seconds at the end of every other run.
UNTUNED = tf.data.Options()
UNTUNED.autotune.enabled = False


@contextmanager
def naming_errors(loader: Loader) -> Iterator[None]:
    """Around whatever reads batches: raise the `DataError` of an image instead of TensorFlow's error about it."""
    try:
        yield
    except tf.errors.OpError as error:
        if loader.error is None:
            raise
        raise loader.error from error


def batches(
    loader: Loader,
    indices: tf.Tensor,
    batch_size: int,
    load: Callable[..., np.ndarray],
    *arguments: tf.Tensor,
) -> tf.data.Dataset:
    """Batches of images and their numbers.

    Args:
        loader: of the images.
        indices: int64 (n,), which images, in which order.
        batch_size: images a batch; the last one may be smaller.
        load: gives pixels of an image, uint8 (size, size, 3), from its index and `arguments`.
        *arguments: the same for all.

    Returns:
        Batches of (float32 (batch, size, size, 3) in [0, 255], int64 (batch,)); a number is an index of the loader's
        images.
    """
    shape, dtype = loader.transform.shape, tf.as_dtype(loader.transform.dtype)

    def one(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(load, [index, *arguments], dtype, stateful=False)
        return tf.ensure_shape(pixels, shape), index

    def as_float(pixels: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(pixels, tf.float32), numbers

    examples = tf.data.Dataset.from_tensor_slices(indices).map(one, num_parallel_calls=PARALLEL)
    return examples.batch(batch_size).map(as_float)


def evaluation_batches(loader: Loader, indices: Indices, batch_size: int) -> tf.data.Dataset:
    """Images as they are, in the order of `indices`, none left out.

    Returns:
        Batches as of `batches`; the last one may be smaller.
    """
    images = batches(loader, np.asarray(indices, dtype=np.int64), batch_size, loader.load)
    return images.prefetch(2).with_options(UNTUNED)


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch takes its examples: positions, int64 (count,), each once.

    It depends on the seed and the epoch's number only, so that a fit that is resumed goes on as it would have.

    >>> epoch_order(4, seed=0, epoch=1).tolist()
    [3, 0, 2, 1]
    >>> sorted(epoch_order(4, seed=0, epoch=2).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


def training_batches(
    loader: Loader,
    indices: Indices,
    batch_size: int,
    *,
    seed: int,
    first_epoch: int,
    epochs: int,
) -> tf.data.Dataset:
    """One stream over all epochs from `first_epoch` to `epochs`: each epoch shuffled, resized and augmented again.

    Order, resizing and augmentation depend on the seed and the epoch's number only, so a stream that starts at epoch 5
    gives what a stream from the beginning gives there.

    Args:
        loader: of the images.
        indices: which images.
        batch_size: images a batch.
        seed: from 0.
        first_epoch: the number of the first epoch, from 0.
        epochs: the number of the epoch that is not given any more.

    Returns:
        `ceil(len(indices) / batch_size)` batches an epoch, as of `batches`.
    """
    members = np.asarray(indices, dtype=np.int64)

    def view(index: np.int64, epoch: np.int64) -> np.ndarray:
        return loader.views(int(index), [(seed, int(epoch), int(index))])[0]

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(
            lambda number: members[epoch_order(len(members), seed, int(number))], [epoch], tf.int64
        )
        return batches(loader, tf.ensure_shape(order, members.shape), batch_size, view, epoch)

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch).prefetch(2).with_options(UNTUNED)
