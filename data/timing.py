"""Timing of the input: seconds and images of each of its stages."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Times the stages of the input, in any number of threads at once.

    Attributes:
        seconds: by stage, the wall-clock time of its passes, summed over threads: with two threads at work it grows by up to
            two seconds per second.
        examples: by stage, the number of examples that passed.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.examples: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str, examples: int = 1) -> Iterator[None]:
        """Count what happens within the context as a pass of examples through a stage; a pass that raises is not counted."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        with self._lock:
            self.seconds[stage] += seconds
            self.examples[stage] += examples

    def rates(self) -> dict[str, float]:
        """Return the images per second of one thread, by stage, in the order in which the stages first occurred."""
        with self._lock:
            return {stage: count / self.seconds[stage] for stage, count in self.examples.items()}
