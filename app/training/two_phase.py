"""Strategy: the head first, on the frozen backbone; then the top of the backbone with it, slowly.

A new head's first gradients are large and mean nothing to the backbone: trained together from the start they would wreck
it. So phase 1 trains the head alone, and phase 2 begins with a warm-up (Kumar et al. 2022, https://arxiv.org/abs/2202.10054).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.training import feature_extraction
from app.training.phases import Phase

if TYPE_CHECKING:
    import keras

    from app.config import TrainConfig
    from models.backbones.spec import BackboneSpec


def phases(config: TrainConfig, spec: BackboneSpec) -> list[Phase]:
    """Feature extraction, then fine-tuning of the backbone's last blocks or from a named layer up."""
    # Resolved by `hyperrule`.
    assert config.fine_tune_epochs is not None and config.patience is not None
    assert config.fine_tune_learning_rate is not None

    def prepare(model: keras.Model) -> None:
        from models.freezing import unfreeze_blocks, unfreeze_from

        if config.unfreeze_from:
            unfreeze_from(model, config.unfreeze_from, train_batch_norm=config.train_batch_norm)
        else:
            assert config.unfreeze_blocks is not None
            unfreeze_blocks(model, spec, config.unfreeze_blocks, train_batch_norm=config.train_batch_norm)

    fine_tune = Phase(
        name="fine_tune",
        epochs=config.fine_tune_epochs,
        learning_rate=config.fine_tune_learning_rate,
        warmup_epochs=1,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        patience=config.patience,
        prepare=prepare,
    )
    return [*feature_extraction.phases(config, spec), fine_tune]
