"""The resolved configuration of a run: every option that can be resolved has a value.

A field has the name of the option that it comes from. `app.config.hyperrule` makes a plan from the user's options and from
the data.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What an export writes, and how its files describe the model.

    Attributes:
        background: colour behind transparent parts; None if transparency is dropped.
        levels: values of black and white; None if the high byte is kept.
    """

    task: str
    backbone: str
    resize: str
    background: str | None
    levels: str | None
    formats: tuple[str, ...]
    quantize: str
    max_drop: float
    author: str
    model_version: str
    score_threshold: float
    locales: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan(ExportPlan):
    """How a model is trained, evaluated and exported, once the data is loaded and split.

    Attributes:
        weights: None for the backbone's own pretrained weights.
        unfreeze_blocks: None if `unfreeze_from` names a layer, or there is no backbone.
        unfreeze_from: None if `unfreeze_blocks` counts blocks.
        cache_folder: None for the default folder.
        positive: None for the second of two classes.
        target_precision: None if no threshold is chosen by precision.
        target_recall: None if no threshold is chosen by recall.
        mixed_precision: None for float32.
    """

    weights: str | None
    head: str
    dropout: float
    image_size: int

    augment: str
    flip: bool
    views: int
    mixup: float
    cutmix: float

    strategy: str
    batch_size: int
    head_epochs: int
    head_learning_rate: float
    fine_tune_epochs: int
    fine_tune_learning_rate: float
    fine_tune_cycles: int
    unfreeze_blocks: int | None
    unfreeze_from: str | None
    deeper_blocks: int
    train_batch_norm: bool
    label_smoothing: float
    weight_decay: float
    patience: int
    class_weights: bool
    calibrate: bool
    seed: int

    positive: str | None
    target_precision: float | None
    target_recall: float | None

    devices: int
    mixed_precision: str | None

    engine: str
    cache_folder: str | None
    cache_limit: float
    keep_images: bool
    keep_checkpoints: bool

    @property
    def unfrozen(self) -> int | str:
        """Number of the backbone's last blocks that are unfrozen, or the name of the layer from which it is unfrozen."""
        return self.unfreeze_from or self.unfreeze_blocks or 0
