"""From `Examples` to `tf.data`: RGB pixels, float32 in [0, 255], and the index of each image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from data.labels import Indices
from data.loading import PARALLEL, Loader

# Each stream sets its own parallelism. The autotuning thread of tf.data sleeps for up to ten seconds at a time, and a stream
# that ends may have to wait for it: seven to ten seconds at the end of every other run.
UNTUNED = tf.data.Options()
UNTUNED.autotune.enabled = False


@contextmanager
def naming_errors(loader: Loader) -> Iterator[None]:
    """While batches are read, raise the `DataError` of an image instead of TensorFlow's error about it.

    Examples:
        >>> from types import SimpleNamespace
        >>> with naming_errors(SimpleNamespace(error=ValueError("apple.png can no longer be read"))):
        ...     raise tf.errors.UnknownError(None, None, "ValueError")
        Traceback (most recent call last):
        ValueError: apple.png can no longer be read
        >>> with naming_errors(SimpleNamespace(error=None)):  # not an error of an image
        ...     raise tf.errors.UnknownError(None, None, "out of memory")
        Traceback (most recent call last):
        tensorflow.python.framework.errors_impl.UnknownError: out of memory
    """
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
    """Return batches of images and their indices.

    Args:
        loader: of the images.
        indices: int64 (n,), which images, in which order.
        batch_size: images per batch; the last batch may be smaller.
        load: returns the pixels of an image, uint8 (size, size, 3), from its index and `arguments`.
        *arguments: the same for all images.

    Returns:
        Batches of (float32 (batch, size, size, 3) in [0, 255], int64 (batch,)); the integers are indices of the loader's
        images.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(image_size=8, resize="crop"))
        >>> [numbers.numpy().tolist() for _, numbers in batches(loader, np.array([5, 0, 1]), 2, loader.load)]
        [[5, 0], [1]]
        >>> batches(loader, np.array([5, 0, 1]), 2, loader.load).element_spec[0]
        TensorSpec(shape=(None, 8, 8, 3), dtype=tf.float32, name=None)
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
    """Return batches of unchanged images, all of them, in the order of `indices`.

    Returns:
        Batches as from `batches`; the last batch may be smaller.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(image_size=8, resize="crop"))
        >>> [numbers.numpy().tolist() for _, numbers in evaluation_batches(loader, [5, 0, 1], batch_size=2)]
        [[5, 0], [1]]
        >>> [pixels.shape for pixels, _ in evaluation_batches(loader, [5], batch_size=2)]
        [TensorShape([1, 8, 8, 3])]
    """
    images = batches(loader, np.asarray(indices, dtype=np.int64), batch_size, loader.load)
    return images.prefetch(2).with_options(UNTUNED)


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch takes its examples: positions, int64 (count,), each once.

    It depends on the seed and the epoch's number only, so that a resumed fit continues as it would have.

    Examples:
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
    """Return one stream over the epochs from `first_epoch` to `epochs - 1`, each with its own order, resizing and augmentation.

    Order, resizing and augmentation depend on the seed and the epoch's number only, so a stream that starts at epoch 5
    has the batches that a stream from the beginning has there.

    Args:
        loader: of the images.
        indices: which images.
        batch_size: images per batch.
        seed: from 0.
        first_epoch: the number of the first epoch, from 0.
        epochs: the number of the last epoch plus 1.

    Returns:
        `ceil(len(indices) / batch_size)` batches per epoch, as from `batches`.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(image_size=8, resize="crop"))
        >>> whole = training_batches(loader, range(4), 4, seed=0, first_epoch=0, epochs=3)
        >>> [numbers.numpy().tolist() for _, numbers in whole]
        [[2, 0, 1, 3], [3, 0, 2, 1], [2, 1, 0, 3]]
        >>> resumed = training_batches(loader, range(4), 4, seed=0, first_epoch=2, epochs=3)
        >>> [numbers.numpy().tolist() for _, numbers in resumed]
        [[2, 1, 0, 3]]
    """
    epochs_to_come = tf.data.Dataset.range(first_epoch, epochs)
    return _by_epoch(epochs_to_come, loader, indices, batch_size, seed)


def shuffled_batches(loader: Loader, indices: Indices, batch_size: int, *, seed: int) -> tf.data.Dataset:
    """Return the batches of one epoch, which are those of another epoch each time they are enumerated.

    The first enumeration is epoch 0 of `training_batches`, the next one epoch 1, and so on.

    Args:
        loader: of the images.
        indices: which images.
        batch_size: images per batch.
        seed: from 0.

    Returns:
        Batches as from `batches`, of known cardinality: `ceil(len(indices) / batch_size)`.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(image_size=8, resize="crop"))
        >>> train = shuffled_batches(loader, range(4), 4, seed=0)
        >>> [numbers.numpy().tolist() for _ in range(3) for _, numbers in train]
        [[2, 0, 1, 3], [3, 0, 2, 1], [2, 1, 0, 3]]
        >>> int(train.cardinality())
        1
    """
    count = itertools.count()
    this_epoch = tf.data.Dataset.range(1).map(
        lambda _: tf.ensure_shape(tf.numpy_function(lambda: np.int64(next(count)), [], tf.int64), ())
    )
    shuffled = _by_epoch(this_epoch, loader, indices, batch_size, seed)
    return shuffled.apply(tf.data.experimental.assert_cardinality(math.ceil(len(indices) / batch_size)))


def _by_epoch(epochs: tf.data.Dataset, loader: Loader, indices: Indices, batch_size: int, seed: int) -> tf.data.Dataset:
    """Return the batches of one epoch after another; `epochs` holds their numbers, int64."""
    members = np.asarray(indices, dtype=np.int64)

    def view(index: np.int64, epoch: np.int64) -> np.ndarray:
        augmented = loader.transform.is_augmented
        found: np.ndarray = loader.views(int(index), [(seed, int(epoch), int(index)) if augmented else None])[0]
        return found

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(
            lambda number: members[epoch_order(len(members), seed, int(number))], [epoch], tf.int64
        )
        return batches(loader, tf.ensure_shape(order, members.shape), batch_size, view, epoch)

    return epochs.flat_map(one_epoch).prefetch(2).with_options(UNTUNED)
