"""Strategy: train only the head on the frozen backbone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.training.objectives import LabelObjective
from app.training.phases import Phase
from app.training.schedules import cosine_adamw
from models.backbones.spec import BackboneSpec
from models.freezing import freeze
from models.heads import HEADS
from models.lazy import LazyModule

if TYPE_CHECKING:  # `app.config`, which holds the plan, imports the table of strategies
    from app.config.plan import Plan
    from app.training import solvers
else:
    solvers = LazyModule("app.training.solvers")


def phases(plan: Plan, spec: BackboneSpec) -> list[Phase]:
    """Return one phase, in which the head trains on the frozen backbone.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> from models.backbones import BACKBONES
        >>> plan = resolve(load_config({"source": "images"}), train_size=100, blocks=16, image_size=224)
        >>> [phase.name for phase in phases(plan, BACKBONES["efficientnet_lite0"])]
        ['head']
        >>> phases(plan, BACKBONES["efficientnet_lite0"])[0].solver is None
        False
    """
    return [
        Phase(
            name="head",
            epochs=plan.head_epochs,
            patience=plan.patience,
            trainable=freeze,
            optimizer=cosine_adamw(plan.head_learning_rate, epochs=plan.head_epochs),
            objective=partial(LabelObjective, label_smoothing=plan.label_smoothing),
            solver=solvers.linear_head if plan.head in HEADS and HEADS[plan.head].is_linear else None,
        )
    ]
