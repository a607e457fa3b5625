"""The main verb: from labelled images to a tested model and files for phones and servers."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
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
from app.interface.sources import open_readable, refuse_leakage
from app.interface.stages import progress
from app.interface.tensorflow_loading import load_tensorflow
from app.job.folds import train_folds
from app.job.given import Given
from app.job.splits import choose_splits, splits_of, write_examples
from app.job.summary import print_results
from app.run import Run
from app.runs.folder import RunFolder, check_free, free_path
from app.runs.keras_record import how_to_resume
from data import tensors
from data.examples import Examples
from data.sources import absolute_source
from data.splits import split_indices
from models.lazy import LazyModule

if TYPE_CHECKING:
    import keras

    from app.job import steps
else:
    steps = LazyModule("app.job.steps")


@with_options(TrainConfig)
def train(
    source: str | PathLike[str] | Iterable[Any] | None = None,
    *,
    resume: str | PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    model: keras.Model | None = None,
    backbone_layer: str | None = None,
    mean: float | Sequence[float] = (),
    std: float | Sequence[float] = (),
    loss: keras.losses.Loss | Callable[[Any, Any], Any] | str | None = None,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    metrics: Sequence[keras.metrics.Metric | Callable[[Any, Any], Any] | str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    **options: Any,
) -> Run:
    """Train a classifier, test it once, export it, and verify the exports.

    Args:
        source: a SOURCE string: a folder, `sample:digits` or `tfds:NAME`; or a `tf.data.Dataset` of (image, label), or a tuple
            of them for training, validation and test, as `data.tensors.write_examples` reads them. It writes their examples to
            `OUTPUT_data`, so that the run can be resumed, tested and exported.
        resume: the folder of an interrupted run to continue, instead of a source.
        class_names: of datasets, the name of each class.
        model: a functional or Sequential Keras model of your own in place of `backbone` and `head`: one input of square RGB
            images, pixels from 0 to 255, and one output, logits or probabilities for each class. A copy is trained; the
            model itself stays as it is. All layers that are trainable train in one phase, `fit`, with the options of
            fine-tuning.
        backbone_layer: name of the pretrained model inside `model`, or of the last layer that belongs to it. It is frozen
            while the layers above it train, then unfrozen from the top, as any backbone: `strategy` and the options of both
            phases apply.
        mean: what `model` expects to be subtracted from pixels, one number or three.
        std: what `model` expects the difference to be divided by.
        loss: loss of the phases that are fitted in steps: a Keras loss, its name, or a function of (targets, logits), both
            float32 (batch, classes). Targets are one-hot before label smoothing, which is left out; of several labels per
            image, 0 and 1, and NaN where unknown; of numbers, the labels less their mean, by their standard deviation.
            Logits are the values before softmax or sigmoid: Keras' own losses are given `from_logits=True`.
        optimizer: optimizer of these phases; each begins with a copy made from its settings. Its learning rate is yours.
        metrics: metrics that the history records besides loss and the task's metric, which chooses the best weights. They
            get the targets and predictions: probabilities, or numbers in the units of the labels. Metrics
            with `from_logits=True` get logits.
        callbacks: called in the phases that are fitted in steps, each of which is one `fit` call or several. Their `model` is
            the part of the network that trains. `stop_training` ends the phase.
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
    about_model = {"model": model, "backbone_layer": backbone_layer, "mean": mean, "std": std}
    objects = {"loss": loss, "optimizer": optimizer, "metrics": metrics, "callbacks": callbacks}
    given = Given.of(options, **about_model, **objects)
    if isinstance(source, tuple | list) or hasattr(source, "as_numpy_iterator"):
        return _train_on_datasets(source, class_names, given, resume=resume, **options)
    if class_names is not None:
        raise UsageError("class_names is about datasets of tensors; the classes of a source are named in it")
    return _train(make_config(TrainConfig, source=source, resume=resume, **options), given)


