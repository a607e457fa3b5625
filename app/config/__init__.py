"""Every option of every verb, with its default, its help and its check, in this one place.

The command line is made from these classes, and so are the keyword arguments of the functions in `app`. An option that
is None is derived from the data (`app.training.hyperrule`) or from the backbone.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from app.config.shared import LISTS as LISTS
from app.config.shared import nearest
from app.config.training import TrainConfig
from app.config.verbs import (
    AuditConfig,
    BenchmarkConfig,
    CacheConfig,
    EvaluateConfig,
    ExportConfig,
    ListConfig,
    PredictConfig,
)
from app.errors import UsageError

Config = TypeVar(
    "Config",
    TrainConfig,
    EvaluateConfig,
    PredictConfig,
    ExportConfig,
    AuditConfig,
    BenchmarkConfig,
    ListConfig,
    CacheConfig,
)


def make_config(kind: type[Config], **options: Any) -> Config:
    """Make a verb's options from keyword arguments.

    The check is made here and not by the class, since tyro, which makes one too, would wrap its text in a box.

    Raises:
        UsageError, ModelError: an unknown name (the text offers the nearest), or a value that its check refuses.
    """
    config = restore_config(kind, **options)
    config.check()
    return config


def restore_config(kind: type[Config], **options: Any) -> Config:
    """Make options that were checked before; what they need, such as a file of weights, may be gone by now.

    Raises:
        UsageError: an unknown name (the text offers the nearest).
    """
    names = [field.name for field in fields(kind)]
    for name in options:
        if name not in names:
            raise UsageError(f"unknown option {name!r}. {nearest(name, names)}")
    return kind(**options)
