"""Source: tar shards in the format of WebDataset, each image beside its label, read in place."""

from __future__ import annotations

import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data.errors import DataError
from data.examples import Examples
from data.image.decoding import SUFFIXES
from data.labels import SINGLE_LABEL
from data.sources.columns import check_columns, find_columns
from data.sources.labelling import label_examples
from data.sources.names import check_key
from data.sources.options import SourceOptions
from data.sources.shards import ByteRanges, expand, shard_names
from data.sources.tars import tar_members

_LABELS = (".cls", ".json", ".txt")  # the first that every image has is used
_MOST_BYTES = 2**20  # of a label


class _Part(NamedTuple):
    """A file in a shard; `sample` is its name up to the first dot, `suffix` the rest, as in WebDataset."""

    name: str
    sample: str
    suffix: str
    offset: int
    size: int


def is_webdataset(file: Path) -> bool:
    """Return whether a file is a plain tar that holds a `.cls`, or an image beside a `.json` or `.txt` at its top.

    Examples:
        >>> written = Path("0.cls").write_text("apple")
        >>> with tarfile.open("fruit.tar", "w") as file:
        ...     file.add("apple.png", "0.png")
        ...     file.add("0.cls")
        >>> is_webdataset(Path("fruit.tar"))
        True
        >>> is_webdataset(Path("apple.png"))
        False
    """
    beside: dict[str, set[str]] = {}
    try:
        for part in _parts(file, Counter()):
            if part.suffix == ".cls":
                return True
            if "/" not in part.sample and len(beside) < 2:  # the first samples suffice
                beside.setdefault(part.sample, set()).add(part.suffix)
    except (DataError, OSError, tarfile.TarError):
        return False
    return any(found & SUFFIXES and found & set(_LABELS) for found in beside.values())


def open_webdataset(text: str, options: SourceOptions) -> Examples:
    """Open tar shards.

    Each image has a `.cls` (the number or name of a class), `.json` or `.txt` of the same name beside it. A `.json` is a
    label, a list of labels, or an object with a label as in a `.jsonl` list. Only places of images and labels are held.

    Args:
        text: a tar, or a pattern such as `shards-{0000..0003}.tar`.
        options: `task`, `columns` (of a `.json`, only for the label) and `label_separator` are used.

    Returns:
        The images, keyed by shard and name.

    Raises:
        DataError: there are no such files, they are not plain tars, or an image has no label.

    Examples:
        >>> written = Path("0.cls").write_text("apple")
        >>> with tarfile.open("fruit.tar", "w") as file:
        ...     file.add("apple.png", "0.png")
        ...     file.add("0.cls")
        >>> examples = open_webdataset("fruit.tar", SourceOptions())
        >>> examples.keys, examples.class_names
        (('fruit.tar/0.png',), ('apple',))
        >>> examples.read(0) == Path("apple.png").read_bytes()
        True
    """
    files = expand(text)
    index = _Index(ByteRanges(files))
    done, total = 0, sum(file.stat().st_size for file in files)
    for number, (file, shard) in enumerate(zip(files, shard_names(files), strict=True)):
        index.add_shard(number, file, shard)
        done += file.stat().st_size
        options.report("indexing", done, total)
    keys = tuple(index.keys.values())
    if not keys:
        raise DataError(f"{text} holds no images; in each tar, an image and its label have the same name")
    suffix, cells = _chosen_labels(index, text, options)
    labelling = label_examples(
        ["label"],
        [cells],
        lambda i: f"{keys[i]} of {text}",
        replace(
            options,
            task=options.task or (SINGLE_LABEL if suffix == ".cls" and not options.label_separator else None),
            skip_unreadable=False,
        ),
    )
    return Examples(
        source=text,
        keys=keys,
        labels=labelling.labels,
        read=index.places.read,
        ignored=index.ignored,
    )


