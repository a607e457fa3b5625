"""Source: a folder with a sub-folder of pictures for each class, or train/validation/test over such folders."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.decoding import SUFFIXES
from data.errors import DataError
from data.pictures import PictureSet
from data.reading import read_picture
from data.sources.names import SPLIT_NAMES, check_key


def open_folder(text: str) -> PictureSet:
    """List the pictures of a folder; a class is a folder's name, classes are in alphabetical order.

    Args:
        text: path of the folder.

    Returns:
        The pictures, keyed by their path within the folder. Hidden files, loose files, files without a picture's suffix
        and links that lead in a circle or to nested folders are counted in `ignored`, by kind.

    Raises:
        DataError: no such folder, no class folders, a class folder without pictures, one class only, a mixture of split
            folders and others, or a folder or name that cannot be read.
    """
    root = Path(os.path.expanduser(text))
    ignored: Counter[str] = Counter()
    keys: list[str] = []
    classes: list[str] = []
    splits: list[str] = []
    try:
        _check_is_folder(root)
        for split, class_folder in _class_folders(root, ignored):
            found = sorted(_pictures(class_folder, ignored))
            if not found:
                raise DataError(f"the class folder {class_folder} holds no pictures; add some or remove the folder")
            keys += [path.relative_to(root).as_posix() for path in found]
            classes += [class_folder.name] * len(found)
            splits += [split] * len(found)
        if not keys:
            raise DataError(_nothing_found(root))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    _check_names(keys, classes)
    class_names = tuple(sorted(set(classes)))
    label_of = {name: label for label, name in enumerate(class_names)}
    return PictureSet(
        source=text,
        class_names=class_names,
        keys=tuple(keys),
        labels=np.array([label_of[name] for name in classes], dtype=np.int64),
        encoded=lambda i: read_picture(root / keys[i]),
        given_splits=tuple(splits) if splits[0] else None,
        ignored=ignored,
    )


def _check_is_folder(root: Path) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise DataError(f"{root} is a file; give the folder that holds a folder of pictures for each class")
    siblings = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
    near = difflib.get_close_matches(root.name, siblings, n=1)
    hint = f"Did you mean {root.parent / near[0]}?" if near else "Check the path"
    raise DataError(f"there is no folder {root}. {hint}")


def _class_folders(root: Path, ignored: Counter[str]) -> list[tuple[str, Path]]:
    """The class folders, each with its split's name, which is empty when the folder brings no splits."""
    folders = _sub_folders(root, ignored)
    names = [SPLIT_NAMES.get(path.name.lower(), "") for path in folders]
    given = set(names) - {""}
    if "train" in given and all(names):
        return [
            (name, class_folder)
            for name, folder in sorted(zip(names, folders, strict=True))
            for class_folder in _sub_folders(folder, ignored)
        ]
    if len(given) > 1:  # one such name alone may be a class: a train among vehicles
        others = [path.name for path, name in zip(folders, names, strict=True) if not name]
        found = (
            f"besides them {', '.join(map(repr, others))}; move those away" if others else "no train folder; add one"
        )
        raise DataError(f"{root} holds folders for {' and '.join(sorted(given))}, but {found}")
    return [("", folder) for folder in folders]


def _sub_folders(folder: Path, ignored: Counter[str]) -> list[Path]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            ignored["hidden"] += 1
        elif not path.is_dir():
            ignored["loose files"] += 1
        elif path.is_symlink() and folder.resolve().is_relative_to(path.resolve()):
            ignored["circular links"] += 1
        else:
            found.append(path)
    return found


def _pictures(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for parent, sub_folders, files in os.walk(folder, onerror=fail):
        hidden = {name for name in sub_folders if name.startswith(".")}
        links = {name for name in sub_folders if os.path.islink(os.path.join(parent, name))} - hidden
        ignored["hidden"] += len(hidden)
        ignored["links to folders"] += len(links)  # os.walk does not follow them, so that a circle of links ends
        sub_folders[:] = sorted(set(sub_folders) - hidden)
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                ignored["hidden"] += 1
            elif suffix in SUFFIXES:
                yield Path(parent) / name
            else:
                ignored[suffix or "no suffix"] += 1


def _check_names(keys: list[str], classes: list[str]) -> None:
    """Names are written to text files, a class a line, so they must be text and a class must be one line."""
    for name in dict.fromkeys(classes):
        if name.splitlines() != [name]:
            raise DataError(f"the class folder {name!r} has a line break in its name; rename it")
    for key in keys:
        check_key(key)


def _nothing_found(root: Path) -> str:
    within = [*root.iterdir(), *root.glob("*/*")]  # split folders too
    if any(path.suffix.lower() in SUFFIXES and not path.name.startswith(".") for path in within):
        return f"{root} holds pictures but no class folders; put the pictures of each class into a folder of its own"
    return f"{root} holds no pictures; Graft needs a folder of pictures for each class in it"
