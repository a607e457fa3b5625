"""Walks folders of images, past what is hidden or of the system."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from data.image.decoding import SUFFIXES
from data.sources.names import SYSTEM_FOLDERS


def sub_folders(folder: Path, ignored: Counter[str]) -> list[Path]:
    """Return the folders in a folder, except hidden and system folders and circular links, which are counted in `ignored`.

    Examples:
        >>> [path.name for path in sub_folders(Path("images"), Counter())]
        ['apple', 'banana', 'cherry']
        >>> ignored = Counter()
        >>> sub_folders(Path("images/apple"), ignored), ignored["loose files"]
        ([], 8)
    """
    found = []
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            ignored["hidden" if path.name.startswith(".") else "loose files"] += 1
        elif is_of_system(path):
            ignored["hidden" if path.name.startswith(".") else "of the system"] += 1
        elif path.is_symlink() and folder.resolve().is_relative_to(path.resolve()):
            ignored["circular links"] += 1
        else:
            found.append(path)
    return found


def is_of_system(path: Path) -> bool:
    """Return whether a name is that of a hidden or system folder.

    Examples:
        >>> is_of_system(Path("images/.git")), is_of_system(Path("images/apple"))
        (True, False)
        >>> is_of_system(Path("images/__MACOSX"))
        True
    """
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FOLDERS


def images_within(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Yield the images in a folder and its subfolders; hidden files, links to folders and other files are counted in `ignored`.

    Raises:
        OSError: a folder cannot be read.

    Examples:
        >>> len(list(images_within(Path("images"), Counter())))
        24
        >>> ignored = Counter()
        >>> written = Path("images/notes.md").write_text("Pick more cherries.")
        >>> len(list(images_within(Path("images"), ignored))), ignored[".md"]
        (24, 1)
    """

    def fail(error: OSError) -> None:
        raise error

    for parent, inside, files in os.walk(folder, onerror=fail):
        hidden = {name for name in inside if name.startswith(".")}
        links = {name for name in inside if os.path.islink(os.path.join(parent, name))} - hidden
        system = {name for name in inside if name.lower() in SYSTEM_FOLDERS}
        ignored["hidden"] += len(hidden)
        ignored["of the system"] += len(system)
        ignored["links to folders"] += len(links)  # os.walk does not follow them, so a circle of links ends
        inside[:] = sorted(set(inside) - hidden - system)
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                ignored["hidden"] += 1
            elif suffix in SUFFIXES:
                yield Path(parent) / name
            else:
                ignored[suffix or "no suffix"] += 1
