"""Where the time of the input goes: seconds and images of each of its stages."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Times the stages of the input, in any number of threads at once.

    Attributes:
        seconds: by stage, what its passes took by the clock on the wall, summed over threads: with two threads at work
            it grows by up to two seconds a second.
        examples: by stage, how many went through.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.examples: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str, examples: int = 1) -> Iterator[None]:
        """Count what happens within as a pass of images through a stage; one that raises is not counted."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        with self._lock:
            self.seconds[stage] += seconds
            self.examples[stage] += examples

    def rates(self) -> dict[str, float]:
        """Images a second of one thread, by stage, in the order in which the stages were first seen."""
        with self._lock:
            return {stage: count / self.seconds[stage] for stage, count in self.examples.items()}
