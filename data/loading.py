"""From a `PictureSet` to pixels, RGB, uint8: images by index, as they are or in augmented views, by threads that run ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from data.augmentation import Augmentation, augment
from data.decoding import UnreadablePicture, load_each_way
from data.errors import DataError
from data.kept_pixels import KeptPixels
from data.labels import Indices
from data.pictures import PictureSet
from data.stages import StageClock

PARALLEL = os.cpu_count() or 1
_AHEAD = 4 * PARALLEL  # images that wait in memory: enough that a slow one holds up nobody

# What decides a view, see `PictureLoader.views`.
Seed = Sequence[int] | None


class PictureLoader:
    """Loads images by index, and remembers why it failed: an error that crosses TensorFlow loses its type.

    Attributes:
        error: the last failure.
        stages: times "read", "decode" (which resizes, too) and "augment".
    """

    def __init__(self, pictures: PictureSet, image_size: int, resize: str) -> None:
        self.pictures, self.image_size, self.resize = pictures, image_size, resize
        self.error: DataError | None = None
        self.stages = StageClock()
        self._kept = KeptPixels(image_size)

    def keep(self, indices: Indices) -> None:
        """Keep the pixels of images on disk once they are decoded, so that to load them again costs no other decode.

        Args:
            indices: images that are loaded more than once, as they are; besides those that are kept already.
        """
        self._kept.want(indices)

    def load(self, index: int) -> np.ndarray:
        """Pixels of one picture as it is, resized as on a phone: uint8 (image_size, image_size, 3).

        Raises:
            DataError: the picture was there when the run started and cannot be read now.
        """
        return self._load_each_way(int(index), {True})[True]

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
        pixels = self._load_each_way(int(index), set(ways))
        return np.stack(
            [
                pixels[like_phone] if random is None else self._augment(pixels[like_phone], random, augmentation)
                for like_phone, random in zip(ways, draws, strict=True)
            ]
        )

    def _load_each_way(self, index: int, ways: set[bool]) -> dict[bool, np.ndarray]:
        kept = self._kept.get(index) if ways == {True} else None
        if kept is not None:
            return {True: kept}
        try:
            with self.stages.time("read"):
                encoded = self.pictures.encoded(index)
            with self.stages.time("decode"):
                spare = {True} if self._kept.lacks(index) else set()
                pixels = load_each_way(encoded, self.image_size, self.resize, ways, spare=spare)
        except (UnreadablePicture, OSError) as error:
            self.error = DataError(f"{self.pictures.keys[index]} can no longer be read: {error}")
            raise self.error from error
        if True in pixels:
            self._kept.add(index, pixels[True])
        return pixels

    def _augment(self, pixels: np.ndarray, random: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
        with self.stages.time("augment"):
            return augment(pixels, random, augmentation)


def load_ahead(loader: PictureLoader, indices: Indices) -> Iterator[np.ndarray]:
    """The pixels of many images as they are, in order, by threads that run ahead by a bounded number of images.

    Args:
        loader: of the images.
        indices: which images.

    Yields:
        What `PictureLoader.load` gives, for each of `indices`.

    Raises:
        DataError: an image cannot be read; raised when its turn comes.
    """
    return _run_ahead(loader.load, ((int(index),) for index in indices))


def load_views(
    loader: PictureLoader, wanted: Sequence[tuple[int, Sequence[Seed]]], augmentation: Augmentation
) -> Iterator[np.ndarray]:
    """The views of many pictures, in order, as `load_ahead` loads them.

    Args:
        loader: of the pictures.
        wanted: which picture, and the seeds of its views; see `PictureLoader.views`.
        augmentation: how far the views differ from their picture.

    Yields:
        What `PictureLoader.views` gives, for each of `wanted`.

    Raises:
        DataError: a picture cannot be read; raised when its turn comes.
    """
    return _run_ahead(loader.views, ((index, augmentation, seeds) for index, seeds in wanted))


def batches_of(images: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Images of one shape in batches of `size`; the last one may be smaller."""
    waiting: list[np.ndarray] = []
    for one in images:
        waiting.append(one)
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting.clear()
    if waiting:
        yield np.stack(waiting)


def _run_ahead(call: Callable[..., np.ndarray], arguments: Iterable[tuple[Any, ...]]) -> Iterator[np.ndarray]:
    with ThreadPoolExecutor(PARALLEL) as pool:
        ahead: deque[Future[np.ndarray]] = deque()
        try:
            for some in arguments:
                ahead.append(pool.submit(call, *some))
                if len(ahead) == _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # an error, or nobody wants the rest
            pool.shutdown(cancel_futures=True)
