"""Opens a source for a person: a progress bar, what was found, and what was left out."""

from __future__ import annotations

from collections.abc import Collection

from app.console import console, track
from data.checking import check_pictures, describe, fingerprint, readable_only
from data.pictures import PictureSet
from data.sources import open_source


def open_readable(source: str, *, skip_unreadable: bool, known: Collection[str] = ()) -> tuple[PictureSet, str]:
    """Open a source and read every picture once.

    Args:
        source: a SOURCE string.
        skip_unreadable: leave out what cannot be read.
        known: as for `check_pictures`.

    Returns:
        The readable pictures, and one SHA-256 over all.

    Raises:
        DataError: no such source, or it holds unreadable pictures and they are not to be skipped.
    """
    pictures = open_source(source)
    checked = list(track(check_pictures(pictures, known), len(pictures), "checking"))
    readable = readable_only(pictures, checked, skip_unreadable=skip_unreadable)
    console.print(f"Found {len(readable):,} pictures of {len(readable.class_names)} classes in {source}.", markup=False)
    ignored = ", ".join(f"{count} {kind}" for kind, count in pictures.ignored.items() if count)
    if ignored:
        console.print(f"Ignored what is not a picture in a class folder: {ignored}.", markup=False)
    if len(readable) < len(pictures):
        console.print(f"Left out: {describe([one for one in checked if one.fault])}", markup=False)
    return readable, fingerprint(checked)
