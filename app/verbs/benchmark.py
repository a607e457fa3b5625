"""Measure the speed and memory of model files on this machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.config import BenchmarkConfig, make_config
from app.config.signatures import with_options
from app.exporting.formats import FORMATS
from app.exporting.process import usual_client
from app.exporting.speed import processor_name
from app.interface.console import aside, redirect_output
from app.interface.errors import UsageError
from app.interface.events import print_path, print_table, print_text
from app.interface.output import output_path
from app.interface.stages import progress
from app.prediction.descriptions import failure_of, is_run
from app.prediction.predictor import Predictor
from app.runs.folder import RunFolder
from data.files import write_json

Row = dict[str, Any]

_PHONE_TOOL = "https://developers.google.com/edge/litert/next/benchmark"
_COLUMNS = ("file", "threads", "median ms", "p95 ms", "img/s", "speed", "memory MB", "size MB")


@with_options(BenchmarkConfig)
def benchmark(files: Sequence[str | Path], **options: Any) -> dict[str, Any]:
    """Measure model files side by side, each with each number of threads in a fresh process.

    A file predicts one image at a time, as in an app, through its default client: LiteRT's interpreter for a `.tflite` (not
    MediaPipe Tasks), TensorFlow for a `.keras` file or a SavedModel, ONNX Runtime for an `.onnx`. The figures apply to this
    machine: on a phone, the speed and even the order of the files can differ. Memory is the peak of the whole process,
    including Python and the client's libraries.

    Args:
        files: `.tflite`, `.keras` or `.onnx` files, SavedModel folders, or run folders, which stand for their `model.keras`
            and all of their exported files.
        **options: the fields of `app.config.BenchmarkConfig`.

    Returns:
        Content of the JSON file: `machine`, `versions`, `settings`, `rows`, and `failed`, the files that cannot be run, each
        with the `reason`. A row is about one file and number of threads: `file`, `client`, `threads`, `median_ms` and `p95_ms`
        per image, `images_per_second`, `peak_memory_mb` (None if the system does not report it, as on Windows) and
        `size_mb` in millions of bytes, `image_size` in pixels (height and width if they differ), `runs`, the number of
        measured calls, and `batch`, the images per call, if there are several.

    Raises:
        UsageError: a file does not exist or is not a model, none of the files can be run, or the figures cannot be written.

    Examples:
        >>> benchmark(["apple.png"])
        Traceback (most recent call last):
        app.interface.errors.UsageError: apple.png is not a model: give a run folder, a .keras, .tflite or .onnx ...
        >>> benchmark(["runs/fruit"], threads=(0,))
        Traceback (most recent call last):
        app.interface.errors.UsageError: --threads must be above 0 and at most 256, not 0
    """
    config = make_config(BenchmarkConfig, files=files, **options)
    clients = _clients(config.files)
    output = _output(config)
    rows, failed = _measure_all(clients, config)
    figures = {
        "machine": _machine(),
        "versions": _versions(),
        "settings": {"threads": list(dict.fromkeys(config.threads)), "seconds": config.seconds, "images_at_once": 1},
        "rows": rows,
        "failed": failed,
    }
    with aside():
        _warn(clients, rows, failed)
    if config.json:
        print(json.dumps(figures, indent=2, ensure_ascii=False))
    else:
        _say(rows)
    if output:
        write_json(output, figures)
        if not config.json:
            print_path("figures", output)
    return figures


def _clients(files: Sequence[str]) -> dict[Path, str]:
    """Return the requested model files, each once, with the client that runs it."""
    found: dict[Path, Path] = {}
    for path in (model for file in files for model in _models(Path(file).expanduser())):
        found.setdefault(path.resolve(), path)
    return {path: usual_client(path) for path in found.values()}


def _models(path: Path) -> list[Path]:
    """Return the model files that one FILE stands for."""
    if not is_run(path):
        return [path]
    run = RunFolder.open(str(path))
    exported = [run.export / one["file"] for one in run.parity["formats"].values()]
    return [run.require(run.model), *(file for file in exported if file.exists())]


def _output(config: BenchmarkConfig) -> Path | None:
    """Return where the figures are written; None if they are not."""
    first = Path(config.files[0]).expanduser()
    if config.output is None:
        return first / "benchmark.json" if is_run(first) and not config.json else None
    return output_path(config.output)


def _measure_all(clients: dict[Path, str], config: BenchmarkConfig) -> tuple[list[Row], list[Row]]:
    """Return the rows, and the files that cannot be run with the reason; raise if none can be run."""
    threads = list(dict.fromkeys(config.threads))
    rows: list[Row] = []
    failed: list[Row] = []
    # With --json, standard output holds only the figures.
    with (
        aside(config.json),
        redirect_output(Path(os.devnull)),
        progress("timing", len(clients) * len(threads), unit="rows", transient=config.json) as stage,
    ):
        for file, client in clients.items():
            try:
                for number in threads:
                    stage.update(note=f"{file.name}, threads: {number}")
                    rows.append(_measure(file, client, number, config))
                    stage.advance()
            except UsageError as error:
                rows = [row for row in rows if row["file"] != str(file)]
                failed.append({"file": str(file), "client": client, "reason": str(error)})
                stage.update(done=(list(clients).index(file) + 1) * len(threads))
        stage.update(note="")
    if not rows:
        raise UsageError("\n".join(one["reason"] for one in failed))
    return rows, failed


def _warn(clients: dict[Path, str], rows: Sequence[Row], failed: Sequence[Row]) -> None:
    """Print what the figures do not show."""
    for line in filter(None, map(failure_of, clients)):
        print_text(f"Warning: {line}", wraps=False)
    for one in failed:
        print_text(f"Left out: {one['reason']}", wraps=False)
    for file, batch in {row["file"]: row["batch"] for row in rows if "batch" in row}.items():
        print_text(
            f"{Path(file).name} takes {batch} images a call; a time is a call's, divided by {batch}.", wraps=False
        )


def _measure(file: Path, client: str, threads: int, config: BenchmarkConfig) -> Row:
    with Predictor(file, client=client, threads=threads, image_size=config.image_size) as predictor:
        latencies, memory = predictor.latencies(config.seconds), predictor.peak_memory
        batch, size = predictor.batch, predictor.size
    assert size is not None  # no client of `usual_client` takes images of any size
    return {
        "file": str(file),
        "client": client,
        "threads": threads,
        "median_ms": float(np.median(latencies) * 1e3),
        "p95_ms": float(np.percentile(latencies, 95) * 1e3),
        "images_per_second": float(len(latencies) / latencies.sum()),
        "peak_memory_mb": None if memory is None else memory / 1e6,
        "size_mb": sum(one.stat().st_size for one in (file, *file.rglob("*")) if one.is_file()) / 1e6,
        "image_size": size[0] if size[0] == size[1] else list(size),
        "runs": len(latencies),
    } | ({"batch": batch} if (batch or 1) > 1 else {})


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "cpu": processor_name(),
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import version  # slow to import, and `--help` reads this module

    return {name: version(name) for name in ("tensorflow", "keras", "ai-edge-litert", "onnxruntime")}


def _say(rows: Sequence[Row]) -> None:
    names = _short_names(rows)
    reference = _reference(rows)
    print_table("", _COLUMNS, [_cells(row, names[row["file"]], reference[row["threads"]]) for row in rows])
    base = names[next(iter(reference.values()))["file"]]
    print_text(f"Speed is relative to {base} with as many threads. All figures are of this machine.")
    for_phones = [row for row in rows if row["client"] == "litert"]
    if for_phones:
        _say_how_on_a_phone(min(for_phones, key=lambda row: row["median_ms"])["file"])


def _say_how_on_a_phone(file: str) -> None:
    folder = "/data/local/tmp"
    tool, model = f"{folder}/benchmark_model", f"{folder}/model.tflite"  # a fixed name needs no quotes in two shells
    for line in (
        f"For those of an Android phone, get benchmark_model from {_PHONE_TOOL} and:",
        f"  adb push benchmark_model {tool}",
        f'  adb push "{file}" {model}',
        f'  adb shell "chmod +x {tool} && {tool} --graph={model} --num_threads=4"',
    ):
        print_text(line, wraps=False)  # a command does not wrap


def _cells(row: Row, name: str, reference: Row) -> tuple[Any, ...]:
    speed = reference["median_ms"] / row["median_ms"]
    return (
        name,
        row["threads"],
        f"{row['median_ms']:.2f}",
        f"{row['p95_ms']:.2f}",
        f"{row['images_per_second']:,.0f}",
        f"{speed:.1f}x" if speed >= 1 else f"{speed:.2f}x",
        "-" if row["peak_memory_mb"] is None else f"{row['peak_memory_mb']:,.0f}",
        f"{row['size_mb']:.1f}",
    )


def _reference(rows: Sequence[Row]) -> dict[int, Row]:
    """Return the rows, by threads, of the file that others are compared with: the float32 `.tflite`, else the first file."""
    float32 = FORMATS["tflite_float32"].file
    file = next((row["file"] for row in rows if Path(row["file"]).name == float32), rows[0]["file"])
    return {row["threads"]: row for row in rows if row["file"] == file}


def _short_names(rows: Sequence[Row]) -> dict[str, str]:
    """Return the name of each file in a table: its name, or its whole path if two files have the same name."""
    files = {row["file"] for row in rows}
    names = [Path(file).name for file in files]
    return {file: Path(file).name if names.count(Path(file).name) == 1 else file for file in files}
