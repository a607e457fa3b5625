"""What the options of several verbs share: their help, their types and their checks."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tyro.conf import arg

from app.errors import UsageError
from app.exporting.formats import DEFAULT_FORMATS, FORMATS
from data.labels import LABELS
from data.sources import SOURCES
from data.sources.columns import ROLES
from data.sources.options import UNCERTAIN, SourceOptions

if TYPE_CHECKING:
    from app.config.training import TrainConfig
    from app.config.verbs import AuditConfig, EvaluateConfig, ExportConfig

SOURCE_HELP = f"where the images are; 'list sources' explains {', '.join(one.syntax for one in SOURCES.values())}"
MAX_IMAGE_SIZE = 2048  # three times what the largest network was made for; far above it no memory suffices
MAX_COUNT = 1_000_000  # of epochs, pictures a step and the like: more is a slip of the hand
MAX_THREADS = 256
MAX_SECONDS = 3600
MAX_FOLDS = 100
MAX_MIXUP = 10  # nearly a half and a half of every pair
QUANTIZE = ("auto", "none")
CACHE_ACTIONS = ("show", "clear")
LISTS = ("tasks", "backbones", "heads", "strategies", "sources", "formats", "engines")


@dataclass(frozen=True)
class Options:
    """What the options of every verb have besides their fields.

    Attributes:
        groups: the boxes of `--help`: the title of each, and the first of its options. A group ends where the next begins;
            what comes before the first is shown on top.
        examples: shown below `--help`: what a command does, and its words after the verb.
    """

    groups: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[Mapping[str, str]] = {}

    def check(self) -> None:
        """Raise `UsageError` or `ModelError` for what cannot be carried out."""


def option(text: str, table: Iterable[str] = (), *, metavar: str | None = None, default: str = "") -> Any:
    """Help of an option.

    Args:
        text: what it is for.
        table: the names that it chooses from, which are added.
        metavar: what stands for its value; the type unless given.
        default: what None or nothing stands for; any other default is added as it is.
    """
    names = ", ".join(table)
    return arg(
        help=f"{text}: {names}" if names else text,
        help_behavior_hint=lambda value: _default_hint(default if value in ("None", "") else value),
        metavar=metavar,
    )


def _default_hint(default: str) -> str:
    return "" if default in ("", "False") else f"(default: {default})"


Formats = Annotated[
    tuple[str, ...] | None,
    option("what to export", FORMATS, metavar="FORMAT...", default=" ".join(DEFAULT_FORMATS)),
]
Quantize = Annotated[
    str | None,
    option(
        "auto: also the smallest and fastest quantised file that passes its proof; none: no search for it",
        metavar="auto|none",
        default="auto, or none with --formats",
    ),
]
MaxDrop = Annotated[float, option("most accuracy that a quantised file, or a phone's client, may lose, in points")]
Author = Annotated[str, option("who made the model")]
ModelVersion = Annotated[str, option("version of the model")]
ScoreThreshold = Annotated[float, option("probability below which clients leave a class out of their answer")]
Locales = Annotated[
    tuple[str, ...],
    option(
        "class names in other languages: de=labels_de.txt, one name a line, in label order", metavar="LOCALE=FILE..."
    ),
]

# Options about sources, which `train` and `audit` share.
Task = Annotated[str | None, option("what to learn", tuple(LABELS), metavar="TASK", default="by the labels")]
Columns = Annotated[
    tuple[str, ...],
    option(
        "columns of a list whose names do not say so, such as path=photo label=species, or label=width,height for several "
        "numbers; the roles",
        ROLES,
        metavar="ROLE=COLUMN...",
    ),
]
LabelSeparator = Annotated[
    str | None, option("what stands between the labels of one cell", metavar="SIGN", default="by the labels")
]
LabelPattern = Annotated[
    str | None,
    option(
        "labels from file names: a regular expression whose first group finds the class in the path of each image of a folder, "
        "such as '([a-z]+)_[0-9]+'",
        metavar="REGEX",
    ),
]
ImageFolder = Annotated[
    str | None, option("where the paths of a list start", metavar="FOLDER", default="the list's folder")
]
ImageSuffix = Annotated[str | None, option("what is added to each path of a list, such as .jpg", metavar="SUFFIX")]
Uncertain = Annotated[
    str | None,
    option(
        "what an empty cell or -1 among columns of 0 and 1 counts as; unknown leaves it out of the loss and the figures",
        UNCERTAIN,
        metavar="0|1|unknown",
        default="an error",
    ),
]
Validation = Annotated[str | None, option("another source, with the pictures for validation", metavar="SOURCE")]
Test = Annotated[str | None, option("another source, with the pictures for the test", metavar="SOURCE")]

# Options about image files, which a run keeps.
Background = Annotated[
    str | None,
    option(
        "colour behind transparent parts of images, such as white, black or '#f0f0f0'",
        metavar="COLOUR",
        default="transparency is dropped",
    ),
]
Levels = Annotated[
    str | None,
    option(
        "values of black and white in images of more than 8 bits, such as 0-4095 for 12",
        metavar="LOW-HIGH",
        default="the high byte is kept",
    ),
]

# Options that `train`, `audit` and `cache` share.
CacheFolder = Annotated[
    str | None,
    option(
        "where activations, image statistics and extracted archives are kept between runs",
        metavar="FOLDER",
        default="GRAFT_CACHE, or the system's place for caches",
    ),
]


def source_options(config: TrainConfig | AuditConfig | EvaluateConfig) -> SourceOptions:
    """How a source is to be read, by all options of a verb that are about that."""
    columns = {}
    for one in config.columns:
        role, _, column = one.partition("=")
        require("=" in one, f"--columns takes ROLE=COLUMN, such as label=species, not {one!r}")
        columns[role] = column
    names = {field.name for field in fields(SourceOptions)} & {field.name for field in fields(config)}
    return SourceOptions(**{**{name: getattr(config, name) for name in names}, "columns": columns})


def check_exports(config: TrainConfig | ExportConfig) -> None:
    formats = config.formats or ()
    for name in [formats] if isinstance(formats, str) else formats:
        check_choice("formats", name, FORMATS)
    if config.quantize is not None:
        check_choice("quantize", config.quantize, QUANTIZE)
    drop, threshold = config.max_drop, config.score_threshold
    require(drop is None or 0 <= drop <= 100, f"--max-drop must be from 0 to 100 points, not {drop}")
    require(threshold is None or 0 <= threshold <= 1, f"--score-threshold must be from 0 to 1, not {threshold}")


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
