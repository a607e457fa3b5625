"""Run the frozen part of a network once for each view of an image, and keep the activations in the cache.

View 0 of an image is the image as it is. The other views are augmented; a view depends only on the image's bytes and the
view's number, so another split, seed, head or strategy reuses the same activations.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any

import keras
import numpy as np

from app.interface.stages import status, track
from app.runs.folder import weights_sha256
from app.training.engines import Choice, choose_engine
from data.cache.activations import ActivationCache, CacheFull
from data.cache.partition import Partition
from data.cache.shards import Rows
from data.loading import Loader, batches_of, load_views
from data.timing import StageClock
from models.backbones import OWN_PREFIX
from models.splitting import side_by_side

_FORMAT = 1  # version of the pixels that a file and a view's number give; raised when they change
_BATCH = 32
_PROBE = 16


@dataclass(frozen=True)
class Views:
    """Views of images: each image of `images` in each view of `numbers`."""

    examples: np.ndarray
    numbers: tuple[int, ...]

    def pairs(self) -> list[tuple[int, int]]:
        """Return (image, view number) pairs, with the views of an image next to each other."""
        return [(int(image), number) for image in self.examples for number in self.numbers]


def view_seed(digest: str, number: int) -> tuple[int, int] | None:
    """Return the seed of a view, from the SHA-256 of its file and the number of the view; see `Loader.views`.

    Examples:
        >>> view_seed("ff" * 32, 0) is None
        True
        >>> view_seed("00" * 32, 1) == view_seed("00" * 32, 2)
        False
    """
    return (int(digest[:16], 16), number) if number else None


class Extractor:
    """Fills the cache with activations of images.

    Attributes:
        report: what the last extraction did, for the user; empty if the cache had all activations.
        seconds: total time of all extractions.
    """

    def __init__(self, loader: Loader, cache: ActivationCache, *, backbone: str, engine: str) -> None:
        self.loader, self.cache = loader, cache
        self.backbone, self.engine = backbone, engine
        self.report: dict[str, Any] = {}
        self.seconds = 0.0
        self._view_key = _digest(dict(loader.transform.view_key))[:12]

    def partition(self, bottom: keras.Model) -> Partition:
        """Return the cache partition for the activations of a bottom from `models.splitting.split`."""
        transform = self.loader.transform
        content = {
            "description": f"{self.backbone} up to {bottom.name}, {transform}",
            "backbone": self.backbone,
            "boundary": bottom.name,
            "operations": len(bottom.operations),
            "weights": weights_sha256(bottom.get_weights()),
            **({"network": _digest(bottom.to_json())} if self.backbone.startswith(OWN_PREFIX) else {}),
            **transform.key,
            "dtype": "float16",
            "format": _FORMAT,
        }
        return Partition(self.cache, content, tuple(bottom.output_shape[1:]))

    def rows(self, bottom: keras.Model, together: Sequence[keras.Model], views: Sequence[Views]) -> list[Rows]:
        """Return the activations of views, each in the order of its `pairs()`; missing activations are extracted.

        Args:
            bottom: bottom whose activations are returned, from `models.splitting.split`.
            together: bottoms of the same model, `bottom` among them, that are extracted in the same pass.
            views: views of images.

        Raises:
            CacheFull: there is not enough free space.
            MissingRows: another process has just removed some of them.
            DataError: an image can no longer be read.
        """
        self._extract(together, views)
        partition = self.partition(bottom)
        return [partition.rows(self._keys(one.pairs())) for one in views]

    def _extract(self, bottoms: Sequence[keras.Model], views: Sequence[Views]) -> None:
        pairs = [pair for one in views for pair in one.pairs()]
        keys = self._keys(pairs)
        partitions = {one.folder: (bottom, one) for bottom in bottoms for one in [self.partition(bottom)]}  # each once
        lacking = [(bottom, partition, partition.missing(keys)) for bottom, partition in partitions.values()]
        lacking = [one for one in lacking if one[2].any()]
        if not lacking:
            return
        started = time.perf_counter()
        key_bytes = max(map(len, keys)) + 4  # with the characters that JSON adds
        needed = sum(int(missing.sum()) * (partition.row_bytes + key_bytes) for _, partition, missing in lacking)
        self.cache.make_free(needed)  # raises now instead of half way through
        self.cache.check_writable()
        wanted = np.logical_or.reduce([missing for _, _, missing in lacking])
        self._run(
            side_by_side([bottom for bottom, _, _ in lacking]),
            [(partition, missing[wanted]) for _, partition, missing in lacking],
            [pair for pair, needed in zip(pairs, wanted, strict=True) if needed],
        )
        self.seconds += time.perf_counter() - started

    def _run(
        self, network: keras.Model, partitions: list[tuple[Partition, np.ndarray]], pairs: list[tuple[int, int]]
    ) -> None:
        stages = self.loader.stages = StageClock()
        keys, position, begun = self._keys(pairs), 0, time.perf_counter()
        views = chain.from_iterable(load_views(self.loader, self._requests(pairs)))
        batches = batches_of(views, _BATCH)
        with status("choosing an engine"):
            first = next(batches)
            choosing = time.perf_counter()
            choice = choose_engine(self.engine, network, first[:_PROBE])
        begun += time.perf_counter() - choosing
        with ExitStack() as stack:
            writers = [(stack.enter_context(partition.writer()), missing) for partition, missing in partitions]
            for pixels in track(chain([first], batches), len(pairs), "extracting", step=_BATCH):
                with stages.time("forward", len(pixels)):
                    predictions = choice.forward(pixels)
                _check_range(predictions)
                here = slice(position, position + len(pixels))
                with stages.time("write", len(pixels)):
                    for (writer, missing), rows in zip(writers, predictions, strict=True):
                        chosen = np.flatnonzero(missing[here])
                        writer.add([keys[here][row] for row in chosen], rows[chosen])
                position += len(pixels)
        self._note(choice, len(pairs), time.perf_counter() - begun)

    def _note(self, choice: Choice, count: int, seconds: float) -> None:
        self.report = {
            "engine": choice.name,
            "views": count,
            "seconds": round(seconds, 3),
            "rate": round(count / seconds, 1),
            "bare_forward_rate": round(choice.rate, 1),
            "stage_rates": {stage: round(rate, 1) for stage, rate in self.loader.stages.rates().items()},
        }

    def _requests(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, list[tuple[int, ...] | None]]]:
        """Group the pairs by image, with the seed of each view, so that an image is decoded once for all its views."""
        requests: list[tuple[int, list[tuple[int, ...] | None]]] = []
        for index, number in pairs:
            if not requests or requests[-1][0] != index:
                requests.append((index, []))
            requests[-1][1].append(view_seed(self._digests[index], number))
        return requests

    def _keys(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        return [
            f"{self._digests[index]}-{f'{self._view_key}.{number}' if number else 'plain'}" for index, number in pairs
        ]

    @property
    def _digests(self) -> tuple[str, ...]:
        assert self.loader.examples.digests is not None  # set by `app.interface.sources.open_readable`
        return self.loader.examples.digests


def _check_range(predictions: Sequence[np.ndarray]) -> None:
    largest = max(float(np.abs(rows).max()) for rows in predictions)
    if not largest <= float(np.finfo(np.float16).max):  # true for NaN too
        raise CacheFull(f"float16, which it is kept in, has no room for activations as large as {largest:.4g}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
