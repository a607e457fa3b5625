"""The verbs: each is one file with one public function, made from its options in `app.config`.

To add a verb, add its file, its options, and a row of `VERBS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import app.interface.console  # noqa: F401 -- it listens to what verbs do
from app.config import (
    AuditConfig,
    BenchmarkConfig,
    CacheConfig,
    EvaluateConfig,
    ExportConfig,
    ListConfig,
    PredictConfig,
    TrainConfig,
)
from app.config.shared import VerbOptions


class Verb(NamedTuple):
    """A row of `VERBS`.

    Attributes:
        options: what the command line takes.
        module: where the function is; imported when the verb is called, since most need more than `--help` does.
        name: of the function.
    """

    options: type[VerbOptions]
    module: str
    name: str

    @property
    def function(self) -> Callable[..., Any]:
        """What carries the verb out; its keyword arguments are the options."""
        return getattr(import_module(self.module), self.name)


VERBS: dict[str, Verb] = {
    "train": Verb(TrainConfig, "app.verbs.train", "train"),
    "predict": Verb(PredictConfig, "app.verbs.predict", "predict"),
    "evaluate": Verb(EvaluateConfig, "app.verbs.evaluate", "evaluate"),
    "export": Verb(ExportConfig, "app.verbs.export", "export"),
    "audit": Verb(AuditConfig, "app.verbs.audit", "audit"),
    "benchmark": Verb(BenchmarkConfig, "app.verbs.benchmark", "benchmark"),
    "list": Verb(ListConfig, "app.verbs.list", "list_choices"),
    "cache": Verb(CacheConfig, "app.verbs.cache", "cache"),
}
