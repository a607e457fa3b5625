"""Verify model files of any origin against the model that they were made from."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config import VerifyConfig, make_config
from app.config.signatures import with_options
from app.exporting import parity
from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.golden import write_golden
from app.exporting.precision import Precision, precision_of
from app.exporting.process import usual_client
from app.exporting.self_description import describe_tflite
from app.exporting.verdicts import export_cells, export_columns, remarks
from app.exporting.verification import Verification
from app.interface.console import aside, redirect_output
from app.interface.errors import GateError, UsageError
from app.interface.events import print_path, print_table, print_text
from app.interface.output import output_path
from app.interface.sources import in_classes_of, read_source
from app.interface.stages import status, track
from app.job.splits import open_examples
from app.prediction.descriptions import is_run
from app.prediction.interpretation import Interpretation, thresholds_of
from app.prediction.label_files import unique_names
from app.prediction.predictor import Predictor
from app.runs.folder import RunFolder
from app.tasks import TASKS
from data.checking import describe
from data.errors import DataError
from data.examples import Examples
from data.files import atomic_write, write_json
from data.image.transform import ImageTransform
from data.labels import LABELS, SEPARATOR, Labels
from data.loading import Loader, batches_of, load_ahead
from data.remarks import listed
from data.splits import split_indices

if TYPE_CHECKING:
    import keras

_WITHOUT_METADATA = "a file without metadata, which names the classes, does not load there"


@with_options(VerifyConfig)
def verify(
    files: Sequence[str | PathLike[str]],
    *,
    model: str | PathLike[str] | keras.Model,
    data: str | PathLike[str] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Verify model files against the model that they were made from, each in a fresh process with its own client.

    Files with floats must give the same predictions, quantised ones nearly the same accuracy. A `.tflite` is also run
    without XNNPACK, and through MediaPipe Tasks if it has metadata.

    Args:
        files: `.tflite`, `.onnx` or `.keras` files, or SavedModel folders, of any converter.
        model: the original: a Keras model, a model file, or a run.
        data: a SOURCE string with images to compare on, or a folder of images without labels, for which the original's
            predictions stand in; None for the test images of a run.
        **options: the fields of `app.config.VerifyConfig`.

    Returns:
        The figures by file, as in the `parity.json` of a run.

    Raises:
        UsageError, DataError: a model or image does not exist or cannot be read, or the labels do not fit the model.
        GateError: a file does not agree with the original.

    Examples:
        >>> from shutil import copy
        >>> file = copy("runs/fruit/export/model_float32.tflite", "copy.tflite")
        >>> found = verify([file], model="runs/fruit/export/model_float32.tflite", data="images", verbose=0)
        >>> found["passed"], found["formats"]["copy.tflite"]["top1_agreement"]
        (True, 1.0)
        >>> verify(["apple.png"], model="runs/fruit", data="images", verbose=0)
        Traceback (most recent call last):
        app.interface.errors.UsageError: apple.png is not a model: give a run folder, a .keras, .tflite or .onnx ...
    """
    original: Any = model
    in_memory = hasattr(original, "layers")  # a Keras model
    named = original.name if in_memory else original
    config = make_config(VerifyConfig, files=files, model=named, data=data, **options)
    output = output_path(config.output) if config.output else None
    golden = _free_folder(config.golden) if config.golden else None
    expected = {file: _expected(Path(file).expanduser(), config) for file in config.files}
    with aside(config.json), redirect_output(Path(os.devnull)):
        images = _evaluation_set(config, original if in_memory else config.model)
        verifications = {file: _verify(Path(file).expanduser(), expected[file], images, config) for file in expected}
        if golden:
            with atomic_write(golden) as temporary:
                write_golden(temporary, images, {one.figures["file"]: one for one in verifications.values()})
    report = _report(config, images, verifications)
    if output:
        write_json(output, report)
    _print(config, images, report)
    failed = {file: one.failures for file, one in verifications.items() if not one.passed}
    if failed:
        raise GateError("\n".join(f"{file}: {'; '.join(failures)}." for file, failures in failed.items()))
    return report


def _free_folder(text: str) -> Path:
    path = Path(text).expanduser()
    if path.exists():
        raise UsageError(f"{path} is there already; name a new folder with --golden")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _expected(path: Path, config: VerifyConfig) -> Precision:
    usual_client(path)  # raises now if the file is not a model
    found = precision_of(path)
    return found if config.tolerance is None else replace(found, tolerance=config.tolerance)


# --- The original ------------------------------------------------------------------------------------------------------