@dataclass
class _Index:
    """What is found in shards; a sample is named by its shard and its name there.

    Attributes:
        places: the places of the images.
        keys: sample -> name of its image, in the order of `places`.
        labels: suffix -> sample -> content of its label file.
        ignored: as in `Examples`.
    """

    places: ByteRanges
    keys: dict[str, str] = field(default_factory=dict)
    labels: dict[str, dict[str, object]] = field(default_factory=lambda: {suffix: {} for suffix in _LABELS})
    ignored: Counter[str] = field(default_factory=Counter)

    def add_shard(self, number: int, file: Path, shard: str) -> None:
        try:
            for part in _parts(file, self.ignored):
                self._add(part, number, file, shard)
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from error
        except tarfile.TarError as error:
            raise DataError(
                f"{file} is no tar, compressed, or damaged ({error}); shards are plain tar files"
            ) from error

    def _add(self, part: _Part, number: int, file: Path, shard: str) -> None:
        sample = f"{shard}/{part.sample}"
        if part.suffix in SUFFIXES and sample not in self.keys:
            self.keys[sample] = f"{shard}/{part.name}"
            check_key(self.keys[sample])
            self.places.add(number, part.offset, part.size)
        elif part.suffix in self.labels:
            self.labels[part.suffix][sample] = _read_label(file, part)
        else:
            self.ignored["further images" if part.suffix in SUFFIXES else part.suffix or "no suffix"] += 1


def _parts(file: Path, ignored: Counter[str]) -> Iterator[_Part]:
    places: dict[str, tuple[int, int]] = {}  # of files, for hard links to them
    with open(file, "rb") as stream:
        for _, member in tar_members(stream, sys.maxsize):
            path = PurePosixPath(member.name)
            if member.isdir():
                continue
            if member.isfile() and not member.issparse():
                places[path.as_posix()] = (member.offset_data, member.size)
            place = places.get(PurePosixPath(member.linkname if member.islnk() else member.name).as_posix())
            if place is None or path.name.startswith("."):
                ignored["hidden" if path.name.startswith(".") else "links"] += 1
                continue
            stem, dot, rest = path.name.partition(".")
            sample = (path.parent / stem).as_posix() if stem else path.as_posix()
            yield _Part(path.as_posix(), sample, (dot + rest).lower(), *place)


def _read_label(file: Path, part: _Part) -> object:
    if part.size > _MOST_BYTES:
        raise DataError(f"{part.name} in {file} has {part.size:,} bytes, which is no label; remove it")
    with open(file, "rb") as stream:
        stream.seek(part.offset)
        content = stream.read(part.size)
    try:
        text = content.decode("utf-8-sig")
        return json.loads(text) if part.suffix == ".json" else text.strip()
    except (ValueError, RecursionError) as error:
        kind = "JSON" if part.suffix == ".json" else "UTF-8"
        raise DataError(f"{part.name} in {file} is not {kind} ({error}); write it again") from error


def _chosen_labels(index: _Index, text: str, options: SourceOptions) -> tuple[str, list[object]]:
    """Return the suffix of the label files that are used, and the label of each image."""
    for suffix, found in index.labels.items():
        if all(sample in found for sample in index.keys):
            cells = [found[sample] for sample in index.keys]
            return suffix, _from_objects(cells, text, options) if suffix == ".json" else cells
    without = [key for sample, key in index.keys.items() if not any(sample in found for found in index.labels.values())]
    if without:
        raise DataError(
            f"{text} has images without a .cls, .json or .txt of the same name ({len(without):,}, such as {without[0]}); "
            "add or remove them"
        )
    raise DataError(f"{text} labels some images by {' and others by '.join(_LABELS)}; use one of them for all")


def _from_objects(cells: list[object], text: str, options: SourceOptions) -> list[object]:
    rows = [cell for cell in cells if isinstance(cell, dict)]
    if not rows:
        return cells
    where = f"the .json files of {text}"
    names = list(dict.fromkeys(name for row in rows for name in row))
    given = {role: name for role, name in options.columns.items() if role == "label"}
    columns = find_columns(names, given, where)
    check_columns(columns, names, ("label",), where)
    (column, *more) = columns["label"]
    if more:
        raise DataError(f"{where} give one label; name one of {', '.join(columns['label'])}, which may be a list")
    return [cell.get(column) if isinstance(cell, dict) else cell for cell in cells]
