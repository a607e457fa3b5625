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
from data.auditing.duplicates import Duplicates, find_duplicates
from data.auditing.findings import AuditData
from data.auditing.groups import find_conflicts, leaks
from data.auditing.lost import VISIBLE, background_for, deep_ones, levels_for
from data.cache.cache import Cache
from data.checking import ImageCheck, check_images, describe, fingerprint, readable_only, statistics_among
from data.errors import DataError
from data.examples import Examples
from data.image.preparing import PLAIN, Preparation
from data.sources import DEFAULTS, open_source
from data.sources.names import spellings
from data.sources.options import SourceOptions
from data.sources.unlabelled import is_unlabelled, open_unlabelled

_NAMED = 8  # classes that are listed when a source is opened


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
        readable = _with_duplicates(readable, find_duplicates(statistics))
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
    readable = _with_duplicates(readable, duplicates)
    _say_found(examples, examples)
    return CheckedSource(examples, AuditData(readable, statistics, faults, duplicates), fingerprint(checked))


def _with_duplicates(examples: Examples, duplicates: Duplicates) -> Examples:
    return replace(examples, duplicates=duplicates.shown, upright=duplicates.upright)


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
    assert examples.duplicates is not None  # set by `open_readable`
    leaked = leaks(examples, examples.duplicates)
    if not leaked:
        return
    assert examples.given_splits is not None
    splits = examples.given_splits
    one, *others = leaked[0].tolist()
    other = next(index for index in others if splits[index] != splits[one])
    count = "1 image is" if len(leaked) == 1 else f"{len(leaked):,} images are"
    clean = command("audit", examples.source, *_words(options), "--fix", "clean.csv")
    mend = mend or f"write a list without them, with {clean}, and train on that, or go on with --allow-leakage"
    raise UsageError(
        f"{count} in several splits of {examples.source}: {examples.keys[one]} in {splits[one]} shows the same as "
        f"{examples.keys[other]} in {splits[other]}; {mend}"
    )


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
    store = Cache(cache_folder).image_statistics
    checked: list[ImageCheck] = []
    try:
        for one in track(check_images(examples, store.read()), len(examples), "checking"):
            checked.append(one)
    finally:  # keep what was decoded before Ctrl-C
        store.add(statistics_among([one for one in checked if one.is_new]))
    return checked


def _say_found(readable: Examples, examples: Examples) -> None:
    for note in examples.notes:
        print_text(note)
    names = readable.class_names
    what = readable.labels.unit if len(names) == 1 else readable.labels.units
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    labels = f"of {len(names)} {what} ({listed})" if names else "without labels"
    print_text(f"Found {len(readable):,} images {labels} in {whole(readable.source)}.")
    for alike in spellings(names):
        named = " and ".join(map(repr, alike))
        print_text(
            f"{named} differ in their spelling only and stay {len(alike)} classes; if they are one, spell them alike."
        )
    ignored = ", ".join(f"{count} {kind}" for kind, count in examples.ignored.items() if count)
    if ignored:
        print_text(f"Ignored what is not a labelled image: {ignored}.")


def _say_duplicates(examples: Examples) -> None:
    assert examples.duplicates is not None and examples.upright is not None
    repeated = len(examples) - len(np.unique(examples.duplicates))
    if not repeated:
        return
    contradicting = _contradicting(
        examples, find_conflicts(examples, examples.upright, examples.duplicates).contradictions
    )
    shows = "image shows" if repeated == 1 else "images show"
    audit = whole(command("audit", examples.source))
    print_text(f"{repeated:,} {shows} the same as others{contradicting}; {audit} tells more.")


def _say_lost(examples: Examples, statistics: np.ndarray) -> None:
    """Report images that show nothing, or hardly anything, once decoded."""
    for which, what, option in (
        (
            statistics["hidden"] != VISIBLE,
            "in one colour without transparency, which is dropped",
            background_for(statistics),
        ),
        (deep_ones(statistics), "nearly black, since they use a small part of 16 bits", levels_for(statistics)),
    ):
        count = int(which.sum())
        if count:
            name = "--background" if option in ("white", "black", "gray") else "--levels"
            are, first = "image is" if count == 1 else "images are", examples.keys[int(np.flatnonzero(which)[0])]
            print_text(f"Warning: {count:,} {are} {what} ({first}): give {name} {option}.")


def _contradicting(examples: Examples, groups: Sequence[np.ndarray]) -> str:
    if not groups:
        return ""
    (one, *others), labels = groups[0].tolist(), examples.labels.array
    # Not by their texts: numbers may differ in a digit that the texts leave out.
    other = next(index for index in others if np.any(labels[index] != labels[one]))
    times = "once" if len(groups) == 1 else f"{len(groups):,} times"
    return f", {times} with another label ({examples.keys[one]} and {examples.keys[other]})"
