"""What an audit knows and what it finds: the rows of its tables, and their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from data.auditing.duplicates import Duplicates
from data.checking import ImageCheck
from data.examples import Examples

ERROR, WARNING, NOTE = SEVERITIES = ("error", "warning", "note")

Known = TypeVar("Known")


@dataclass(frozen=True)
class AuditData:
    """What is known about a set of images.

    Attributes:
        examples: the readable images.
        statistics: of each readable image, `data.auditing.statistics.STATISTICS` (n,).
        faults: the images that cannot be read.
        duplicates: groups among `examples`.
    """

    examples: Examples
    statistics: np.ndarray
    faults: tuple[ImageCheck, ...]
    duplicates: Duplicates


@dataclass(frozen=True)
class Case:
    """One case of a finding: an image, or several that belong together.

    Attributes:
        keys: names of the images.
        note: what is wrong with them, in a few words.
    """

    keys: tuple[str, ...]
    note: str

    @property
    def pictures(self) -> tuple[str, ...]:
        """The keys, under the name of earlier versions."""
        return self.keys


@dataclass(frozen=True)
class Finding:
    """All cases of one kind.

    Attributes:
        name: key of the row that found them.
        title: what was found, in words.
        severity: one of `SEVERITIES`.
        advice: what to do, in one sentence.
        cases: all of them, the worst first.
    """

    name: str
    title: str
    severity: str
    advice: str
    cases: tuple[Case, ...]

    @property
    def examples(self) -> tuple[Case, ...]:
        """The cases, under the name of earlier versions."""
        return self.cases

    @property
    def count(self) -> int:
        """Number of cases."""
        return len(self.cases)


@dataclass(frozen=True)
class Check(Generic[Known]):
    """A row of a table: what may be wrong, and the function that finds it in what is known.

    Attributes:
        title: what may be wrong, in words.
        severity: one of `SEVERITIES`.
        advice: what to do, in one sentence.
        find: returns all cases, the worst first.
    """

    title: str
    severity: str
    advice: str
    find: Callable[[Known], Iterable[Case]]


def find_all(checks: Mapping[str, Check[Known]], known: Known) -> list[Finding]:
    """Return the findings of the rows of a table, without rows that find nothing.

    Examples:
        >>> def short(names):
        ...     return [Case((name,), "short") for name in names if len(name) < 3]
        >>> checks = {"short": Check("short names", NOTE, "Choose longer names.", short)}
        >>> [(finding.title, finding.count) for finding in find_all(checks, ["a", "bc", "tulip"])]
        [('short names', 2)]
        >>> find_all(checks, ["tulip"])
        []
    """
    found = (
        Finding(name, check.title, check.severity, check.advice, tuple(check.find(known)))
        for name, check in checks.items()
    )
    return [finding for finding in found if finding.cases]
