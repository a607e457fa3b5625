"""Modules that are slow to import, such as those that need TensorFlow, loaded when they are first used."""

from __future__ import annotations

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
