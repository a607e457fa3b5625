"""The training job from splits to the finished run: fit on training and validation, test once, export, verify, report."""

from __future__ import annotations

from collections.abc import Iterator

from app.evaluation.advice import flip_advice
from app.interface.events import print_text, whole
from app.job.finish import finish_run
from app.job.fit import PreparedRun, Splits, fit_run, prepare_run
from app.runs.folder import RunFolder
from app.tracking.tracked import tracked
from app.training.checkpoints import FitState
from app.training.devices import has_gpu
from app.training.keras_objects import KerasObjects
from data.examples import Examples


def carry_out(
    run: RunFolder,
    examples: Examples,
    splits: Splits,
    sha256: str,
    *,
    resumed: bool = False,
    objects: KerasObjects | None = None,
) -> None:
    """Carry out a run from splits to the end.

    Args:
        run: run whose folder is written.
        examples: examples of the run.
        splits: positions of the images in "train", "validation" and "test", each int (n,).
        sha256: hash over all images.
        resumed: the run was interrupted before; finished epochs are not trained again.
        objects: Keras objects of the caller, from `app.training.keras_objects.keras_objects`.

    Raises:
        UsageError, DataError, ModelError: the options do not fit the images or the backbone; nothing was trained.

    Examples:
        >>> import numpy as np
        >>> from data.sources import open_source
        >>> earlier, examples = RunFolder.open("runs/fruit"), open_source("images")
        >>> splits = {"train": np.arange(18), "validation": np.arange(18, 21), "test": np.arange(21, 24)}
        >>> run = RunFolder.create(earlier.options | {"backbone": "vgg"}, output="runs/carried_out")
        >>> carry_out(run, examples, splits, sha256="")
        Traceback (most recent call last):
        models.errors.ModelError: unknown backbone 'vgg'; 'list backbones' shows all of them. Did you mean vgg16 or vgg19?
        >>> run.write_options(earlier.options | {"target_recall": 0.9})
        >>> carry_out(run, examples, splits, sha256="")
        Traceback (most recent call last):
        app.interface.errors.UsageError: --target-recall takes two classes, or several labels an image; images has ...
    """
    prepared = prepare_run(run, examples, len(splits["train"]), sha256, resumed=resumed, objects=objects)
    _print_plan(run, splits, prepared)
    with tracked(run):
        fitted = fit_run(run, prepared, examples, {name: splits[name] for name in ("train", "validation")})
        finish_run(run, fitted, splits)


def _print_plan(run: RunFolder, splits: Splits, prepared: PreparedRun) -> None:
    plan = prepared.plan
    counts = ", ".join(f"{len(members):,} {split}" for split, members in splits.items())
    print_text(
        f"Run {whole(run.path)}: {plan.task}, {plan.backbone} at {plan.image_size} px, {plan.strategy}; {counts}.",
    )
    if prepared.mirrored is not None and plan.flip:
        print_text(f"Note: {flip_advice(prepared.mirrored)}")
    for line in _notes_on_devices(prepared):
        print_text(line)
    if prepared.resumed:
        print_text(f"Resuming {FitState.read(run).describe(prepared.phases)}.")


def _notes_on_devices(prepared: PreparedRun) -> Iterator[str]:
    plan, devices = prepared.plan, prepared.devices
    if devices:
        yield f"Each step is shared by {', '.join(devices)}."
    if plan.devices > max(1, len(devices)):
        yield f"Note: the run began on {plan.devices} devices, and TensorFlow finds {len(devices) or 1} here."
    if plan.mixed_precision and not has_gpu():
        yield "Note: --mixed-precision is for GPUs, and TensorFlow finds none; on CPUs it gained nothing where it was measured."
