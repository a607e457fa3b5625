"""The options of a source: what a user may say about it besides its name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from data.errors import DataError
from data.labels import LABELS
from data.sources.columns import ROLES

# Called while a source is fetched or read, with the activity, the bytes done, and the total bytes if known.
Progress = Callable[[str, int, int | None], None]
UNCERTAIN = ("0", "1", "unknown")
LIST_OPTIONS = ("columns", "label_separator", "image_folder", "image_suffix", "uncertain")  # used by lists


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source. Each default leaves the choice to the source.

    Attributes:
        task: a key of `data.labels.LABELS`; None infers it from the labels.
        columns: role -> column of a list, such as {"path": "file", "label": "species"}; the roles are those of
            `data.sources.columns.ROLES`. A label of several numbers names its columns as "width,height". An empty name
            means that there is no such column.
        label_separator: what separates the labels of one cell.
        label_pattern: a regular expression that is searched for in the path of each image of a folder; its group `label`,
            or else its first group, is the class.
        image_folder: the folder where the paths of a list start; None for the folder of the list.
        image_suffix: text that is added to each path of a list, such as ".jpg".
        uncertain: one of `UNCERTAIN`, the meaning of an empty cell or -1 among columns of 0 and 1; "unknown" leaves the
            cell out of the loss and of all metrics; None refuses such cells.
        skip_unreadable: whether to leave out rows of a list whose image is missing, or that have no label.
        validation: another SOURCE, whose images are all for validation.
        test: another SOURCE, whose images are all for the test.
        cache_folder: the folder of downloads, extracted archives and image statistics; None for the default of
            `data.cache.cache`.
        progress: is called with the progress of downloads and extractions.
    """

    task: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    label_separator: str | None = None
    label_pattern: str | None = None
    image_folder: str | None = None
    image_suffix: str | None = None
    uncertain: str | None = None
    skip_unreadable: bool = False
    validation: str | None = None
    test: str | None = None
    cache_folder: str | None = None
    progress: Progress | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in LABELS:
            raise DataError(f"there is no task {self.task!r}. {_nearest(self.task, tuple(LABELS))}")
        for role in self.columns:
            if role not in ROLES:
                raise DataError(f"a list has no column for {role!r}. {_nearest(role, tuple(ROLES))}")
        if self.label_separator == "":
            raise DataError("the separator of labels is empty; give the sign that stands between them, such as |")
        if self.uncertain is not None and self.uncertain not in UNCERTAIN:
            raise DataError(
                f"an uncertain label cannot count as {self.uncertain!r}; choose from {', '.join(UNCERTAIN)}"
            )
        self._check_pattern()

    def _check_pattern(self) -> None:
        if self.label_pattern is None:
            return
        try:
            groups = re.compile(self.label_pattern).groups
        except re.error as error:
            raise DataError(f"the pattern {self.label_pattern!r} is no regular expression: {error}") from error
        if not groups:
            raise DataError(
                f"the pattern {self.label_pattern!r} has no group; put parentheses around the class, as in '(.+)_[0-9]+'"
            )

    def report(self, activity: str, done: int, total: int | None) -> None:
        """Call `progress` if there is one."""
        if self.progress is not None:
            self.progress(activity, done, total)


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(names)}"
