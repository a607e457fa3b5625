"""Open a source with a progress bar, and report what was found and what was left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from app.interface.console import redirect_output
from app.interface.errors import UsageError
from app.interface.events import print_text, whole
from app.interface.program import command
from app.interface.stages import Stage, progress, status, track
from data.auditing.duplicates import find_duplicates
from data.auditing.findings import AuditData
from data.checking import ImageCheck, describe, fingerprint, readable_only, statistics_among
from data.errors import DataError
from data.examples import Examples
from data.image.preparing import PLAIN, Preparation
from data.opening import check_all, with_duplicates
from data.remarks import (
    describe_found,
    describe_ignored,
    describe_leakage,
    describe_lost,
    describe_repeated,
    describe_spellings,
)
from data.sources import DEFAULTS, open_source
from data.sources.options import SourceOptions
from data.sources.unlabelled import is_unlabelled, open_unlabelled


@dataclass(frozen=True)
class CheckedSource:
    """Result of one pass over all images of a source.

    Attributes:
        examples: all examples.
        audit_data: the readable examples with their digests and duplicates, and the faults of the others.
        sha256: hash over the names and contents of all images.
    """

    examples: Examples
    audit_data: AuditData
    sha256: str


def open_readable(
    source: str,
    options: SourceOptions = DEFAULTS,
    *,
    skip_unreadable: bool,
    preparation: Preparation = PLAIN,
) -> tuple[Examples, str]:
    """Open a source and read every image once.

    Args:
        source: a SOURCE string.
        options: how to read the source, and where image statistics are kept, so that no image is decoded again.
        skip_unreadable: leave out unreadable images.
        preparation: how each file is prepared before it is decoded.

    Returns:
        The readable examples with their digests and duplicates, and one SHA-256 over all images.

    Raises:
        DataError: the source does not exist, or holds unreadable images that are not skipped.

    Examples:
        >>> from app.interface.events import listening
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, sha256 = open_readable("images", skip_unreadable=False)
        >>> examples.class_names
        ('apple', 'banana', 'cherry')
        >>> open_readable("no_such_folder", skip_unreadable=False)
        Traceback (most recent call last):
        data.errors.DataError: there is no folder no_such_folder. Check the path
    """
    examples = _open(source, options)
    examples = replace(examples, read=preparation.applied_to(examples.read))
    checked = _check(examples, options.cache_folder)
    readable = readable_only(examples, checked, skip_unreadable=skip_unreadable)
    with status("looking for duplicates"):
        statistics = statistics_among(checked)
        readable = with_duplicates(readable, find_duplicates(statistics))
    _say_found(readable, examples)
    if len(readable) < len(examples):
        print_text(f"Left out: {describe([one for one in checked if one.fault])}")
    _say_duplicates(readable)
    _say_lost(readable, statistics)
    return readable, fingerprint(checked)


def read_source(
    source: str,
    options: SourceOptions = DEFAULTS,
    *,
    preparation: Preparation = PLAIN,
    unlabelled: bool = False,
) -> CheckedSource:
    """Open a source, or a folder of unlabelled images, for an audit, which reports unreadable images instead of raising.

    Raises:
        DataError: the source does not exist, or none of its images can be read.

    Examples:
        >>> from app.interface.events import listening
        >>> with listening([].append, alone=True):  # prints nothing
        ...     reading = read_source("images")
        >>> len(reading.examples)
        24
        >>> read_source("no_such_folder")
        Traceback (most recent call last):
        data.errors.DataError: there is no folder no_such_folder. Check the path
    """
    examples = open_unlabelled(source) if unlabelled else _open_labelled_or_not(source, options)
    examples = replace(examples, read=preparation.applied_to(examples.read))
    checked = _check(examples, options.cache_folder)
    faults = tuple(one for one in checked if one.fault)
    if len(faults) == len(checked):
        raise DataError(f"{describe(faults)}\nThere is nothing else to look at; repair them, or name other images")
    statistics = statistics_among(checked)
    with status("looking for duplicates"):
        duplicates = find_duplicates(statistics)
    readable = replace(examples, digests=tuple(one.sha256 for one in checked))
    readable = readable.subset([index for index, one in enumerate(checked) if not one.fault])
    readable = with_duplicates(readable, duplicates)
    _say_found(examples, examples)
    return CheckedSource(examples, AuditData(readable, statistics, faults, duplicates), fingerprint(checked))


def in_classes_of(examples: Examples, names: Sequence[str]) -> Examples:
    """Return examples with the classes of a model, in its order.

    Raises:
        UsageError: the examples have a class that the model does not know.

    Examples:
        >>> from data.sources import open_source
        >>> in_classes_of(open_source("images"), ["cherry", "banana", "apple", "plum"]).class_names
        ('cherry', 'banana', 'apple', 'plum')
        >>> in_classes_of(open_source("images"), ["apple", "banana"])
        Traceback (most recent call last):
        app.interface.errors.UsageError: images has classes that the model does not know (cherry); it knows apple, banana
    """
    unknown = examples.labels.unknown_to(names)
    if unknown:
        raise UsageError(f"{examples.source} has {unknown}")
    return examples.with_classes(names)


def refuse_leakage(examples: Examples, options: SourceOptions, mend: str = "") -> None:
    """Refuse given splits of a source if an image is in several of them.

    Args:
        examples: examples with their splits and duplicates.
        options: how they were read, for the command that finds all such images.
        mend: what to do about it; by default, to clean the source or to continue anyway.

    Raises:
        UsageError: an image is in several splits; the message names it.

    Examples:
        >>> from dataclasses import replace
        >>> from app.interface.events import listening
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, _ = open_readable("images", skip_unreadable=False)
        >>> refuse_leakage(examples, DEFAULTS) is None
        True
        >>> same = replace(examples, given_splits=("train", "test") * 12, duplicates=np.zeros(24, int))
        >>> refuse_leakage(same, DEFAULTS)
        Traceback (most recent call last):
        app.interface.errors.UsageError: 1 image is in several splits of images: apple/00.png in train shows the ...
    """
    leakage = describe_leakage(examples)
    if leakage:
        clean = command("audit", examples.source, *_words(options), "--fix", "clean.csv")
        mend = mend or f"write a list without them, with {clean}, and train on that, or go on with --allow-leakage"
        raise UsageError(f"{leakage}; {mend}")


def _words(options: SourceOptions) -> list[str]:
    """Return the options as words of a command line."""
    words = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value == getattr(DEFAULTS, field.name) or not field.compare or field.name == "skip_unreadable":
            continue
        values = [f"{role}={name}" for role, name in value.items()] if isinstance(value, Mapping) else [value]
        words += [f"--{field.name.replace('_', '-')}", *values]
    return words


def _open(source: str, options: SourceOptions) -> Examples:
    """Open a source, with a bar for files that are downloaded or extracted first."""
    stages: dict[str, Stage] = {}
    with redirect_output(Path(os.devnull)), status("looking for images"), ExitStack() as stack:

        def report(activity: str, done: int, total: int | None) -> None:
            if activity not in stages:
                stages[activity] = stack.enter_context(progress(activity, unit="MB"))
            stages[activity].update(done=done / 1e6, total=None if total is None else total / 1e6)

        return open_source(source, replace(options, progress=report))


def _open_labelled_or_not(source: str, options: SourceOptions) -> Examples:
    try:
        return _open(source, options)
    except DataError:
        if not is_unlabelled(source):
            raise
        return open_unlabelled(source)


def _check(examples: Examples, cache_folder: str | None) -> list[ImageCheck]:
    return check_all(examples, cache_folder, lambda checks, total: track(checks, total, "checking"))


def _say_found(readable: Examples, examples: Examples) -> None:
    found = describe_found(readable, whole(readable.source))
    for sentence in (*examples.notes, found, *describe_spellings(readable.class_names), describe_ignored(examples)):
        if sentence:
            print_text(sentence)


def _say_duplicates(examples: Examples) -> None:
    repeated = describe_repeated(examples)
    if repeated:
        print_text(f"{repeated}; {whole(command('audit', examples.source))} tells more.")


def _say_lost(examples: Examples, statistics: np.ndarray) -> None:
    for sentence in describe_lost(examples, statistics):
        print_text(f"Warning: {sentence}")
