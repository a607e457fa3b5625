"""What an audit knows, and what it finds: the rows of its tables and what comes out of them."""

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
    """What is known of a set of images.

    Attributes:
        examples: those that can be read.
        statistics: of each of them, `data.auditing.statistics.STATISTICS` (n,).
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
        keys: their names.
        note: what is the matter with them, in a few words.
    """

    keys: tuple[str, ...]
    note: str

    @property
    def pictures(self) -> tuple[str, ...]:
        """The keys, by the name of earlier versions."""
        return self.keys


@dataclass(frozen=True)
class Finding:
    """What was found of one kind.

    Attributes:
        name: key of the row that found it.
        title: what it is, for people.
        severity: one of `SEVERITIES`.
        advice: what to do, one sentence.
        cases: all of them, the worst first.
    """

    name: str
    title: str
    severity: str
    advice: str
    cases: tuple[Case, ...]

    @property
    def examples(self) -> tuple[Case, ...]:
        """The cases, by the name of earlier versions."""
        return self.cases

    @property
    def count(self) -> int:
        """Number of cases."""
        return len(self.cases)


@dataclass(frozen=True)
class Check(Generic[Known]):
    """A row: what may be wrong, and how it is found in what is known.

    Attributes:
        title: what it is, for people.
        severity: one of `SEVERITIES`.
        advice: what to do, one sentence.
        find: gives all cases, the worst first.
    """

    title: str
    severity: str
    advice: str
    find: Callable[[Known], Iterable[Case]]


def find_all(checks: Mapping[str, Check[Known]], known: Known) -> list[Finding]:
    """What the rows of a table find, without those that find nothing."""
    found = (
        Finding(name, check.title, check.severity, check.advice, tuple(check.find(known)))
        for name, check in checks.items()
    )
    return [finding for finding in found if finding.cases]
