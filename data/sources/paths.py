"""Find the files that the paths of a list mean."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from data.errors import DataError
from data.image.decoding import SUFFIXES
from data.labels.written import Place
from data.sources.names import check_key
from data.sources.options import SourceOptions

_NAMED = 3  # files in an error message
_NEAR = ("", "*/", "*/*/")  # where a missing image is looked for; deeper levels may be a whole disk

_Listing = Callable[[str], dict[str, list[str]]]  # folder -> name as by `_plain` -> files


class Paths(NamedTuple):
    """Where the images of a list are.

    Attributes:
        folder: the folder where relative paths start.
        keys: for each image, its normalised path from the list.
        missing: positions of images whose file is missing.
        notes: how paths differ from the files that were found, for the user to see.
    """

    folder: Path
    keys: list[str]
    missing: list[int]
    notes: list[str]


def find_files(cells: Sequence[object], file: Path, place: Place, options: SourceOptions) -> Paths:
    """Find the images that a list names.

    A path that leads to no file may differ from its file in slashes, surrounding spaces, case, composition of letters (NFC,
    NFD), or a missing suffix; exactly one file must match.

    Args:
        cells: the paths.
        file: the list.
        place: returns where the path of an image is written, for errors.
        options: `image_folder`, `image_suffix` and `skip_unreadable` are used.

    Raises:
        DataError: a path is empty or occurs twice, or files are missing and must not be skipped.

    Examples:
        >>> find_files(["apple/00.png"], Path("images/fruit.csv"), str, SourceOptions()).keys
        ['apple/00.png']
        >>> find_files(["apple/00"], Path("images/fruit.csv"), str, SourceOptions()).notes
        ["1 paths in fruit.csv differ from the files by their suffix: 'apple/00' is 'apple/00.png'."]
    """
    folder, listed = _folder(file, options), lru_cache(maxsize=256)(_files_by_name)
    first_with: dict[str, int] = {}
    missing, keys, changes = [], [], Counter[str]()
    examples: dict[str, str] = {}
    for index, cell in enumerate(cells):
        text = str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise DataError(f"{place(index)}: the path is {cell!r}; give that of an image file")
        key, change = _find(text + (options.image_suffix or ""), folder, listed)
        check_key(key)
        whole = os.path.normpath(folder / key)
        earlier = first_with.setdefault(whole, index)
        if earlier != index:
            raise DataError(
                f"{place(index)} names {cell!r} again, after {place(earlier)}; keep one line an image, with all of its labels"
            )
        if change is None:
            missing.append(index)
        elif change:
            changes[change] += 1
            examples.setdefault(change, f"{text!r} is {key!r}")
        keys.append(key)
    if missing and not (options.skip_unreadable and len(missing) < len(keys)):
        raise DataError(_not_there([(str(cells[index]), place(index)) for index in missing], folder))
    notes = [
        f"{count:,} paths in {file.name} differ from the files {how}: {examples[how]}."
        for how, count in changes.items()
    ]
    return Paths(folder, keys, missing, notes)


def _folder(file: Path, options: SourceOptions) -> Path:
    if options.image_folder is None:
        return file.parent
    folder = Path(options.image_folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}, where the paths of {file} are to start; check --image-folder")
    return folder


def _find(path: str, folder: Path, listed: _Listing) -> tuple[str, str | None]:
    """Return a path as a key, and how it differs from its file, in words: "" if it does not, None if there is no file."""
    for text in dict.fromkeys((path, path.replace("\\", "/"))):  # the list may be from Windows
        key = Path(os.path.normpath(text)).as_posix()
        if os.path.isfile(folder / key):
            return key, ""
    stripped = Path(os.path.normpath(key.strip())).as_posix()
    if os.path.isfile(folder / stripped):
        return stripped, "by blanks"
    for how, names in _alike(str(folder / stripped), listed).items():
        if len(names) == 1:
            return (Path(stripped).parent / names[0]).as_posix(), how
    return stripped, None


def _alike(path: str, listed: _Listing) -> dict[str, list[str]]:
    """Return the files in the folder of a path whose names are like its own, by how they differ."""
    parent, name = os.path.split(path)
    files = listed(parent)
    return {
        "in case or in how letters are composed": files[_plain(name)],
        "by their suffix": files[f"{_plain(name)}.*"],
    }


def _files_by_name(folder: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        names = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        found[_plain(name)].append(name)
        if suffix.lower() in SUFFIXES:
            found[f"{_plain(stem)}.*"].append(name)
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _not_there(missing: Sequence[tuple[str, str]], folder: Path) -> str:
    verb = "image is" if len(missing) == 1 else "images are"
    named = ", ".join(f"{path!r} ({where})" for path, where in missing[:_NAMED]) + (
        ", …" if len(missing) > _NAMED else ""
    )
    name = os.path.basename(missing[0][0].replace("\\", "/"))
    places = (path for near in _NEAR for path in sorted(folder.glob(f"{near}{_escaped(name)}*"))) if name else ()
    elsewhere = next((path for path in places if path.is_file()), None)
    near = difflib.get_close_matches(
        name, [one for names in _files_by_name(str(folder)).values() for one in names], n=1
    )
    if elsewhere:
        hint = f"There is {elsewhere}: say where the paths start, with --image-folder"
    elif near:
        hint = f"Did you mean {near[0]!r}?"
    else:
        hint = "Say where the paths start, with --image-folder, or what ends them, with --image-suffix"
    return (
        f"{len(missing):,} {verb} not there: {named}. Paths start at {folder.absolute()}. {hint}. "
        "--skip-unreadable leaves such images out"
    )


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)