def _evaluation_set(config: VerifyConfig, model: Any) -> EvaluationSet:
    """Return the images with the predictions of the original."""
    with status("loading the model"):
        original = Predictor(
            model,
            image_size=config.image_size,
            labels=config.labels,
            task=config.task,
            resize=config.resize,
            mean=config.mean,
            std=config.std,
            in_memory=True,
        )
    try:
        examples = _examples(config, original)
        loader = Loader(examples, ImageTransform(_side(original), original.resize))
        everything = np.arange(len(examples))
        loader.keep(everything)
        batches = track(
            batches_of(load_ahead(loader, everything), config.batch_size),
            len(examples),
            "original",
            step=config.batch_size,
        )
        predictions = original.interpret(np.concatenate([original.predict(pixels) for pixels in batches]))
    finally:
        original.close()
    for note in predictions.notes:
        print_text(f"{original.file.name}: {note}.", wraps=False)
    stated = thresholds_of(original.about, len(predictions.names))
    return EvaluationSet(
        loader,
        everything,
        predictions.values.astype(np.float32),
        thresholds=TASKS[predictions.task].usual_thresholds(len(predictions.names)) if stated is None else stated,
        examples=_labelled(examples, predictions, original),
    )


def _side(original: Predictor) -> int:
    if original.size is None or original.size[0] != original.size[1]:
        raise UsageError(f"{original.file} takes images of {original.size}; files with square inputs can be verified")
    return original.size[0]


def _examples(config: VerifyConfig, original: Predictor) -> Examples:
    """Return the readable images to compare on, with labels or without."""
    if config.data is None:
        return _test_images(config)
    task = config.task or original.about.task
    options = replace(config.source_options, task=task)
    reading = read_source(config.data, options, preparation=original.preparation)
    faults = reading.audit_data.faults
    if faults and not config.skip_unreadable:
        raise DataError(f"{describe(faults)}\nLeave them out with --skip-unreadable")
    if faults:
        print_text(f"Left out: {describe(faults)}")
    return reading.audit_data.examples


def _test_images(config: VerifyConfig) -> Examples:
    path = Path(config.model).expanduser()
    if not is_run(path):
        raise UsageError("name images to compare on with --data: a folder, a list or any other SOURCE")
    examples, splits = open_examples(RunFolder.open(config.model))
    return examples.subset(split_indices(splits)["test"])


def _labelled(examples: Examples, predictions: Interpretation, original: Predictor) -> Examples:
    """Return the images with labels in the order of the model's classes."""
    if not examples.class_names:
        print_text("The images have no labels; the original's predictions stand in for them.")
        return replace(examples, labels=_predicted(predictions))
    if examples.task != predictions.task:
        raise UsageError(
            f"{original.file} predicts {predictions.task}, and the labels of {examples.source} are {examples.task}; "
            "say which is meant with --task"
        )
    if original.about.names is not None:
        return in_classes_of(examples, predictions.names)
    if len(examples.class_names) != len(predictions.names):
        raise UsageError(
            f"{original.file} knows {len(predictions.names)} classes, and {examples.source} has "
            f"{len(examples.class_names)}; name the model's classes with --labels FILE.txt"
        )
    print_text(f"Its classes are taken to be, in this order: {listed(examples.class_names)}.")
    return examples


def _predicted(predictions: Interpretation) -> Labels:
    """Return labels that are the original's predictions."""
    kind, names = LABELS[predictions.task], unique_names(predictions.names)
    if not TASKS[predictions.task].decides:
        return kind(predictions.values.astype(np.float32), names)
    likeliest = predictions.values.argmax(axis=1)
    chosen = [
        labels or ((top,) if kind.exclusive else ()) for labels, top in zip(predictions.chosen, likeliest, strict=True)
    ]
    return kind.parse([SEPARATOR.join(names[label] for label in labels) for labels in chosen], names)


# --- The files -----------------------------------------------------------------------------------------------------------


def _verify(path: Path, expected: Precision, images: EvaluationSet, config: VerifyConfig) -> Verification:
    has_metadata = expected.is_for_phones and describe_tflite(path).names is not None
    verification = parity.verify(
        path,
        expected,
        images,
        max_drop=config.max_drop,
        with_client=has_metadata,
        golden=images.golden if config.golden else None,
        # Files from different converters need not tell a task by themselves, and may have the scaling in them.
        read_as={"task": images.task.name, "mean": config.mean, "std": config.std, "defers": True},
    )
    verification.figures["stored"] = expected.stored
    if expected.is_for_phones and not has_metadata:
        verification.leave_out("MediaPipe Tasks", len(images), len(images), _WITHOUT_METADATA)
    return verification


def _report(config: VerifyConfig, images: EvaluationSet, verifications: dict[str, Verification]) -> dict[str, Any]:
    return {
        "model": config.model,
        "data": images.examples.source,
        "pictures": len(images),
        "passed": all(one.passed for one in verifications.values()),
        "max_drop": config.max_drop,
        "formats": {file: one.figures for file, one in verifications.items()},
        "quantization": None,
    }


def _print(config: VerifyConfig, images: EvaluationSet, report: dict[str, Any]) -> None:
    if config.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    task = images.task
    rows = [
        (*export_cells(task, one)[:-1], one["stored"], export_cells(task, one)[-1])
        for one in report["formats"].values()
    ]
    print_table("", (*export_columns(task)[:-1], "weights in", ""), rows)
    for line in remarks(task, report, of_clients=True):
        print_text(line)
    for name, path in (("golden", config.golden), ("figures", config.output)):
        if path:
            print_path(name, path)
