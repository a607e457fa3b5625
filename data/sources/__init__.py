"""Where labelled images come from. A source is one file that makes an `Examples`, and one row of `SOURCES`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from data.errors import DataError
from data.examples import Examples
from data.image.decoding import SUFFIXES
from data.sources.archive import open_archive, open_url
from data.sources.concatenating import concatenate_splits
from data.sources.described import is_described
from data.sources.folder import open_folder
from data.sources.lists import open_list
from data.sources.options import LIST_OPTIONS, SourceOptions
from data.sources.sample import open_sample
from data.sources.tfds import open_tfds
from data.sources.tfrecord import open_tfrecord
from data.sources.webdataset import open_webdataset


@dataclass(frozen=True)
class Source:
    """One kind of source.

    Attributes:
        syntax: what the user writes.
        description: what it is, in a few words.
        open: makes the `Examples` from the whole SOURCE string and the options.
        prefixes: how a SOURCE string of this kind begins, in lower case; a string without a prefix is a path.
        names: lower-case patterns of the names of files of this kind; a path that matches no row is a folder.
        uses: the options of `data.sources.options` that it can follow.
    """

    syntax: str
    description: str
    open: Callable[[str, SourceOptions], Examples]
    prefixes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


_FOLDERS = (*LIST_OPTIONS, "label_pattern")
_RECORDS = ("columns", "label_separator")

# A string belongs to the first row with its prefix. Else it is a path: an existing folder, or of the first row with its name.
SOURCES: dict[str, Source] = {
    "folder": Source(
        "FOLDER",
        "a folder for each class, or train/validation/test over such folders; or images with a metadata.csv",
        open_folder,
        uses=_FOLDERS,
    ),
    "list": Source(
        "FILE.csv",
        "a list of paths and labels, maybe with split, group and weight; .tsv, .jsonl and .txt too",
        open_list,
        names=("*.csv", "*.tsv", "*.jsonl", "*.txt"),
        uses=LIST_OPTIONS,
    ),
    "webdataset": Source(
        "SHARDS-{000..012}.tar",
        "tar shards as WebDataset writes them, also as SHARDS-*.tar",
        open_webdataset,
        names=("*{*}*.tar", "*[*?]*.tar"),
        uses=_RECORDS,
    ),
    "archive": Source(
        "FILE.zip",
        "a folder or list in an archive; .tar and .tar.gz, .tar.bz2 and .tar.xz too",
        open_archive,
        names=("*.zip", "*.tar", "*.tar.gz", "*.tgz", "*.tar.bz2", "*.tbz2", "*.tar.xz", "*.txz"),
        uses=_FOLDERS,
    ),
    "url": Source(
        "https://HOST/FILE.zip",
        "such an archive to download, with #sha256=… at the end to be sure of it",
        open_url,
        prefixes=("https://", "http://"),
        uses=_FOLDERS,
    ),
    "tfrecord": Source(
        "FILE.tfrecord",
        "TFRecord files with image/encoded and image/class/label or …/text, also as FILE*.tfrecord*",
        open_tfrecord,
        names=("*.tfrecord*", "*.tfrec", "*.tfrec[*?]*"),
        uses=_RECORDS,
    ),
    "sample": Source(
        "sample:digits",
        "1,797 handwritten digits that come with scikit-learn",
        lambda text, _: open_sample(text),
        prefixes=("sample:",),
    ),
    "tfds": Source(
        "tfds:NAME[/CONFIG]",
        "an image classification set of TensorFlow Datasets",
        lambda text, _: open_tfds(text),
        prefixes=("tfds:",),
    ),
}

DEFAULTS = SourceOptions()


def absolute_source(text: str) -> str:
    """Return the same source by a name that is valid in any working directory.

    Examples:
        >>> absolute_source("images") == str(Path("images").absolute())
        True
        >>> absolute_source("sample:digits")
        'sample:digits'
    """
    is_path = text.strip() and not _prefix_of(text) and _is_path(text)
    return os.path.abspath(os.path.expanduser(text)) if is_path else text


def source_name(text: str) -> str:
    """Return the name of a source without the folders it lies in, for showing it to others.

    Examples:
        >>> source_name("/home/ada/photos/fruit.zip")
        'fruit.zip'
        >>> source_name("sample:digits")
        'sample:digits'
    """
    return Path(text).name if _is_path(text) and not _prefix_of(text) else text


def open_source(text: str, options: SourceOptions = DEFAULTS) -> Examples:
    """Open a SOURCE string, and the sources of its other splits.

    Raises:
        DataError: there is no such source, its images or labels cannot be used, or it cannot follow an option.

    Examples:
        >>> examples = open_source("images")
        >>> len(examples), examples.class_names
        (24, ('apple', 'banana', 'cherry'))
        >>> open_source("sampl:digits")
        Traceback (most recent call last):
            ...
        data.errors.DataError: unknown kind of source 'sampl:' in 'sampl:digits'. Did you mean sample:digits?
    """
    examples = _open(text, options)
    named = {"validation": options.validation, "test": options.test}
    others = {split: other for split, other in named.items() if other is not None}
    if not others:
        return examples
    same = replace(options, task=examples.task)
    return concatenate_splits(
        examples, {split: _open(other, as_far_as_used(other, same)) for split, other in others.items()}
    )


def _open(text: str, options: SourceOptions) -> Examples:
    source = _find(text)
    for name in _FOLDERS:
        if getattr(options, name) and name not in source.uses:
            raise DataError(f"{text} ({source.syntax}) has no use for --{name.replace('_', '-')}; leave it out")
    examples = source.open(text, options)
    if options.task not in (None, examples.task):
        raise DataError(
            f"{text} is {examples.task}, which cannot be {options.task}; give a list of images (FILE.csv) with such labels"
        )
    return examples


def as_far_as_used(text: str, options: SourceOptions) -> SourceOptions:
    """Return the options without those that a source cannot follow.

    Examples:
        >>> options = SourceOptions(label_separator=";")
        >>> as_far_as_used("fruit.csv", options).label_separator
        ';'
        >>> as_far_as_used("sample:digits", options).label_separator is None
        True
    """
    source, folder = _find(text), Path(text).expanduser()
    unused = set(_FOLDERS) - set(source.uses)
    if source is SOURCES["folder"] and folder.is_dir() and not is_described(folder):
        unused |= set(LIST_OPTIONS)
    return replace(options, **{name: getattr(DEFAULTS, name) for name in unused})


def _find(text: str) -> Source:
    """Return the row of a SOURCE string."""
    if not text.strip():
        raise DataError("the source is empty; give a folder, or " + " or ".join(_known()))
    prefix = _prefix_of(text)
    if prefix:
        return next(source for source in SOURCES.values() if prefix in source.prefixes)
    name = Path(text).name.lower()
    fitting = [source for source in SOURCES.values() if any(fnmatchcase(name, one) for one in source.names)]
    if _is_path(text):
        if os.path.isdir(os.path.expanduser(text)):
            return SOURCES["folder"]
        if not fitting and os.path.isfile(os.path.expanduser(text)):
            raise DataError(f"{text} is a file that Graft does not read: {_instead_of(name)}")
        return fitting[0] if fitting else SOURCES["folder"]
    kind, _, rest = text.partition(":")
    near = difflib.get_close_matches(f"{kind.lower()}:", _prefixes(), n=1)
    hint = (
        f"Did you mean {near[0]}{rest.removeprefix('//')}?"
        if near
        else f"Known sources: a folder, {', '.join(_known())}"
    )
    raise DataError(f"unknown kind of source {kind + ':'!r} in {text!r}. {hint}")


# Suffixes of other kinds of files -> what to do with them.
_INSTEAD = {
    (".xlsx", ".xls", ".ods", ".numbers"): "save the table as CSV, in UTF-8, and give that",
    (
        ".parquet",
        ".feather",
        ".arrow",
        ".json",
        ".xml",
        ".yaml",
    ): "write a .csv or .jsonl with a path and a label a line",
    (".7z", ".rar", ".zst", ".lz4", ".gz", ".bz2", ".xz"): "extract it, and give the folder",
    tuple(SUFFIXES): "it is one image; give a folder with a folder of images for each class, or a list",
    (
        ".h5",
        ".hdf5",
        ".npz",
        ".npy",
        ".pkl",
        ".mat",
        ".db",
        ".lmdb",
    ): "write its images to a folder for each class, and give that",
}


def _instead_of(name: str) -> str:
    known = next((advice for suffixes, advice in _INSTEAD.items() if name.endswith(suffixes)), None)
    return known or f"give a folder, or {', '.join(_known())}"


def _known() -> list[str]:
    return [source.syntax for name, source in SOURCES.items() if name != "folder"]


def _prefixes() -> list[str]:
    return [prefix for source in SOURCES.values() for prefix in source.prefixes]


def _prefix_of(text: str) -> str:
    """Return the prefix of a source that is not a path, else ""."""
    if os.path.isdir(text):
        return ""
    return next((prefix for prefix in _prefixes() if text.startswith(prefix)), "")


def _is_path(text: str) -> bool:
    prefix, colon, _ = text.partition(":")
    one_letter = len(prefix) == 1  # a Windows drive
    return not colon or one_letter or os.path.exists(text) or bool({"/", "\\"} & set(prefix))
