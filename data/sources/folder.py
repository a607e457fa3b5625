"""Source: a folder with a subfolder of images for each class, or train/validation/test over such folders.

A list of the images under a usual name in the folder gives the labels instead (`data.sources.described`), and so does a
pattern of file names (`--label-pattern`).
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from data.errors import DataError
from data.examples import Examples
from data.image.decoding import SUFFIXES
from data.image.reading import ImageFiles
from data.labels import SingleLabel
from data.labels.names import check_class_name, clean_name, order_classes
from data.sources.described import NAMES as DESCRIPTIONS
from data.sources.described import open_described
from data.sources.lists import SUFFIXES as LISTS
from data.sources.names import check_key, split_word, splits_of
from data.sources.options import LIST_OPTIONS, SourceOptions
from data.sources.walking import images_within, is_of_system, sub_folders

# Suffixes of images that Graft does not read; they explain why a folder seems empty.
_OTHER_IMAGES = frozenset(
    [
        ".tif",
        ".tiff",
        ".heic",
        ".heif",
        ".avif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".j2k",
        ".ico",
        ".tga",
        ".exr",
        ".dcm",
        ".nef",
        ".cr2",
        ".dng",
        ".psd",
        ".svg",
    ]
)
_NAMED = 3


_DEFAULTS = SourceOptions()


class _ClassFolder(NamedTuple):
    split: str
    name: str
    path: Path


@dataclass
class _Found:
    """What is found in a folder: what is left out, notes for the user, and `top`, which holds the class or split folders."""

    ignored: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    top: Path | None = None


def open_folder(text: str, options: SourceOptions = _DEFAULTS) -> Examples:
    """List the images of a folder; the name of a subfolder is a class, classes are in alphabetical order.

    Args:
        text: path of the folder.
        options: `label_pattern` is used; for a folder with a list of its images, all other options.

    Returns:
        The images, keyed by their path within the folder. Hidden files, loose files, files without an image suffix, and links
        that lead in a circle or to nested folders are counted in `ignored`, by kind.

    Raises:
        DataError: there is no such folder, it has no class folders, a class folder has no images, some folders look like
            splits and some like classes, or a folder or name cannot be read.

    Examples:
        >>> examples = open_folder("images")
        >>> examples.keys[0], examples.class_names
        ('apple/00.png', ('apple', 'banana', 'cherry'))
        >>> open_folder("images", SourceOptions(label_pattern="(0.)[.]png")).class_names
        ('00', '01', '02', '03', '04', '05', '06', '07')
    """
    root = Path(os.path.expanduser(text))
    found = _Found()
    try:
        _check_is_folder(root)
        if options.label_pattern is not None:
            return _by_pattern(text, root, options.label_pattern, found)
        described = open_described(root, options)
        if described is not None:
            return replace(described, source=text)
        _refuse_list_options(root, options)
        folders = _class_folders(root, found)
        images = [(folder, path) for folder in folders for path in _images_of_class(folder, found)]
        if not images:
            raise DataError(_nothing_found(root, found))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    splits = tuple(folder.split for folder, _ in images)
    labelled = [(path, folder.name) for folder, path in images]
    return _examples(text, found.top or root, labelled, splits if splits[0] else None, found)


def _refuse_list_options(root: Path, options: SourceOptions) -> None:
    for name in LIST_OPTIONS:
        if getattr(options, name):
            raise DataError(
                f"{root} holds no list ({', '.join(DESCRIPTIONS)}), so that --{name.replace('_', '-')} says nothing; leave it "
                "out, or give the list itself"
            )


def _examples(
    text: str, root: Path, images: Sequence[tuple[Path, str]], splits: tuple[str, ...] | None, found: _Found
) -> Examples:
    keys = tuple(path.relative_to(root).as_posix() for path, _ in images)
    classes = [name for _, name in images]
    for name in dict.fromkeys(classes):
        check_class_name(name, "the class folder")
    for key in keys:
        check_key(key)
    return Examples(
        source=text,
        keys=keys,
        labels=SingleLabel.parse(classes, sorted(set(classes))),
        read=ImageFiles(root, keys),
        given_splits=splits,
        ignored=found.ignored,
        notes=tuple(found.notes),
    )


def _check_is_folder(root: Path) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise DataError(f"{root} is a file; give the folder that holds a folder of images for each class")
    siblings = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
    near = difflib.get_close_matches(root.name, siblings, n=1)
    hint = f"Did you mean {root.parent / near[0]}?" if near else "Check the path"
    raise DataError(f"there is no folder {root}. {hint}")


# --- Class folders ------------------------------------------------------------------------------------------------------


def _class_folders(root: Path, found: _Found) -> list[_ClassFolder]:
    """Return the class folders, each with its split, which is "" if the folder has no splits."""
    top = found.top = _entered(root, found)
    folders = sub_folders(top, found.ignored)
    splits = splits_of([path.name for path in folders])
    named = [(path, split) for path, split in zip(folders, splits, strict=True) if split]
    others = [path for path, split in zip(folders, splits, strict=True) if not split]
    if "train" in splits and any(_has_folders(path) for path, split in named if split == "train"):
        return _under_splits(top, named, others, found)
    if any(_has_folders(path) for path, _ in named) or len({split for _, split in named}) > 1 or (named and not others):
        _refuse_splits(top, named, others)
    if len(named) == 1 and others and named[0][0].name.lower() != "train":  # among vehicles, "train" is a class
        path = named[0][0]
        raise DataError(
            f"{path} looks like a split, beside the class folders {_listed(others)}; move it out of {top}, or rename it if it "
            "is a class"
        )
    by_class = _splits_under_classes(folders)
    if by_class:
        found.notes.append(f"Each class folder of {top} holds splits ({_listed(sub_folders(folders[0], Counter()))}).")
        return by_class
    _refuse_same_folders(top, folders)
    return [_ClassFolder("", clean_name(path.name), path) for path in folders]


def _entered(folder: Path, found: _Found) -> Path:
    """Return the folder that holds several folders, below folders that hold nothing but the next."""
    inner = folder
    while True:
        visible = [path for path in inner.iterdir() if not is_of_system(path)]
        inside = [path for path in visible if path.is_dir()]
        loose = any(path.suffix.lower() in SUFFIXES for path in visible if not path.is_dir())
        if loose or len(inside) != 1 or not _holds_classes(inside[0]):
            break
        if split_word(inside[0].name) not in ("", split_word(inner.name)):  # a split, other than that of the folder
            break
        inner = inside[0]
    if inner != folder:
        found.notes.append(f"The class folders are in {inner}.")
    return inner


def _under_splits(
    top: Path, named: Sequence[tuple[Path, str]], others: Sequence[Path], found: _Found
) -> list[_ClassFolder]:
    for path in others:
        if _count_images(path):
            raise DataError(
                f"{top} holds folders for splits ({_listed([one for one, _ in named])}), but besides them {path.name!r} with "
                f"images; move {path} away, or rename it after the split that it is"
            )
        found.ignored["folders without images"] += 1
    classes = {
        path: [
            _ClassFolder(split, clean_name(one.name), one) for one in sub_folders(_entered(path, found), found.ignored)
        ]
        for path, split in sorted(named, key=lambda one: one[1])
    }
    context = {one.name for folders in classes.values() for one in folders if one.split == "train"}
    for path, folders in classes.items():
        if not context & {one.name for one in folders}:
            reason = f"train has no class {folders[0].name!r}" if folders else "it has no class folders"
            found.notes.append(f"{path.name} is left out: {reason} ({_count_images(path):,} images).")
            folders.clear()
    return [one for folders in classes.values() for one in folders]


def _refuse_splits(top: Path, named: Sequence[tuple[Path, str]], others: Sequence[Path]) -> None:
    """Refuse splits without a train folder, without class folders, or beside classes."""
    names = _listed([path for path, _ in named])
    if not any(split == "train" for _, split in named):
        raise DataError(f"{top} holds folders for splits ({names}), but no train folder; add one")
    if not any(_has_folders(path) for path, _ in named):
        besides = f"besides them {_listed(others)}" if others else "no class folders in them"
        raise DataError(
            f"{top} holds folders for splits ({names}), but {besides}; put the images of each class into a folder of its own, "
            "or name the class in each file's name and give --label-pattern"
        )
    without = _listed([path for path, split in named if split == "train"])
    raise DataError(f"{top} holds folders for splits ({names}), but {without} has no class folders; add them")


def _splits_under_classes(folders: Sequence[Path]) -> list[_ClassFolder]:
    """Return the split folders in class folders; [] if the class folders do not all hold splits only."""
    found = []
    for folder in folders:
        inside = sub_folders(folder, Counter())
        splits = splits_of([path.name for path in inside])
        if "train" not in splits or not all(splits):
            return []
        found += [
            _ClassFolder(split, clean_name(folder.name), path) for path, split in zip(inside, splits, strict=True)
        ]
    return found if len(folders) > 1 and len({one.split for one in found}) > 1 else []


def _refuse_same_folders(top: Path, folders: Sequence[Path]) -> None:
    """Refuse folders that hold the same folders: they may be splits with unknown names."""
    holders: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for inside in sub_folders(folder, Counter()):
            holders[clean_name(inside.name).casefold()].append(folder)
    shared = {name: within for name, within in holders.items() if len(within) > 1}
    if len(shared) < 2:
        return
    within = next(iter(shared.values()))
    raise DataError(
        f"{_listed(within)} in {top} hold the same folders ({', '.join(list(shared)[:_NAMED])}), as splits do and classes do "
        f"not; name them train, validation and test, give one of them ({within[0]}), or, if they are classes, put their images "
        "into one folder each"
    )


def _has_folders(folder: Path) -> bool:
    return any(path.is_dir() and not is_of_system(path) for path in folder.iterdir())


def _holds_classes(folder: Path) -> bool:
    """Return whether a folder holds folders and no images of its own."""
    inside = [path for path in folder.iterdir() if not is_of_system(path)]
    loose = any(path.suffix.lower() in SUFFIXES for path in inside if not path.is_dir())
    return not loose and any(path.is_dir() for path in inside)


# --- Images -------------------------------------------------------------------------------------------------------------


def _images_of_class(folder: _ClassFolder, found: _Found) -> list[Path]:
    others = Counter[str]()
    images = sorted(images_within(folder.path, others))
    if not images:
        raise DataError(
            f"the class folder {folder.path} holds no images{_that_are_read(others)}; add some or remove the folder"
        )
    found.ignored += others
    return images


def _by_pattern(text: str, root: Path, pattern: str, found: _Found) -> Examples:
    """List all images below a folder, with the class that a pattern finds in each path."""
    search = re.compile(pattern)
    label = "label" if "label" in search.groupindex else 1
    paths = sorted(images_within(root, found.ignored))
    if not paths:
        raise DataError(f"{root} holds no images{_that_are_read(found.ignored)}")
    matches = [(path, search.search(path.relative_to(root).as_posix())) for path in paths]
    images = [(path, clean_name(match[label])) for path, match in matches if match and match[label]]
    if len(images) < len(paths):
        known = {path for path, _ in images}
        other = next(path for path in paths if path not in known).relative_to(root).as_posix()
        raise DataError(
            f"the pattern {pattern!r} finds no class in {len(paths) - len(images):,} of {len(paths):,} paths, such as "
            f"{other!r}; correct the pattern or move these images away"
        )
    shown = ", ".join(
        f"{path.relative_to(root).as_posix()}: {name}" for path, name in images[:: max(1, len(images) // _NAMED)]
    )
    found.notes.append(f"Classes are from file names: {shown}.")
    examples = _examples(text, root, images, None, found)
    return examples.with_classes(order_classes([name for _, name in images]))


def _count_images(folder: Path) -> int:
    return sum(1 for _ in images_within(folder, Counter()))


def _that_are_read(ignored: Counter[str]) -> str:
    """Return a clause that names images of kinds that Graft does not read; "" if there are none."""
    kinds = [f"{count:,} {suffix}" for suffix, count in ignored.items() if suffix in _OTHER_IMAGES]
    return f" that Graft reads, but {' and '.join(kinds)}, which convert to PNG or JPEG first" if kinds else ""


def _nothing_found(root: Path, found: _Found) -> str:
    ignored: Counter[str] = Counter()
    if any(True for _ in images_within(root, ignored)):
        lists = [path for path in sorted(root.iterdir()) if path.suffix.lower() in LISTS]
        siblings = sub_folders(root.parent, Counter())
        if lists:
            hint = f"Did you mean the list {lists[0]}?"
        elif len(siblings) > 1 and all(_count_images(path) for path in siblings[:_NAMED]):
            hint = f"If {root.name} is one of the classes, give the folder above it: {root.parent}"
        else:
            hint = "Put those of each class into a folder of its own, or give --label-pattern if their names have the class"
        return f"{root} holds images but no class folders. {hint}"
    return f"{root} holds no images{_that_are_read(ignored)}; Graft needs a folder of images for each class in it"


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
