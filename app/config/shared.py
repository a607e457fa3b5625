"""What the options of several verbs share: their help, their types and their checks."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from app.errors import UsageError
from app.exporting.formats import DEFAULT_FORMATS, FORMATS
from data.pictures import TASKS
from data.sources import SOURCES
from data.sources.columns import ROLES
from data.sources.options import SourceOptions

if TYPE_CHECKING:
    from app.config.training import TrainConfig
    from app.config.verbs import AuditConfig, ExportConfig

SOURCE_HELP = "where the pictures are: " + "; ".join(f"{one.syntax}, {one.description}" for one in SOURCES.values())
MAX_IMAGE_SIZE = 2048  # three times what the largest network was made for; far above it no memory suffices
MAX_COUNT = 1_000_000  # of epochs, pictures a step and the like: more is a slip of the hand
MAX_THREADS = 256
MAX_SECONDS = 3600
MAX_FOLDS = 100
MAX_MIXUP = 10  # nearly a half and a half of every pair
QUANTIZE = ("auto", "none")
CACHE_ACTIONS = ("show", "clear")
LISTS = ("tasks", "backbones", "heads", "strategies", "sources", "formats", "engines")


def option(text: str, table: Iterable[str] = (), *, metavar: str | None = None) -> Any:
    """Help of an option; the names of a table that it chooses from and its default are added."""
    names = ", ".join(table)
    return arg(
        help=f"{text}: {names}" if names else text,
        help_behavior_hint=lambda default: "" if default == "None" else f"(default: {default})",
        metavar=metavar,
    )


# Options that `train` and `export` share.
Formats = Annotated[
    tuple[str, ...] | None,
    option(f"what to export (default: {', '.join(DEFAULT_FORMATS)})", FORMATS, metavar="FORMAT..."),
]
Quantize = Annotated[
    str | None,
    option(
        "auto: also the smallest and fastest quantised file that passes its proof; none (default: auto, unless --formats "
        "names the files)",
        metavar="auto|none",
    ),
]
MaxDrop = Annotated[float, option("most accuracy that a quantised file, or a phone's client, may lose, in points")]
Author = Annotated[str, option("who made the model, for the files' metadata")]
ModelVersion = Annotated[str, option("version of the model, for the files' metadata")]
ScoreThreshold = Annotated[
    float, option("probability below which clients leave a class out of their answer, for the files' metadata")
]
Locales = Annotated[
    tuple[str, ...],
    option(
        "class names in other languages: de=labels_de.txt, one name a line, in label order", metavar="LOCALE=FILE..."
    ),
]

# Options about sources, which `train` and `audit` share.
Task = Annotated[str | None, option("what to learn (default: by the labels)", TASKS, metavar="|".join(TASKS))]
Columns = Annotated[
    tuple[str, ...],
    option(
        "columns of a list whose names do not say so: path=photo label=species; several for numbers: label=width,height",
        ROLES,
        metavar="ROLE=COLUMN...",
    ),
]
LabelSeparator = Annotated[
    str | None, option("what stands between the labels of one cell (default: by the labels)", metavar="SIGN")
]
Validation = Annotated[str | None, option("another source, with the pictures for validation", metavar="SOURCE")]
Test = Annotated[str | None, option("another source, with the pictures for the test", metavar="SOURCE")]

# Options that `train` and `cache` share.
CacheFolder = Annotated[
    str | None,
    option(
        "where activations of frozen backbones are kept (default: GRAFT_CACHE, or the system's place for caches)",
        metavar="FOLDER",
    ),
]


def source_options(config: TrainConfig | AuditConfig) -> SourceOptions:
    columns = {}
    for one in config.columns:
        role, _, column = one.partition("=")
        require("=" in one, f"--columns takes ROLE=COLUMN, such as label=species, not {one!r}")
        columns[role] = column
    return SourceOptions(
        task=config.task,
        columns=columns,
        label_separator=config.label_separator,
        validation=config.validation,
        test=config.test,
    )


def check_exports(config: TrainConfig | ExportConfig) -> None:
    formats = config.formats or ()
    for name in [formats] if isinstance(formats, str) else formats:
        check_choice("formats", name, FORMATS)
    if config.quantize is not None:
        check_choice("quantize", config.quantize, QUANTIZE)
    require(0 <= config.max_drop <= 100, f"--max-drop must be from 0 to 100 points, not {config.max_drop}")
    require(0 <= config.score_threshold <= 1, f"--score-threshold must be from 0 to 1, not {config.score_threshold}")


def require(holds: bool, text: str) -> None:
    if not holds:
        raise UsageError(text)


def check_positive(name: str, value: float | None, *, most: float = MAX_COUNT) -> None:
    limits = f"must be above 0 and at most {most:,}"
    require(value is None or 0 < value <= most, f"--{name.replace('_', '-')} {limits}, not {value}")


def check_choice(name: str, value: str, table: Collection[str]) -> None:
    require(value in table, f"--{name} cannot be {value!r}. {nearest(value, table)}")


def nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(names)}"
