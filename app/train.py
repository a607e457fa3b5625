"""The main job: labelled pictures become a tested model and files for phones and servers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config import TrainConfig, make_config
from app.console import chatter_to, console, print_path, status, whole
from app.errors import BAD_INPUT, Interrupted, UsageError, is_disk_full
from app.exporting.formats import check_exportable
from app.exporting.metadata import absolute_locales, read_locales
from app.exporting.summary import say_exports
from app.folds import train_folds
from app.pictures import open_readable, refuse_leakage
from app.program import command
from app.runs import Run, check_free, write_text, written_whole
from app.splits import choose_splits, keep_images, splits_of
from app.starting import start_tensorflow
from app.training.cache import open_cache
from app.training.hyperrule import resolve
from app.training.strategies import STRATEGIES
from data.pictures import REGRESSION, SINGLE_LABEL, PictureSet
from data.preparing import PLAIN
from data.sources import absolute_source
from data.splits import split_indices, write_splits
from models.backbones import find_backbone

if TYPE_CHECKING:
    import keras
    import numpy as np

    from app.training.activations import Extractor
    from app.training.inputs import FitData
    from data.pipeline import PictureLoader
    from models.backbones.spec import BackboneSpec


def train(source: str | None = None, *, resume: str | None = None, **options: Any) -> Run:
    """Train a classifier, test it once, export it, and prove the exports.

    Args:
        source: a SOURCE string: a folder, `sample:digits` or `tfds:NAME`.
        resume: the folder of an interrupted run to continue, instead of a source.
        **options: the fields of `app.config.TrainConfig`.

    Returns:
        The finished run.

    Raises:
        UsageError, DataError, ModelError: bad input; nothing is left behind.
        GateError: the run is complete, but an exported file does not answer like the model.
        Interrupted: Ctrl-C or SIGTERM; the text says how to continue.
    """
    config = make_config(TrainConfig, source=source, resume=resume, **options)
    if resume is not None:
        return _continue(config)
    if config.source is None:
        raise UsageError("name the pictures to train on, or an interrupted run with --resume")
    if config.output is not None:
        check_free(Path(config.output).expanduser())
    pictures, sha256 = _open_source(config)
    pictures.require_classes()
    if not config.allow_leakage:
        refuse_leakage(pictures, config.source_options)
    # The run may be continued from another folder.
    config = replace(
        config,
        task=pictures.task,
        source=absolute_source(config.source),
        validation=absolute_source(config.validation) if config.validation else None,
        test=absolute_source(config.test) if config.test else None,
        image_folder=os.path.abspath(os.path.expanduser(config.image_folder)) if config.image_folder else None,
        locales=absolute_locales(config.locales),
    )
    read_locales(config.locales, len(pictures.class_names))  # what is wrong with them is to be said now
    check_exportable(config.formats or (), backbone=config.backbone, task=pictures.task)
    if not config.is_of_folds:
        return _begin(config, pictures, sha256)
    run = Run.create(config)
    with run.in_use():
        return _train_folds(run, pictures, sha256)


def _begin(config: TrainConfig, pictures: PictureSet, sha256: str) -> Run:
    pictures, splits = choose_splits(pictures, config)
    run = Run.create(config)
    with run.in_use():
        return _start(run, pictures, splits, sha256)


def _start(run: Run, pictures: PictureSet, splits: np.ndarray, sha256: str) -> Run:
    write_text(run.path / "classes.txt", "".join(f"{name}\n" for name in pictures.class_names))
    write_text(run.path / "splits.csv", write_splits(pictures, splits))
    try:
        return _carry_out(run, pictures, splits, sha256)
    except (*BAD_INPUT, OSError):
        if not run.history:  # found bad before anything was trained: leave no half run in the way of the next try
            run.remove()
        raise


def _continue(given: TrainConfig) -> Run:
    if replace(given, resume=None) != TrainConfig():
        raise UsageError("--resume takes every option from the run; give it alone")
    assert given.resume is not None
    run = Run.open(given.resume)
    with run.in_use():
        return _take_up(run)


def _take_up(run: Run) -> Run:
    if run.is_finished:
        raise UsageError(f"{run.path} is finished; there is nothing to resume")
    config = run.config
    pictures, sha256 = _open_source(config)
    if config.is_of_folds:
        return _train_folds(run, pictures, sha256)
    if (run.path / "splits.csv").exists():
        return _go_on(run, pictures, sha256)
    if not config.allow_leakage:  # it was interrupted before it had begun
        refuse_leakage(pictures, config.source_options)
    return _start(run, *choose_splits(pictures, config), sha256)


def _go_on(run: Run, pictures: PictureSet, sha256: str) -> Run:
    pictures, splits = splits_of(run, pictures)
    run.checkpoints.mkdir(exist_ok=True)  # gone if the run was finished once, and its report deleted
    return _carry_out(run, pictures, splits, sha256, resumed=True)


def _train_folds(run: Run, pictures: PictureSet, sha256: str) -> Run:
    with _resumable(run):
        return train_folds(run, pictures, sha256, begin=_begin, go_on=_go_on)


def _open_source(config: TrainConfig) -> tuple[PictureSet, str]:
    """The pictures, each read once; those that were decoded before are not decoded again."""
    assert config.source is not None
    return open_readable(
        config.source,
        config.source_options,
        skip_unreadable=config.skip_unreadable,
        cache_folder=config.cache_folder,
        preparation=config.preparation,
    )


def _carry_out(run: Run, pictures: PictureSet, splits: np.ndarray, sha256: str, *, resumed: bool = False) -> Run:
    """From splits to the finished run; epochs that an interrupted run has finished are not trained again."""
    with _resumable(run), chatter_to(run.log):
        start_tensorflow()
        import keras

        from app.evaluation.advice import Measured, advise, describe_best, find_mirrored, flip_advice
        from app.evaluation.answers import predictor
        from app.evaluation.fonts import say_undrawable
        from app.evaluation.report import write_report
        from app.evaluation.results import (
            calibrate,
            calibration_figures,
            check_goal,
            judge,
            say_metrics,
            write_plots,
        )
        from app.evaluation.samples import write_samples
        from app.exporting.exports import write_exports
        from app.tasks import TASKS
        from app.training.checkpoints import FitState
        from app.training.fitting import fit, improves
        from app.training.mixing import check_mixing
        from data.pipeline import PictureLoader
        from models.freezing import blocks_of

        started = time.perf_counter()
        indices = split_indices(splits)
        keras.utils.set_random_seed(run.config.seed)
        spec = find_backbone(run.config.backbone)
        goal = check_goal(pictures, run.config)
        if run.config.cutmix and pictures.task == REGRESSION:
            raise UsageError("--cutmix is for classes: a part of a picture has no part of its numbers; take --mixup")
        model = _starting_model(run, spec, pictures)
        blocks = len(blocks_of(model, spec))
        config = resolve(run.config, train_size=len(indices["train"]), blocks=blocks, image_size=spec.image_size)
        run.write_config(config)
        if resumed and (run.path / "environment.json").exists():
            sha256 = run.environment["data_sha256"]  # images that came later are not trained on
        run.write_environment(data_sha256=sha256, backbone_weights=model.get_layer("backbone").get_weights())
        phases = STRATEGIES[config.strategy].phases(config, spec)
        for phase in phases:  # what does not fit the backbone is to be said now, not when a phase begins
            phase.prepare(model)
        _say_plan(run, config, indices)
        mirrored = find_mirrored(pictures)
        if mirrored is not None and config.flip:
            console.print(f"Note: {flip_advice(mirrored)}")
        if resumed:
            console.print(f"Resuming {FitState.read(run).describe(phases)}.")

        loader = PictureLoader(pictures, model.input_shape[1], config.resize)
        data = _fit_data(config, loader, indices)
        extractor = _extractor(config, data)
        check_mixing(model, phases, mixup=config.mixup, cutmix=config.cutmix, cached=extractor is not None)
        with loader.naming_errors():
            best, inputs = fit(model, phases, data, run, extractor)
        task = TASKS[pictures.task]
        console.print(f"{'kept':<10}{describe_best(best, run.history, task.metric)}.")
        predict = predictor(model, loader, config.batch_size)
        temperatures = None
        if config.calibrate:
            with loader.naming_errors():
                temperatures = calibrate(model, inputs, pictures.labels[indices["validation"]])
        with written_whole(run.model) as temporary:
            keras.Model(model.input, model.output, name=model.name).save(temporary)  # without optimizer and loss
        fitted = time.perf_counter()
        answers = {split: predict(indices[split]) for split in ("validation", "test")}
        metrics, thresholds = judge(pictures, indices, answers, goal)
        metrics["best"] = best
        metrics["calibration"] = calibration_figures(pictures, indices, answers, temperatures)
        run.write_thresholds(thresholds)
        evaluated = time.perf_counter()
        if config.keep_images:
            keep_images(run, pictures, indices)
        write_exports(model, run, config, pictures, indices, answers)
        exported = time.perf_counter()

        if extractor and extractor.report:
            metrics["extraction"] = extractor.report
        metrics["seconds"] = {
            "total": exported - started,
            "extract": extractor.seconds if extractor else 0.0,
            **{
                phase.name: sum(one["seconds"] for one in run.history if one["phase"] == phase.name) for phase in phases
            },
            "evaluate": evaluated - fitted,
            "export": exported - evaluated,
        }
        metrics["advice"] = advise(
            Measured(
                config=config,
                metric=task.metric,
                history=run.history,
                best=best,
                still_improves=improves(run.history),
                blocks=blocks,
                seconds=metrics["seconds"],
                pictures=pictures.subset(indices["validation"]),
                validation=metrics["validation"],
                probabilities=answers["validation"],
                mirrored=mirrored,
            )
        )
        run.write_metrics(metrics)
        write_samples(run, data, indices, cached=extractor is not None)
        write_plots(run, loader, indices["test"], answers["test"], thresholds, temperatures)
        write_report(run)  # from here on the run is finished
        if not config.keep_checkpoints:
            run.remove_checkpoints()
    say_metrics(run, pictures.task)
    say_undrawable(pictures.class_names)
    _say_results(run)
    run.check_parity()
    return run


@status("building the model")
def _starting_model(run: Run, spec: BackboneSpec, pictures: PictureSet) -> keras.Model:
    """The model before its first step: built, or as it was built when the run began.

    A resumed run reads it back, since the source of pretrained weights may be out of reach by then.
    """
    from models.builder import build_model, load_model

    config = run.config
    if run.starting_model.exists():
        return load_model(run.starting_model)
    model = build_model(
        spec,
        num_classes=len(pictures.class_names),
        task=pictures.task,
        image_size=config.image_size,
        weights=spec.resolve_weights(config.weights),
        head=config.head,
        dropout=config.dropout,
        seed=config.seed,
    )
    with written_whole(run.starting_model) as temporary:
        model.save(temporary)
    return model


def _fit_data(config: TrainConfig, loader: PictureLoader, indices: dict[str, np.ndarray]) -> FitData:
    from app.training.inputs import FitData
    from data.augmentation import AUGMENTATIONS

    assert config.views is not None  # resolved by `hyperrule`
    augmentation = AUGMENTATIONS[config.augment]
    return FitData(
        loader=loader,
        train=indices["train"],
        validation=indices["validation"],
        batch_size=config.batch_size,
        augmentation=augmentation if config.flip else augmentation.without_flip(),
        weights=_weights(config, loader.pictures, indices["train"]),
        seed=config.seed,
        views=config.views,
        mixup=config.mixup,
        cutmix=config.cutmix,
    )


def _weights(config: TrainConfig, pictures: PictureSet, train: np.ndarray) -> np.ndarray | None:
    """Those of the source and of `--class-weights`, with a mean of 1 over the training pictures."""
    import numpy as np
    from sklearn.utils.class_weight import compute_sample_weight

    if not config.class_weights:
        return None if pictures.weights is None else pictures.weights / pictures.weights[train].mean()
    if pictures.task != SINGLE_LABEL:
        raise UsageError("--class-weights is for pictures of one class each; leave it out")
    weights = np.ones(len(pictures), np.float32) if pictures.weights is None else pictures.weights.copy()
    weights[train] *= compute_sample_weight("balanced", pictures.labels[train])
    return weights / weights[train].mean()


def _extractor(config: TrainConfig, data: FitData) -> Extractor | None:
    """What runs the frozen layers once a picture; None where every epoch is to see new pictures, or nothing may be kept."""
    from app.training.activations import Extractor

    if data.augmentation.live or not config.cache_limit:
        return None
    cache = open_cache(config.cache_folder, config.cache_limit)
    return Extractor(data.loader, data.augmentation, cache, backbone=config.backbone, engine=config.engine)


def _say_plan(run: Run, config: TrainConfig, indices: dict[str, np.ndarray]) -> None:
    counts = ", ".join(f"{len(members):,} {split}" for split, members in indices.items())
    console.print(
        f"Run {whole(run.path)}: {config.task}, {config.backbone} at {config.image_size} px, {config.strategy}; {counts}.",
    )


def _say_results(run: Run) -> None:
    metrics = run.metrics
    say_exports(run)
    for name, path in (("model", run.model), ("pictures", run.plots), ("report", run.report)):
        print_path(name, path)
    if run.config.preparation != PLAIN:
        console.print(
            "note      apps must fill transparent parts and stretch values as this run did, before they ask a file."
        )
    if "extraction" in metrics:
        _say_extraction(metrics["extraction"])
    for number, advice in enumerate(metrics["advice"]):
        console.print(f"{'' if number else 'try next':<10}{advice}")
    console.print(f"Finished in {metrics['seconds']['total']:.0f} s.")


def _say_extraction(extraction: dict[str, Any]) -> None:
    stages = ", ".join(f"{stage} {rate:,.0f}" for stage, rate in extraction["stage_rates"].items())
    console.print(
        f"extracted {extraction['views']:,} views of pictures at {extraction['rate']:,.0f} img/s by {extraction['engine']}, "
        f"which does {extraction['bare_forward_rate']:,.0f} alone; a thread's img/s: {stages}",
    )


@contextmanager
def _resumable(run: Run) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a full disk into an end that says how to continue."""

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
