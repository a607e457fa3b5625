"""From a `PictureSet` to `tf.data`: RGB pixels, float32 in [0, 255], and which picture of the set they are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from data.augmentation import Augmentation, augment
from data.decoding import UnreadablePicture, load_each_way
from data.errors import DataError
from data.labels import Indices
from data.pictures import PictureSet
from data.stages import StageClock

_PARALLEL = os.cpu_count() or 1
_AHEAD = 4 * _PARALLEL  # pictures whose views wait in memory: enough that a slow one holds up nobody

# How parallel a stream is, is said where it is made. The thread of tf.data that would tune it sleeps for up to ten seconds at a
# time, and a stream that ends may have to wait until it wakes up: seven to ten seconds at the end of every other run.
UNTUNED = tf.data.Options()
UNTUNED.autotune.enabled = False

# What decides a view, see `PictureLoader.views`.
Seed = Sequence[int] | None


class PictureLoader:
    """Loads pictures by index for `tf.data`, and remembers why it failed: an error that crosses TensorFlow loses its type.

    Attributes:
        error: the last failure.
        stages: times "read", "decode" (which resizes, too) and "augment".
    """

    def __init__(self, pictures: PictureSet, image_size: int, resize: str) -> None:
        self.pictures, self.image_size, self.resize = pictures, image_size, resize
        self.error: DataError | None = None
        self.stages = StageClock()

    def load(self, index: int) -> np.ndarray:
        """Pixels of one picture as it is, resized as on a phone: uint8 (image_size, image_size, 3).

        Raises:
            DataError: the picture was there when the run started and cannot be read now.
        """
        return self._load_each_way(index, {True})[True]

    def views(self, index: int, augmentation: Augmentation, seeds: Sequence[Seed]) -> np.ndarray:
        """Several views of one picture, which is read and decoded once.

        Args:
            index: which picture.
            augmentation: how far the views differ from it.
            seeds: what decides each view, as for `np.random.SeedSequence`, which takes integers from 0 of any size, and
                to which zeros at the end mean nothing; None for the picture as it is, which is `load(index)`.

        Returns:
            uint8 (len(seeds), image_size, image_size, 3). A seed gives the same view in any company, but for the rounding of
            antialiased ones, see `data.decoding.load_each_way`.

        Raises:
            DataError: as for `load`.
        """
        draws = [None if seed is None else np.random.default_rng(np.random.SeedSequence(seed)) for seed in seeds]
        ways = [random is None or random.random() >= augmentation.antialiased_resize for random in draws]
        pixels = self._load_each_way(index, set(ways))
        return np.stack(
            [
                pixels[like_phone] if random is None else self._augment(pixels[like_phone], random, augmentation)
                for like_phone, random in zip(ways, draws, strict=True)
            ]
        )

    def _load_each_way(self, index: int, ways: set[bool]) -> dict[bool, np.ndarray]:
        try:
            with self.stages.time("read"):
                encoded = self.pictures.encoded(int(index))
            with self.stages.time("decode"):
                return load_each_way(encoded, self.image_size, self.resize, ways)
        except (UnreadablePicture, OSError) as error:
            self.error = DataError(f"{self.pictures.keys[int(index)]} can no longer be read: {error}")
            raise self.error from error

    def _augment(self, pixels: np.ndarray, random: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
        with self.stages.time("augment"):
            return augment(pixels, random, augmentation)

    @contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Around whatever reads batches: raise the `DataError` of a picture instead of TensorFlow's error about it."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.error is None:
                raise
            raise self.error from error

    def batches(
        self, indices: tf.Tensor, batch_size: int, load: Callable[..., np.ndarray], *arguments: tf.Tensor
    ) -> tf.data.Dataset:
        """Batches of pictures and their numbers.

        Args:
            indices: int64 (n,), which pictures, in which order.
            batch_size: pictures a batch; the last one may be smaller.
            load: gives pixels of a picture, uint8 (size, size, 3), from its index and `arguments`.
            *arguments: the same for all.

        Returns:
            Batches of (float32 (batch, size, size, 3) in [0, 255], int64 (batch,)); a number is an index of the loader's
            pictures.
        """
        shape = (self.image_size, self.image_size, 3)

        def one(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pixels = tf.numpy_function(load, [index, *arguments], tf.uint8, stateful=False)
            return tf.ensure_shape(pixels, shape), index

        def as_float(pixels: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.cast(pixels, tf.float32), numbers

        pictures = tf.data.Dataset.from_tensor_slices(indices).map(one, num_parallel_calls=_PARALLEL)
        return pictures.batch(batch_size).map(as_float)


def evaluation_batches(loader: PictureLoader, indices: Indices, batch_size: int) -> tf.data.Dataset:
    """Pictures as they are, in the order of `indices`, none left out.

    Returns:
        Batches as of `PictureLoader.batches`; the last one may be smaller.
    """
    batches = loader.batches(np.asarray(indices, dtype=np.int64), batch_size, loader.load)
    return batches.prefetch(2).with_options(UNTUNED)


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch takes its examples: positions, int64 (count,), each once.

    It depends on the seed and the epoch's number only, so that a fit that is resumed goes on as it would have.

    >>> epoch_order(4, seed=0, epoch=1).tolist()
    [0, 2, 3, 1]
    >>> sorted(epoch_order(4, seed=0, epoch=2).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


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

    Args:
        loader: of the pictures.
        indices: which pictures.
        batch_size: pictures a batch.
        augmentation: how far they are changed.
        seed: from 0.
        first_epoch: the number of the first epoch, from 0.
        epochs: the number of the epoch that is not given any more.

    Returns:
        `ceil(len(indices) / batch_size)` batches an epoch, as of `PictureLoader.batches`.
    """
    members = np.asarray(indices, dtype=np.int64)

    def view(index: np.int64, epoch: np.int64) -> np.ndarray:
        return loader.views(int(index), augmentation, [(seed, int(epoch), int(index))])[0]

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(
            lambda number: members[epoch_order(len(members), seed, int(number))], [epoch], tf.int64
        )
        return loader.batches(tf.ensure_shape(order, members.shape), batch_size, view, epoch)

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch).prefetch(2).with_options(UNTUNED)


def load_views(
    loader: PictureLoader, wanted: Sequence[tuple[int, Sequence[Seed]]], augmentation: Augmentation
) -> Iterator[np.ndarray]:
    """The views of many pictures, in order, by threads that run ahead by a bounded number of pictures.

    Args:
        loader: of the pictures.
        wanted: which picture, and the seeds of its views; see `PictureLoader.views`.
        augmentation: how far the views differ from their picture.

    Yields:
        What `PictureLoader.views` gives, for each of `wanted`.

    Raises:
        DataError: a picture cannot be read; raised when its turn comes.
    """
    with ThreadPoolExecutor(_PARALLEL) as pool:
        ahead: deque[Future[np.ndarray]] = deque()
        try:
            for index, seeds in wanted:
                ahead.append(pool.submit(loader.views, index, augmentation, seeds))
                if len(ahead) == _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # an error, or nobody wants the rest
            pool.shutdown(cancel_futures=True)
