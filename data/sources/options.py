"""What a user may say about a source besides its name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from data.errors import DataError
from data.pictures import TASKS
from data.sources.columns import ROLES

# Called while a source is fetched or read: what is done, how many bytes are, and how many in all, if that is known.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class SourceOptions:
    """How a source is to be read. The default of each leaves it to the source.

    Attributes:
        task: one of `data.pictures.TASKS`; None infers it from the labels.
        columns: role -> column of a list, such as {"path": "file", "label": "species"}; the roles are those of
            `data.sources.columns.ROLES`. A label of several numbers names its columns as "width,height". An empty name
            says that there is no such column.
        label_separator: what stands between the labels of one cell.
        validation: another SOURCE, all of whose pictures are for validation.
        test: another SOURCE, all of whose pictures are for the test.
        progress: is told how far a download or an extraction is.
    """

    task: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    label_separator: str | None = None
    validation: str | None = None
    test: str | None = None
    progress: Progress | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise DataError(f"there is no task {self.task!r}. {_nearest(self.task, TASKS)}")
        for role in self.columns:
            if role not in ROLES:
                raise DataError(f"a list has no column for {role!r}. {_nearest(role, tuple(ROLES))}")
        if self.label_separator is not None and not self.label_separator.strip():
            raise DataError("the separator of labels is empty; give the sign that stands between them, such as |")

    def report(self, activity: str, done: int, total: int | None) -> None:
        """Tell `progress`, if there is one."""
        if self.progress is not None:
            self.progress(activity, done, total)


def _nearest(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(names)}"
