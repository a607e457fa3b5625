"""Parse command lines, and print the help of a verb: options in groups, with examples below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, field, fields, make_dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from app.config.shared import Option, VerbOptions, by_heading, declarations
from app.interface.program import command, commands


def parse(kind: type[VerbOptions], verb: str, words: Sequence[str], summary: str = "") -> dict[str, Any]:
    """Parse the options of a verb from the words after it.

    Args:
        kind: class of the options.
        verb: name of the verb.
        words: the words after it on the command line.
        summary: what the verb does, for its help.

    Returns:
        The given options, and the defaults of the others, by name.

    Raises:
        SystemExit: with code 0 after printing requested help, or 2 after printing what is wrong with the words.

    Examples:
        >>> from app.config import CacheConfig, ListConfig
        >>> parse(ListConfig, "list", ["heads"])
        {'what': 'heads'}
        >>> parse(CacheConfig, "cache", ["clear"])["action"]
        'clear'
    """
    try:
        nested: Any = tyro.cli(_nested(kind), prog=command(verb), description=summary, args=list(words))
    except SystemExit as ended:
        if not ended.code:
            print(f"examples:\n{commands({text: f'{verb} {words}' for text, words in kind.examples.items()})}")
        raise
    options = dict(vars(nested))
    for title in layout(kind)[1]:
        options |= vars(options.pop(_attribute(title)))
    return options


def layout(kind: type[VerbOptions]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the layout of `--help`: the names of the options that come first, and of those below each heading.

    Examples:
        >>> from app.config import CacheConfig, ListConfig
        >>> layout(ListConfig)
        (['what'], {})
        >>> layout(CacheConfig)
        (['cache_folder', 'action'], {})
    """
    groups = by_heading(kind)
    top = list(dict.fromkeys([*kind.common, *groups.pop("", [])]))
    rest = {title: [name for name in names if name not in top] for title, names in groups.items()}
    return top, {title: names for title, names in rest.items() if names}


def _nested(kind: type[VerbOptions]) -> type:
    """Return the options as a class with a class for each group: tyro shows each nested class in its own box."""
    members = _members(kind)
    top, groups = layout(kind)
    shown = [members[name] for name in top]
    for title, names in groups.items():
        group = make_dataclass(_attribute(title), [members[name] for name in names])
        shown.append(
            (_attribute(title), Annotated[group, arg(name=title), OmitArgPrefixes], field(default_factory=group))
        )
    return make_dataclass(kind.__name__, shown, kw_only=True)


def _attribute(title: str) -> str:
    return f"{title.replace(' ', '_')}_group"


def _members(kind: type[VerbOptions]) -> dict[str, tuple[str, Any, Any]]:
    """Return the arguments of each option for `make_dataclass`."""
    declared = declarations(kind)
    return {
        one.name: (
            one.name,
            _with_help(declared[one.name].type, declared[one.name].option, kind.defaults.get(one.name)),
            field() if one.default is MISSING else field(default=one.default),
        )
        for one in fields(kind)
    }


def _with_help(declared: Any, option: Option, default: str | None) -> Any:
    """Return a type annotated for tyro."""

    def hint(value: str) -> str:
        shown = (option.default if default is None else default) if value in ("None", "") else value
        return "" if shown in ("", "False") else f"(default: {shown})"

    hinted: Any = Annotated[declared, arg(help=option.text, help_behavior_hint=hint, metavar=option.metavar)]
    return Positional[hinted] if option.positional else hinted  # type: ignore[misc]
