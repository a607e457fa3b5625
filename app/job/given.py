"""What a caller in Python gives to a run besides its options: a model, and Keras objects."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config import RunConfig
from app.config.values import fit_value
from app.interface.errors import UsageError
from app.interface.events import print_text
from app.interface.stages import status
from app.interface.tensorflow_loading import load_tensorflow
from app.runs.folder import RunFolder
from app.runs.keras_record import check_resumed, write_record
from app.tasks import TASKS
from data.errors import DataError
from data.examples import Examples
from data.files import atomic_write
from data.remarks import listed
from models.backbones import OWN_PREFIX
from models.errors import ModelError
from models.lazy import LazyModule

if TYPE_CHECKING:
    import keras

    from app.training import keras_objects
    from models import builder, trainable
else:
    builder, trainable = LazyModule("models.builder"), LazyModule("models.trainable")
    keras_objects = LazyModule("app.training.keras_objects")

_OF_BACKBONES = ("backbone", "weights", "head", "dropout")
_OF_PHASES = ("strategy", "head_epochs", "unfreeze_blocks", "unfreeze_from", "deeper_blocks", "train_batch_norm")
_OF_OBJECTS = {
    "loss": ("label_smoothing",),
    "optimizer": ("head_learning_rate", "fine_tune_learning_rate", "weight_decay"),
}
_ONE_PHASE = "one_phase"


@dataclass(frozen=True)
class Given:
    """What a caller gives to a run besides its options.

    Attributes:
        model: the caller's model; after `resolved`, the model to train. None for one that is built.
        backbone_layer: its pretrained part.
        mean: what it expects to be subtracted from pixels.
        std: what it expects the difference to be divided by.
        objects: Keras objects; None for no objects.
        start: file with the model to train, of the folds of a run; None for no file.
    """

    model: keras.Model | None = None
    backbone_layer: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    objects: keras_objects.KerasObjects | None = None
    start: Path | None = None

    @classmethod
    def of(
        cls,
        options: Mapping[str, Any],
        *,
        model: Any = None,
        backbone_layer: Any = None,
        mean: Any = (),
        std: Any = (),
        **objects: Any,
    ) -> Given:
        """Check what is given, by type and against the options.

        Args:
            options: options of `train` that are given.
            model: see `app.train`.
            backbone_layer: see `app.train`.
            mean: see `app.train`.
            std: see `app.train`.
            **objects: arguments of `app.training.keras_objects.keras_objects`.

        Raises:
            UsageError: something is of another type, or at odds with an option.

        Examples:
            >>> Given.of({}).model is None
            True
            >>> Given.of({}, backbone_layer="base")
            Traceback (most recent call last):
            app.interface.errors.UsageError: backbone_layer is about a model of your own; give it with model=
        """
        about = {"backbone_layer": backbone_layer, "mean": mean, "std": std}
        if model is not None:
            _check_model(model, options, backbone_layer)
        elif given := [name for name, value in about.items() if value not in (None, ())]:
            raise UsageError(f"{given[0]} is about a model of your own; give it with model=")
        found = None
        if any(one is not None for one in objects.values()):
            load_tensorflow()
            found = keras_objects.keras_objects(**objects)
        _check_options(options, objects)
        return cls(
            model,
            fit_value("backbone_layer", backbone_layer, str | None),
            fit_value("mean", mean, tuple[float, ...]),
            fit_value("std", std, tuple[float, ...]),
            found,
        )

    @property
    def record(self) -> dict[str, Any]:
        """What the run folder says of the Keras objects."""
        return {} if self.objects is None else self.objects.record()

    def resolved(self, config: RunConfig, examples: Examples) -> tuple[RunConfig, Given]:
        """Bring the model into the form that is trained, and print what was inferred from it.

        Args:
            config: options of the run, as given.
            examples: examples of the run.

        Returns:
            The options with what follows from the model, and what is given with the model to train.

        Raises:
            DataError, ModelError: the model does not fit the examples, or cannot be trained.

        Examples:
            >>> import keras
            >>> from app.config import load_config
            >>> from app.interface.events import listening
            >>> from data.sources import open_source
            >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(name="flat"), keras.layers.Dense(3, "softmax")]
            >>> given = Given.of({}, model=keras.Sequential(layers, name="mine"))
            >>> with listening([].append, alone=True):  # prints nothing
            ...     config, given = given.resolved(load_config({"source": "images"}), open_source("images"))
            >>> config.backbone, config.image_size, config.strategy
            ('own:mine', 8, 'one_phase')
            >>> [layer.name for layer in given.model.layers]
            ['pixels', 'flat', 'logits']
        """
        if self.objects is not None and self.objects.loss is not None:
            config = replace(config, label_smoothing=0.0)
        if self.model is None:
            return config, self
        if not TASKS[examples.task].decides:
            raise DataError(f"{examples.source} holds numbers; models of your own are trained if they predict classes")
        name = re.sub(r"\W+", "_", self.model.name)
        with status("copying the model"):
            found = trainable.trainable_model(
                self.model,
                task=examples.task,
                num_classes=len(examples.class_names),
                name=name,
                image_size=config.image_size,
                mean=self.mean,
                std=self.std,
                backbone_layer=self.backbone_layer,
            )
        print_text(f"{_inferred(name, found, self.backbone_layer)} They stand for {listed(examples.class_names)}.")
        return _config_of(config, found, name, self.backbone_layer), replace(self, model=found.model)

    def write(self, run: RunFolder) -> None:
        """Write the model to train into the run folder, which must have a place for checkpoints, and the record.

        Raises:
            ModelError: the model cannot be saved or loaded again, so that the run could not be exported.
        """
        write_record(run, self.record)
        if self.start is not None:
            run.checkpoints.mkdir(exist_ok=True)
            with atomic_write(run.starting_model) as temporary:
                shutil.copyfile(self.start, temporary)
        elif self.model is not None:
            run.checkpoints.mkdir(exist_ok=True)
            _save(self.model, run)

    def of_folds(self, whole: RunFolder) -> Given:
        """Return what each fold of a run is given: the same starting model, from the folder of the whole."""
        return replace(self, model=None, start=whole.starting_model if whole.starting_model.is_file() else None)

    def check_resumed(self, run: RunFolder) -> None:
        """Check that an interrupted run is continued with what it began with.

        Raises:
            UsageError: a model is given, or other Keras objects than the run began with.
        """
        if self.model is not None:
            raise UsageError(f"{run.path} has its model; leave out model= to resume it")
        check_resumed(run, self.record)
        if self.objects is not None and self.objects.callbacks:
            print_text("Callbacks begin again: what they held when the run was interrupted is not in its folder.")


def _check_model(model: Any, options: Mapping[str, Any], backbone_layer: str | None) -> None:
    if not hasattr(model, "layers") or not hasattr(model, "get_config"):
        raise UsageError(
            f"model must be a Keras model, not {model!r}; a .keras file is loaded by keras.saving.load_model"
        )
    for name in _OF_BACKBONES:
        if options.get(name) is not None:
            raise UsageError(
                f"{name}= is about a network that Graft builds, and model= brings its own; give one of them"
            )
    for name in () if backbone_layer else _OF_PHASES:
        if options.get(name) not in (None, _ONE_PHASE):
            raise UsageError(f"{name}= is about a backbone; say with backbone_layer= which layer of model= that is")


def _check_options(options: Mapping[str, Any], objects: Mapping[str, Any]) -> None:
    for name, replaced in _OF_OBJECTS.items():
        for option in replaced:
            if objects.get(name) is not None and options.get(option) is not None:
                raise UsageError(f"{option}= is about Graft's own {name}, and {name}= brings yours; give one of them")


def _inferred(name: str, found: trainable.TrainableModel, backbone_layer: str | None) -> str:
    """Return in words what was inferred from a model."""
    end = "" if found.end == "linear" else f", before the {found.end}"
    parts = [f"{name}: a copy is trained; its logits are the values of {found.logits!r}{end}"]
    if backbone_layer is not None:
        parts.append(f"its backbone is {backbone_layer!r}, its head all that follows")
    else:
        layers = [one.name for one in found.model.layers if one.trainable_weights]
        parts.append(f"what is trainable is in {', '.join(layers[:3])}{' …' if len(layers) > 3 else ''}")
    if not found.is_dense:
        parts.append("they are not calibrated, since no dense layer gives them")
    return f"{'; '.join(parts)}."


def _config_of(config: RunConfig, found: trainable.TrainableModel, name: str, backbone_layer: str | None) -> RunConfig:
    one_phase = backbone_layer is None
    rate = config.fine_tune_learning_rate
    if one_phase and rate is None and _is_head(found.model):
        rate = config.head_learning_rate
    return replace(
        config,
        backbone=f"{OWN_PREFIX}{name}",
        image_size=found.model.input_shape[1],
        head="own",
        dropout=0.0,
        strategy=_ONE_PHASE if one_phase else config.strategy,
        fine_tune_learning_rate=rate,
        calibrate=config.calibrate and found.is_dense,
    )


def _is_head(model: keras.Model) -> bool:
    """Whether only dense layers train, which take a higher rate than pretrained ones."""
    return all(len(weight.shape) <= 2 for weight in model.trainable_weights)


def _save(model: keras.Model, run: RunFolder) -> None:
    try:
        with atomic_write(run.starting_model) as temporary:
            model.save(temporary)
        builder.load_model(run.starting_model)
    except (ModelError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{model.name} cannot be saved and loaded again: {reason}. Give each class of your own "
            "@keras.saving.register_keras_serializable() and a get_config, and use layers in place of Lambda"
        ) from error
