"""Modules that are slow to import, such as those that need TensorFlow, loaded when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
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
def without(names: Iterable[str]) -> Iterator[None]:
    """Let modules that are slow and not needed seem not to be installed within this context; those that are loaded stay.

    Args:
        names: names of the modules.

    Examples:
        >>> with without(["turtle"]):
        ...     import turtle
        Traceback (most recent call last):
        ModuleNotFoundError: import of turtle halted; None in sys.modules
        >>> "turtle" in sys.modules
        False
    """
    spared = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(spared))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in spared:
            del sys.modules[name]
