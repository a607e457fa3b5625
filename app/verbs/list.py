"""Print the tables of choices."""

from __future__ import annotations

from typing import Any

from app.config import LISTS, ListConfig, make_config
from app.config.signatures import with_options
from app.exporting.formats import FORMATS
from app.interface.events import print_table
from app.tasks import TASKS
from app.training.engines import ENGINES
from app.training.strategies import STRATEGIES
from data.sources import SOURCES
from models.backbones import BACKBONES
from models.backbones.spec import BackboneSpec
from models.heads import HEADS

_Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]
_OPTIONAL = ("features", "paper", "from")  # columns that are left out if there is no room


@with_options(ListConfig)
def list_choices(what: str = "backbones", **options: Any) -> None:
    """Print one of the tables.

    Args:
        what: one of `app.config.LISTS`.
        **options: none so far.

    Raises:
        UsageError: the table does not exist.

    Examples:
        >>> list_choices("heads")
        heads
        <BLANKLINE>
          name     what it is
         ─────────────────────────────────────────────────────────────
          linear   pooling, dropout, one dense layer
          mlp      a hidden layer of 256 units before the linear head
        >>> list_choices("models")
        Traceback (most recent call last):
        app.interface.errors.UsageError: there is no list 'models'. Choose from tasks, backbones, heads, ...
    """
    config = make_config(ListConfig, what=what, **options)
    columns, rows = _TABLES[config.what]()
    print_table(config.what, columns, rows, optional=_OPTIONAL)


def _tasks() -> _Rows:
    rows: list[tuple[str, ...]] = [(name, one.description, one.metric, one.score) for name, one in TASKS.items()]
    return ("name", "what is learned", "best weights by", "exports evaluated by"), rows


def _backbones() -> _Rows:
    rows = [_backbone(spec) for spec in BACKBONES.values()]
    own = ("hub:HANDLE", "its own", "its own", "TF Hub, or a folder", "its own", "its own", "its page", "")
    return ("name", "pixels", "parameters", "weights", "licence", *_OPTIONAL), [*rows, own]


def _backbone(spec: BackboneSpec) -> tuple[str, ...]:
    weights, _, origin = spec.weights_source.partition("; ")
    return (
        spec.name,
        str(spec.image_size),
        f"{spec.parameters / 1e6:.1f} M",
        weights,
        spec.licence,
        str(spec.feature_width),
        spec.paper,
        origin.removeprefix("from "),
    )


def _heads() -> _Rows:
    return ("name", "what it is"), [(name, head.description) for name, head in HEADS.items()]


def _strategies() -> _Rows:
    return ("name", "what it does"), [(name, one.description) for name, one in STRATEGIES.items()]


def _sources() -> _Rows:
    return ("source", "what it is"), [(one.syntax, one.description) for one in SOURCES.values()]


def _engines() -> _Rows:
    return ("name", "what it is", "installed"), [
        (name, one.description, "yes" if one.is_installed else "no") for name, one in ENGINES.items()
    ]


def _formats() -> _Rows:
    rows: list[tuple[str, ...]] = [
        (name, one.file, one.description, "; ".join(f"{_subject(what)}: {why}" for what, why in one.cannot.items()))
        for name, one in FORMATS.items()
    ]
    return ("name", "file", "what it is", "cannot hold"), rows


def _subject(what: str) -> str:
    """Return the tasks whose models have this kind of output, or the backbones that match the expression."""
    return ", ".join(name for name, task in TASKS.items() if task.output.predictions == what) or what


_TABLES = dict(zip(LISTS, (_tasks, _backbones, _heads, _strategies, _sources, _formats, _engines), strict=True))
