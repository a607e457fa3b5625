"""From `Examples` to arrays: examples by index, unchanged or in augmented views, loaded ahead by threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from data.errors import DataError, UnreadableExample
from data.examples import Examples
from data.kept_arrays import KeptArrays
from data.labels import Indices
from data.threads import THREAD_NAME
from data.timing import StageClock
from data.transform import Seed, Transform

PARALLEL = os.cpu_count() or 1
_AHEAD = 4 * PARALLEL  # examples that wait in memory: enough that a slow example does not stall the threads


class Loader:
    """Loads examples by index, and remembers its last error, since an error that crosses TensorFlow loses its type.

    Attributes:
        error: the last failure.
        stages: times "read" and the stages of the transform.
    """

    def __init__(self, examples: Examples, transform: Transform) -> None:
        self.examples, self.transform = examples, transform
        self.error: DataError | None = None
        self.stages = StageClock()
        self._kept = KeptArrays(transform.shape, transform.dtype)

    def keep(self, indices: Indices) -> None:
        """Keep the arrays of examples on disk once they are decoded, so that they are not decoded again.

        Args:
            indices: examples that are loaded more than once, unchanged; added to those kept already.
        """
        self._kept.want(indices)

    def load(self, index: int) -> np.ndarray:
        """Return the array of one unchanged example, of the transform's shape.

        Raises:
            DataError: the example existed when the run started and cannot be read now.
        """
        unchanged: np.ndarray = self.views(index, [None])[0]
        return unchanged

    def views(self, index: int, seeds: Sequence[Seed]) -> np.ndarray:
        """Return several views of one example, which is read and decoded once.

        Args:
            index: which example.
            seeds: the seed of each view; None for the unchanged example, as from `load(index)`.

        Returns:
            An array (len(seeds), *shape). A seed gives the same view whatever the other seeds are.

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
        except (UnreadableExample, OSError) as error:
            self.error = DataError(f"{self.examples.keys[index]} can no longer be read: {error}")
            raise self.error from error
        if plain is not None:
            self._kept.add(index, plain)
        return views


def load_ahead(loader: Loader, indices: Indices) -> Iterator[np.ndarray]:
    """Load many unchanged images in order, by threads that run ahead by a bounded number of images.

    Args:
        loader: of the images.
        indices: which images.

    Yields:
        The result of `Loader.load` for each of `indices`.

    Raises:
        DataError: an image cannot be read; raised when its turn comes.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(image_size=8, resize="crop"))
        >>> [pixels.shape for pixels in load_ahead(loader, [5, 0])]
        [(8, 8, 3), (8, 8, 3)]
        >>> next(load_ahead(loader, [5])).tolist() == loader.load(5).tolist()
        True
    """
    return _run_ahead(loader.load, ((int(index),) for index in indices))


def load_views(loader: Loader, wanted: Sequence[tuple[int, Sequence[Seed]]]) -> Iterator[np.ndarray]:
    """Load views of many images in order, by threads as in `load_ahead`.

    Args:
        loader: of the images.
        wanted: pairs of an image and the seeds of its views; see `Loader.views`.

    Yields:
        The result of `Loader.views` for each of `wanted`.

    Raises:
        DataError: an image cannot be read; raised when its turn comes.

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(image_size=8, resize="crop"))
        >>> [views.shape for views in load_views(loader, [(0, [(1,), (2,)]), (5, [(1,)])])]
        [(2, 8, 8, 3), (1, 8, 8, 3)]
        >>> next(load_views(loader, [(5, [None])]))[0].tolist() == loader.load(5).tolist()
        True
    """
    return _run_ahead(loader.views, wanted)


def batches_of(images: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield images of one shape in batches of `size`; the last batch may be smaller.

    Examples:
        >>> [batch.shape for batch in batches_of([np.zeros((8, 8, 3))] * 5, size=2)]
        [(2, 8, 8, 3), (2, 8, 8, 3), (1, 8, 8, 3)]
        >>> list(batches_of([], size=2))
        []
    """
    waiting: list[np.ndarray] = []
    for one in images:
        waiting.append(one)
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting.clear()
    if waiting:
        yield np.stack(waiting)


def _run_ahead(call: Callable[..., np.ndarray], arguments: Iterable[tuple[Any, ...]]) -> Iterator[np.ndarray]:
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix=THREAD_NAME) as pool:
        ahead: deque[Future[np.ndarray]] = deque()
        try:
            for some in arguments:
                ahead.append(pool.submit(call, *some))
                if len(ahead) == _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # an error, or the caller stops early
            pool.shutdown(cancel_futures=True)
