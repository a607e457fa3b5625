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

_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


def open_folder(text: str) -> PictureSet:
    """List the pictures of a folder; a class is a folder's name, classes are in alphabetical order.

    Args:
        text: path of the folder.

    Returns:
        The pictures, keyed by their path within the folder. Hidden files, loose files and files without a picture's
        suffix are counted in `ignored`, by kind.

    Raises:
        DataError: no such folder, no class folders, a class folder without pictures, or one class only.
    """
    root = Path(text).expanduser()
    _check_is_folder(root)
    ignored: Counter[str] = Counter()
    keys: list[str] = []
    classes: list[str] = []
    splits: list[str] = []
    for split, folder in _split_folders(root):
        for class_folder in _class_folders(folder, ignored):
            found = sorted(_pictures(class_folder, ignored))
            if not found:
                raise DataError(f"the class folder {class_folder} holds no pictures; add some or remove the folder")
            keys += [path.relative_to(root).as_posix() for path in found]
            classes += [class_folder.name] * len(found)
            splits += [split] * len(found)
    if not keys:
        raise DataError(_nothing_found(root))
    class_names = tuple(sorted(set(classes)))
    label_of = {name: label for label, name in enumerate(class_names)}
    return PictureSet(
        source=text,
        class_names=class_names,
        keys=tuple(keys),
        labels=np.array([label_of[name] for name in classes], dtype=np.int64),
        encoded=lambda i: (root / keys[i]).read_bytes(),
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


def _split_folders(root: Path) -> list[tuple[str, Path]]:
    """The split folders with their split's name, or the root alone, with no name."""
    folders = [path for path in _visible(root) if path.is_dir()]
    names = [_SPLIT_FOLDERS.get(path.name.lower(), "") for path in folders]
    if "train" in names and all(names):
        return sorted(zip(names, folders, strict=True))
    return [("", root)]


def _class_folders(folder: Path, ignored: Counter[str]) -> list[Path]:
    visible = _visible(folder)
    ignored["hidden"] += sum(1 for path in folder.iterdir() if path.name.startswith("."))
    ignored["loose files"] += sum(1 for path in visible if not path.is_dir())
    return [path for path in visible if path.is_dir()]


def _pictures(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    for parent, sub_folders, files in os.walk(folder):  # does not follow links to folders, so a loop of links ends
        hidden_folders = [name for name in sub_folders if name.startswith(".")]
        ignored["hidden"] += len(hidden_folders)
        sub_folders[:] = sorted(set(sub_folders) - set(hidden_folders))
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                ignored["hidden"] += 1
            elif suffix in SUFFIXES:
                yield Path(parent) / name
            else:
                ignored[f"{suffix or 'no suffix'}"] += 1


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _nothing_found(root: Path) -> str:
    if any(path.suffix.lower() in SUFFIXES for path in _visible(root)):
        return f"{root} holds pictures but no class folders; put the pictures of each class into a folder of its own"
    return f"{root} holds no pictures; Graft needs a folder of pictures for each class in it"
