"""Folders of images with a list of them under a usual name, which says the labels: Hugging Face's `imagefolder`, Roboflow."""

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
    """Open a folder by the `metadata.csv`, `.tsv` or `.jsonl`, or `_classes.csv`, in it or in each of its split folders.

    Args:
        root: the folder.
        options: as of `data.sources.lists.open_list`.

    Returns:
        The images; None where there is no such list.

    Raises:
        DataError: a list cannot be used, or the split folders with one lack a train.
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
    """Whether a folder, or a folder in it, has such a list."""
    return any(_list_in(folder) for folder in (root, *(path for path in root.iterdir() if path.is_dir())))


def _list_in(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _split_by_folders(examples: Examples) -> Examples:
    """Images whose list lies above train, validation and test have the splits of their folders."""
    folders = [key.partition("/")[0] for key in examples.keys]
    splits = splits_of(folders)
    if examples.given_splits or "train" not in splits or not all(splits) or len(set(splits)) < 2:
        return examples
    note = f"Splits are the folders of the images: {', '.join(dict.fromkeys(folders))}."
    return replace(examples, given_splits=tuple(splits), notes=(*examples.notes, note))
