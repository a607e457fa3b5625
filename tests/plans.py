"""Plans as a run has them."""

from __future__ import annotations

from typing import Any

from app.config import RunConfig
from app.config.hyperrule import resolve
from app.config.plan import Plan
from data.labels import SINGLE_LABEL


def config_of(**options: Any) -> RunConfig:
    """The options of a run on a source that nobody reads."""
    return RunConfig(**{"source": "images", "task": SINGLE_LABEL, **options})


def plan_of(size: int = 671, blocks: int = 16, image_size: int = 224, **options: Any) -> Plan:
    """What comes of these options for so many training images, on a backbone of so many blocks and this native size."""
    return resolve(config_of(**options), train_size=size, blocks=blocks, image_size=image_size)
