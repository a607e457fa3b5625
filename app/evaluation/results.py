"""Evaluation of a trained model: its predictions, thresholds and metrics, as numbers, plots and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config.training import ThresholdGroup
from app.evaluation import image_plots, plots
from app.evaluation.calibration import Calibrator
from app.evaluation.fonts import fonts_for
from app.exporting.figures import beyond
from app.interface.events import print_text
from app.interface.stages import status
from app.runs.folder import RunFolder
from app.tasks import TASKS
from app.tasks.task import OperatingPoint
from app.training.inputs import Inputs, validation_logits
from data.examples import Examples
from data.loading import Loader
from models.heads import rescale_outputs

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

_SHOWN = 24  # images shown with their predictions


def check_operating_point(examples: Examples, config: ThresholdGroup) -> OperatingPoint:
    """Return the operating point that the options ask for.

    Raises:
        UsageError: the options do not apply to the task.

    Examples:
        >>> from app.config import load_config
        >>> from data.sources import open_source
        >>> check_operating_point(open_source("images"), load_config({"source": "images"})).recall is None
        True
        >>> check_operating_point(open_source("images"), load_config({"source": "images", "target_recall": 0.9}))
        Traceback (most recent call last):
        app.interface.errors.UsageError: --target-recall takes two classes, or several labels an image; images has ...
    """
    point = OperatingPoint(examples.class_names, config.positive, config.target_precision, config.target_recall)
    if point.precision is None and point.recall is None:
        return point
    option = "--target-precision" if point.precision is not None else "--target-recall"
    TASKS[examples.task].check_operating_point(point, option, examples.source)
    return point


def calibrate(model: keras.Model, inputs: Inputs, labels: np.ndarray) -> np.ndarray | None:
    """Calibrate a model on the validation split, by changing the weights of its last layer.

    Args:
        model: from `models.builder.build_model`, trained; changed in place.
        inputs: inputs of its training, which hold the features of the validation images.
        labels: of the validation split.

    Returns:
        The temperatures of the outputs, float32 (outputs,); None if nothing was changed, because there are no probabilities or
        the improvement may be chance.

    Examples:
        >>> from app.training.fit_data import FitData
        >>> from app.training.inputs import LiveInputs
        >>> from app.training.objectives import LabelObjective
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> from models.builder import load_model
        >>> model, examples = load_model(RunFolder.open("runs/fruit").model), open_source("images")
        >>> every, loader = np.arange(24), Loader(examples, ImageTransform(32, "stretch"))
        >>> data = FitData(loader, train=every, validation=every, batch_size=8, seed=0)
        >>> inputs = LiveInputs(model, data, LabelObjective(data))
        >>> calibrate(model, inputs, examples.labels.array) is None  # always right and sure of it
        True
        >>> calibrate(model, inputs, examples.labels.array[::-1]).round(1).tolist()  # mostly wrong: less sure from now on
        [10.0, 10.0, 10.0]
    """
    calibrator = inputs.data.task.calibrator
    if calibrator is None:
        return None
    temperatures = calibrator.temperatures(calibrator.probabilities(validation_logits(inputs)), labels)
    if temperatures is not None:
        rescale_outputs(model, 1 / temperatures, np.zeros_like(temperatures))
    return temperatures


def evaluate(
    examples: Examples,
    indices: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
    point: OperatingPoint,
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Compare a model's predictions with the labels.

    Args:
        examples: examples of the run.
        indices: positions of the examples in each split.
        predictions: for "validation" and "test", float32 (n, outputs).
        point: goal of the thresholds, which are chosen on validation.

    Returns:
        The metrics by split; and the thresholds, (outputs,), or None.

    Examples:
        >>> from data.sources import open_source
        >>> examples, every = open_source("images"), {"validation": np.arange(24), "test": np.arange(24)}
        >>> predictions = {"validation": np.eye(3)[examples.labels.array], "test": np.full((24, 3), 1 / 3)}
        >>> metrics, thresholds = evaluate(examples, every, predictions, OperatingPoint(examples.class_names))
        >>> {split: round(one["accuracy"], 3) for split, one in metrics.items()}
        {'validation': 1.0, 'test': 0.333}
        >>> thresholds is None  # the likeliest class is predicted
        True
    """
    task = TASKS[examples.task]
    thresholds = task.choose_thresholds(predictions["validation"], examples.labels.array[indices["validation"]], point)
    metrics = {
        split: task.measure(predictions[split], examples.labels.array[indices[split]], examples.class_names, thresholds)
        for split in predictions
    }
    if thresholds is not None and point.precision is not None:
        _print_out_of_reach(metrics["validation"]["classes"], thresholds, point.class_names, point.precision)
    return metrics, thresholds


