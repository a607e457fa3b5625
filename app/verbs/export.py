"""Export a run's model again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config import ExportConfig, FileGroup, RunConfig, load_config, make_config, recorded
from app.config.hyperrule import resolve_export, resolved
from app.config.plan import ExportPlan
from app.config.signatures import with_options
from app.evaluation.report import write_report
from app.exporting.folder import PARITY, Kept
from app.exporting.formats import check_exportable
from app.exporting.metadata import absolute_locales, read_locales
from app.exporting.summary import print_changes, print_devices, print_exports
from app.interface.console import redirect_output
from app.interface.errors import BAD_INPUT, Interrupted, UsageError
from app.interface.events import print_text
from app.interface.program import command
from app.interface.tensorflow_loading import load_tensorflow
from app.job.splits import open_examples
from app.runs.folder import RunFolder
from data.errors import DataError
from data.examples import Examples
from data.splits import split_indices
from models.lazy import LazyModule

if TYPE_CHECKING:
    import keras

    from app.exporting import exports
    from app.job import own_models
else:
    exports = LazyModule("app.exporting.exports")
    own_models = LazyModule("app.job.own_models")

_DESCRIBING = ("author", "model_version", "score_threshold", "locales")  # options that are written into the files


@with_options(ExportConfig)
def export(run: str | PathLike[str] | keras.Model, **options: Any) -> dict[str, Any]:
    """Export a run's model, or a Keras model that was trained elsewhere, and verify every file.

    Files that are in a run's export folder already stay as they are, including the user's own. The folder changes only when all
    files are complete. A model from elsewhere gets a run folder of its own, which `predict`, `evaluate` and later exports take.

    Args:
        run: folder of a finished run; or a Keras model or `.keras` file, which needs `data`.
        **options: the fields of `app.config.ExportConfig`; other options are as in the run's last export.

    Returns:
        The content of `parity.json`.

    Raises:
        UsageError, DataError, ModelError: the run or model does not exist, or the images, which the verification needs, are
            gone or do not fit it.
        GateError: a file does not agree with the Keras model.
        Interrupted: Ctrl-C; the message says what is left.

    Examples:
        >>> export("runs/fruit", formats=("tflite",))
        Traceback (most recent call last):
        app.interface.errors.UsageError: --formats cannot be 'tflite'. Did you mean 'tflite_int8'?
        >>> import keras
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
        >>> found = export(keras.Sequential(layers), data="images", formats=["tflite_float32"], output="runs/mine", verbose=0)
        >>> found["passed"], found["formats"]["tflite_float32"]["file"]
        (True, 'model_float32.tflite')
    """
    given: Any = run
    if hasattr(given, "layers"):  # a Keras model
        return _export_own(make_config(ExportConfig, run=given.name, **options), given)
    config = make_config(ExportConfig, run=given, **options)
    if Path(config.run).suffix.lower() == ".keras":
        return _export_own(config)
    _check_given(config)
    opened = RunFolder.open(config.run)
    opened.require(opened.model)
    refusal = f"the run {opened.path} is being exported already; wait until that has ended"
    with opened.in_use(refusal), _interruptible(opened):
        return _export(opened, config, *_examples(opened, config.source))


def _check_given(config: ExportConfig) -> None:
    """Refuse options that a run has an answer to."""
    about_models = ("data", "output", *(field.name for field in fields(FileGroup)))
    given = [name for name in about_models if getattr(config, name) not in (None, ())]
    if given:
        raise UsageError(
            f"--{given[0].replace('_', '-')} is about a .keras file from elsewhere; leave it out for a run such as {config.run}"
        )


def _export_own(config: ExportConfig, model: keras.Model | None = None) -> dict[str, Any]:
    """Export a model from elsewhere to a run folder that is made for it."""
    run, examples, splits = own_models.adopt_as_run(config, model)
    try:
        with run.in_use(), _interruptible(run):
            return _export(run, config, examples, splits)
    except (*BAD_INPUT, OSError):
        run.remove()
        raise


def _export(run: RunFolder, config: ExportConfig, examples: Examples, splits: np.ndarray) -> dict[str, Any]:
    earlier = load_config(run.options)
    asked = _plan(run, earlier, config)
    read_locales(asked.locales, len(examples.class_names))
    check_exportable(asked.formats, backbone=asked.backbone, task=examples.task)
    with redirect_output(run.log):
        load_tensorflow()
        kept = exports.export_again(run, asked, examples, split_indices(splits), earlier.batch_size)
        run.write_options(recorded(_together(earlier, asked, kept)))
        if run.is_finished:  # the report describes the exported files, and marks a run as finished
            write_report(run)
    print_exports(run)
    print_devices(run)
    print_changes(run, kept)
    _say_outdated(earlier, asked, kept)
    run.check_parity([name for name in run.parity["formats"] if name not in kept.formats])
    return run.parity


def _examples(run: RunFolder, source: str | None) -> tuple[Examples, np.ndarray]:
    """Return the run's images and their splits, from their current place.

    Raises:
        DataError: the images cannot be found; the message names the option for images that were moved.
    """
    try:
        return open_examples(run, source=source)
    except DataError as error:
        if source is not None or "\n" in str(error):  # a list of images that exist, but cannot be read
            raise
        raise DataError(
            f"{error}. The check needs the images of the run; if they were moved, say where they are now: "
            f"{command('export', run.path, '--source', 'FOLDER')}"
        ) from error


def _plan(run: RunFolder, earlier: RunConfig, config: ExportConfig) -> ExportPlan:
    """Return what is written now; options that are not given are as before."""
    given = {name: getattr(config, name) for name in (*_DESCRIBING, "max_drop")}
    given = {name: value for name, value in given.items() if value is not None}
    given["locales"] = absolute_locales(given["locales"]) if "locales" in given else _kept_locales(run, earlier.locales)
    if config.formats is None:
        given |= {"formats": earlier.formats or None, "quantize": config.quantize or earlier.quantize}
    else:
        given |= {"formats": config.formats, "quantize": config.quantize}
    return resolve_export(replace(earlier, **given))


def _kept_locales(run: RunFolder, earlier: Sequence[str]) -> tuple[str, ...]:
    """Return the locales of the earlier export, by its own label files, if these still exist."""
    locales = []
    for one in earlier:
        locale = one.partition("=")[0]
        copy = run.export.resolve() / f"labels_{locale}.txt"
        locales.append(f"{locale}={copy}" if copy.is_file() else one)
    return tuple(locales)


def _together(earlier: RunConfig, asked: ExportPlan, kept: Kept) -> RunConfig:
    """Return the run's options after an export: all formats that exist now."""
    stay = [name for name in earlier.formats or () if name in kept.formats]
    formats = tuple(dict.fromkeys([*stay, *asked.formats]))
    return replace(resolved(earlier, asked), formats=formats, quantize="auto" if kept.quantization else asked.quantize)


