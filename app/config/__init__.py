"""All options of all verbs, with their defaults, help and checks.

The command line and the keyword arguments of the functions in `app` are both made from these classes. Related options form a
group, and a verb inherits its groups. An option that is None is derived from the data (`app.config.hyperrule`) or from the
backbone.
"""

from __future__ import annotations

from app.config.comparison import CompareConfig as CompareConfig
from app.config.ranking import RankConfig as RankConfig
from app.config.run import RunConfig as RunConfig
from app.config.run import RunOptions as RunOptions
from app.config.run import load_config as load_config
from app.config.run import recorded as recorded
from app.config.shared import make_config as make_config
from app.config.verbs import LISTS as LISTS
from app.config.verbs import AuditConfig as AuditConfig
from app.config.verbs import BenchmarkConfig as BenchmarkConfig
from app.config.verbs import CacheConfig as CacheConfig
from app.config.verbs import EvaluateConfig as EvaluateConfig
from app.config.verbs import ExportConfig as ExportConfig
from app.config.verbs import FileGroup as FileGroup
from app.config.verbs import ListConfig as ListConfig
from app.config.verbs import PredictConfig as PredictConfig
from app.config.verbs import TrainConfig as TrainConfig
from app.config.verbs import VerifyConfig as VerifyConfig
