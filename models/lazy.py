"""Modules that are slow to import, such as those that need TensorFlow, loaded when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module, and imports it when its first attribute is used.

    Give type checkers, which cannot look into this class, the real import:

        if TYPE_CHECKING:
            from app.job import steps
        else:
            steps = LazyModule("app.job.steps")

    Examples:
        >>> statistics = LazyModule("statistics")
        >>> statistics.mean([1, 2, 3])
        2
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


@contextmanager
def without(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Spare imports within this context modules that are slow and not needed; those that are loaded already stay.

    Args:
        modules: by name, what is imported in place of each: an empty module, or None for a `ModuleNotFoundError`.

    Examples:
        >>> with without({"turtle": ModuleType("turtle")}):
        ...     import turtle
        >>> "turtle" in sys.modules
        False
        >>> with without({"turtle": None}):
        ...     import turtle
        Traceback (most recent call last):
        ModuleNotFoundError: import of turtle halted; None in sys.modules
    """
    spared = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(spared)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in spared:
            del sys.modules[name]
