"""Strategy: the head first, on the frozen backbone; then the top of the backbone with it, slowly.

A new head's first gradients are large and mean nothing to the backbone: trained together from the start they would wreck
it. So phase 1 trains the head alone, and phase 2 begins with a warm-up (Kumar et al. 2022, https://arxiv.org/abs/2202.10054).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from app.training import feature_extraction
from app.training.hyperrule import RATE_OF_MANY
from app.training.phases import Phase
from models.freezing import unfreeze_blocks, unfreeze_from

if TYPE_CHECKING:
    import keras

    from app.config import TrainConfig
    from models.backbones.spec import BackboneSpec


def phases(config: TrainConfig, spec: BackboneSpec) -> list[Phase]:
    """Feature extraction, then fine-tuning of the backbone's last blocks or from a named layer up.

    Fine-tuning goes on while validation improves, cycle after cycle: with a deeper part of the backbone where there is one to
    try, else with the same layers.
    """
    # Resolved by `hyperrule`.
    assert config.fine_tune_epochs is not None and config.patience is not None
    assert config.fine_tune_learning_rate is not None and config.deeper_blocks is not None
    assert config.fine_tune_cycles is not None
    fine_tune = Phase(
        name="fine_tune",
        epochs=config.fine_tune_epochs,
        learning_rate=config.fine_tune_learning_rate,
        warmup_epochs=1,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        patience=config.patience,
        prepare=_unfreezing(config, spec, config.unfreeze_blocks),
        cycles=1 if config.deeper_blocks else config.fine_tune_cycles,
    )
    head_first = [*feature_extraction.phases(config, spec), fine_tune]
    if not config.deeper_blocks:
        return head_first
    deeper = replace(
        fine_tune,
        name="deeper",
        learning_rate=min(config.fine_tune_learning_rate, RATE_OF_MANY),
        prepare=_unfreezing(config, spec, config.deeper_blocks),
        cycles=config.fine_tune_cycles - 1,
        goes_on=True,
    )
    return [*head_first, deeper]


def _unfreezing(config: TrainConfig, spec: BackboneSpec, blocks: int | None) -> Callable[[keras.Model], None]:
    """What unfreezes the last blocks of a model's backbone, or from the layer that is named instead."""

    def prepare(model: keras.Model) -> None:
        if config.unfreeze_from:
            unfreeze_from(model, config.unfreeze_from, train_batch_norm=config.train_batch_norm)
        else:
            assert blocks is not None
            unfreeze_blocks(model, spec, blocks, train_batch_norm=config.train_batch_norm)

    return prepare
