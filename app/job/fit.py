"""The first half of a training job: build the model, and fit it on training and validation images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from app.config import RunConfig, load_config, recorded
from app.config.hyperrule import resolve, resolved
from app.config.plan import Plan
from app.evaluation.advice import describe_best, find_mirrored
from app.evaluation.results import (
    calibrate,
    check_operating_point,
)
from app.exporting.evaluation_sets import export_members
from app.interface.events import print_text
from app.interface.stages import status
from app.runs.folder import RunFolder
from app.tasks import TASKS
from app.tasks.task import OperatingPoint
from app.training.activations import Extractor
from app.training.devices import find_devices, shared_by
from app.training.fit_data import FitData
from app.training.fitting import check_mixing, fit
from app.training.keras_objects import KerasObjects
from app.training.phases import Phase
from app.training.strategies import STRATEGIES
from data.cache.cache import Cache
from data.examples import Examples
from data.files import atomic_write
from data.image.augmentation import AUGMENTATIONS
from data.image.transform import ImageTransform
from data.loading import Loader
from data.pipeline import naming_errors
from models.backbones import find_backbone
from models.backbones.spec import BACKBONE_LAYER, BackboneSpec
from models.builder import build_model, load_model
from models.freezing import blocks_of

Splits = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to be fitted.

    Attributes:
        model: the model before its first step.
        plan: the resolved options.
        point: goal of the thresholds.
        phases: phases of the strategy, with the Keras objects of the caller.
        objects: Keras objects of the caller; None for no objects.
        devices: names of the devices that share each step; empty for one device.
        blocks: number of blocks of the backbone.
        mirrored: from `app.evaluation.advice.find_mirrored`.
        resumed: the run was interrupted before.
        started: start of the job, by `time.perf_counter`.
    """

    model: keras.Model
    plan: Plan
    point: OperatingPoint
    phases: list[Phase]
    objects: KerasObjects | None
    devices: tuple[str, ...]
    blocks: int
    mirrored: tuple[str, str] | None
    resumed: bool
    started: float


@dataclass(frozen=True)
class FittedRun:
    """Result of `fit_run`, for `finish_run`.

    Attributes:
        prepared: the fitted run; its model now has the best weights, calibrated, and so has `run.model`.
        data: data that the model was fitted on.
        best: the record of the epoch whose weights are kept.
        temperatures: of the calibrated outputs, (outputs,), or None.
        seconds: `extract`, and of each phase.
        extraction: what the extraction did, for the user; empty if nothing was extracted.
        is_cached: whether the frozen layers ran once for each view.
    """

    prepared: PreparedRun
    data: FitData
    best: dict[str, Any]
    temperatures: np.ndarray | None
    seconds: dict[str, float]
    extraction: dict[str, Any]
    is_cached: bool


def prepare_run(
    run: RunFolder,
    examples: Examples,
    train_size: int,
    sha256: str,
    *,
    resumed: bool = False,
    objects: KerasObjects | None = None,
) -> PreparedRun:
    """Resolve the options, build the model, and check that they are compatible, before anything is trained.

    Args:
        run: run whose folder gets the resolved options and the model.
        examples: examples of the run.
        train_size: number of training images.
        sha256: hash over all images.
        resumed: the run was interrupted before.
        objects: Keras objects of the caller, in place of Graft's own or besides them.

    Examples:
        >>> from app.interface.events import listening
        >>> from app.job.splits import open_examples
        >>> earlier = RunFolder.open("runs/fruit")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, _ = open_examples(earlier, source="images")
        ...     run = RunFolder.create(earlier.options, output="runs/prepared")
        ...     prepared = prepare_run(run, examples, train_size=18, sha256="")
        >>> [phase.name for phase in prepared.phases]
        ['head', 'fine_tune']
        >>> prepared.model.output_shape
        (None, 3)
    """
    started = time.perf_counter()
    config = load_config(run.options)
    keras.utils.set_random_seed(config.seed)
    spec = find_backbone(config.backbone)
    point = check_operating_point(examples, config)
    devices = find_devices(config.devices, resumed=resumed)
    if config.cutmix:
        TASKS[examples.task].check_cutmix()
    model = _starting_model(run, config, spec, examples)
    backbone = next((layer for layer in model.layers if layer.name == BACKBONE_LAYER), None)
    blocks = 0 if backbone is None else len(blocks_of(model, spec))
    plan = resolve(config, train_size=train_size, blocks=blocks, image_size=spec.image_size)
    run.write_options(recorded(resolved(config, plan)))
    if resumed and (run.path / "environment.json").exists():
        sha256 = run.environment["data_sha256"]  # images that were added later are not trained on
    run.write_environment(data_sha256=sha256, backbone_weights=(backbone or model).get_weights())
    phases = STRATEGIES[plan.strategy].phases(plan, spec)
    if objects is not None:
        objects = objects.fitted_to(TASKS[examples.task], len(examples.class_names))
        phases = objects.applied(phases, run)
    for phase in phases:  # raises now if a phase does not fit the backbone
        phase.trainable(model)
    return PreparedRun(model, plan, point, phases, objects, devices, blocks, find_mirrored(examples), resumed, started)


