"""Modules that are slow to import, such as those that need TensorFlow, loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module, and imports it when the first of its attributes is asked for.

    >>> statistics = LazyModule("statistics")
    >>> statistics.mean([1, 2, 3])
    2

    Give the real import to type checkers, which cannot look into this:

        if TYPE_CHECKING:
            from app.job import steps
        else:
            steps = LazyModule("app.job.steps")
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)
