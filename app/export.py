"""Exports a run's model again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.config import ExportConfig, make_config
from app.console import chatter_to, status
from app.exporting.formats import check_exportable, resolve_exports
from app.exporting.metadata import absolute_locales, read_locales
from app.exporting.summary import say_exports
from app.pictures import open_readable
from app.runs import Run
from app.splits import say_changed
from app.starting import start_tensorflow
from data.splits import read_splits, split_indices


def export(run: str, **options: Any) -> dict[str, Any]:
    """Write a run's export folder anew and prove the files; an earlier export is replaced only by a complete one.

    Args:
        run: folder of a finished run.
        **options: the fields of `app.config.ExportConfig`.

    Returns:
        The content of `parity.json`.

    Raises:
        UsageError, DataError: no such run, or its pictures, which the proof needs, are gone.
        GateError: a file does not answer like the Keras model.
    """
    config = make_config(ExportConfig, run=run, **options)
    opened = Run.open(config.run)
    model_path = opened.require(opened.model)
    trained = opened.config
    source = config.source or trained.source
    assert source is not None
    pictures, _ = open_readable(
        source,
        trained.source_options,
        skip_unreadable=trained.skip_unreadable,
        cache_folder=trained.cache_folder,
        preparation=trained.preparation,
    )
    pictures, splits = read_splits(opened.splits, pictures)
    say_changed(opened, pictures)
    indices = split_indices(splits)
    formats, quantize = resolve_exports(config.formats, config.quantize)
    resolved = replace(
        trained,
        formats=formats,
        quantize=quantize,
        max_drop=config.max_drop,
        author=config.author,
        model_version=config.model_version,
        score_threshold=config.score_threshold,
        locales=absolute_locales(config.locales),
    )
    read_locales(resolved.locales, len(pictures.class_names))
    check_exportable(formats, backbone=trained.backbone, task=pictures.task)
    with chatter_to(opened.log):
        start_tensorflow()
        from app.evaluation.answers import predictor
        from app.evaluation.report import write_report
        from app.exporting.exports import write_exports
        from data.pipeline import PictureLoader
        from models.builder import load_model

        with status("loading the model"):
            model = load_model(model_path)
        loader = PictureLoader(pictures, model.input_shape[1], trained.resize)
        asked = ("validation", "test") if quantize == "auto" else ("test",)
        predict = predictor(model, loader, trained.batch_size)
        answers = {split: predict(indices[split]) for split in asked}
        write_exports(model, opened, resolved, pictures, indices, answers)
        opened.write_config(resolved)
        if opened.is_finished:  # the report tells of the exported files, and is what marks a run as finished
            write_report(opened)
    say_exports(opened)
    opened.check_parity()
    return opened.parity