def calibration_figures(
    examples: Examples,
    indices: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
    temperatures: np.ndarray | None,
) -> dict[str, Any] | None:
    """Return the effect of calibration, for `metrics.json`; None if nothing was calibrated.

    Args:
        examples: examples of the run.
        indices: positions of the examples in each split.
        predictions: calibrated, by split, float32 (n, outputs).
        temperatures: from `calibrate`.

    Returns:
        `temperatures`, by class; and by split `before` and `after`, each with `log_loss` and `ece`.

    Examples:
        >>> from data.sources import open_source
        >>> examples, every = open_source("images"), {"test": np.arange(24)}
        >>> predictions = {"test": 0.7 * np.eye(3)[examples.labels.array] + 0.1}
        >>> figures = calibration_figures(examples, every, predictions, np.full(3, 0.5))
        >>> {when: round(one["log_loss"], 2) for when, one in figures["test"].items()}
        {'before': 0.53, 'after': 0.22}
        >>> calibration_figures(examples, every, predictions, None) is None
        True
    """
    calibrator = TASKS[examples.task].calibrator
    if temperatures is None or calibrator is None:
        return None
    splits = {}
    for split, probabilities in predictions.items():
        labels, raw = examples.labels.array[indices[split]], calibrator.at(probabilities, 1 / temperatures)
        splits[split] = {
            "before": calibrator.figures(raw, labels),
            "after": calibrator.figures(probabilities, labels),
        }
    return {"temperatures": dict(zip(examples.class_names, temperatures.tolist(), strict=True)), **splits}


def _print_out_of_reach(
    classes: dict[str, Any], thresholds: np.ndarray, names: Sequence[str], precision: float
) -> None:
    for name, threshold in zip(names, thresholds, strict=True):
        if np.isfinite(threshold) and classes[name]["precision"] < precision:
            print_text(
                f"No threshold for {name} reaches a precision of {precision:g} on the validation images; "
                f"{threshold:.3f} comes nearest, with {beyond(classes[name]['precision'], precision, digits=3)}.",
            )


@status("drawing the plots")
def write_plots(
    run: RunFolder,
    loader: Loader,
    test: np.ndarray,
    predictions: np.ndarray,
    thresholds: np.ndarray | None,
    temperatures: np.ndarray | None,
) -> None:
    """Plot the training history, the evaluation of the test split, and test images with their predictions.

    Args:
        run: run whose plots are written.
        loader: loader of the images.
        test: positions of the test images, int (n,).
        predictions: for the test images, (n, outputs).
        thresholds: (outputs,), or None.
        temperatures: from `calibrate`, (outputs,), or None.

    Examples:
        >>> from app.interface.events import listening
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> run, loader = RunFolder.open("runs/fruit"), Loader(open_source("images"), ImageTransform(32, "stretch"))
        >>> test, predictions = np.arange(24), np.eye(3)[loader.examples.labels.array]
        >>> with listening([].append, alone=True):  # prints nothing
        ...     write_plots(run, loader, test, predictions, thresholds=None, temperatures=None)
        >>> (run.plots / "confusion.png").is_file()
        True
        >>> (run.path / "metrics.json").unlink()
        >>> write_plots(run, loader, test, predictions, thresholds=None, temperatures=None)
        Traceback (most recent call last):
        app.interface.errors.UsageError: the run runs/fruit has no metrics.json: ...
    """
    task, labels = TASKS[loader.examples.task], loader.examples.labels.array[test]
    # The worst mistakes first; then right predictions, the least certain first.
    shown = np.argsort(-task.per_example_loss(predictions, labels, thresholds), kind="stable")[:_SHOWN]
    with fonts_for(loader.examples.class_names) as names:
        figures = {"curves": plots.curves(run.history, task.metric, run.metrics["best"])}
        figures |= task.figures(predictions, labels, names, thresholds)
        if task.calibrator is not None:
            figures["reliability"] = _reliability(task.calibrator, predictions, labels, temperatures)
        captions = [task.caption(predictions[one], labels[one], names, thresholds) for one in shown]
        figures["predictions"] = image_plots.predictions(
            np.stack([loader.load(index) for index in test[shown]]), captions
        )
        for name, figure in figures.items():
            plots.save_figure(figure, run.plots / f"{name}.png")


def _reliability(
    calibrator: Calibrator, predictions: np.ndarray, labels: np.ndarray, temperatures: np.ndarray | None
) -> Figure:
    versions = {"calibrated" if temperatures is not None else "not calibrated": predictions}
    if temperatures is not None:
        versions = {"before calibration": calibrator.at(predictions, 1 / temperatures)} | versions
    return plots.reliability({name: calibrator.decisions(one, labels) for name, one in versions.items()})
