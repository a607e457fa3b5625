"""The main verb: from labelled images to a tested model and files for phones and servers."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config import RunConfig, RunOptions, TrainConfig, load_config, make_config, recorded
from app.config.signatures import with_options
from app.config.source import ListGroup
from app.exporting.formats import check_exportable
from app.exporting.metadata import absolute_locales, read_locales
from app.interface.console import redirect_output
from app.interface.errors import BAD_INPUT, Interrupted, UsageError, is_disk_full
from app.interface.events import print_path
from app.interface.program import command
from app.interface.sources import open_readable, refuse_leakage
from app.interface.stages import progress
from app.interface.tensorflow_loading import load_tensorflow
from app.job.folds import train_folds
from app.job.splits import choose_splits, splits_of, write_examples
from app.job.summary import print_results
from app.run import Run
from app.runs.folder import RunFolder, check_free, free_path
from data import tensors
from data.examples import Examples
from data.sources import absolute_source
from data.splits import split_indices
from models.lazy import LazyModule

if TYPE_CHECKING:
    from app.job import steps
else:
    steps = LazyModule("app.job.steps")


@with_options(TrainConfig)
def train(
    source: str | PathLike[str] | Iterable[Any] | None = None,
    *,
    resume: str | PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    **options: Any,
) -> Run:
    """Train a classifier, test it once, export it, and verify the exports.

    Args:
        source: a SOURCE string: a folder, `sample:digits` or `tfds:NAME`; or a `tf.data.Dataset` of (image, label), or a tuple
            of them for training, validation and test, as `data.tensors.write_examples` reads them. It writes their examples to
            `OUTPUT_data`, so that the run can be resumed, tested and exported.
        resume: the folder of an interrupted run to continue, instead of a source.
        class_names: of datasets, the name of each class.
        **options: the fields of `app.config.TrainConfig`.

    Returns:
        The finished run.

    Raises:
        UsageError, DataError, ModelError: bad input; nothing is left behind.
        GateError: the run is complete, but an exported file does not agree with the model.
        Interrupted: Ctrl-C or SIGTERM; the message says how to continue.

    Examples:
        >>> train("no_such_folder")
        Traceback (most recent call last):
        data.errors.DataError: there is no folder no_such_folder. Check the path
        >>> train("images", output="runs/fruit")
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/fruit already holds a run; choose another folder with --output, or ...
    """
    if isinstance(source, tuple | list) or hasattr(source, "as_numpy_iterator"):
        return _train_on_datasets(source, class_names, resume=resume, **options)
    if class_names is not None:
        raise UsageError("class_names is about datasets of tensors; the classes of a source are named in it")
    given = make_config(TrainConfig, source=source, resume=resume, **options)
    if given.resume is not None:
        if replace(given, resume=None) != TrainConfig():
            raise UsageError("--resume takes every option from the run; give it alone")
        return Run(_continue(given.resume).path)
    if given.source is None:
        raise UsageError("name the images to train on, or an interrupted run with --resume")
    if given.output is not None:
        check_free(Path(given.output).expanduser())
    examples, sha256 = _open_source(given.source, given)
    examples.labels.check_learnable(examples.source)
    if not given.allow_leakage:
        refuse_leakage(examples, given.source_options)
    config = _recordable(given.source, given, examples.task)
    read_locales(config.locales, len(examples.class_names))  # raises now instead of after training
    check_exportable(config.formats or (), backbone=config.backbone, task=examples.task)
    if not config.runs_of_folds:
        return Run(_begin(config, examples, sha256, given.output).path)
    run = Run.create(recorded(config), output=given.output)
    with run.in_use():
        _train_folds(run, examples, sha256)
    return run


def _train_on_datasets(
    datasets: Any,
    class_names: Sequence[str] | None,
    *,
    output: str | PathLike[str] | None = None,
    **options: Any,
) -> Run:
    """Write the examples of datasets beside the run folder, and train on them."""
    folder = Path(output).expanduser() if output is not None else free_path(Path("runs"), "dataset")
    check_free(folder)
    config = make_config(TrainConfig, source="", **options)  # raises now if an option is invalid
    for one in fields(ListGroup):
        if getattr(config, one.name) != one.default:
            raise UsageError(f"{one.name} says how a SOURCE is read; leave it out beside datasets of tensors")
    examples = free_path(folder.parent, f"{folder.name}_data")
    with progress("reading", unit="examples") as stage:
        written = tensors.write_examples(
            datasets if isinstance(datasets, tuple | list) else (datasets,),
            examples,
            class_names=class_names,
            task=options.get("task"),
            advance=lambda count: stage.update(done=count),
        )
    print_path("examples", examples)
    try:
        return train(written.source, output=folder, **options | {"task": written.task, "columns": written.columns})
    except BAD_INPUT:
        if not folder.exists():  # refused before it began: leave nothing behind
            shutil.rmtree(examples)
        raise


def _recordable(source: str, given: TrainConfig, task: str) -> RunConfig:
    """Return the options as the run records them, with which it can be continued from another folder."""
    options = {name: value for name, value in vars(given).items() if name not in ("output", "resume")}
    return RunConfig(
        **options
        | {
            "task": task,
            "source": absolute_source(source),
            "validation": absolute_source(given.validation) if given.validation else None,
            "test": absolute_source(given.test) if given.test else None,
            "image_folder": _absolute(given.image_folder),
            "cache_folder": _absolute(given.cache_folder),
            "locales": absolute_locales(given.locales),
        }
    )


def _absolute(folder: str | None) -> str | None:
    return os.path.abspath(os.path.expanduser(folder)) if folder else None


def _begin(config: RunConfig, examples: Examples, sha256: str, output: str | None) -> RunFolder:
    examples, splits = choose_splits(examples, config)
    run = RunFolder.create(recorded(config), output=output)
    with run.in_use():
        return _start(run, examples, splits, sha256)


def _start(run: RunFolder, examples: Examples, splits: np.ndarray, sha256: str) -> RunFolder:
    write_examples(run, examples, splits)
    try:
        return _carry_out(run, examples, splits, sha256)
    except (*BAD_INPUT, OSError):
        if not run.history:  # refused before anything was trained: leave no run in the way of the next attempt
            run.remove()
        raise


def _continue(folder: str) -> RunFolder:
    run = RunFolder.open(folder)
    with run.in_use():
        return _take_up(run)


def _take_up(run: RunFolder) -> RunFolder:
    if run.is_finished:
        raise UsageError(f"{run.path} is finished; there is nothing to resume")
    config = load_config(run.options)
    examples, sha256 = _open_source(config.source, config)
    if config.runs_of_folds:
        return _train_folds(run, examples, sha256)
    if (run.path / "splits.csv").exists():
        return _go_on(run, examples, sha256)
    if not config.allow_leakage:  # the run was interrupted before training started
        refuse_leakage(examples, config.source_options)
    return _start(run, *choose_splits(examples, config), sha256)


def _go_on(run: RunFolder, examples: Examples, sha256: str) -> RunFolder:
    examples, splits = splits_of(run, examples)
    run.checkpoints.mkdir(exist_ok=True)  # missing if the run was finished once, and its report deleted
    return _carry_out(run, examples, splits, sha256, resumed=True)


def _train_folds(run: RunFolder, examples: Examples, sha256: str) -> RunFolder:
    with _resumable(run):
        return train_folds(run, examples, sha256, begin=_begin, go_on=_go_on)


def _open_source(source: str, config: RunOptions) -> tuple[Examples, str]:
    """Open the source and read each image once; images that were decoded earlier are not decoded again."""
    return open_readable(
        source,
        config.source_options,
        skip_unreadable=config.skip_unreadable,
        preparation=config.preparation,
    )


def _carry_out(
    run: RunFolder, examples: Examples, splits: np.ndarray, sha256: str, *, resumed: bool = False
) -> RunFolder:
    """Carry out the run from splits to the end; epochs that an interrupted run has finished are not trained again."""
    with _resumable(run), redirect_output(run.log):
        load_tensorflow()
        steps.carry_out(run, examples, split_indices(splits), sha256, resumed=resumed)
    print_results(run)
    run.check_parity()
    return run


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a full disk into an error that says how to continue."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"Interrupted. Continue with: {command('train', '--resume', run.path)}") from error
    except Exception as error:
        if not (run.history and is_disk_full(error)):
            raise
        resume = command("train", "--resume", run.path)
        raise UsageError(f"the disk is full; make room, and continue after the last epoch with: {resume}") from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)
