"""The options of `train`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tyro.conf import Positional

from app.config.shared import (
    MAX_FOLDS,
    MAX_IMAGE_SIZE,
    MAX_MIXUP,
    SOURCE_HELP,
    Author,
    Background,
    CacheFolder,
    Columns,
    Formats,
    ImageFolder,
    ImageSuffix,
    LabelPattern,
    LabelSeparator,
    Levels,
    Locales,
    MaxDrop,
    ModelVersion,
    Options,
    Quantize,
    ScoreThreshold,
    Task,
    Test,
    Uncertain,
    Validation,
    check_choice,
    check_exports,
    check_positive,
    option,
    require,
    source_options,
)
from app.training.engines import CHOICES
from app.training.strategies import STRATEGIES
from data.augmentation import AUGMENTATIONS
from data.decoding import RESIZES
from data.preparing import Preparation
from data.sources.options import SourceOptions
from models.backbones import HUB_PREFIX, find_backbone
from models.heads import HEADS


@dataclass(frozen=True)
class TrainConfig(Options):
    """Train a model on labelled images, test it and export it."""

    groups: ClassVar = {
        "data": "task",
        "model": "backbone",
        "augmentation": "augment",
        "training": "strategy",
        "threshold": "positive",
        "export": "formats",
        "metadata": "author",
        "cache": "engine",
    }
    examples: ClassVar = {
        "a folder for each class, in one folder; the run goes to runs/my_images": "my_images",
        "a list of images unlike photographs": "scans.csv --columns label=kind --no-flip --unfreeze-blocks 4",
        "go on after Ctrl-C, a crash or a power cut": "--resume runs/my_images",
    }

    source: Annotated[Positional[str | None], option(SOURCE_HELP, metavar="[SOURCE]")] = None
    resume: Annotated[str | None, option("continue this interrupted run; takes no other option", metavar="RUN")] = None
    output: Annotated[
        str | None,
        option("folder of the run, new or empty (default: runs/, named after the source)", metavar="FOLDER"),
    ] = None

    task: Task = None
    columns: Columns = ()
    label_separator: LabelSeparator = None
    label_pattern: LabelPattern = None
    image_folder: ImageFolder = None
    image_suffix: ImageSuffix = None
    uncertain: Uncertain = None
    validation: Validation = None
    test: Test = None
    skip_unreadable: Annotated[bool, option("leave out pictures that cannot be read instead of stopping")] = False
    background: Background = None
    levels: Levels = None
    allow_leakage: Annotated[
        bool,
        option("train even if the source's own splits have pictures in common, which makes test figures too good"),
    ] = False
    validation_fraction: Annotated[float, option("part of each class that chooses the best weights")] = 0.15
    test_fraction: Annotated[float, option("part of each class that is kept for the final test")] = 0.15
    folds: Annotated[
        int | None, option("cross-validate: test each of so many parts by a run of its own", metavar="INT")
    ] = None
    fold: Annotated[int | None, option("train only this one of the folds, from 1", metavar="INT")] = None
    shots: Annotated[int | None, option("pictures of each class to train on (default: all)", metavar="INT")] = None

    backbone: Annotated[
        str, option(f"pretrained network: a name from 'list backbones', or {HUB_PREFIX}HANDLE of TF Hub")
    ] = "efficientnet_lite0"
    weights: Annotated[
        str | None,
        option(
            "imagenet, none, or a local .weights.h5, .h5 or .keras file (default: the backbone's pretrained ones)",
            metavar="NAME|FILE",
        ),
    ] = None
    head: Annotated[str, option("new head", HEADS)] = "linear"
    dropout: Annotated[float, option("part of the features dropped while training, from 0 to below 1")] = 0.3
    image_size: Annotated[
        int | None, option("side of the pictures in pixels (default: the backbone's own)", metavar="INT")
    ] = None
    resize: Annotated[str, option("how pictures become square", RESIZES)] = "stretch"

    augment: Annotated[str, option("random changes to training pictures", AUGMENTATIONS)] = "default"
    views: Annotated[
        int | None,
        option(
            "augmented views of each training picture that are kept (default: 2, or 1 where there is no room)",
            metavar="INT",
        ),
    ] = None
    mixup: Annotated[float, option("mix pairs of pictures, or of activations: parameter of MixUp's Beta; 0: no")] = 0.0
    cutmix: Annotated[float, option("put a box of another picture, or map, into each: CutMix's Beta; 0: no")] = 0.0
    flip: Annotated[bool, option("mirror training pictures; --no-flip where left and right matter (digits, signs)")] = (
        True
    )

    strategy: Annotated[str, option("how to train", STRATEGIES)] = "two_phase"
    batch_size: Annotated[int, option("pictures a step")] = 32
    head_epochs: Annotated[
        int | None, option("epochs of the head alone (default: by size of the data)", metavar="INT")
    ] = None
    head_learning_rate: Annotated[float, option("peak learning rate of the head alone")] = 3e-3
    fine_tune_epochs: Annotated[
        int | None, option("epochs after unfreezing (default: by size of the data)", metavar="INT")
    ] = None
    fine_tune_learning_rate: Annotated[
        float | None,
        option("peak learning rate after unfreezing (default: by how much is unfrozen)", metavar="FLOAT"),
    ] = None
    unfreeze_blocks: Annotated[
        int | None,
        option(
            "how many of the backbone's last blocks to unfreeze (default: one in twelve); more for pictures unlike photographs",
            metavar="INT",
        ),
    ] = None
    fine_tune_cycles: Annotated[
        int | None,
        option(
            "how many times those epochs at most, while validation improves (default: 3; 1 with --fine-tune-epochs)",
            metavar="INT",
        ),
    ] = None
    deeper_blocks: Annotated[
        int | None,
        option(
            "blocks to unfreeze from the second of these cycles on; 0: as many as before (default: a quarter, where that "
            "takes seconds and --unfreeze-blocks is not given)",
            metavar="INT",
        ),
    ] = None
    unfreeze_from: Annotated[
        str | None, option("unfreeze from this layer up, instead of a number of blocks", metavar="LAYER")
    ] = None
    train_batch_norm: Annotated[
        bool, option("also train the unfrozen BatchNormalization layers, which else stay in inference mode")
    ] = False
    label_smoothing: Annotated[
        float, option("part of each label spread over all classes, against learning by heart")
    ] = 0.1
    weight_decay: Annotated[float, option("decoupled weight decay after unfreezing")] = 0.05
    patience: Annotated[
        int | None, option("epochs without a better validation before a phase ends early", metavar="INT")
    ] = None
    calibrate: Annotated[
        bool, option("adjust probabilities, by the validation split, so that they say how often they are right")
    ] = True
    class_weights: Annotated[bool, option("weigh rare classes up, so that each class counts the same")] = False
    seed: Annotated[int, option("of splits, initial weights, order and augmentation")] = 0

    positive: Annotated[
        str | None, option("of two classes, the one that is to be found (default: the second)", metavar="CLASS")
    ] = None
    target_precision: Annotated[
        float | None,
        option("answer a class from the probability on at which this part of the answers is right", metavar="FLOAT"),
    ] = None
    target_recall: Annotated[
        float | None,
        option("answer a class from the probability on at which this part of what there is is found", metavar="FLOAT"),
    ] = None

    formats: Formats = None
    quantize: Quantize = None
    max_drop: MaxDrop = 0.5

    author: Author = "unknown"
    model_version: ModelVersion = "1"
    score_threshold: ScoreThreshold = 0.0
    locales: Locales = ()
    keep_images: Annotated[
        bool,
        option(
            "keep the images that an export needs in the run folder: all of validation and test, up to 1,200 of training"
        ),
    ] = False

    engine: Annotated[
        str,
        option("what runs the frozen layers; auto: the fastest installed one that answers like TensorFlow", CHOICES),
    ] = "auto"
    cache_folder: CacheFolder = None
    cache_limit: Annotated[float, option("largest size of the cache of activations, in GB; 0: no cache")] = 20
    keep_checkpoints: Annotated[bool, option("keep the run's checkpoints, though nothing is left to resume")] = False

    @property
    def source_options(self) -> SourceOptions:
        """How the source is to be read."""
        return source_options(self)

    @property
    def preparation(self) -> Preparation:
        """What is made of image files before they are decoded."""
        return Preparation.parse(self.background, self.levels)

    @property
    def is_of_folds(self) -> bool:
        """All of several folds are to be trained, each as a run of its own."""
        return self.folds is not None and self.fold is None

    def check(self) -> None:
        """Raise `UsageError` or `ModelError` for what cannot be carried out."""
        check_choice("head", self.head, HEADS)
        check_choice("resize", self.resize, RESIZES)
        check_choice("augment", self.augment, AUGMENTATIONS)
        check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("engine", self.engine, CHOICES)
        check_exports(self)
        for name in ("dropout", "label_smoothing"):
            share = getattr(self, name)
            require(0 <= share < 1, f"--{name.replace('_', '-')} must be from 0 to below 1, not {share}")
        for name in ("validation_fraction", "test_fraction"):
            check_positive(name, getattr(self, name), most=1)
        require(
            self.validation_fraction + self.test_fraction < 1,
            "--validation-fraction and --test-fraction leave nothing to train on: together they must be below 1",
        )
        for name in ("mixup", "cutmix"):
            parameter = getattr(self, name)
            require(0 <= parameter <= MAX_MIXUP, f"--{name} must be from 0 to {MAX_MIXUP}, not {parameter}")
        for name in ("batch_size", "views", "unfreeze_blocks", "patience", "head_epochs", "shots"):
            check_positive(name, getattr(self, name))
        for name in ("fine_tune_epochs", "fine_tune_cycles"):
            check_positive(name, getattr(self, name))
        require(
            self.deeper_blocks is None or self.deeper_blocks >= 0,
            f"--deeper-blocks must be 0 or more, not {self.deeper_blocks}",
        )
        folds, fold = self.folds, self.fold
        require(folds is None or 2 <= folds <= MAX_FOLDS, f"--folds must be from 2 to {MAX_FOLDS}, not {folds}")
        most = folds or "--folds, which is not given"
        require(fold is None or 1 <= fold <= (folds or 0), f"--fold must be from 1 to {most}, not {fold}")
        check_positive("image_size", self.image_size, most=MAX_IMAGE_SIZE)
        for name in ("head_learning_rate", "fine_tune_learning_rate"):
            check_positive(name, getattr(self, name), most=1)
        require(
            0 <= self.weight_decay < math.inf, f"--weight-decay must be a number from 0 up, not {self.weight_decay}"
        )
        require(0 <= self.cache_limit < math.inf, f"--cache-limit must be a number from 0 up, not {self.cache_limit}")
        for name in ("target_precision", "target_recall"):
            check_positive(name, getattr(self, name), most=1)
        require(
            self.target_precision is None or self.target_recall is None,
            "--target-precision and --target-recall choose one threshold; give one of them",
        )
        require(
            self.positive is None or bool(self.target_precision or self.target_recall),
            "--positive is about a threshold; give --target-precision or --target-recall with it",
        )
        source_options(self)  # raises what is wrong with them
        Preparation.parse(self.background, self.levels)
        require(0 <= self.seed < 2**31, f"--seed must be from 0 to 2147483647, not {self.seed}")
        require(
            not (self.unfreeze_blocks and self.unfreeze_from),
            "--unfreeze-blocks and --unfreeze-from say the same thing; give one of them",
        )
        if not self.backbone.startswith(HUB_PREFIX):  # what a SavedModel can take is known when it is loaded
            spec = find_backbone(self.backbone)
            spec.check(image_size=self.image_size or spec.image_size, weights=spec.resolve_weights(self.weights))
