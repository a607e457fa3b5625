"""Source: a `.zip`, `.tar` or `.tar.gz` of class folders or of pictures with a list, on this machine or at a URL."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import urldefrag

from data.errors import DataError
from data.pictures import PictureSet
from data.sources.download import downloaded
from data.sources.extraction import extract
from data.sources.folder import open_folder
from data.sources.lists import SUFFIXES as LISTS
from data.sources.lists import open_list
from data.sources.names import SPLIT_NAMES, existing_file
from data.sources.options import SourceOptions
from data.sources.store import Entry, add_entry, explained, find_entry, sha256_of, store_folder, write_json
from data.sources.webdataset import is_webdataset, open_webdataset

_SHA256 = re.compile(r"[0-9a-f]{64}")


def open_archive(text: str, options: SourceOptions) -> PictureSet:
    """Open an archive; it is extracted once, into a cache that `data.sources.store` describes.

    It holds class folders, or train/validation/test over such folders, or one `.csv`, `.tsv` or `.jsonl`; all this may lie in
    one folder. A tar with a label file (`.cls`) beside each picture is read in place, as `data.sources.webdataset` does.

    Raises:
        DataError: no such file, no archive, one that is not safe to extract, or one that holds something else.
    """
    file = existing_file(text)
    if is_webdataset(file):
        return open_webdataset(text, options)
    with explained():
        sha256 = sha256_of(file, options.report)
        entry = find_entry(sha256) or add_entry(sha256, file.name, lambda folder: _fill(folder, file, text, options))
    return _open_entry(entry, text, options)


def open_url(text: str, options: SourceOptions) -> PictureSet:
    """Download an archive once, and open it; `#sha256=…` at the end of the URL is what it must have.

    A URL that was downloaded before is not asked again, so that a run can be resumed without a network.

    Raises:
        DataError: as `open_archive`, or the download fails.
    """
    url, sha256 = _split_checksum(text)
    with explained():
        urls = store_folder() / "urls"
        known = urls / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
        entry = find_entry(sha256 or _sha256_of_url(known))
        if entry is None:
            with downloaded(url, urls, options, sha256) as (file, found):
                entry = find_entry(found) or add_entry(found, url, lambda folder: _fill(folder, file, url, options))
                write_json(known, {"url": url, "sha256": found})
    return _open_entry(entry, text, options)


def _split_checksum(text: str) -> tuple[str, str | None]:
    url, fragment = urldefrag(text)
    sha256 = fragment.removeprefix("sha256=").lower()
    if fragment and (not fragment.startswith("sha256=") or not _SHA256.fullmatch(sha256)):
        raise DataError(f"{text} ends in {'#' + fragment!r}; a checksum is #sha256= and 64 hexadecimal digits")
    return url, sha256 or None


def _sha256_of_url(known: Path) -> str:
    try:
        return str(json.loads(known.read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


def _fill(folder: Path, archive: Path, name: str, options: SourceOptions) -> dict[str, int]:
    """Put into a folder of the store what is kept of an archive."""
    if is_webdataset(archive):
        shutil.copyfile(archive, folder / "archive.tar")
        return {}
    (folder / "files").mkdir()
    return dict(extract(archive, name, folder / "files", options))


def _open_entry(entry: Entry, text: str, options: SourceOptions) -> PictureSet:
    if entry.path.is_file():
        return replace(open_webdataset(str(entry.path), options), source=text)
    folder, lists = _within(entry.path)
    try:
        pictures = _open_list_within(lists[0], options) if len(lists) == 1 else _open_folder_within(folder, options)
    except DataError as error:
        raise DataError(f"{text} was extracted; {error}") from error
    return replace(pictures, source=text, ignored=Counter(pictures.ignored) + Counter(entry.ignored))


def _within(root: Path) -> tuple[Path, list[Path]]:
    """The folder that holds the set, which may be a folder in the archive, and the lists in it."""
    folder = root
    while True:
        inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        lists = [path for path in inside if path.suffix.lower() in LISTS and path.is_file()]
        folders = [path for path in inside if path.is_dir()]
        if lists or len(folders) != 1 or folders[0].name.lower() in SPLIT_NAMES or not _holds_more(folders[0]):
            return folder, lists
        folder = folders[0]


def _holds_more(folder: Path) -> bool:
    """Whether a folder has folders or lists in it: then it is no class."""
    return any(path.is_dir() or path.suffix.lower() in LISTS for path in folder.iterdir())


def _open_folder_within(folder: Path, options: SourceOptions) -> PictureSet:
    if options.columns:
        raise DataError("it holds no list, or several, so that columns cannot be named")
    return open_folder(str(folder))


def _open_list_within(file: Path, options: SourceOptions) -> PictureSet:
    """Open a list that the user did not write: it must not name files elsewhere."""
    pictures = open_list(str(file), options)
    for key in pictures.keys:
        if os.path.isabs(key) or key.startswith("../"):
            raise DataError(f"the list {file.name} in it names {key!r}, which is not in the archive; get a clean one")
    return pictures
