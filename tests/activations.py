"""Rows for tests of the cache: what each holds follows from its number."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from data.cache.activations import ActivationCache
from data.cache.partition import Partition

SHAPE = (2, 2, 3)
ROW_BYTES = 24
CONTENT = {"description": "tiny up to block1, 32 px", "weights": "abc"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a cache; the name is no easy one."""
    return tmp_path / "Zwischenspeicher äöü [b] 缓存"


@pytest.fixture
def partition(folder: Path) -> Partition:
    """An empty partition in a cache without limits."""
    return Partition(ActivationCache(folder, 10**9), CONTENT, SHAPE)


def keys_of(numbers: Sequence[int]) -> list[str]:
    return [f"{number:064x}-plain" for number in numbers]


def rows_of(numbers: Sequence[int]) -> np.ndarray:
    return np.array(numbers, np.float32).reshape(-1, 1, 1, 1) + np.arange(12, dtype=np.float32).reshape(SHAPE) / 16


def write(partition: Partition, numbers: Sequence[int], step: int = 1000) -> None:
    with partition.writer() as writer:
        for start in range(0, len(numbers), step):
            part = numbers[start : start + step]
            writer.add(keys_of(part), rows_of(part))


def read(partition: Partition, numbers: Sequence[int]) -> np.ndarray:
    return partition.rows(keys_of(numbers)).take(np.arange(len(numbers)))


def shards_of(partition: Partition) -> list[Path]:
    return sorted(partition.folder.glob("shard-*.bin"))


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))
