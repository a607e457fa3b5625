"""Options of training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.shared import Options, check_choice, check_positive, option, require
from app.training.strategies import STRATEGIES
from data.image.augmentation import AUGMENTATIONS

MIXED_PRECISIONS = ("float16", "bfloat16")
MAX_DEVICES = 64
MAX_MIXUP = 10  # mixes nearly half and half in every pair


@dataclass(frozen=True, kw_only=True)
class AugmentationGroup(Options):
    """Random changes to training images."""

    heading: ClassVar[str] = "augmentation"

    augment: Annotated[str, option("random changes to training images", AUGMENTATIONS)] = "default"
    flip: Annotated[bool, option("mirror training images; --no-flip where left and right matter (digits, signs)")] = (
        True
    )
    views: Annotated[
        int | None,
        option(
            "augmented views of each training image that are kept",
            metavar="INT",
            default="2, or 1 where there is no room",
        ),
    ] = None
    mixup: Annotated[float, option("mix pairs of images, or of activations: parameter of MixUp's Beta; 0: no")] = 0.0
    cutmix: Annotated[float, option("put a box of another image, or map, into each: CutMix's Beta; 0: no")] = 0.0

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_choice("augment", self.augment, AUGMENTATIONS)
        check_positive("views", self.views)
        for name in ("mixup", "cutmix"):
            parameter = getattr(self, name)
            require(0 <= parameter <= MAX_MIXUP, f"--{name} must be from 0 to {MAX_MIXUP}, not {parameter}")
        super().check()


@dataclass(frozen=True, kw_only=True)
class BatchGroup(Options):
    """Options of the batch size."""

    heading: ClassVar[str] = "training"

    batch_size: Annotated[int, option("images a step")] = 32

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_positive("batch_size", self.batch_size)
        super().check()


@dataclass(frozen=True, kw_only=True)
class SeedGroup(Options):
    """What all randomness depends on."""

    heading: ClassVar[str] = "training"

    seed: Annotated[int, option("of splits, initial weights, order and augmentation")] = 0

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        require(0 <= self.seed < 2**31, f"--seed must be from 0 to 2147483647, not {self.seed}")
        super().check()


@dataclass(frozen=True, kw_only=True)
class TrainingGroup(SeedGroup):
    """The strategy and its hyper-parameters."""

    heading: ClassVar[str] = "training"

    strategy: Annotated[str, option("how to train", STRATEGIES)] = "two_phase"
    head_epochs: Annotated[
        int | None, option("epochs of the head alone", metavar="INT", default="by size of the data")
    ] = None
    head_learning_rate: Annotated[float, option("peak learning rate of the head alone")] = 3e-3
    fine_tune_epochs: Annotated[
        int | None, option("epochs after unfreezing", metavar="INT", default="by size of the data")
    ] = None
    fine_tune_learning_rate: Annotated[
        float | None,
        option("peak learning rate after unfreezing", metavar="FLOAT", default="by how much is unfrozen"),
    ] = None
    fine_tune_cycles: Annotated[
        int | None,
        option(
            "how many times those epochs at most, while validation improves",
            metavar="INT",
            default="3; 1 with --fine-tune-epochs",
        ),
    ] = None
    unfreeze_blocks: Annotated[
        int | None,
        option(
            "how many of the backbone's last blocks to unfreeze; more for images unlike photographs",
            metavar="INT",
            default="one in twelve",
        ),
    ] = None
    unfreeze_from: Annotated[
        str | None, option("unfreeze from this layer up, instead of a number of blocks", metavar="LAYER")
    ] = None
    deeper_blocks: Annotated[
        int | None,
        option(
            "blocks to unfreeze from the second cycle on; 0: as many as before",
            metavar="INT",
            default="a quarter, where that takes seconds and --unfreeze-blocks is not given",
        ),
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
    class_weights: Annotated[bool, option("weigh rare classes up, so that each class counts the same")] = False
    calibrate: Annotated[
        bool, option("adjust probabilities, by the validation split, so that they say how often they are right")
    ] = True

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_choice("strategy", self.strategy, STRATEGIES)
        for name in ("head_epochs", "fine_tune_epochs", "fine_tune_cycles", "unfreeze_blocks", "patience"):
            check_positive(name, getattr(self, name))
        for name in ("head_learning_rate", "fine_tune_learning_rate"):
            check_positive(name, getattr(self, name), most=1)
        require(
            self.deeper_blocks is None or self.deeper_blocks >= 0,
            f"--deeper-blocks must be 0 or more, not {self.deeper_blocks}",
        )
        require(
            not (self.unfreeze_blocks and self.unfreeze_from),
            "--unfreeze-blocks and --unfreeze-from say the same thing; give one of them",
        )
        smoothing, decay = self.label_smoothing, self.weight_decay
        require(0 <= smoothing < 1, f"--label-smoothing must be from 0 to below 1, not {smoothing}")
        require(0 <= decay < math.inf, f"--weight-decay must be a number from 0 up, not {decay}")
        super().check()


@dataclass(frozen=True, kw_only=True)
class DeviceGroup(Options):
    """Options of the hardware that trains."""

    heading: ClassVar[str] = "devices"

    devices: Annotated[int, option("how many GPUs share each step of training; a batch is divided among them")] = 1
    mixed_precision: Annotated[
        str | None,
        option(
            "train in 16 bits on weights of 32, which is faster on GPUs; the saved model and exports stay float32",
            MIXED_PRECISIONS,
            metavar="DTYPE",
            default="float32 throughout",
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_positive("devices", self.devices, most=MAX_DEVICES)
        check_choice("mixed-precision", self.mixed_precision, MIXED_PRECISIONS)
        super().check()


@dataclass(frozen=True, kw_only=True)
class ThresholdGroup(Options):
    """The probability from which a class is predicted."""

    heading: ClassVar[str] = "threshold"

    positive: Annotated[
        str | None, option("of two classes, the one to find", metavar="CLASS", default="the second")
    ] = None
    target_precision: Annotated[
        float | None,
        option(
            "answer a class from the probability on at which this part of the predictions is right", metavar="FLOAT"
        ),
    ] = None
    target_recall: Annotated[
        float | None,
        option("answer a class from the probability on at which this part of what there is is found", metavar="FLOAT"),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
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
        super().check()
