"""From a `PictureSet` to `tf.data`: RGB pixels, float32 in [0, 255], and integer labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from data.augmentation import Augmentation, augment
from data.decoding import UnreadablePicture, load_pixels
from data.errors import DataError
from data.pictures import Indices, PictureSet

_PARALLEL = os.cpu_count() or 1


class PictureLoader:
    """Loads pictures by index for `tf.data`, and remembers why it failed: an error that crosses TensorFlow loses its type."""

    def __init__(self, pictures: PictureSet, image_size: int, resize: str) -> None:
        self.pictures, self.image_size, self.resize = pictures, image_size, resize
        self.error: DataError | None = None

    def load(self, index: int, like_phone: bool = True) -> np.ndarray:
        """Pixels of one picture, uint8 (image_size, image_size, 3).

        Args:
            index: which picture.
            like_phone: as for `load_pixels`.

        Raises:
            DataError: the picture was there when the run started and cannot be read now.
        """
        try:
            return load_pixels(self.pictures.encoded(int(index)), self.image_size, self.resize, like_phone=like_phone)
        except (UnreadablePicture, OSError) as error:
            self.error = DataError(f"{self.pictures.keys[int(index)]} can no longer be read: {error}")
            raise self.error from error

    @contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Around whatever reads batches: raise the `DataError` of a picture instead of TensorFlow's error about it."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.error is None:
                raise
            raise self.error from error

    def batches(self, indices: tf.Tensor, like_phone: tf.Tensor, batch_size: int) -> tf.data.Dataset:
        """Batches of pictures and labels.

        Args:
            indices: int64 (n,), which pictures, in which order.
            like_phone: bool (n,), as for `load_pixels`.
            batch_size: pictures a batch; the last one may be smaller.

        Returns:
            Batches of (uint8 (batch, size, size, 3), int64 (batch,)).
        """
        labels = tf.constant(self.pictures.labels)
        shape = (self.image_size, self.image_size, 3)

        def load(index: tf.Tensor, like_phone: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pixels = tf.numpy_function(self.load, [index, like_phone], tf.uint8, stateful=False)
            return tf.ensure_shape(pixels, shape), tf.gather(labels, index)

        pictures = tf.data.Dataset.from_tensor_slices((indices, like_phone))
        return pictures.map(load, num_parallel_calls=_PARALLEL).batch(batch_size)


def evaluation_batches(loader: PictureLoader, indices: Indices, batch_size: int) -> tf.data.Dataset:
    """Pictures as they are, in the order of `indices`, none left out.

    Returns:
        Batches of (float32 (batch, size, size, 3) in [0, 255], int64 (batch,)); the last one may be smaller.
    """
    order = np.asarray(indices, dtype=np.int64)
    return loader.batches(order, np.ones(len(order), bool), batch_size).map(_as_float).prefetch(2)


def training_batches(
    loader: PictureLoader,
    indices: Indices,
    batch_size: int,
    *,
    augmentation: Augmentation,
    seed: int,
    first_epoch: int,
    epochs: int,
) -> tf.data.Dataset:
    """One stream over all epochs from `first_epoch` to `epochs`: each epoch shuffled, resized and augmented anew.

    Order, resizing and augmentation depend on the seed and the epoch's number only, so a stream that starts at epoch 5
    gives what a stream from the beginning gives there.

    Returns:
        `ceil(len(indices) / batch_size)` batches an epoch of (float32 (batch, size, size, 3) in [0, 255], int64 (batch,)).
    """
    members = tf.constant(np.asarray(indices, dtype=np.int64))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), epoch)
        order = tf.random.experimental.stateless_shuffle(members, epoch_seed)
        # A stream of its own, beside the one that order and augmentation draw from.
        resize_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, 1], tf.int64), epoch)
        like_phone = tf.random.stateless_uniform(tf.shape(order), resize_seed) >= augmentation.antialiased_resize

        def change(number: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            pixels, labels = _as_float(*batch)
            return augment(pixels, tf.random.experimental.stateless_fold_in(epoch_seed, number), augmentation), labels

        batches = loader.batches(order, like_phone, batch_size)
        return batches.enumerate().map(change, num_parallel_calls=_PARALLEL)

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch).prefetch(2)


def _as_float(pixels: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(pixels, tf.float32), labels
