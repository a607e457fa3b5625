"""From `Examples` to arrays: examples by index, as they are or in augmented views, by threads that run ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from data.errors import DataError
from data.examples import Examples
from data.kept_arrays import KeptArrays
from data.labels import Indices
from data.timing import StageClock
from data.transform import Seed, Transform

PARALLEL = os.cpu_count() or 1
_AHEAD = 4 * PARALLEL  # examples that wait in memory: enough that a slow one holds up nobody


class Loader:
    """Loads examples by index, and remembers why it failed: an error that crosses TensorFlow loses its type.

    Attributes:
        error: the last failure.
        stages: times "read" and what the transform does.
    """

    def __init__(self, examples: Examples, transform: Transform) -> None:
        self.examples, self.transform = examples, transform
        self.error: DataError | None = None
        self.stages = StageClock()
        self._kept = KeptArrays(transform.shape, transform.dtype)

    def keep(self, indices: Indices) -> None:
        """Keep the arrays of examples on disk once they are decoded, so that to load them again costs no other decode.

        Args:
            indices: examples that are loaded more than once, as they are; besides those that are kept already.
        """
        self._kept.want(indices)

    def load(self, index: int) -> np.ndarray:
        """The array of one example as it is, of the transform's shape.

        Raises:
            DataError: the example was there when the run started and cannot be read now.
        """
        return self.views(index, [None])[0]

    def views(self, index: int, seeds: Sequence[Seed]) -> np.ndarray:
        """Several views of one example, which is read and decoded once.

        Args:
            index: which example.
            seeds: what decides each view; None for the example as it is, which is `load(index)`.

        Returns:
            An array (len(seeds), *shape). A seed gives the same view in any company.

        Raises:
            DataError: as for `load`.
        """
        index = int(index)
        kept = None if any(seed is not None for seed in seeds) else self._kept.get(index)
        if kept is not None:
            return np.stack([kept] * len(seeds))
        try:
            with self.stages.time("read"):
                encoded = self.examples.read(index)
            views, plain = self.transform.views(encoded, seeds, self.stages, spare=self._kept.lacks(index))
        except (ValueError, OSError) as error:
            self.error = DataError(f"{self.examples.keys[index]} can no longer be read: {error}")
            raise self.error from error
        if plain is not None:
            self._kept.add(index, plain)
        return views


def load_ahead(loader: Loader, indices: Indices) -> Iterator[np.ndarray]:
    """The pixels of many images as they are, in order, by threads that run ahead by a bounded number of images.

    Args:
        loader: of the images.
        indices: which images.

    Yields:
        What `Loader.load` gives, for each of `indices`.

    Raises:
        DataError: an image cannot be read; raised when its turn comes.
    """
    return _run_ahead(loader.load, ((int(index),) for index in indices))


def load_views(loader: Loader, wanted: Sequence[tuple[int, Sequence[Seed]]]) -> Iterator[np.ndarray]:
    """The views of many images, in order, as `load_ahead` loads them.

    Args:
        loader: of the images.
        wanted: which image, and the seeds of its views; see `Loader.views`.

    Yields:
        What `Loader.views` gives, for each of `wanted`.

    Raises:
        DataError: an image cannot be read; raised when its turn comes.
    """
    return _run_ahead(loader.views, wanted)


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
