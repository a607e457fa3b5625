"""Run folders for Keras models that were trained elsewhere, so that they are exported and verified like Graft's own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from app.config import ExportConfig, RunConfig, recorded
from app.interface.errors import UsageError
from app.interface.events import print_text
from app.interface.sources import in_classes_of, open_readable
from app.interface.stages import status
from app.job.splits import choose_splits, write_examples
from app.prediction.label_files import read_label_file
from app.runs.folder import RunFolder, check_free
from app.tasks import TASKS
from data.errors import DataError
from data.examples import Examples
from data.files import atomic_write
from data.remarks import listed
from data.sources import DEFAULTS, absolute_source
from models.adopting import adopt
from models.backbones import OWN_PREFIX
from models.builder import load_model


class AdoptedRun(NamedTuple):
    """A run with a model from elsewhere, its images, and the split of each."""

    run: RunFolder
    examples: Examples
    splits: np.ndarray


def adopt_as_run(config: ExportConfig, model: keras.Model | None = None) -> AdoptedRun:
    """Create a run folder for a model, with the images that its exports are calibrated and verified on.

    Args:
        config: options of `export`, whose `run` names the model.
        model: the model; None to load it from the file `config.run`.

    Returns:
        A run with a model, classes and splits, but no figures: Graft did not train it.

    Raises:
        UsageError, DataError, ModelError: no images are given, or they do not fit the model; nothing is left behind.

    Examples:
        >>> from app.config import make_config
        >>> from app.interface.events import listening
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
        >>> model = keras.Sequential(layers, name="mine")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     run, *_ = adopt_as_run(make_config(ExportConfig, run="mine", data="images", output="runs/mine"), model)
        >>> run.class_names, run.options["backbone"]
        (('apple', 'banana', 'cherry'), 'own:mine')
        >>> adopt_as_run(make_config(ExportConfig, run="mine"), model)
        Traceback (most recent call last):
        app.interface.errors.UsageError: name images of the classes of mine with --data: exports are verified on them
    """
    if config.data is None:
        raise UsageError(f"name images of the classes of {config.run} with --data: exports are verified on them")
    if config.output is not None:
        check_free(Path(config.output).expanduser())
    if model is None:
        with status("loading the model"):
            model = load_model(Path(config.run).expanduser())
    options = replace(DEFAULTS, task=config.task)
    examples, sha256 = open_readable(config.data, options, skip_unreadable=False)
    examples = _with_names(examples, config)
    name = re.sub(r"\W+", "_", Path(config.run).stem)
    adopted = adopt(
        model,
        name=name,
        task=examples.task,
        num_classes=len(examples.class_names),
        image_size=config.image_size,
        mean=config.mean,
        std=config.std,
    )
    print_text("Accuracies below compare the files with the model, which may have been trained on these images.")
    recording = RunConfig(
        source=absolute_source(config.data),
        task=examples.task,
        backbone=f"{OWN_PREFIX}{name}",
        image_size=adopted.input_shape[1],
        resize=config.resize or "stretch",
    )
    examples, splits = choose_splits(examples, recording)
    run = RunFolder.create(recorded(recording), output=config.output)
    write_examples(run, examples, splits)
    run.write_thresholds(TASKS[examples.task].usual_thresholds(len(examples.class_names)))
    run.write_environment(data_sha256=sha256, backbone_weights=adopted.get_weights())
    with atomic_write(run.model) as temporary:
        adopted.save(temporary)
    run.remove_checkpoints()
    return AdoptedRun(run, examples, splits)


def _with_names(examples: Examples, config: ExportConfig) -> Examples:
    """Return the images with the classes in the order of the model's values."""
    if not TASKS[examples.task].decides:
        raise DataError(f"{examples.source} holds numbers; models from elsewhere are exported if they predict classes")
    if config.labels is None:
        print_text(f"The model's values are taken to be, in this order: {listed(examples.class_names)} (--labels).")
        return examples
    names, _ = read_label_file(Path(config.labels).expanduser())
    return in_classes_of(examples, names)
