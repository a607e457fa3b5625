"""The verbs: each verb is one file with one public function, made from its options in `app.config`.

To add a verb, add its file, its options, and a row of `VERBS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import app.interface.console  # noqa: F401 -- it listens to what verbs do
from models.lazy import LazyModule

if TYPE_CHECKING:
    from app import config
    from app.config.shared import VerbOptions
else:
    config = LazyModule("app.config")  # `--help` shows the table alone


class Verb(NamedTuple):
    """A row of `VERBS`.

    Attributes:
        summary: what the verb does, in a sentence.
        options_name: class in `app.config` with the options of the command line.
        function_name: module and name of the function, which is imported when the verb is called.
    """

    summary: str
    options_name: str
    function_name: str

    @property
    def options(self) -> type[VerbOptions]:
        """Class of the command line's options."""
        found: type[VerbOptions] = getattr(config, self.options_name)
        return found

    @property
    def function(self) -> Callable[..., Any]:
        """Function of the verb; its keyword arguments are the options."""
        module, _, name = self.function_name.rpartition(".")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found


VERBS: dict[str, Verb] = {
    "train": Verb(
        "Train a model on labelled images, test it and export it.",
        "TrainConfig",
        "app.verbs.train.train",
    ),
    "predict": Verb(
        "Say what is on images.",
        "PredictConfig",
        "app.verbs.predict.predict",
    ),
    "evaluate": Verb(
        "Test a run's model again, or on other labelled images.",
        "EvaluateConfig",
        "app.verbs.evaluate.evaluate",
    ),
    "compare": Verb(
        "Compare runs: is one better, or is the difference chance?",
        "CompareConfig",
        "app.verbs.compare.compare",
    ),
    "export": Verb(
        "Export a run's model to more formats, and check the files.",
        "ExportConfig",
        "app.verbs.export.export",
    ),
    "verify": Verb(
        "Check that model files of any kind answer as their original.",
        "VerifyConfig",
        "app.verbs.verify.verify",
    ),
    "audit": Verb(
        "Find what is wrong with labelled images before you train.",
        "AuditConfig",
        "app.verbs.audit.audit",
    ),
    "rank": Verb(
        "Compare backbones on labelled images before you train.",
        "RankConfig",
        "app.verbs.rank.rank",
    ),
    "benchmark": Verb(
        "Measure the speed and memory of model files on this machine.",
        "BenchmarkConfig",
        "app.verbs.benchmark.benchmark",
    ),
    "list": Verb(
        "Show what there is to choose from.",
        "ListConfig",
        "app.verbs.list.list_choices",
    ),
    "cache": Verb(
        "Show or empty the cache that makes a second run start at once.",
        "CacheConfig",
        "app.verbs.cache.cache",
    ),
}
