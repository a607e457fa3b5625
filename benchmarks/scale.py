"""`python -m benchmarks.scale DATA`: what a run of Graft takes in time, disk and memory as images become more.

Sets of each size are made of those of DATA, again and again, each a little changed. A run has an empty cache, and Graft's
defaults but for options of `./graft train` that follow. The last line is arithmetic: the largest run's seconds and disk,
as many times as a million is larger.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil

import app.interface.console  # noqa: F401 -- it listens to what goes on
from app import Run
from app.config import TrainConfig
from app.config.usage import parse
from app.interface.errors import BAD_INPUT, UsageError
from app.interface.events import print_table
from app.interface.stages import track
from benchmarks.repetition import repeated
from data.examples import Examples
from data.files import write_json
from data.sources.folder import open_folder

MILLION = 1_000_000
_POLL = 0.1  # seconds between two looks at the memory
COLUMNS = (
    "images",
    "seconds to the model",
    "of these extraction",
    "head",
    "fine-tuning",
    "epochs",
    "activations, GB",
    "memory, MB",
    "test accuracy",
)


class Figures(NamedTuple):
    """Of one run.

    Attributes:
        examples: how many.
        seconds: from the start of the process to the fitted model.
        extraction: seconds of that, for what is frozen, once.
        head: seconds of that.
        fine_tuning: seconds of that.
        epochs: of fine-tuning.
        disk: bytes of the cache.
        memory: the most that the process had, in bytes, without files that are mapped.
        accuracy: on the test split.
    """

    examples: int
    seconds: float
    extraction: float
    head: float
    fine_tuning: float
    epochs: int
    disk: int
    memory: int
    accuracy: float | None

    def times(self, factor: float) -> Figures:
        """What so many more images would take, if all grew with them but memory and the number of epochs."""
        return self._replace(
            examples=round(self.examples * factor),
            seconds=self.seconds * factor,
            extraction=self.extraction * factor,
            head=self.head * factor,
            fine_tuning=self.fine_tuning * factor,
            disk=round(self.disk * factor),
            accuracy=None,
        )


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line.

    Returns:
        The exit code: 0 done, 2 bad input.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=(__doc__ or "").partition("\n")[0],
        epilog="Options of `./graft train` may follow, for each run.",
    )
    parser.add_argument("data", metavar="DATA", help="a folder of images, a folder in it for each class")
    parser.add_argument(
        "--images",
        "--pictures",
        nargs="+",
        type=int,
        default=[1000, 5000, 20000],
        metavar="N",
        help="(default: 1000 5000 20000)",
    )
    parser.add_argument("--output", metavar="FILE.json", help="where to write the figures")
    options, of_train = parser.parse_known_args(arguments)
    # Ends here over an option that train does not know either, before any image is written.
    parse(TrainConfig, "train", [options.data, *of_train])
    try:
        if min(options.images) < 1:
            raise UsageError(f"--images must be positive, not {min(options.images)}")
        examples = open_folder(options.data)
        figures = [measure(examples, number, of_train) for number in sorted(options.images)]
    except BAD_INPUT as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    rows = [cells(one) for one in figures]
    print_table("", COLUMNS, [*rows, ("extrapolated", *[""] * (len(COLUMNS) - 1)), cells(extrapolated(figures[-1]))])
    if options.output:
        write_json(Path(options.output), [one._asdict() for one in figures])
    return 0


def extrapolated(largest: Figures) -> Figures:
    """A million images."""
    return largest.times(MILLION / largest.examples)


def measure(examples: Examples, number: int, options: Sequence[str] = ()) -> Figures:
    """Train on `number` images, with these options, in a process of its own, beside nothing else."""
    with tempfile.TemporaryDirectory(prefix="graft-scale-") as temporary:
        folder = Path(temporary)
        write_images(repeated(examples, number), folder / "images", classes=examples.class_names)
        command = [sys.executable, "-m", "app", "train", str(folder / "images"), "--output", str(folder / "run")]
        command += ["--cache-folder", str(folder / "cache"), "--formats", "tflite_float32", "--quantize", "none"]
        command += options
        started = time.time()
        with (folder / "log.txt").open("w+") as log:
            process = psutil.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            memory = _most_memory(process)
            if process.wait():
                log.seek(0)
                raise UsageError(f"the run on {number:,} images failed: {log.read()[-2000:]}")
        run = Run.open(str(folder / "run"))
        seconds = run.metrics["seconds"]
        return Figures(
            examples=number,
            seconds=run.model.stat().st_mtime - started,
            extraction=seconds["extract"],
            head=seconds["head"],
            fine_tuning=seconds["fine_tune"],
            epochs=sum(one["phase"] == "fine_tune" for one in run.history),
            disk=sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file()),
            memory=memory,
            accuracy=run.metrics["test"]["accuracy"],
        )


def write_images(examples: Examples, folder: Path, *, classes: Sequence[str]) -> None:
    """Write a set as a folder for each class."""

    def write(index: int) -> None:
        path = folder / classes[examples.labels.array[index]] / f"{index:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(examples.read(index))

    with ThreadPoolExecutor() as pool:
        for _ in track(pool.map(write, range(len(examples))), len(examples), "writing images"):
            pass


def _most_memory(process: psutil.Popen) -> int:
    """Waits for the end of a process; the most anonymous memory that it had."""
    most = 0
    while process.poll() is None:
        try:
            memory = process.memory_info()
            most = max(most, memory.rss - memory.shared)
        except psutil.NoSuchProcess:
            break
        time.sleep(_POLL)
    return most


def cells(figures: Figures) -> tuple[str, ...]:
    """A line of the table."""
    parts = (figures.seconds, figures.extraction, figures.head, figures.fine_tuning)
    return (
        f"{figures.examples:,}",
        *(f"{seconds:,.0f}" for seconds in parts),
        str(figures.epochs),
        f"{figures.disk / 1e9:,.2f}",
        f"{figures.memory / 1e6:,.0f}",
        "" if figures.accuracy is None else f"{figures.accuracy:.3f}",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
