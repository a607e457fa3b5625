"""The training job from splits to the finished run: fit on training and validation, test once, export, verify, report."""

from __future__ import annotations

from typing import Any

from app.config import load_config
from app.evaluation.advice import flip_advice
from app.evaluation.fonts import print_undrawable
from app.evaluation.results import (
    print_metrics,
)
from app.exporting.summary import print_exports
from app.interface.events import print_path, print_text, whole
from app.job.finish import finish_run
from app.job.fit import PreparedRun, Splits, fit_run, prepare_run
from app.runs.run import Run
from app.training.checkpoints import FitState
from data.examples import Examples
from data.image.preparing import PLAIN


def carry_out(run: Run, examples: Examples, splits: Splits, sha256: str, *, resumed: bool = False) -> None:
    """Carry out a run from splits to the end.

    Args:
        run: run whose folder is written.
        examples: examples of the run.
        splits: positions of the images in "train", "validation" and "test", each int (n,).
        sha256: hash over all images.
        resumed: the run was interrupted before; finished epochs are not trained again.

    Raises:
        UsageError, DataError, ModelError: the options do not fit the images or the backbone; nothing was trained.

    Examples:
        >>> import numpy as np
        >>> from data.sources import open_source
        >>> earlier, examples = Run.open("runs/fruit"), open_source("images")
        >>> splits = {"train": np.arange(18), "validation": np.arange(18, 21), "test": np.arange(21, 24)}
        >>> run = Run.create(earlier.options | {"backbone": "vgg"}, output="runs/carried_out")
        >>> carry_out(run, examples, splits, sha256="")
        Traceback (most recent call last):
        models.errors.ModelError: unknown backbone 'vgg'; 'list backbones' shows all of them. Did you mean vgg16 or vgg19?
        >>> run.write_options(earlier.options | {"target_recall": 0.9})
        >>> carry_out(run, examples, splits, sha256="")
        Traceback (most recent call last):
        app.interface.errors.UsageError: --target-recall takes two classes, or several labels an image; images has ...
    """
    prepared = prepare_run(run, examples, len(splits["train"]), sha256, resumed=resumed)
    _print_plan(run, splits, prepared)
    fitted = fit_run(run, prepared, examples, {name: splits[name] for name in ("train", "validation")})
    finish_run(run, fitted, splits)


def _print_plan(run: Run, splits: Splits, prepared: PreparedRun) -> None:
    plan = prepared.plan
    counts = ", ".join(f"{len(members):,} {split}" for split, members in splits.items())
    print_text(
        f"Run {whole(run.path)}: {plan.task}, {plan.backbone} at {plan.image_size} px, {plan.strategy}; {counts}.",
    )
    if prepared.mirrored is not None and plan.flip:
        print_text(f"Note: {flip_advice(prepared.mirrored)}")
    if prepared.resumed:
        print_text(f"Resuming {FitState.read(run).describe(prepared.phases)}.")


def print_results(run: Run, examples: Examples) -> None:
    """Print the results of a finished run, where everything is, and what to try next.

    Examples:
        >>> from app.interface.events import SaidPath, listening
        >>> from data.sources import open_source
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     print_results(Run.open("runs/fruit"), open_source("images"))
        >>> [event.what for event in heard if isinstance(event, SaidPath)]
        ['exported', 'model', 'plots', 'report']
        >>> heard[-1].text
        'Finished in ... s.'
    """
    metrics = run.metrics
    print_metrics(run, examples.task)
    print_undrawable(examples.class_names)
    print_exports(run)
    for name, path in (("model", run.model), ("plots", run.plots), ("report", run.report)):
        print_path(name, path)
    if load_config(run.options).preparation != PLAIN:
        print_text(
            "note      apps must fill transparent parts and stretch values as this run did, before they ask a file."
        )
    if "extraction" in metrics:
        _print_extraction(metrics["extraction"])
    for number, advice in enumerate(metrics["advice"]):
        print_text(f"{'' if number else 'try next':<10}{advice}")
    print_text(f"Finished in {metrics['seconds']['total']:.0f} s.")


def _print_extraction(extraction: dict[str, Any]) -> None:
    stages = ", ".join(f"{stage} {rate:,.0f}" for stage, rate in extraction["stage_rates"].items())
    print_text(
        f"extracted {extraction['views']:,} views of images at {extraction['rate']:,.0f} img/s by {extraction['engine']}, "
        f"which does {extraction['bare_forward_rate']:,.0f} alone; a thread's img/s: {stages}",
    )
