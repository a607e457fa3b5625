"""Every option of every verb, with its default, its help and its check, in this one place.

The command line is made from these classes, and so are the keyword arguments of the functions in `app`. An option that
is None is derived from the data (`app.training.hyperrule`) or from the backbone.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar

from tyro.conf import Positional, arg

from app.errors import UsageError
from app.exporting.formats import DEFAULT_FORMATS, FORMATS
from app.training.engines import CHOICES
from app.training.strategies import STRATEGIES
from data.augmentation import AUGMENTATIONS
from data.decoding import RESIZES
from data.sources import SOURCES
from models.backbones import HUB_PREFIX, find_backbone
from models.heads import HEADS

SOURCE_HELP = "where the pictures are: " + "; ".join(f"{one.syntax}, {one.description}" for one in SOURCES.values())
MAX_IMAGE_SIZE = 2048  # three times what the largest network was made for; far above it no memory suffices
MAX_COUNT = 1_000_000  # of epochs, pictures a step and the like: more is a slip of the hand
MAX_THREADS = 256
MAX_SECONDS = 3600
MAX_MIXUP = 10  # nearly a half and a half of every pair
QUANTIZE = ("auto", "none")
CACHE_ACTIONS = ("show", "clear")
LISTS = ("backbones", "heads", "strategies", "sources", "formats", "engines")


def _option(text: str, table: Iterable[str] = (), *, metavar: str | None = None) -> Any:
    """Help of an option; the names of a table that it chooses from and its default are added."""
    names = ", ".join(table)
    return arg(
        help=f"{text}: {names}" if names else text,
        help_behavior_hint=lambda default: "" if default == "None" else f"(default: {default})",
        metavar=metavar,
    )


# Options that `train` and `export` share.
_Formats = Annotated[
    tuple[str, ...] | None,
    _option(f"what to export (default: {', '.join(DEFAULT_FORMATS)})", FORMATS, metavar="FORMAT..."),
]
_Quantize = Annotated[
    str | None,
    _option(
        "auto: also the smallest and fastest quantised file that passes its proof; none (default: auto, unless --formats "
        "names the files)",
        metavar="auto|none",
    ),
]
_MaxDrop = Annotated[float, _option("most accuracy that a quantised file, or a phone's client, may lose, in points")]
_Author = Annotated[str, _option("who made the model, for the files' metadata")]
_ModelVersion = Annotated[str, _option("version of the model, for the files' metadata")]
_ScoreThreshold = Annotated[
    float, _option("probability below which clients leave a class out of their answer, for the files' metadata")
]
_Locales = Annotated[
    tuple[str, ...],
    _option(
        "class names in other languages: de=labels_de.txt, one name a line, in label order", metavar="LOCALE=FILE..."
    ),
]

# Options that `train` and `cache` share.
_CacheFolder = Annotated[
    str | None,
    _option(
        "where activations of frozen backbones are kept (default: GRAFT_CACHE, or the system's place for caches)",
        metavar="FOLDER",
    ),
]


@dataclass(frozen=True)
class TrainConfig:
    """Train a classifier on labelled pictures, test it, export it and prove the exports."""

    source: Annotated[Positional[str | None], _option(SOURCE_HELP, metavar="[SOURCE]")] = None
    resume: Annotated[str | None, _option("continue this interrupted run; takes no other option", metavar="RUN")] = None
    output: Annotated[
        str | None,
        _option("folder of the run, new or empty (default: runs/, named after the source)", metavar="FOLDER"),
    ] = None

    backbone: Annotated[
        str, _option(f"pretrained network: a name from 'list backbones', or {HUB_PREFIX}HANDLE of TF Hub")
    ] = "efficientnet_lite0"
    weights: Annotated[
        str | None,
        _option(
            "imagenet, none, or a local .weights.h5, .h5 or .keras file (default: the backbone's pretrained ones)",
            metavar="NAME|FILE",
        ),
    ] = None
    head: Annotated[str, _option("new head", HEADS)] = "linear"
    dropout: Annotated[float, _option("part of the features dropped while training, from 0 to below 1")] = 0.3

    image_size: Annotated[
        int | None, _option("side of the pictures in pixels (default: the backbone's own)", metavar="INT")
    ] = None
    resize: Annotated[str, _option("how pictures become square", RESIZES)] = "stretch"
    augment: Annotated[str, _option("random changes to training pictures", AUGMENTATIONS)] = "default"
    views: Annotated[
        int | None,
        _option(
            "augmented views of each training picture that are kept (default: 2, or 1 where there is no room)",
            metavar="INT",
        ),
    ] = None
    mixup: Annotated[
        float,
        _option(
            "train on mixed pairs of pictures, or of what the frozen layers make of them: parameter of MixUp's Beta; 0: no"
        ),
    ] = 0.0
    flip: Annotated[
        bool, _option("mirror training pictures; --no-flip where left and right matter (digits, signs)")
    ] = True
    skip_unreadable: Annotated[bool, _option("leave out pictures that cannot be read instead of stopping")] = False
    validation_fraction: Annotated[float, _option("part of each class that chooses the best weights")] = 0.15
    test_fraction: Annotated[float, _option("part of each class that is kept for the final test")] = 0.15

    strategy: Annotated[str, _option("how to train", STRATEGIES)] = "two_phase"
    engine: Annotated[
        str,
        _option("what runs the frozen layers; auto: the fastest installed one that answers like TensorFlow", CHOICES),
    ] = "auto"
    batch_size: Annotated[int, _option("pictures a step")] = 32
    head_epochs: Annotated[
        int | None, _option("epochs of the head alone (default: by size of the data)", metavar="INT")
    ] = None
    head_learning_rate: Annotated[float, _option("peak learning rate of the head alone")] = 3e-3
    fine_tune_epochs: Annotated[
        int | None, _option("epochs after unfreezing (default: by size of the data)", metavar="INT")
    ] = None
    fine_tune_learning_rate: Annotated[
        float | None,
        _option("peak learning rate after unfreezing (default: by how much is unfrozen)", metavar="FLOAT"),
    ] = None
    unfreeze_blocks: Annotated[
        int | None,
        _option(
            "how many of the backbone's last blocks to unfreeze (default: one in twelve); more for pictures unlike photographs",
            metavar="INT",
        ),
    ] = None
    unfreeze_from: Annotated[
        str | None, _option("unfreeze from this layer up, instead of a number of blocks", metavar="LAYER")
    ] = None
    train_batch_norm: Annotated[
        bool, _option("also train the unfrozen BatchNormalization layers, which else stay in inference mode")
    ] = False
    label_smoothing: Annotated[
        float, _option("part of each label spread over all classes, against learning by heart")
    ] = 0.1
    weight_decay: Annotated[float, _option("decoupled weight decay after unfreezing")] = 0.05
    patience: Annotated[
        int | None, _option("epochs without a better validation before a phase ends early", metavar="INT")
    ] = None
    class_weights: Annotated[bool, _option("weigh rare classes up, so that each class counts the same")] = False
    seed: Annotated[int, _option("of splits, initial weights, order and augmentation")] = 0
    cache_folder: _CacheFolder = None
    cache_limit: Annotated[float, _option("largest size of the cache of activations, in GB; 0: no cache")] = 20

    formats: _Formats = None
    quantize: _Quantize = None
    max_drop: _MaxDrop = 0.5
    author: _Author = "unknown"
    model_version: _ModelVersion = "1"
    score_threshold: _ScoreThreshold = 0.0
    locales: _Locales = ()

    def check(self) -> None:
        """Raise `UsageError` or `ModelError` for what cannot be carried out."""
        _check_choice("head", self.head, HEADS)
        _check_choice("resize", self.resize, RESIZES)
        _check_choice("augment", self.augment, AUGMENTATIONS)
        _check_choice("strategy", self.strategy, STRATEGIES)
        _check_choice("engine", self.engine, CHOICES)
        _check_exports(self)
        for name in ("dropout", "label_smoothing"):
            share = getattr(self, name)
            _check(0 <= share < 1, f"--{name.replace('_', '-')} must be from 0 to below 1, not {share}")
        for name in ("validation_fraction", "test_fraction"):
            _check_positive(name, getattr(self, name), most=1)
        _check(
            self.validation_fraction + self.test_fraction < 1,
            "--validation-fraction and --test-fraction leave nothing to train on: together they must be below 1",
        )
        _check(0 <= self.mixup <= MAX_MIXUP, f"--mixup must be from 0 to {MAX_MIXUP}, not {self.mixup}")
        for name in ("batch_size", "views", "unfreeze_blocks", "patience", "head_epochs", "fine_tune_epochs"):
            _check_positive(name, getattr(self, name))
        _check_positive("image_size", self.image_size, most=MAX_IMAGE_SIZE)
        for name in ("head_learning_rate", "fine_tune_learning_rate"):
            _check_positive(name, getattr(self, name), most=1)
        _check(0 <= self.weight_decay < math.inf, f"--weight-decay must be a number from 0 up, not {self.weight_decay}")
        _check(0 <= self.cache_limit < math.inf, f"--cache-limit must be a number from 0 up, not {self.cache_limit}")
        _check(0 <= self.seed < 2**31, f"--seed must be from 0 to 2147483647, not {self.seed}")
        _check(
            not (self.unfreeze_blocks and self.unfreeze_from),
            "--unfreeze-blocks and --unfreeze-from say the same thing; give one of them",
        )
        if not self.backbone.startswith(HUB_PREFIX):  # what a SavedModel can take is known when it is loaded
            spec = find_backbone(self.backbone)
            spec.check(image_size=self.image_size or spec.image_size, weights=spec.resolve_weights(self.weights))


@dataclass(frozen=True)
class EvaluateConfig:
    """Test a run's model, on its own test split or on other labelled pictures."""

    run: Annotated[Positional[str], _option("folder of a finished run")]
    source: Annotated[
        Positional[str | None], _option("other pictures of the same classes, all of them used", metavar="SOURCE")
    ] = None
    batch_size: Annotated[int, _option("pictures a step")] = 32
    skip_unreadable: Annotated[bool, _option("leave out pictures that cannot be read instead of stopping")] = False

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        _check_positive("batch_size", self.batch_size)


