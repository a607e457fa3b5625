"""Strategy: the backbone stays as it is, and only the head trains."""

from __future__ import annotations

from app.plan import Plan
from app.training.phases import Phase
from models.backbones.spec import BackboneSpec
from models.freezing import freeze
from models.heads import HEADS


def phases(plan: Plan, spec: BackboneSpec) -> list[Phase]:
    """One phase, in which the head trains on the frozen backbone."""
    return [
        Phase(
            name="head",
            epochs=plan.head_epochs,
            learning_rate=plan.head_learning_rate,
            warmup_epochs=0,
            weight_decay=0.0,
            label_smoothing=plan.label_smoothing,
            patience=plan.patience,
            prepare=freeze,
            direct=HEADS[plan.head].is_linear,
        )
    ]
