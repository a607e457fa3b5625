"""The table of strategies: each is one function that says which phases a model is trained in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.training import feature_extraction, two_phase
from app.training.phases import Phase


@dataclass(frozen=True)
class Strategy:
    """One way to train; `phases(config, spec)` takes a resolved `TrainConfig` and the backbone's row."""

    description: str
    phases: Callable[..., list[Phase]]


STRATEGIES: dict[str, Strategy] = {
    "two_phase": Strategy("the head on the frozen backbone, then the top of the backbone too", two_phase.phases),
    "feature_extraction": Strategy("the head on the frozen backbone only", feature_extraction.phases),
}
