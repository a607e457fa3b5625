"""Signatures of the verbs as functions: their own arguments, then every option with its type and default.

A verb takes `**options`, which its class in `app.config` describes. `with_options` shows the options to `help`, to editors and
to notebooks, and `app/__init__.pyi` to type checkers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any, NamedTuple, ParamSpec, TypeVar

from app.config.shared import Option, VerbOptions, by_heading, declarations
from app.interface.verbosity import check_verbose, verbosity

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

VERBOSE = "verbose"
VERBOSE_TEXT = "0 prints nothing, 1 shows bars, 2 prints a line for each epoch and stage"
_PATHS = ("FILE", "FOLDER", "RUN", "SOURCE")  # parts of the metavars of options that name one
_OPTIONS_LINE = "**options:"  # of a verb's docstring


class Keyword(NamedTuple):
    """An option as a keyword argument.

    Attributes:
        name: name of the argument.
        type: its type, as source code.
        default: its default; `inspect.Parameter.empty` if it must be given.
        text: what it is for, and what None stands for.
        is_path: whether it names a file or folder.
    """

    name: str
    type: str
    default: Any
    text: str
    is_path: bool


def with_options(kind: type[VerbOptions]) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a verb that takes `**options`: show the options in its signature and docstring, and let it take `verbose`.

    The docstring names the rows that tables have when the verb is imported; `--help` names those that they have then.

    Args:
        kind: class of the verb's options.

    Examples:
        >>> from app.config import ListConfig
        >>> @with_options(ListConfig)
        ... def show(**options):
        ...     return options
        >>> inspect.signature(show)
        <Signature (*, what: str = 'backbones', verbose: int = 1)>
        >>> show(what="heads", verbose=0)
        {'what': 'heads'}
    """

    def decorate(verb: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(verb)
        def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
            verbose: Any = options.pop(VERBOSE, 1)
            named: Any = options.pop(many, ())  # the command line gives all options by name
            check_verbose(verbose)
            with verbosity(verbose):
                return verb(*arguments, *named, **options)

        many = next(
            (one.name for one in inspect.signature(verb).parameters.values() if one.kind == one.VAR_POSITIONAL), ""
        )
        keywords = keywords_of(verb, kind)
        call.__signature__ = _signature(verb, keywords)  # type: ignore[attr-defined]
        call.__doc__ = _described(verb, keywords)
        return call

    return decorate


def keywords_of(verb: Callable[..., Any], kind: type[VerbOptions]) -> list[Keyword]:
    """Return the keyword arguments of a verb that are options, the most used first.

    Args:
        verb: the function.
        kind: class of its options.

    Examples:
        >>> from app.config import CacheConfig
        >>> [(one.name, one.type) for one in keywords_of(lambda **options: None, CacheConfig)]
        [('cache_folder', 'str | None'), ('action', 'str')]
        >>> [one.name for one in keywords_of(lambda action, **options: None, CacheConfig)]
        ['cache_folder']
    """
    declared = declarations(kind)
    defaults = {field.name: field.default for field in fields(kind)}
    own = {
        name for name, one in inspect.signature(inspect.unwrap(verb)).parameters.items() if one.kind != one.VAR_KEYWORD
    }
    names = [name for names in by_heading(kind).values() for name in names]
    return [
        Keyword(
            name,
            _source(declared[name].type),
            inspect.Parameter.empty if defaults[name] is MISSING else defaults[name],
            _text(declared[name].option, kind.defaults.get(name)),
            any(what in (declared[name].option.metavar or "") for what in _PATHS),
        )
        for name in dict.fromkeys([*kind.common, *names])
        if name not in own
    ]


def _source(hint: Any) -> str:
    """Return a type as source code."""
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _text(option: Option, default: str | None) -> str:
    none = option.default if default is None else default
    return f"{option.text} (default: {none})" if none else option.text


def _signature(verb: Callable[..., Any], keywords: Sequence[Keyword]) -> inspect.Signature:
    """Return the signature with the options in place of `**options`."""
    plain = inspect.signature(verb)
    own = [one for one in plain.parameters.values() if one.kind != one.VAR_KEYWORD]
    options = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=_Source(one.type))
        for one in keywords
    ]
    quiet = inspect.Parameter(VERBOSE, inspect.Parameter.KEYWORD_ONLY, default=1, annotation=_Source("int"))
    own = [one.replace(annotation=_shown(one.annotation)) for one in own]
    return plain.replace(parameters=[*own, *options, quiet], return_annotation=_shown(plain.return_annotation))


def _shown(annotation: Any) -> Any:
    return annotation if annotation is inspect.Signature.empty else _Source(str(annotation))


class _Source(str):
    """An annotation that is shown as source code, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _described(verb: Callable[..., Any], keywords: Sequence[Keyword]) -> str:
    """Return the docstring with a line for each option in place of the line about `**options`."""
    lines: list[str] = []
    for line in (inspect.getdoc(verb) or "").splitlines():
        lines += _option_lines(keywords) if line.strip().startswith(_OPTIONS_LINE) else [line]
    return "\n".join(lines)


def _option_lines(keywords: Sequence[Keyword]) -> list[str]:
    texts = {one.name: one.text for one in keywords} | {VERBOSE: VERBOSE_TEXT}
    return [f"    {name}: {text}." for name, text in texts.items()]
