"""Strategy: train the head on the frozen backbone, then the head and the top of the backbone, slowly.

A new head's first gradients are large and meaningless to the backbone: trained together from the start, they would damage it.
So phase 1 trains the head alone, and phase 2 begins with a warm-up (Kumar et al. 2022, https://arxiv.org/abs/2202.10054).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app.training.objectives import LabelObjective
from app.training.phases import Phase
from app.training.schedules import cosine_adamw
from app.training.strategies import feature_extraction
from models.backbones.spec import BackboneSpec
from models.freezing import unfreeze_blocks, unfreeze_from

if TYPE_CHECKING:  # `app.config`, which holds the plan, imports the table of strategies
    import keras

    from app.config.plan import Plan

RATE_OF_MANY = 3e-4  # peak learning rate for more than the last blocks


def phases(plan: Plan, spec: BackboneSpec) -> list[Phase]:
    """Return feature extraction, then fine-tuning of the backbone's last blocks or from a named layer up.

    Fine-tuning continues while validation improves, cycle after cycle: with a deeper part of the backbone if there is one to
    try, otherwise with the same layers.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> from models.backbones import BACKBONES
        >>> plan = resolve(load_config({"source": "images"}), train_size=100, blocks=16, image_size=224)
        >>> [phase.name for phase in phases(plan, BACKBONES["efficientnet_lite0"])]
        ['head', 'fine_tune', 'deeper']
        >>> [phase.cycles for phase in phases(plan, BACKBONES["efficientnet_lite0"])]
        [1, 1, 2]
    """
    fine_tune = fine_tuning(
        "fine_tune",
        plan,
        _unfreezing(plan, spec, plan.unfrozen),
        learning_rate=plan.fine_tune_learning_rate,
        cycles=1 if plan.deeper_blocks else plan.fine_tune_cycles,
    )
    head_first = [*feature_extraction.phases(plan, spec), fine_tune]
    if not plan.deeper_blocks:
        return head_first
    deeper = fine_tuning(
        "deeper",
        plan,
        _unfreezing(plan, spec, plan.unfreeze_from or plan.deeper_blocks),
        learning_rate=min(plan.fine_tune_learning_rate, RATE_OF_MANY),
        cycles=plan.fine_tune_cycles - 1,
    )
    return [*head_first, replace(deeper, goes_on=True)]


def fine_tuning(
    name: str, plan: Plan, trainable: Callable[[keras.Model], None], *, learning_rate: float, cycles: int
) -> Phase:
    """Return a phase with the options of fine-tuning, whose learning rate warms up for an epoch.

    Args:
        name: name of the phase.
        plan: holds the options.
        trainable: freezes and unfreezes the layers of a model.
        learning_rate: the peak.
        cycles: largest number of cycles.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> plan = resolve(load_config({"source": "images"}), train_size=100, blocks=16, image_size=224)
        >>> phase = fine_tuning("all", plan, lambda model: None, learning_rate=1e-3, cycles=2)
        >>> phase.epochs == plan.fine_tune_epochs
        True
        >>> phase.solver is None
        True
    """
    return Phase(
        name=name,
        epochs=plan.fine_tune_epochs,
        patience=plan.patience,
        trainable=trainable,
        optimizer=cosine_adamw(
            learning_rate,
            epochs=plan.fine_tune_epochs,
            warmup_epochs=1,
            weight_decay=plan.weight_decay,
            cycles=cycles,
        ),
        objective=partial(LabelObjective, label_smoothing=plan.label_smoothing),
        cycles=cycles,
        rate_option="--fine-tune-learning-rate",
    )


def _unfreezing(plan: Plan, spec: BackboneSpec, unfrozen: int | str) -> Callable[[keras.Model], None]:
    """Return a function that unfreezes the last blocks of a model's backbone, or everything from a layer up."""

    def trainable(model: keras.Model) -> None:
        if isinstance(unfrozen, str):
            unfreeze_from(model, unfrozen, train_batch_norm=plan.train_batch_norm)
        else:
            unfreeze_blocks(model, unfrozen, backbone=spec, train_batch_norm=plan.train_batch_norm)

    return trainable
