"""The child process of `app.exporting.process`: loads one model file and answers requests until its input ends.

`python -m app.exporting.worker CLIENT FILE THREADS [IMAGE_SIZE]` reads pickled (method, argument) pairs from standard input,
and writes for each a pickled (result, None) or (None, reason) to standard output. The first result is about loading: the
model's `input`, its name of the predictions as `output`, and the file's description of itself as `says`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from app.exporting.runtimes import CLIENTS, Runtime, one_sentence
from app.interface.errors import BAD_INPUT
from app.interface.program import owning_process

_WARM_UP_RUNS, _WARM_UP_SECONDS = 5, 0.5  # at most: the first runs build graphs and pack weights
_LEAST_RUNS = 10


def main(client: str, file: Path, threads: int, image_size: int | None = None) -> None:
    """Serve one model file; `image_size` is used if the file takes any size.

    Examples:
        >>> import subprocess
        >>> call = [sys.executable, "-m", "app.exporting.worker"]
        >>> options = {"cwd": Path(__file__).parents[2], "capture_output": True}
        >>> pickle.loads(subprocess.run([*call, "litert", Path("apple.png").resolve(), "1"], **options).stdout)
        (None, '...apple.png cannot be loaded: The model is not a valid Flatbuffer buffer')
        >>> pickle.loads(subprocess.run([*call, "caffe", "model.caffe", "1"], **options).stdout)
        (None, "there is no client 'caffe'; take one of keras, tensorflow, litert, ...")
    """
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that libraries print must not mix with the predictions

    def say(answer: Any, reason: str | None = None) -> None:
        pickle.dump((answer, reason), pipe)
        pipe.flush()

    if client not in CLIENTS:
        return say(None, f"there is no client {client!r}; take one of {', '.join(CLIENTS)}")
    try:
        with one_sentence(f"{file} cannot be loaded"):
            runtime = CLIENTS[client](file, threads, image_size)
    except BAD_INPUT as error:
        return say(None, str(error))
    say({"input": runtime.input, "output": runtime.output, "says": runtime.says})
    while True:
        try:
            method, argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            return None
        try:
            with one_sentence(f"{file} cannot be run, so it is damaged or no classifier of images"):
                answer = _predict(runtime, method, argument)
        except BAD_INPUT as error:
            say(None, str(error))
        else:
            say(answer)


def _predict(runtime: Runtime, method: str, argument: Any) -> Any:
    if method == "peak_memory":
        return _peak_memory()
    if method == "latencies":
        return _latencies(runtime, argument)
    return getattr(runtime, method)(argument)


def _latencies(runtime: Runtime, seconds: float) -> np.ndarray:
    """Return latencies per image after a warm-up, in seconds; if a call takes several images, the call's time is divided."""
    given = runtime.input
    assert given is not None
    shape = (given.batch or 1, given.height, given.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    _time(runtime, pixels, _WARM_UP_RUNS, min(_WARM_UP_SECONDS, seconds))
    return np.array(_time(runtime, pixels, _LEAST_RUNS, seconds)) / len(pixels)


def _time(runtime: Runtime, pixels: np.ndarray, runs: int, seconds: float) -> array[float]:
    """Predict repeatedly, at least `runs` times and for at least `seconds`."""
    latencies = array("d")  # a list would add to the memory that is measured
    end = time.perf_counter() + seconds
    while len(latencies) < runs or time.perf_counter() < end:
        started = time.perf_counter()
        runtime.predict(pixels)
        latencies.append(time.perf_counter() - started)
    return latencies


def _peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes; None if the system does not report it."""
    # Linux: getrusage would return the peak of the parent process if that is larger.
    with contextlib.suppress(OSError, IndexError):
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    with owning_process():
        main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
