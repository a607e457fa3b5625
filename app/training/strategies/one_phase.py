"""Strategy: train what is trainable, in one phase, as a Keras user does who has frozen layers himself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.training.phases import Phase
from app.training.strategies.two_phase import fine_tuning
from models.backbones.spec import BackboneSpec

if TYPE_CHECKING:  # `app.config`, which holds the plan, imports the table of strategies
    import keras

    from app.config.plan import Plan


def phases(plan: Plan, spec: BackboneSpec) -> list[Phase]:
    """Return one phase with the options of fine-tuning, in which no layer is frozen or unfrozen.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> from models.backbones import BACKBONES
        >>> plan = resolve(load_config({"source": "images"}), train_size=100, blocks=0, image_size=224)
        >>> [phase.name for phase in phases(plan, BACKBONES["efficientnet_lite0"])]
        ['fit']
        >>> phases(plan, BACKBONES["efficientnet_lite0"])[0].epochs == plan.fine_tune_epochs
        True
    """
    rate, cycles = plan.fine_tune_learning_rate, plan.fine_tune_cycles
    return [fine_tuning("fit", plan, _as_it_is, learning_rate=rate, cycles=cycles)]


def _as_it_is(model: keras.Model) -> None:
    """Leave the layers of a model as they are."""
