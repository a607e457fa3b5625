"""Methods (c) and (d): Graft as it is, in a process of its own.

`python -m benchmarks.graft JOB RESULT [NAME=VALUE ...]`, where names are options of `./graft train`. The clock stops when
the fitted model is saved; what comes after (the test, the export, its check and the report) is not fitting. Peak memory is the
process' own, with all of that.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
from pathlib import Path

from app import Run, train
from benchmarks.job import Epoch, Job, Stopwatch, write_result


def main(job: Job, result: str, **options: str) -> None:
    """Train with Graft's defaults but for some options, with nothing in the cache."""
    watch = Stopwatch()
    if options.get("engine") != "openvino":
        # `make bench` installs it for a method of its own. The others are Graft as its requirements.txt installs it.
        sys.modules["openvino"] = None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            job.source,
            output=str(Path(folder, "run")),
            cache_folder=str(Path(folder, "cache")),
            seed=job.seed,
            formats=("tflite_float32",),
            quantize="none",
            **{name: _value(text) for name, text in options.items()},
        )
        _check_splits(run, job)
        epochs = [Epoch(one["phase"], one["finished"] - watch.started, one["val_accuracy"]) for one in run.history]
        seconds = run.model.stat().st_mtime - watch.started
        write_result(
            result,
            seconds=seconds,
            epochs=epochs,
            test=run.metrics["test"]["accuracy"],
            stages=_stages(run, watch.started, seconds),
            calibration=_calibration(run),
        )


def _value(text: str) -> int | float | str:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text


def _stages(run: Run, started: float, seconds: float) -> dict[str, float]:
    """Where the seconds until the fitted model went, and beside them the rates of extraction in images a second."""
    spent, extraction, first = run.metrics["seconds"], run.metrics.get("extraction", {}), run.history[0]
    streamed = extraction.get("seconds", 0.0)
    stages = {
        "start": first["finished"] - first["seconds"] - spent["extract"] - started,
        "engine": spent["extract"] - streamed,
        "extraction": streamed,
        "head": spent["head"],
        "fine-tuning": spent.get("fine_tune", 0.0) + spent.get("deeper", 0.0),
    }
    rates = {name: extraction[name] for name in ("rate", "bare_forward_rate") if name in extraction}
    return {**stages, "rest": seconds - sum(stages.values()), **rates}


def _calibration(run: Run) -> dict[str, float]:
    """Calibration error and log loss on test, before and after; both are the same where nothing was calibrated."""
    test, calibration = run.metrics["test"], run.metrics["calibration"]
    before = calibration["test"]["before"] if calibration else test
    return {
        **{name: test[name] for name in ("ece", "log_loss")},
        **{f"{name}_before": before[name] for name in ("ece", "log_loss")},
    }


def _check_splits(run: Run, job: Job) -> None:
    """All methods must have learned from, and been tested on, the same images."""
    rows = csv.DictReader(io.StringIO(run.splits))
    made = {(row["split"], str(Path(job.source, row["path"]))) for row in rows}
    wanted = {(split, path) for split, paths in job.paths.items() for path in paths}
    if made != wanted:
        raise ValueError(f"Graft split {job.source} otherwise than the job does: {len(made ^ wanted)} images differ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("result")
    parser.add_argument("options", nargs="*")
    given = parser.parse_args()
    main(Job.read(given.job), given.result, **dict(option.split("=", 1) for option in given.options))
