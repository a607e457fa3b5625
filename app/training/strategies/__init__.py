"""The table of strategies: each strategy is one function that returns the phases of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.training.phases import Phase
from app.training.strategies import feature_extraction, one_phase, two_phase
from models.backbones.spec import BackboneSpec

if TYPE_CHECKING:  # `app.config`, which holds the plan, imports this table
    from app.config.plan import Plan


@dataclass(frozen=True)
class Strategy:
    """One way to train.

    Attributes:
        description: short description.
        phases: returns the phases for a plan and a backbone.
    """

    description: str
    phases: Callable[[Plan, BackboneSpec], list[Phase]]


STRATEGIES: dict[str, Strategy] = {
    "two_phase": Strategy("the head on the frozen backbone, then the top of the backbone too", two_phase.phases),
    "feature_extraction": Strategy("the head on the frozen backbone only", feature_extraction.phases),
    "one_phase": Strategy("all layers that are trainable, from the start", one_phase.phases),
}
