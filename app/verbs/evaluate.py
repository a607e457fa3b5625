"""Evaluate a run's model again, on its own test split or on other images."""

from __future__ import annotations

from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from app.config import EvaluateConfig, load_config, make_config
from app.config.signatures import with_options
from app.interface.console import redirect_output
from app.interface.events import print_path, print_table
from app.interface.sources import in_classes_of, open_readable
from app.job.splits import open_examples
from app.prediction.testing import predict_examples
from app.runs.folder import RunFolder
from app.tasks import TASKS
from data.examples import Examples
from data.files import write_json
from data.image.preparing import Preparation
from data.sources import DEFAULTS, as_far_as_used
from data.sources.options import SourceOptions
from data.splits import split_indices


@with_options(EvaluateConfig)
def evaluate(run: str | PathLike[str], source: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """Evaluate a run's model and save the metrics under `evaluations/` in its folder.

    Args:
        run: folder of a finished run.
        source: a SOURCE string with images of the run's classes, all of which are used; None for the run's test split.
        **options: the fields of `app.config.EvaluateConfig`.

    Returns:
        The metrics of the run's task, from `app.evaluation.metrics`.

    Raises:
        UsageError, DataError: the run does not exist, or the source cannot be read or has other classes.

    Examples:
        >>> from app.interface.events import listening
        >>> with listening([].append, alone=True):  # prints nothing
        ...     metrics = evaluate("runs/fruit", "images")
        >>> metrics["accuracy"]
        1.0
        >>> evaluate("runs/apple")
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/apple is not a run folder: it has no config.json
    """
    config = make_config(EvaluateConfig, run=run, source=source, **options)
    opened = RunFolder.open(config.run)
    examples, indices = _examples(opened, config)
    task = TASKS[examples.task]
    with redirect_output(opened.log):
        outputs = predict_examples(opened, examples, indices, config.batch_size)
        metrics = task.measure(outputs, examples.labels.array[indices], examples.class_names, opened.thresholds)
    path = opened.new_evaluation(config.source or "test")
    write_json(path, {"source": examples.source, **metrics})
    print_table("", *task.details(metrics))
    print_table("", ("images", *task.columns), [(metrics["n"], *(text(metrics) for text in task.columns.values()))])
    print_path("figures", path)
    return metrics


def _examples(run: RunFolder, config: EvaluateConfig) -> tuple[Examples, np.ndarray]:
    context = load_config(run.options)
    preparation = Preparation.parse(config.background or context.background, config.levels or context.levels)
    if config.source is None:
        examples, splits = open_examples(run, preparation=preparation)
        return examples, split_indices(splits)["test"]
    options = replace(
        as_far_as_used(config.source, context.source_options),
        **{
            "task": context.task,
            "validation": None,
            "test": None,
            "image_folder": None,  # belongs to the run's images
            "skip_unreadable": config.skip_unreadable,
            **_given(config.source_options),
        },
    )
    examples, _ = open_readable(config.source, options, skip_unreadable=config.skip_unreadable, preparation=preparation)
    return in_classes_of(examples, run.class_names), np.arange(len(examples))


def _given(options: SourceOptions) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    return {name: value for name in asdict(options) if (value := getattr(options, name)) != getattr(DEFAULTS, name)}
