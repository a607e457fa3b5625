"""Folders of images with a list of labels under a usual name, as in Hugging Face's `imagefolder` and Roboflow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.errors import DataError
from data.examples import Examples
from data.sources.concatenating import concatenate_splits
from data.sources.lists import ONE_HOT, open_list
from data.sources.names import splits_of
from data.sources.options import SourceOptions

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.tsv", ONE_HOT)


def open_described(root: Path, options: SourceOptions) -> Examples | None:
    r"""Open a folder by the `metadata.csv`, `.tsv` or `.jsonl`, or `_classes.csv`, in it or in each of its split folders.

    Args:
        root: the folder.
        options: as for `data.sources.lists.open_list`.

    Returns:
        The images; None if there is no such list.

    Raises:
        DataError: a list cannot be used, or split folders have lists but none of them is a train folder.

    Examples:
        >>> text = "file_name,label\n00.png,ripe\n01.png,green\n"
        >>> written = Path("images/apple/metadata.csv").write_text(text)
        >>> open_described(Path("images/apple"), SourceOptions()).class_names
        ('green', 'ripe')
        >>> open_described(Path("images/banana"), SourceOptions()) is None
        True
    """
    whole = _list_in(root)
    if whole is not None:
        return _split_by_folders(open_list(str(whole), options))
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    splits = splits_of([path.name for path in folders])
    lists = {split: found for split, path in zip(splits, folders, strict=True) if split and (found := _list_in(path))}
    if not lists:
        return None
    if "train" not in lists:
        raise DataError(f"{root} has a list in {' and '.join(lists)}, but in no train folder; add one")
    opened = {split: open_list(str(path), options) for split, path in lists.items()}
    return concatenate_splits(opened.pop("train"), opened)


def is_described(root: Path) -> bool:
    """Return whether a folder, or a folder in it, has a list under a usual name.

    Examples:
        >>> written = Path("images/apple/metadata.csv").write_text("file_name,label")
        >>> is_described(Path("images"))
        True
        >>> is_described(Path("images/banana"))
        False
    """
    return any(_list_in(folder) for folder in (root, *(path for path in root.iterdir() if path.is_dir())))


def _list_in(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _split_by_folders(examples: Examples) -> Examples:
    """Give images whose list lies above train, validation and test the splits of their folders."""
    folders = [key.partition("/")[0] for key in examples.keys]
    splits = splits_of(folders)
    if examples.given_splits or "train" not in splits or not all(splits) or len(set(splits)) < 2:
        return examples
    note = f"Splits are the folders of the images: {', '.join(dict.fromkeys(folders))}."
    return replace(examples, given_splits=tuple(splits), notes=(*examples.notes, note))