@dataclass(frozen=True)
class PredictConfig:
    """Say what is on pictures."""

    model: Annotated[Positional[str], _option("a run folder, a .keras, .tflite or .onnx file, or a SavedModel folder")]
    paths: Annotated[Positional[tuple[str, ...]], _option("picture files, or folders of them")]
    top: Annotated[int, _option("how many classes to name for each picture")] = 1
    json: Annotated[bool, _option("print JSON, one object a picture, with every class's probability")] = False
    resize: Annotated[
        str | None,
        _option("how pictures become square (default: as the run did, else stretch)", RESIZES, metavar="STR"),
    ] = None
    batch_size: Annotated[int, _option("pictures a step")] = 32
    skip_unreadable: Annotated[bool, _option("leave out pictures that cannot be read instead of stopping")] = False

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        _check(bool(self.paths), "name at least one picture or folder to predict")
        _check_positive("top", self.top)
        _check_positive("batch_size", self.batch_size)
        if self.resize is not None:
            _check_choice("resize", self.resize, RESIZES)


@dataclass(frozen=True)
class ExportConfig:
    """Export a run's model again, and prove the files against it."""

    run: Annotated[Positional[str], _option("folder of a finished run")]
    formats: _Formats = None
    quantize: _Quantize = None
    max_drop: _MaxDrop = 0.5
    author: _Author = "unknown"
    model_version: _ModelVersion = "1"
    score_threshold: _ScoreThreshold = 0.0
    locales: _Locales = ()
    source: Annotated[str | None, _option("where the run's pictures are now, if they were moved", metavar="SOURCE")] = (
        None
    )

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        _check_exports(self)


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measure how fast model files answer on this machine, and how much memory they take."""

    files: Annotated[
        Positional[tuple[str, ...]],
        _option(
            ".tflite, .keras or .onnx files, SavedModel folders, or run folders, which stand for their model.keras and all "
            "of their exported files",
            metavar="FILE...",
        ),
    ]
    threads: Annotated[
        tuple[int, ...], _option("numbers of threads, each of them a row in the table", metavar="INT...")
    ] = (1, 2, 4)
    seconds: Annotated[float, _option("measured time of each row, after a warm-up; ten pictures in any case")] = 3.0
    output: Annotated[
        str | None,
        _option(
            "where to write the figures as JSON (default: benchmark.json in the run, if the first FILE is one and --json is "
            "not given)",
            metavar="FILE.json",
        ),
    ] = None
    json: Annotated[bool, _option("print the figures as JSON instead of the table")] = False

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        _check(bool(self.files), "name at least one model file or run folder to measure")
        _check(bool(self.threads), "--threads needs at least one number")
        for number in self.threads:
            _check_positive("threads", number, most=MAX_THREADS)
        _check_positive("seconds", self.seconds, most=MAX_SECONDS)
        _check(
            self.output is None or self.output.endswith(".json"), f"--output must be a .json file, not {self.output}"
        )


@dataclass(frozen=True)
class ListConfig:
    """Show what there is to choose from."""

    what: Annotated[Positional[str], _option("which list", LISTS)] = "backbones"

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        _check(self.what in LISTS, f"there is no list {self.what!r}. {_nearest(self.what, LISTS)}")


@dataclass(frozen=True)
class CacheConfig:
    """Show or empty the cache of activations, which lets a second run with the same backbone begin at once."""

    action: Annotated[Positional[str], _option("what to do", CACHE_ACTIONS)] = "show"
    cache_folder: _CacheFolder = None

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        near = _nearest(self.action, CACHE_ACTIONS)
        _check(self.action in CACHE_ACTIONS, f"the cache cannot {self.action!r}. {near}")


Config = TypeVar(
    "Config", TrainConfig, EvaluateConfig, PredictConfig, ExportConfig, BenchmarkConfig, ListConfig, CacheConfig
)


def make_config(kind: type[Config], **options: Any) -> Config:
    """Make a verb's options from keyword arguments.

    The check is made here and not by the class, since tyro, which makes one too, would wrap its text in a box.

    Raises:
        UsageError, ModelError: an unknown name (the text offers the nearest), or a value that its check refuses.
    """
    config = restore_config(kind, **options)
    config.check()
    return config


def restore_config(kind: type[Config], **options: Any) -> Config:
    """Make options that were checked before; what they need, such as a file of weights, may be gone by now.

    Raises:
        UsageError: an unknown name (the text offers the nearest).
    """
    names = [field.name for field in fields(kind)]
    for name in options:
        if name not in names:
            raise UsageError(f"unknown option {name!r}. {_nearest(name, names)}")
    return kind(**options)


def _check_exports(config: TrainConfig | ExportConfig) -> None:
    formats = config.formats or ()
    for name in [formats] if isinstance(formats, str) else formats:
        _check_choice("formats", name, FORMATS)
    if config.quantize is not None:
        _check_choice("quantize", config.quantize, QUANTIZE)
    _check(0 <= config.max_drop <= 100, f"--max-drop must be from 0 to 100 points, not {config.max_drop}")
    _check(0 <= config.score_threshold <= 1, f"--score-threshold must be from 0 to 1, not {config.score_threshold}")


def _check(holds: bool, text: str) -> None:
    if not holds:
        raise UsageError(text)


def _check_positive(name: str, value: float | None, *, most: float = MAX_COUNT) -> None:
    limits = f"must be above 0 and at most {most:,}"
    _check(value is None or 0 < value <= most, f"--{name.replace('_', '-')} {limits}, not {value}")


def _check_choice(name: str, value: str, table: Collection[str]) -> None:
    _check(value in table, f"--{name} cannot be {value!r}. {_nearest(value, table)}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(names)}"