def _say_outdated(earlier: RunConfig, asked: ExportPlan, kept: Kept) -> None:
    changed = [name for name in _DESCRIBING[:3] if getattr(earlier, name) != getattr(asked, name)]
    if [one.partition("=")[0] for one in earlier.locales] != [one.partition("=")[0] for one in asked.locales]:
        changed.append("locales")
    files = [one["file"] for one in kept.formats.values() if one["file"].endswith(".tflite")]
    if changed and files:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        print_text(
            f"Still with the earlier {named} in their metadata: {', '.join(files)}. Without --formats, all files are written "
            "again."
        )


@contextmanager
def _interruptible(run: RunFolder) -> Iterator[None]:
    """Turn Ctrl-C into an error that says what is left of the export."""
    parity = run.export / PARITY

    def changed() -> tuple[int, int] | None:
        return (parity.stat().st_ino, parity.stat().st_mtime_ns) if parity.is_file() else None

    before = changed()
    try:
        yield
    except KeyboardInterrupt as error:
        if changed() != before:
            text = f"{run.export} is complete, but the report and the options of the run do not tell of it yet"
        else:
            text = f"{run.export} is as it was before" if run.export.is_dir() else "nothing is exported"
        raise Interrupted(f"Interrupted; {text}. To finish, give the same command again") from error
