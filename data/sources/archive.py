"""Source: a `.zip`, `.tar` or `.tar.gz` of class folders or of images with a list, on this machine or at a URL."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import urldefrag

from data.cache.archives import Entry, Extracted, sha256_of
from data.cache.cache import Cache
from data.errors import DataError
from data.examples import Examples
from data.sources.described import NAMES as DESCRIPTIONS
from data.sources.download import downloaded
from data.sources.extraction import extract
from data.sources.folder import open_folder
from data.sources.lists import SUFFIXES as LISTS
from data.sources.lists import open_list
from data.sources.names import existing_file, split_word
from data.sources.options import SourceOptions
from data.sources.webdataset import is_webdataset, open_webdataset

_SHA256 = re.compile(r"[0-9a-f]{64}")


def open_archive(text: str, options: SourceOptions) -> Examples:
    """Open an archive; it is extracted once, into the cache that `data.cache.archives` describes.

    It holds class folders, or train/validation/test over such folders, or one `.csv`, `.tsv` or `.jsonl` list; all of this
    may lie in one folder. A tar with a label file (`.cls`) beside each image is read in place by `data.sources.webdataset`.

    Raises:
        DataError: there is no such file, or it is not an archive, is not safe to extract, or holds something else.

    Examples:
        >>> archive = shutil.make_archive("fruit", "zip", "images")
        >>> examples = open_archive("fruit.zip", SourceOptions(cache_folder="cache"))
        >>> len(examples), examples.class_names
        (24, ('apple', 'banana', 'cherry'))
        >>> open_archive("apple.png", SourceOptions(cache_folder="cache"))
        Traceback (most recent call last):
            ...
        data.errors.DataError: apple.png cannot be extracted (...); get it again, or extract it yourself
    """
    file = existing_file(text)
    if is_webdataset(file):
        return open_webdataset(text, options)
    archives = Cache(options.cache_folder).archives
    with archives.explained():
        sha256 = sha256_of(file, options.report)
        entry = archives.find(sha256) or archives.add(sha256, file.name, lambda new: _fill(new, file, text, options))
    return _open_entry(entry, text, options)


def open_url(text: str, options: SourceOptions) -> Examples:
    """Download an archive once, and open it; `#sha256=…` at the end of the URL gives its checksum.

    A URL that was downloaded before is not requested again, so that a run can be resumed without a network.

    Raises:
        DataError: as for `open_archive`, or the download fails.

    Examples:
        >>> open_url("http://example.com/fruit.zip", SourceOptions(cache_folder="cache"))
        Traceback (most recent call last):
            ...
        data.errors.DataError: http://example.com/fruit.zip is not encrypted, ...; use https, or add #sha256=…
        >>> open_url("https://example.com/fruit.zip#sha256=12", SourceOptions(cache_folder="cache"))
        Traceback (most recent call last):
            ...
        data.errors.DataError: ...ends in '#sha256=12'; a checksum is #sha256= and 64 hexadecimal digits
    """
    url, sha256 = _split_checksum(text)
    archives = Cache(options.cache_folder).archives
    with archives.explained():
        entry = archives.find(sha256) if sha256 else archives.find_url(url)
        if entry is None:
            with downloaded(url, archives.urls, options, sha256) as (file, found):
                entry = archives.find(found) or archives.add(found, url, lambda new: _fill(new, file, url, options))
                archives.note_url(url, found)
    return _open_entry(entry, text, options)


def _split_checksum(text: str) -> tuple[str, str | None]:
    url, fragment = urldefrag(text)
    sha256 = fragment.removeprefix("sha256=").lower()
    if fragment and (not fragment.startswith("sha256=") or not _SHA256.fullmatch(sha256)):
        raise DataError(f"{text} ends in {'#' + fragment!r}; a checksum is #sha256= and 64 hexadecimal digits")
    return url, sha256 or None


def _fill(folder: Path, archive: Path, name: str, options: SourceOptions) -> Extracted:
    """Put what is kept of an archive into a folder of the store."""
    if is_webdataset(archive):
        shutil.copyfile(archive, folder / "archive.tar")
        return Extracted(Counter(), [])
    (folder / "files").mkdir()
    return extract(archive, name, folder / "files", options)


def _open_entry(entry: Entry, text: str, options: SourceOptions) -> Examples:
    if entry.path.is_file():
        return replace(open_webdataset(str(entry.path), options), source=text)
    try:
        examples = _open_extracted(entry.path, options)
    except DataError as error:
        raise DataError(f"{text} was extracted; {error}") from error
    return replace(
        examples,
        source=text,
        ignored=Counter(examples.ignored) + Counter(entry.ignored),
        notes=(*entry.notes, *examples.notes),
    )


def _open_extracted(root: Path, options: SourceOptions) -> Examples:
    """Open the only list, else the folder; a list that cannot be used is left out if the folder can be opened."""
    lists = [] if options.label_pattern else _lists(root)
    if len(lists) != 1:
        return _open_folder_within(root, lists, options)
    try:
        return _open_list_within(lists[0], options)
    except DataError as error:
        if options.columns:  # an option of lists
            raise
        try:
            examples = open_folder(str(root), options)
        except DataError:
            raise error from None
        return replace(examples, notes=(*examples.notes, f"{lists[0].name} in it is left out: {error}."))


def _lists(root: Path) -> list[Path]:
    """Return the lists in a folder, or in the only folder in it."""
    inside = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    lists = [path for path in inside if path.suffix.lower() in LISTS and path.name not in DESCRIPTIONS]
    folders = [path for path in inside if path.is_dir()]
    return lists or (_lists(folders[0]) if len(folders) == 1 and not split_word(folders[0].name) else [])


def _open_folder_within(root: Path, lists: list[Path], options: SourceOptions) -> Examples:
    try:
        return open_folder(str(root), options)
    except DataError as error:
        if not lists:
            raise
        names = ", ".join(path.name for path in lists)
        raise DataError(f"it holds several lists ({names}); extract it yourself and give one of them") from error


def _open_list_within(file: Path, options: SourceOptions) -> Examples:
    """Open a list that the user did not write: it must not name files outside the archive."""
    examples = open_list(str(file), options)
    for key in examples.keys:
        if os.path.isabs(key) or key.startswith("../"):
            raise DataError(f"the list {file.name} in it names {key!r}, which is not in the archive; get a clean one")
    return examples
