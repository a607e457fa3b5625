"""The base of labels that are classes: which sets can be joined, and which classes a model knows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from data.errors import DataError
from data.labels.labels import Labels


class ClassLabels(Labels):
    """Labels that are classes, one or several per example."""

    def _check_names(self, other: Labels, source: str, other_source: str) -> None:
        unknown = [name for label in other.used() if (name := other.names[label]) not in self.names]
        if unknown:
            near = difflib.get_close_matches(unknown[0], self.names, n=1)
            hint = f"did you mean {near[0]!r} by {unknown[0]!r}?" if near else "rename or remove them"
            named = ", ".join(map(repr, unknown[:3])) + (", …" if len(unknown) > 3 else "")
            raise DataError(f"{other_source} has classes that {source} has not ({named}); {hint}")

    def unknown_to(self, names: Sequence[str]) -> str:
        """Return, in words, the classes that a model does not know; "" if it knows all."""
        unknown = ", ".join(sorted(set(self.names) - set(names)))
        return f"classes that the model does not know ({unknown}); it knows {', '.join(names)}" if unknown else ""
