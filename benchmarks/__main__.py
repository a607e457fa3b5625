"""`python -m benchmarks DATA...`: every method on every data set and seed, each in a process of its own, one after another.

A result that is there already is not measured again, so a benchmark can be interrupted and continued.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from app.config import TrainConfig
from app.evaluation.plots import save_figure
from app.interface.console import console
from app.interface.errors import BAD_INPUT, UsageError
from app.interface.events import print_table
from app.interface.sources import open_readable
from app.job.splits import choose_splits
from benchmarks.job import Job
from benchmarks.summary import (
    CALIBRATION_COLUMNS,
    COLUMNS,
    STAGE_COLUMNS,
    Result,
    calibration_cells,
    cells,
    figure,
    markdown_table,
    stage_cells,
    summarise,
)
from data.examples import Examples
from data.files import write_json, write_text
from data.splits import split_indices

ROOT = Path(__file__).parents[1]
LAST_LINES = 15
MEASURED_WITH = ("tensorflow", "keras", "torch", "timm", "openvino", "numpy", "pillow")


class Method(NamedTuple):
    """One way to train, a module that is called with JOB, RESULT and these arguments."""

    label: str
    module: str
    arguments: tuple[str, ...] = ()
    by_default: bool = True


METHODS = {
    "keras_guide": Method("(a) Keras guide", "benchmarks.keras_guide"),
    "keras_guide_repaired": Method("(a′) Keras guide, repaired", "benchmarks.keras_guide", ("--repaired",)),
    "pytorch_timm": Method("(b) PyTorch and timm", "benchmarks.pytorch_timm"),
    "graft": Method("(c) Graft", "benchmarks.graft"),
    "graft_features": Method("(d) Graft, feature extraction", "benchmarks.graft", ("strategy=feature_extraction",)),
    # What cached views cost and bring, against images that are augmented again in every epoch.
    **{
        f"graft_views_{views}": Method(
            f"Graft, {views} cached views", "benchmarks.graft", (f"views={views}",), by_default=False
        )
        for views in (1, 2, 4, 8)
    },
    "graft_live": Method("Graft, live augmentation", "benchmarks.graft", ("augment=live",), by_default=False),
    "graft_mixup": Method("Graft with MixUp", "benchmarks.graft", ("mixup=0.2",), by_default=False),
    "graft_openvino": Method("Graft with OpenVINO", "benchmarks.graft", ("engine=openvino",), by_default=False),
}

NOTES = """\
Test accuracy is the mean of the seeds; its interval is Wilson's over the test answers of all seeds. Seconds are means, from \
the start of a process to its fitted model. The target is the validation accuracy of the best epoch of the better of (a) and \
(a′), seed by seed. A speed of 2× is half the seconds: of (a), of (a′), or of the method that set the target.
"""


class DataSet(NamedTuple):
    """A folder of images with a job for each seed."""

    name: str
    examples: Examples
    jobs: list[Job]


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line.

    Returns:
        The exit code: 0 done, 1 a method failed, 2 bad input, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        methods, output = _checked_methods(options.methods), _made(options.output)
        failures = measure(open_data_sets(options.data, _checked_seeds(options.seeds)), methods, output)
    except BAD_INPUT as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. The same command continues with what is missing.", file=sys.stderr)
        return 130
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare Graft with other ways to train a classifier of images."
    )
    parser.add_argument("data", nargs="*", metavar="DATA", help="a folder of images, a folder in it for each class")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="INT", help="of splits and training (default: 0 1 2)"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[name for name, method in METHODS.items() if method.by_default],
        metavar="METHOD",
        help=f"which: {', '.join(METHODS)} (default: those up to graft_features)",
    )
    parser.add_argument(
        "--output",
        default="benchmarks/results",
        metavar="FOLDER",
        help="where results are kept, and looked for (default: benchmarks/results)",
    )
    return parser


def _checked_methods(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Take some of {', '.join(METHODS)}"
            raise UsageError(f"there is no method {name!r}. {hint}")
    return [name for name in METHODS if name in names]


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise UsageError(f"--seeds must be from 0 to 2147483647, not {seed}")
    return list(dict.fromkeys(seeds))


def _made(output: str) -> Path:
    folder = Path(output).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}. Choose another with --output") from error
    return folder


def open_data_sets(folders: Sequence[str], seeds: Iterable[int]) -> list[DataSet]:
    """Open folders and split them as Graft does by default.

    Raises:
        UsageError, DataError: no folder, one that is not a data set, or two of the same name, which names their results.
    """
    if not folders:
        raise UsageError("name at least one folder of images to measure on")
    roots = {Path(folder).expanduser().resolve(): None for folder in folders}
    names = [root.name for root in roots]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two folders are named {name!r}, and so would be their results; rename one")
    opened = [open_readable(str(root), skip_unreadable=False)[0] for root in roots]
    seeds = list(seeds)
    return [
        DataSet(name, examples, [make_job(examples, seed) for seed in seeds])
        for name, examples in zip(names, opened, strict=True)
    ]


def make_job(examples: Examples, seed: int) -> Job:
    """The job that Graft's defaults make of a folder's images, too."""
    examples, splits = choose_splits(examples, TrainConfig(seed=seed))
    members = split_indices(splits)
    files = np.array([str(Path(examples.source, key)) for key in examples.keys], dtype=object)
    return Job(
        source=examples.source,
        seed=seed,
        class_names=list(examples.class_names),
        paths={split: files[indices].tolist() for split, indices in members.items()},
        labels={split: examples.labels.array[indices].tolist() for split, indices in members.items()},
    )


def measure(data_sets: Sequence[DataSet], methods: Sequence[str], output: Path) -> int:
    """Run what has no result yet, then print, draw and write what there is.

    Returns:
        How many runs of a method failed.

    Raises:
        UsageError: a result in the output folder is of other images.
    """
    _check_fresh(data_sets, methods, output)
    failures = 0
    sections = [f"# Benchmarks\n\n{describe_machine()}\n\n{NOTES}"]
    for data in data_sets:
        for job in data.jobs:
            for method in methods:
                failures += not run_once(method, job, result_path(output, data.name, job.seed, method))
        sections += report(data, methods, output)
        write_text(output / "results.md", "\n".join(sections))
    console.print(f"\nWrote {output / 'results.md'}.")
    return failures


def result_path(output: Path, name: str, seed: int, method: str) -> Path:
    """Where a result is kept."""
    return output / name / f"{method}-seed{seed}.json"


def _check_fresh(data_sets: Sequence[DataSet], methods: Sequence[str], output: Path) -> None:
    for data in data_sets:
        for job in data.jobs:
            for path in (result_path(output, data.name, job.seed, method) for method in methods):
                if path.exists() and json.loads(path.read_text())["fingerprint"] != fingerprint(job):
                    raise UsageError(
                        f"{path} was measured on other images or splits than {job.source} has now; "
                        "remove it, or choose another --output"
                    )


def fingerprint(job: Job) -> str:
    """A digest of which image is in which class and split, wherever the folder is."""
    names = {split: [Path(path).relative_to(job.source).as_posix() for path in job.paths[split]] for split in job.paths}
    return hashlib.sha256(json.dumps([job.class_names, names, job.labels]).encode()).hexdigest()


def run_once(method: str, job: Job, kept: Path) -> bool:
    """Run a method in a fresh process, unless its result is there, and keep what it reached.

    Returns:
        Whether there is a result now.
    """
    what = f"{kept.parent.name}, seed {job.seed}, {METHODS[method].label}:"
    if kept.exists():
        console.print(f"{what} is there already, not run again")
        return True
    console.print(what, end=" ")
    with tempfile.TemporaryDirectory() as folder:
        job.write(Path(folder, "job.json"))
        result = Path(folder, "result.json")
        code, output = _call(METHODS[method], Path(folder, "job.json"), result)
        if code != 0 or not result.exists():
            console.print(f"failed with exit code {code}; its last lines:")
            console.print("\n".join(f"  {line}" for line in output.splitlines()[-LAST_LINES:]))
            return False
        reached = json.loads(result.read_text())
    kept.parent.mkdir(exist_ok=True)
    write_json(kept, _identified(reached, method, job))
    console.print(f"{reached['seconds']:,.0f} s, test accuracy {reached['test']:.3f}")
    return True


def _call(method: Method, job: Path, result: Path) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", method.module, str(job), str(result), *method.arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return ended.returncode, ended.stdout


def _identified(reached: dict[str, Any], method: str, job: Job) -> dict[str, Any]:
    return {
        "method": method,
        "seed": job.seed,
        "pictures": {split: len(paths) for split, paths in job.paths.items()},
        "fingerprint": fingerprint(job),
        **reached,
    }


def report(data: DataSet, methods: Sequence[str], output: Path) -> Iterator[str]:
    """Print a data set's table and draw its figure; give its section of `results.md`."""
    paths = {method: [result_path(output, data.name, job.seed, method) for job in data.jobs] for method in methods}
    results = {method: [Result.read(path) for path in found if path.exists()] for method, found in paths.items()}
    labels = {name: method.label for name, method in METHODS.items()}
    rows = [cells(row, labels[row.method]) for row in summarise(results)]
    if not rows:
        return
    counts = ", ".join(f"{len(paths):,} {split}" for split, paths in data.jobs[0].paths.items())
    seeds = ", ".join(str(job.seed) for job in data.jobs)
    about = f"{len(data.examples):,} images of {len(data.examples.class_names)} classes ({counts}); seeds {seeds}."
    console.print(f"\n{data.name}: {about}")
    print_table("", COLUMNS, rows, optional=("peak memory", "speed to target"))
    save_figure(figure(data.name, results, labels), output / f"{data.name}.png")
    yield f"## {data.name}\n\n{about}\n\n{markdown_table(COLUMNS, rows)}\n![accuracy against time]({data.name}.png)\n"
    for title, columns, key, texts in (
        ("Where the seconds went", STAGE_COLUMNS, "stages", stage_cells),
        (
            "What calibration does to the test split's probabilities",
            CALIBRATION_COLUMNS,
            "calibration",
            calibration_cells,
        ),
    ):
        known = {method: [one for one in found if getattr(one, key)] for method, found in results.items()}
        rows = [texts(found, labels[method]) for method, found in known.items() if found]
        if rows:
            print_table(title, columns, rows)
            yield f"{title}:\n\n{markdown_table(columns, rows)}"


def describe_machine() -> str:
    """What the seconds were measured on."""
    packages = ", ".join(f"{name} {found}" for name in MEASURED_WITH if (found := _version(name)))
    system = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    return f"Measured on {os.cpu_count()} CPUs ({_processor()}), {system}, with {packages}."


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
