"""Values of options as users give them in Python: converted where that is safe, else refused with a sentence."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from app.interface.errors import UsageError

_NAMES = {bool: ("True or False", "bools"), int: ("an integer", "integers"), float: ("a number", "numbers")}
_NAMES |= {str: ("a string", "strings")}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class _Misfit(Exception):  # noqa: N818 - `fit_value` turns it into a sentence
    """A value is not of a type."""


def fit_value(name: str, value: Any, hint: Any) -> Any:
    """Return the value of an option in the type that the option declares.

    NumPy's numbers become Python's, integers floats, paths strings, and lists tuples, where these are meant. A value alone
    stands for a tuple of one.

    Args:
        name: name of the option, for the message.
        value: its value, as given.
        hint: bool, int, float, str, a tuple of any length of one of them, or a union of these and None.

    Raises:
        UsageError: the value is of another type.

    Examples:
        >>> fit_value("mean", [127, np.float32(0.5)], tuple[float, ...])
        (127.0, 0.5)
        >>> fit_value("image_size", "96", int | None)
        Traceback (most recent call last):
        app.interface.errors.UsageError: image_size must be an integer, not '96'
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        try:
            return _fitted(value, kind)
        except _Misfit:
            continue
    meant = " or ".join(_name(kind) for kind in kinds if kind is not NoneType)
    raise UsageError(f"{name} must be {meant}, not {_shown(value)}")


def _fitted(value: Any, kind: Any) -> Any:
    is_bool = isinstance(value, bool | np.bool_)
    if kind is NoneType and value is None:
        return None
    if kind is bool and is_bool:
        return bool(value)
    if kind is int and isinstance(value, Integral) and not is_bool:
        return int(value)
    if kind is float and isinstance(value, Real) and not is_bool:
        return _as_float(value)
    if kind is str and isinstance(value, str | os.PathLike):
        return _as_text(value)
    if get_origin(kind) is tuple:
        is_alone = isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray)
        return tuple(_fitted(one, get_args(kind)[0]) for one in ([value] if is_alone else value))
    raise _Misfit


def _as_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError as error:  # an integer beyond all floats
        raise _Misfit from error


def _as_text(value: str | os.PathLike[str]) -> str:
    text = os.fspath(value)
    if not isinstance(text, str):  # a path in bytes
        raise _Misfit
    return str(text)  # of NumPy's strings, too


def _shown(value: Any) -> str:
    return re.sub(r"\s*\n\s*", " ", _SHORT.repr(value))  # arrays are shown on several lines


def _name(kind: Any) -> str:
    return f"a list of {_NAMES[get_args(kind)[0]][1]}" if get_origin(kind) is tuple else _NAMES[kind][0]
