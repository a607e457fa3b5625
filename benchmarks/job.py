"""What every method is given and what it gives back: a job file in, a result file out, and one clock for all.

A method runs in a process of its own. Its clock starts with that process, so that importing a framework counts, and stands
still while the test split is looked at, which no method learns from.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """What a method works on.

    Attributes:
        source: a folder of images, a folder for each class.
        seed: of the splits, and of whatever else a method draws.
        class_names: one name a label.
        paths: by split, the image files.
        labels: by split, one label a file.
    """

    source: str
    seed: int
    class_names: list[str]
    paths: dict[str, list[str]]
    labels: dict[str, list[int]]

    @classmethod
    def read(cls, path: str) -> Job:
        """What `write` wrote."""
        return cls(**json.loads(Path(path).read_text()))

    def write(self, path: Path) -> None:
        """Save the job for the method's process."""
        path.write_text(json.dumps(asdict(self)))


@dataclass
class Epoch:
    """How far a method had come when an epoch ended.

    Attributes:
        phase: "head" or "fine_tune".
        seconds: since the process started.
        validation: accuracy on the validation split.
        test: accuracy on the test split with these weights, where it was looked at.
    """

    phase: str
    seconds: float
    validation: float
    test: float | None = None


def _process_started() -> float:
    """When this process did, in seconds of `time.time()`: from Linux' count of ticks, since its boot time is a whole second."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    running = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - running


@dataclass
class Stopwatch:
    """Seconds since this process started, without those that it was paused."""

    paused: float = 0.0
    started: float = field(default_factory=_process_started)

    def seconds(self) -> float:
        """What the clock shows."""
        return time.time() - self.started - self.paused

    def unclocked(self, function: Any, *arguments: Any) -> Any:
        """Call a function while the clock stands still."""
        begun = time.time()
        try:
            return function(*arguments)
        finally:
            self.paused += time.time() - begun


def write_result(
    path: str,
    *,
    seconds: float,
    epochs: list[Epoch],
    test: float,
    stages: dict[str, float] | None = None,
    calibration: dict[str, float] | None = None,
) -> None:
    """Save what a method reached.

    Args:
        path: the result file.
        seconds: from the start of the process to the fitted model.
        epochs: in order.
        test: accuracy on the test split of the weights that were best on validation.
        stages: where the seconds went, if that is known.
        calibration: what calibration did on test, if there was one; see `benchmarks.summary.CALIBRATION`.
    """
    peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    result = {
        "seconds": seconds,
        "test": test,
        "peak_memory": peak,
        "epochs": [asdict(epoch) for epoch in epochs],
        "stages": stages or {},
        "calibration": calibration or {},
    }
    Path(path).write_text(json.dumps(result, indent=1) + "\n")
