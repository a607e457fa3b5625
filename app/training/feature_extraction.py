"""Strategy: the backbone stays as it is, and only the head trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.training.phases import Phase
from models.freezing import freeze
from models.heads import HEADS

if TYPE_CHECKING:
    from app.config import TrainConfig
    from models.backbones.spec import BackboneSpec


def phases(config: TrainConfig, spec: BackboneSpec) -> list[Phase]:
    """One phase, in which the head trains on the frozen backbone."""
    assert config.head_epochs is not None and config.patience is not None  # resolved by `hyperrule`
    return [
        Phase(
            name="head",
            epochs=config.head_epochs,
            learning_rate=config.head_learning_rate,
            warmup_epochs=0,
            weight_decay=0.0,
            label_smoothing=config.label_smoothing,
            patience=config.patience,
            prepare=freeze,
            direct=HEADS[config.head].is_linear,
        )
    ]
