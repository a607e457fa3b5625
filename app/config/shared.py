"""Building blocks of all options: their help, their groups and their checks."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar, get_type_hints

from app.config.values import fit_value
from app.interface.errors import UsageError

MAX_COUNT = 1_000_000  # of epochs, images per step and similar counts: a larger number is a typing error

Table: TypeAlias = Iterable[str] | Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Option:
    """Help of an option.

    Attributes:
        about: what the option is for.
        table: the names that it chooses from, or a function that returns them; read when help is shown, for programs add rows.
        metavar: placeholder of its value; None for the name of its type.
        default: what None or an empty value stands for.
        positional: the option is given without its name.
    """

    about: str
    table: Table = field(default=(), hash=False)
    metavar: str | None = None
    default: str = ""
    positional: bool = False

    @property
    def text(self) -> str:
        """What the option is for, and the names that it chooses from now."""
        names = ", ".join(self.table() if callable(self.table) else self.table)
        return f"{self.about}: {names}" if names else self.about


def option(
    text: str,
    table: Table = (),
    *,
    metavar: str | None = None,
    default: str = "",
    positional: bool = False,
) -> Option:
    """Describe an option; the arguments are the fields of `Option`.

    Examples:
        >>> option("side of the images").text
        'side of the images'
        >>> option("what to train", ("head", "all")).text
        'what to train: head, all'
    """
    return Option(text, table, metavar, default, positional)


@dataclass(frozen=True, kw_only=True)
class Options:
    """A group of options that verbs share, or all options of a verb, which inherits its groups.

    An option is described where it is first declared, by an `Option` in its annotation. A subclass may declare it again with
    another default.

    Attributes:
        heading: heading of the group in `--help`; empty for a verb's own options, which come first.
    """

    heading: ClassVar[str] = ""

    def check(self) -> None:
        """Raise `UsageError`, `DataError` or `ModelError` for invalid options."""


@dataclass(frozen=True, kw_only=True)
class VerbOptions(Options):
    """All options of a verb.

    Attributes:
        common: the most used options of the verb and its groups, which come first, before the rest of its own.
        defaults: what None stands for in this verb, by option, if it differs from the group's text.
        examples: shown below `--help`: what a command does, and its words after the verb.
    """

    heading: ClassVar[str] = ""
    common: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[Mapping[str, str]] = {}


Kind = TypeVar("Kind", bound=Options)


def make_config(kind: type[Kind], **options: Any) -> Kind:
    """Create a verb's options from keyword arguments.

    The check is called here instead of by the class, since tyro, which creates one too, would wrap its message in a box.

    Raises:
        UsageError, DataError, ModelError: an unknown name (the message suggests the nearest), or an invalid value.

    Examples:
        >>> from app.config import ListConfig
        >>> make_config(ListConfig, what="heads").what
        'heads'
        >>> make_config(ListConfig, what="head")
        Traceback (most recent call last):
        app.interface.errors.UsageError: there is no list 'head'. Did you mean 'heads'?
    """
    config = make(kind, options)
    config.check()
    return config


def make(kind: type[Kind], options: Mapping[str, Any]) -> Kind:
    """Create options of the declared types, without any other check of their values.

    Raises:
        UsageError: an unknown name (the message suggests the nearest), or a value of another type.

    Examples:
        >>> from app.config import CacheConfig
        >>> make(CacheConfig, {"action": "clear"}).action
        'clear'
        >>> make(CacheConfig, {"folder": "cache"})
        Traceback (most recent call last):
        app.interface.errors.UsageError: unknown option 'folder'. Did you mean 'cache_folder'?
    """
    names = [field.name for field in fields(kind)]
    for name in options:
        if name not in names:
            raise UsageError(f"unknown option {name!r}. {nearest(name, names)}")
    hints = _hints(kind)  # type: ignore[arg-type] # a class is hashable, whatever its objects are
    return kind(**{name: fit_value(name, value, hints[name]) for name, value in options.items()})


@cache
def _hints(kind: type[Options]) -> dict[str, Any]:
    return get_type_hints(kind)


def by_heading(kind: type[Options]) -> dict[str, list[str]]:
    """Return the names of options by the heading of their group, in the order in which a class inherits its groups.

    Examples:
        >>> from app.config.model import SizeGroup
        >>> by_heading(SizeGroup)
        {'model': ['image_size']}
        >>> from app.config.storage import CacheGroup
        >>> by_heading(CacheGroup)
        {'cache': ['engine', 'cache_limit', 'cache_folder']}
    """
    owners: dict[str, type[Options]] = {}
    classes = [one for one in kind.__mro__ if issubclass(one, Options)]
    for one in reversed(classes):  # an option belongs to the class that declares it first
        for name in inspect.get_annotations(one):
            owners.setdefault(name, one)
    names = {field.name for field in fields(kind)}
    found: dict[str, list[str]] = {}
    for one in classes:
        for name, owner in owners.items():
            if owner is one and name in names:
                found.setdefault(one.heading, []).append(name)
    return found


class Declaration(NamedTuple):
    """An option as a class of options declares it.

    Attributes:
        type: its type, as declared last, such as `int | None`.
        option: its help, as declared first.
    """

    type: Any
    option: Option


def declarations(kind: type[Options]) -> dict[str, Declaration]:
    """Return the declarations of all options by name.

    Examples:
        >>> from app.config.model import SizeGroup
        >>> declarations(SizeGroup)["image_size"].type
        int | None
        >>> declarations(SizeGroup)["image_size"].option.text
        'side of the images in pixels'
    """
    types: dict[str, Any] = {}
    described: dict[str, Option] = {}
    for one in reversed(kind.__mro__):
        for name, hint in inspect.get_annotations(one, eval_str=True).items():
            is_described = hasattr(hint, "__metadata__")
            types[name] = hint.__origin__ if is_described else hint
            if is_described:
                described[name] = next(about for about in hint.__metadata__ if isinstance(about, Option))
    return {name: Declaration(types[name], option) for name, option in described.items()}


def require(holds: bool, text: str) -> None:
    """Raise `UsageError` with a message unless a condition holds.

    Examples:
        >>> require(True, "must hold") is None
        True
        >>> require(2 > 3, "two must be larger")
        Traceback (most recent call last):
        app.interface.errors.UsageError: two must be larger
    """
    if not holds:
        raise UsageError(text)


def check_positive(name: str, value: float | None, *, most: float = MAX_COUNT) -> None:
    """Refuse a value that is not above 0, or that is above a limit; None is accepted.

    Examples:
        >>> check_positive("shots", None) is None
        True
        >>> check_positive("shots", 0)
        Traceback (most recent call last):
        app.interface.errors.UsageError: --shots must be above 0 and at most 1,000,000, not 0
    """
    limits = f"must be above 0 and at most {most:,}"
    require(value is None or 0 < value <= most, f"--{name.replace('_', '-')} {limits}, not {value}")


def check_suffix(name: str, value: str | None, suffix: str) -> None:
    """Refuse the name of a file of another kind; None is accepted.

    Examples:
        >>> check_suffix("output", "figures.json", ".json") is None
        True
        >>> check_suffix("output", "figures.csv", ".json")
        Traceback (most recent call last):
        app.interface.errors.UsageError: --output must be a .json file, not figures.csv
    """
    require(value is None or value.endswith(suffix), f"--{name} must be a {suffix} file, not {value}")


def check_choice(name: str, value: str | None, table: Collection[str]) -> None:
    """Refuse a name that is not in a table, and suggest the nearest; None is accepted.

    Examples:
        >>> check_choice("resize", "pad", ("pad", "crop")) is None
        True
        >>> check_choice("resize", "pat", ("pad", "crop"))
        Traceback (most recent call last):
        app.interface.errors.UsageError: --resize cannot be 'pat'. Did you mean 'pad'?
    """
    require(value is None or value in table, f"--{name} cannot be {value!r}. {nearest(value or '', table)}")


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a suggestion for an unknown name: the nearest known names, or all of them.

    Examples:
        >>> nearest("aple", ["apple", "banana"])
        "Did you mean 'apple'?"
        >>> nearest("x", ["apple", "banana"])
        'Choose from apple, banana'
    """
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(names)}"
