"""A run folder: created once, written atomically, readable without Graft, and sufficient to continue a run."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import os
import platform
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from app.interface.errors import GateError, UsageError
from app.runs.locking import FolderLock, Held
from app.interface.program import command
from data.files import write_json, write_text
from data.labels import SINGLE_LABEL
from models.backbones import OWN_PREFIX


def weights_sha256(weights: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 of weights, in hexadecimal.

    Examples:
        >>> weights_sha256([np.zeros(2)])[:8]
        '374708ff'
        >>> weights_sha256([np.zeros(2)]) == weights_sha256([np.ones(2)])
        False
    """
    digest = hashlib.sha256()
    for one in weights:
        digest.update(np.ascontiguousarray(one).tobytes())
    return digest.hexdigest()


class RunFolder:
    """Paths and records of one run folder, whose files `docs/run-folder.md` describes; itself a path, of the folder."""

    def __init__(self, path: Path | str) -> None:
        self.path = path = Path(path)
        self.model = path / "model.keras"
        self.log = path / "log.txt"
        self.checkpoints = path / "checkpoints"
        self.starting_model = self.checkpoints / "start.keras"
        self.plots = path / "plots"
        self.export = path / "export"
        self.images = path / "images.zip"
        self.report = path / "report.html"
        self.folds_file = path / "folds.json"
        self._made: list[Path] = []
        self._lock = FolderLock(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {self.state})"

    def __fspath__(self) -> str:
        return str(self.path)

    @classmethod
    def create(cls, options: Mapping[str, Any], *, output: str | None = None) -> Self:
        """Create the folder of a new run.

        A run of folds has a folder for each fold, and no model of its own.

        Args:
            options: content of `config.json`, from `app.config.recorded`.
            output: the folder; None for a new one under `runs/`, named after the source.

        Raises:
            UsageError: the folder is not empty, or cannot be created.
        """
        path = Path(output).expanduser() if output else free_path(Path("runs"), _name_of(options["source"]))
        check_free(path)
        run = cls(path)
        run._made = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            for folder in () if _is_of_folds(options) else (run.plots, run.checkpoints):
                folder.mkdir()
            run.write_options(options)
        except OSError as error:
            if not isinstance(error, FileExistsError) and path.is_dir():  # otherwise another process has just created it
                run.remove()
            raise UsageError(
                f"cannot make the run folder {path}: {error.strerror}. Choose another with --output"
            ) from error
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open an existing run.

        Raises:
            UsageError: the folder is not a run.
        """
        run = cls(Path(path).expanduser())
        if run.state == "missing":
            raise UsageError(f"{os.fspath(path)} is not a run folder: it has no config.json")
        return run

    @contextmanager
    def in_use(self, refusal: str = "") -> Iterator[None]:
        """Keep other processes from training or exporting this run; calls of the same object can be nested.

        Args:
            refusal: message if another process uses the run; by default, that it is training.

        Raises:
            UsageError: another process uses the run.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock.held())
            except Held as error:
                training = (
                    f"{self.path} is in use: another process is training it; wait until that ends, or stop it first"
                )
                raise UsageError(refusal or training) from error
            yield

    @property
    def is_finished(self) -> bool:
        """Whether everything was written; the last file is the report, or the summary of the folds."""
        return self.report.is_file() or self.folds_file.is_file()

    @property
    def state(self) -> str:
        """State of the run: "finished", "unfinished", "exported" if its model was trained elsewhere, or "missing" if none."""
        if not (self.path / "config.json").is_file():
            return "missing"
        if self.is_finished:
            return "finished"
        if not self.model.is_file() or (self.path / "history.jsonl").exists():
            return "unfinished"
        return "exported" if str(self.options.get("backbone")).startswith(OWN_PREFIX) else "unfinished"

    @property
    def options(self) -> dict[str, Any]:
        """Content of `config.json`; `app.config.load_config` turns it into the run's options."""
        options: Any = self._json("config.json")
        if not isinstance(options, dict):
            raise UsageError(f"{self.path / 'config.json'} is damaged: it holds no options")
        return options

    def write_options(self, options: Mapping[str, Any]) -> None:
        """Save `options`."""
        write_json(self.path / "config.json", options)

    @property
    def task(self) -> str:
        """Task of the run's model, a key of `app.tasks.TASKS`."""
        return self.options.get("task") or SINGLE_LABEL  # runs of earlier versions have none

    @property
    def is_of_folds(self) -> bool:
        """Whether the run holds a run for each of several folds, and no model of its own."""
        return _is_of_folds(self.options)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes or numbers, in label order."""
        return tuple(self._text("classes.txt").splitlines())

    @property
    def thresholds(self) -> np.ndarray | None:
        """Probability from which each class is predicted, (classes,), NaN for classes without one; None if the likeliest is."""
        path = self.path / "thresholds.json"
        return read_thresholds(path, self.class_names) if path.exists() else None

    def write_thresholds(self, thresholds: np.ndarray | None) -> None:
        """Save `thresholds`."""
        if thresholds is not None:
            named = zip(self.class_names, thresholds.tolist(), strict=True)
            write_json(self.path / "thresholds.json", {name: one for name, one in named if np.isfinite(one)})

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of `metrics.json`."""
        return self._json("metrics.json")

    @property
    def folds(self) -> dict[str, Any]:
        """Content of `folds.json`, of a run of folds."""
        return self._json("folds.json")

    @property
    def parity(self) -> dict[str, Any]:
        """Content of `export/parity.json`."""
        return self._json("export/parity.json")

    @property
    def environment(self) -> dict[str, Any]:
        """Content of `environment.json`."""
        return self._json("environment.json")

    @property
    def history(self) -> list[dict[str, Any]]:
        """Records of the finished epochs, one per epoch."""
        path = self.path / "history.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def write_history(self, records: list[dict[str, Any]]) -> None:
        """Save the history, one record per line, and the same as a table for spreadsheets."""
        write_text(self.path / "history.jsonl", "".join(json.dumps(record) + "\n" for record in records))
        table = io.StringIO()
        writer = csv.DictWriter(table, list(dict.fromkeys(itertools.chain(*records))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        write_text(self.path / "history.csv", table.getvalue())

    def require(self, path: Path) -> Path:
        """Return the path of a file that a finished run has.

        Raises:
            UsageError: the file does not exist yet.
        """
        if not path.is_file():
            raise UsageError(f"the run {self.path} has no {path.name}: {self._why_missing(path)}")
        return path

    def _why_missing(self, path: Path) -> str:
        if not (self.path / "config.json").is_file():
            return "it is not a run folder"
        is_of_folds = self.is_of_folds
        if is_of_folds and path != self.folds_file:
            return f"it holds a run for each fold; name one of them, such as {self.path / 'fold-1'}"
        if not is_of_folds and path == self.folds_file:
            return "it is not a run of folds; its figures are in metrics.json"
        if self.is_finished:
            return "it is finished, so the file was deleted later; put it back, or train again"
        return f"it is not finished. Continue it with: {command('train', '--resume', self.path)}"

    def new_evaluation(self, source: str) -> Path:
        """Return a free file name for the metrics of an evaluation on a source."""
        folder = self.path / "evaluations"
        folder.mkdir(exist_ok=True)
        return free_path(folder, _name_of(source), ".json")

    @property
    def splits(self) -> str:
        """Content of `splits.csv`."""
        return self._text("splits.csv")

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Save `metrics`."""
        write_json(self.path / "metrics.json", metrics)

    def write_environment(self, *, data_sha256: str, backbone_weights: Sequence[np.ndarray]) -> None:
        """Save what a run depends on besides its options.

        Args:
            data_sha256: hash over all images.
            backbone_weights: weights before training.
        """
        from importlib.metadata import version  # slow to import, and `--help` reads this module

        packages = ["tensorflow", "keras", "numpy", "pillow", "scikit-learn"]
        packages += ["ai-edge-litert", "litert-quantizer", "mediapipe", "onnxruntime"]
        environment = {
            "python": platform.python_version(),
            "packages": {name: version(name) for name in packages},
            "system": platform.platform(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "seed": self.options["seed"],
            "data_sha256": data_sha256,
            "backbone_weights_sha256": weights_sha256(backbone_weights),
        }
        write_json(self.path / "environment.json", environment)

    def check_parity(self, formats: Collection[str] | None = None) -> None:
        """Raise `GateError` if an exported file failed verification, of all formats or of the given ones."""
        exported = self.parity["formats"]
        failed = [one for name, one in exported.items() if not one["passed"] and (formats is None or name in formats)]
        if failed:
            texts = (f"{self.export / one['file']}: {'; '.join(one['failures'])}{_blame(one)}." for one in failed)
            raise GateError("\n".join([*texts, f"See {self.export / 'parity.json'}"]))

    def remove_checkpoints(self) -> None:
        """Delete files that only an interrupted run needs; they are most of the folder."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)  # leftovers do no harm

    def remove(self) -> None:
        """Delete a run that could not start, and the folders created for it; a folder of the user stays, empty as before."""
        self._lock.release()
        shutil.rmtree(self.path)
        if self.path not in self._made:
            self.path.mkdir()
        for parent in self._made[1:]:
            if not any(parent.iterdir()):  # another run may have been created
                parent.rmdir()

    def _text(self, name: str) -> str:
        return self.require(self.path / name).read_text(encoding="utf-8")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._text(name))
            return content
        except json.JSONDecodeError as error:
            raise UsageError(f"{self.path / name} is damaged: {error}") from error


def read_thresholds(path: Path, class_names: Sequence[str]) -> np.ndarray:
    """Read the thresholds of classes, (classes,), NaN for classes without one, from a `thresholds.json`.

    Raises:
        UsageError: the file is damaged, or has other classes.

    Examples:
        >>> _ = Path("thresholds.json").write_text('{"apple": 0.7}')
        >>> read_thresholds(Path("thresholds.json"), ["apple", "pear"])
        array([0.7, nan])
        >>> read_thresholds(Path("thresholds.json"), ["fig", "pear"])
        Traceback (most recent call last):
        app.interface.errors.UsageError: thresholds.json is damaged: it names other classes
    """
    try:
        named = json.loads(path.read_text(encoding="utf-8"))
        if not set(named) <= set(class_names):
            raise ValueError("it names other classes")
        return np.array([float(named.get(name, np.nan)) for name in class_names])
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error


def _is_of_folds(options: Mapping[str, Any]) -> bool:
    return options.get("folds") is not None and options.get("fold") is None


def check_free(path: Path) -> None:
    """Refuse a folder for a new run that is not empty.

    Raises:
        UsageError: the folder holds a run or anything else, or is a file.

    Examples:
        >>> check_free(Path("runs/new")) is None
        True
        >>> check_free(Path("images"))
        Traceback (most recent call last):
        app.interface.errors.UsageError: images is a folder that is not empty; choose another --output
    """
    if (path / "config.json").exists():
        raise UsageError(f"{path} already holds a run; choose another folder with --output, or {_use_of(path)}")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UsageError(
            f"{path} is a {'file' if path.is_file() else 'folder that is not empty'}; choose another --output"
        )


def _use_of(path: Path) -> str:
    """Return what can be done with a run in its state."""
    run = RunFolder(path)
    if not run.is_finished:
        return f"continue it with: {command('train', '--resume', path)}"
    if run.folds_file.is_file():
        return f"look at its figures: {run.folds_file}"
    return f"test it again with: {command('evaluate', path)}"


def _blame(figures: dict[str, Any]) -> str:
    """Return which classes and layers lose most, of a failed file."""
    drops = list(figures.get("class_drops", {}).items())[:5]
    classes = ", ".join(f"{name} ({100 * drop:.0f} points)" for name, drop in drops)
    layers = ", ".join(
        f"{one['layer']} ({one['share']:.0%})" for one in figures.get("layers", [])[:5] if one["share"] >= 0.01
    )
    return (f". Classes that lose most: {classes}" if classes else "") + (
        f". Layers with most of the error: {layers}" if layers else ""
    )


def _name_of(source: str) -> str:
    """Return a file name for a SOURCE string: its last part."""
    last = re.split(r"[/\\:]", source.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.-]+", "-", last).strip("-.") or "run"


def free_path(folder: Path, name: str, suffix: str = "") -> Path:
    """Return a path that does not exist yet: the name, or the name with a number.

    Examples:
        >>> free_path(Path("runs"), "cherries").as_posix()
        'runs/cherries'
        >>> free_path(Path("runs"), "fruit").as_posix()
        'runs/fruit-2'
    """
    path, number = folder / f"{name}{suffix}", 2
    while path.exists():
        path, number = folder / f"{name}-{number}{suffix}", number + 1
    return path