def _train(asked: TrainConfig, given: Given) -> Run:
    if asked.resume is not None:
        if replace(asked, resume=None) != TrainConfig():
            raise UsageError("--resume takes every option from the run; give it alone")
        return Run(_continue(asked.resume, given).path)
    if asked.source is None:
        raise UsageError("name the images to train on, or an interrupted run with --resume")
    if asked.output is not None:
        check_free(Path(asked.output).expanduser())
    examples, sha256 = _open_source(asked.source, asked)
    examples.labels.check_learnable(examples.source)
    if not asked.allow_leakage:
        refuse_leakage(examples, asked.source_options)
    config, given = given.resolved(_recordable(asked.source, asked, examples.task), examples)
    read_locales(config.locales, len(examples.class_names))  # raises now instead of after training
    check_exportable(config.formats or (), backbone=config.backbone, task=examples.task)
    if not config.runs_of_folds:
        return Run(_begin(config, examples, sha256, asked.output, given).path)
    run = Run.create(recorded(config), output=asked.output)
    with run.in_use():
        _begin_folds(run, examples, sha256, given)
    return run


def _train_on_datasets(
    datasets: Any,
    class_names: Sequence[str] | None,
    given: Given,
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
        of_source = {"source": written.source, "task": written.task, "columns": written.columns}
        return _train(make_config(TrainConfig, output=folder, **options | of_source), given)
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


def _begin(config: RunConfig, examples: Examples, sha256: str, output: str | None, given: Given) -> RunFolder:
    examples, splits = choose_splits(examples, config)
    run = RunFolder.create(recorded(config), output=output)
    with run.in_use():
        return _start(run, examples, splits, sha256, given)


def _start(run: RunFolder, examples: Examples, splits: np.ndarray, sha256: str, given: Given) -> RunFolder:
    try:
        given.write(run)
        write_examples(run, examples, splits)
        return _carry_out(run, examples, splits, sha256, given)
    except (*BAD_INPUT, OSError):
        if not run.history:  # refused before anything was trained: leave no run in the way of the next attempt
            run.remove()
        raise


def _continue(folder: str, given: Given) -> RunFolder:
    run = RunFolder.open(folder)
    with run.in_use():
        return _take_up(run, given)


def _take_up(run: RunFolder, given: Given) -> RunFolder:
    if run.is_finished:
        raise UsageError(f"{run.path} is finished; there is nothing to resume")
    given.check_resumed(run)
    config = load_config(run.options)
    examples, sha256 = _open_source(config.source, config)
    if config.runs_of_folds:
        return _train_folds(run, examples, sha256, given)
    if (run.path / "splits.csv").exists():
        return _go_on(run, examples, sha256, given=given)
    if not config.allow_leakage:  # the run was interrupted before training started
        refuse_leakage(examples, config.source_options)
    return _start(run, *choose_splits(examples, config), sha256, given)


def _go_on(run: RunFolder, examples: Examples, sha256: str, *, given: Given) -> RunFolder:
    examples, splits = splits_of(run, examples)
    run.checkpoints.mkdir(exist_ok=True)  # missing if the run was finished once, and its report deleted
    return _carry_out(run, examples, splits, sha256, given, resumed=True)


def _begin_folds(run: RunFolder, examples: Examples, sha256: str, given: Given) -> RunFolder:
    try:
        given.write(run)
    except BAD_INPUT:
        run.remove()
        raise
    return _train_folds(run, examples, sha256, given)


def _train_folds(run: RunFolder, examples: Examples, sha256: str, given: Given) -> RunFolder:
    given = given.of_folds(run)
    with _resumable(run):
        train_folds(run, examples, sha256, begin=partial(_begin, given=given), go_on=partial(_go_on, given=given))
    if not load_config(run.options).keep_checkpoints:
        run.remove_checkpoints()
    return run


def _open_source(source: str, config: RunOptions) -> tuple[Examples, str]:
    """Open the source and read each image once; images that were decoded earlier are not decoded again."""
    return open_readable(
        source,
        config.source_options,
        skip_unreadable=config.skip_unreadable,
        preparation=config.preparation,
    )


def _carry_out(
    run: RunFolder, examples: Examples, splits: np.ndarray, sha256: str, given: Given, *, resumed: bool = False
) -> RunFolder:
    """Carry out the run from splits to the end; epochs that an interrupted run has finished are not trained again."""
    with _resumable(run), redirect_output(run.log):
        load_tensorflow()
        steps.carry_out(run, examples, split_indices(splits), sha256, resumed=resumed, objects=given.objects)
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
        raise Interrupted(f"Interrupted. Continue with: {how_to_resume(run)}") from error
    except Exception as error:
        if not (run.history and is_disk_full(error)):
            raise
        resume = how_to_resume(run)
        raise UsageError(f"the disk is full; make room, and continue after the last epoch with: {resume}") from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)
