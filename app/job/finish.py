"""The second half of a training job: test the fitted model once, export it, verify the files, and report."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from app.evaluation.advice import Measured, advise
from app.evaluation.report import write_report
from app.evaluation.results import (
    calibration_figures,
    evaluate,
    write_plots,
)
from app.evaluation.samples import write_samples
from app.exporting.exports import write_exports
from app.job.fit import FittedRun, Splits
from app.job.splits import keep_images
from app.prediction.in_process import make_predict_function
from app.runs.folder import RunFolder
from app.runs.tested import write_test_predictions
from app.training.fitting import improves


def finish_run(run: RunFolder, fitted: FittedRun, splits: Splits) -> None:
    """Test a fitted model once; export it, verify the files, and write metrics, plots and the report.

    Args:
        run: run of the model.
        fitted: from `fit_run`.
        splits: positions of the images in "train", "validation" and "test", each int (n,).

    Examples:
        >>> from app.interface.events import listening
        >>> from app.job.fit import fit_run, prepare_run
        >>> from app.job.splits import open_examples
        >>> from data.splits import split_indices
        >>> earlier = RunFolder.open("runs/fruit")
        >>> options = earlier.options | {"strategy": "feature_extraction", "formats": ["onnx"]}
        >>> run = RunFolder.create(options, output="runs/finished")
        >>> _ = (run.path / "classes.txt").write_bytes((earlier.path / "classes.txt").read_bytes())
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, splits = open_examples(earlier, source="images")
        ...     prepared = prepare_run(run, examples, train_size=18, sha256="")
        ...     fitted = fit_run(run, prepared, examples, split_indices(splits))
        ...     finish_run(run, fitted, split_indices(splits))
        >>> run.is_finished
        True
        >>> list(run.parity["formats"])
        ['onnx']
    """
    fitted_at = time.perf_counter()
    model, plan, loader = fitted.prepared.model, fitted.prepared.plan, fitted.data.loader
    examples = loader.examples
    loader.keep(splits["test"])
    predict = make_predict_function(model, loader, plan.batch_size)
    predictions = {split: predict(splits[split]) for split in ("validation", "test")}
    metrics, thresholds = evaluate(examples, splits, predictions, fitted.prepared.point)
    metrics["best"] = fitted.best
    metrics["calibration"] = calibration_figures(examples, splits, predictions, fitted.temperatures)
    run.write_thresholds(thresholds)
    write_test_predictions(run, [examples.keys[one] for one in splits["test"]], predictions["test"])
    evaluated_at = time.perf_counter()
    if plan.keep_images:
        keep_images(run, examples, splits)
    write_exports(model, run, plan, loader, splits, predictions)
    exported_at = time.perf_counter()
    if fitted.extraction:
        metrics["extraction"] = fitted.extraction
    metrics["seconds"] = {
        "total": exported_at - fitted.prepared.started,
        **fitted.seconds,
        "evaluate": evaluated_at - fitted_at,
        "export": exported_at - evaluated_at,
    }
    metrics["advice"] = _advice(run, fitted, splits["validation"], metrics, predictions["validation"])
    run.write_metrics(metrics)
    write_samples(run, plan, fitted.data, splits, cached=fitted.is_cached)
    write_plots(run, loader, splits["test"], predictions["test"], thresholds, fitted.temperatures)
    write_report(run)  # marks the run as finished
    if not plan.keep_checkpoints:
        run.remove_checkpoints()


def _advice(
    run: RunFolder, fitted: FittedRun, validation: np.ndarray, metrics: dict[str, Any], probabilities: np.ndarray
) -> list[str]:
    return advise(
        Measured(
            plan=fitted.prepared.plan,
            metric=fitted.data.task.metric,
            history=run.history,
            best=fitted.best,
            still_improves=improves(run.history),
            blocks=fitted.prepared.blocks,
            seconds=metrics["seconds"],
            examples=fitted.data.loader.examples.subset(validation),
            validation=metrics["validation"],
            probabilities=probabilities,
            mirrored=fitted.prepared.mirrored,
        )
    )