@status("building the model")
def _starting_model(run: RunFolder, config: RunConfig, spec: BackboneSpec, examples: Examples) -> keras.Model:
    """Return the model before its first step: built now, or as it was built when the run started.

    A resumed run reads it from its folder, since the source of pretrained weights may not be available any more.
    """
    if run.starting_model.exists():
        return load_model(run.starting_model)
    model = build_model(
        spec,
        num_classes=len(examples.class_names),
        task=examples.task,
        image_size=config.image_size,
        weights=config.weights,
        head=config.head,
        dropout=config.dropout,
        seed=config.seed,
    )
    with atomic_write(run.starting_model) as temporary:
        model.save(temporary)
    return model


def fit_run(run: RunFolder, prepared: PreparedRun, examples: Examples, splits: Splits) -> FittedRun:
    """Fit the model of a run, calibrate and save it.

    Args:
        run: run whose folder gets the history, checkpoints and the model.
        prepared: from `prepare_run`.
        examples: examples of the run.
        splits: positions of the images in "train" and "validation", each int (n,). A fit must not see the test split.

    Examples:
        >>> from app.interface.events import listening
        >>> from app.job.splits import open_examples
        >>> from data.splits import split_indices
        >>> earlier = RunFolder.open("runs/fruit")
        >>> run = RunFolder.create(earlier.options | {"strategy": "feature_extraction"}, output="runs/fitted")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, splits = open_examples(earlier, source="images")
        ...     prepared = prepare_run(run, examples, train_size=18, sha256="")
        ...     fitted = fit_run(run, prepared, examples, split_indices(splits))
        >>> fitted.best["phase"], fitted.best["epoch"]
        ('head', 1)
        >>> run.model.is_file()
        True
    """
    plan, phases = prepared.plan, prepared.phases
    loader = Loader(examples, _transform(plan, prepared.model.input_shape[1]))
    loader.keep(export_members(splits))
    data = _fit_data(plan, loader, splits)
    extractor = _extractor(plan, data)
    check_mixing(prepared.model, phases, mixup=plan.mixup, cutmix=plan.cutmix, cached=extractor is not None)
    if prepared.objects is not None:
        prepared.objects.check_phases(phases, cached=extractor is not None)
    best, temperatures = _fit(run, prepared, data, extractor)
    if prepared.devices:  # exports take variables of one device
        prepared = replace(prepared, model=load_model(run.model))
    return FittedRun(
        prepared=prepared,
        data=data,
        best=best,
        temperatures=temperatures,
        seconds={"extract": extractor.seconds if extractor else 0.0, **_seconds_of(phases, run)},
        extraction=extractor.report if extractor else {},
        is_cached=extractor is not None,
    )


def _fit(
    run: RunFolder, prepared: PreparedRun, data: FitData, extractor: Extractor | None
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Train and save the model; return the record of the best epoch, and the temperatures of calibration."""
    plan, phases, temperatures = prepared.plan, prepared.phases, None
    with shared_by(prepared.devices), naming_errors(data.loader):
        model = load_model(run.starting_model) if prepared.devices else prepared.model
        best, inputs = fit(model, phases, data, run, extractor, precision=plan.mixed_precision)
        print_text(f"{'kept':<10}{describe_best(best, run.history, data.task.metric)}.")
        if plan.calibrate:
            temperatures = calibrate(model, inputs, data.loader.examples.labels.array[data.validation])
    with atomic_write(run.model) as temporary:
        keras.Model(model.input, model.output, name=model.name).save(temporary)  # without optimizer and loss
    return best, temperatures


def _seconds_of(phases: list[Phase], run: RunFolder) -> dict[str, float]:
    return {phase.name: sum(one["seconds"] for one in run.history if one["phase"] == phase.name) for phase in phases}


def _transform(plan: Plan, image_size: int) -> ImageTransform:
    augmentation = AUGMENTATIONS[plan.augment]
    return ImageTransform(image_size, plan.resize, augmentation if plan.flip else augmentation.without_flip())


def _fit_data(plan: Plan, loader: Loader, splits: Splits) -> FitData:
    return FitData(
        loader=loader,
        train=splits["train"],
        validation=splits["validation"],
        batch_size=plan.batch_size,
        weights=_weights(plan, loader.examples, splits["train"]),
        seed=plan.seed,
        views=plan.views,
        mixup=plan.mixup,
        cutmix=plan.cutmix,
    )


def _weights(plan: Plan, examples: Examples, train: np.ndarray) -> np.ndarray | None:
    """Return the weights of the source and of `--class-weights`, with a mean of 1 over the training images."""
    if not plan.class_weights:
        return None if examples.weights is None else examples.weights / examples.weights[train].mean()
    weights = np.ones(len(examples), np.float32) if examples.weights is None else examples.weights.copy()
    weights[train] *= TASKS[examples.task].class_weights(examples.labels.array[train])
    scaled: np.ndarray = weights / weights[train].mean()
    return scaled


def _extractor(plan: Plan, data: FitData) -> Extractor | None:
    """Return the extractor of the frozen layers; None if every epoch uses new views, or nothing may be kept."""
    if data.loader.transform.is_live or not plan.cache_limit:
        return None
    cache = Cache(plan.cache_folder).activations(plan.cache_limit)
    return Extractor(data.loader, cache, backbone=plan.backbone, engine=plan.engine)
