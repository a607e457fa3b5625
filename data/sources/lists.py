"""Source: a list of pictures in a `.csv`, `.tsv` or `.jsonl` file, with a label for each and whatever else is known."""

from __future__ import annotations

import csv
import difflib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.errors import DataError
from data.pictures import SPLITS, PictureSet
from data.reading import read_picture
from data.sources.columns import ROLES, check_columns, find_columns
from data.sources.labelling import Place, label_pictures
from data.sources.names import SPLIT_NAMES, check_key, existing_file
from data.sources.options import SourceOptions

_NAMED = 3  # files in an error message


class _Table(NamedTuple):
    """A list as it is read: its columns, and an iterator over its rows, each with its line and one cell a column."""

    columns: list[str]
    rows: Iterator[tuple[int, Sequence[object]]]


def open_list(text: str, options: SourceOptions) -> PictureSet:
    """Open a list of pictures.

    The first line of a `.csv` (separated by commas, semicolons or tabs) or `.tsv` names the columns; a line of a `.jsonl` is
    an object. `data.sources.columns` says which columns are used, `data.sources.labelling` what is made of labels.

    Args:
        text: path of the list.
        options: `task`, `columns` and `label_separator` are used.

    Returns:
        The pictures, keyed by their paths as in the list, normalised; relative ones start at the folder of the list.

    Raises:
        DataError: the list cannot be read, lacks a column, or has a line that cannot be used.
    """
    file = existing_file(text)
    try:
        lines, cells = _read(file, options)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {_line_that_is_not_utf8(file)} of {file} is not UTF-8; save the list as UTF-8"
        ) from error
    if not lines:
        raise DataError(f"{file} has no pictures; name one a line")

    def place(index: int) -> str:
        return f"line {lines[index]} of {file}"

    keys = _keys(_only(cells["path"]), file, place)
    names, labels = list(cells["label"]), list(cells["label"].values())
    labelling = label_pictures(names, labels, place, task=options.task, separator=options.label_separator)
    return PictureSet(
        source=text,
        class_names=labelling.class_names,
        keys=tuple(keys),
        labels=labelling.labels,
        encoded=lambda i: read_picture(file.parent / keys[i]),
        given_splits=_splits(_only(cells["split"]), place, file),
        task=labelling.task,
        groups=_groups(_only(cells["group"]), place),
        weights=_weights(_only(cells["weight"]), place),
    )


def _read(file: Path, options: SourceOptions) -> tuple[list[int], dict[str, dict[str, list[object]]]]:
    """The line of each picture, and for each role its columns with their cells; others are not kept."""
    table = _FORMATS[file.suffix.lower()](file)
    columns = find_columns(table.columns, options.columns, str(file))
    check_columns(columns, table.columns, ("path", "label"), str(file))
    cells: dict[str, dict[str, list[object]]] = {role: {name: [] for name in columns[role]} for role in ROLES}
    targets = [(table.columns.index(name), kept) for of_role in cells.values() for name, kept in of_role.items()]
    lines = []
    for line, row in table.rows:
        lines.append(line)
        for position, kept in targets:
            kept.append(row[position])
    return lines, cells


def _only(columns: dict[str, list[object]]) -> list[object]:
    """The cells of a role that has one column; none if it has none."""
    return next(iter(columns.values()), [])


# --- Formats ------------------------------------------------------------------------------------------------------------


def _read_csv(file: Path, delimiter: str | None = None) -> _Table:
    stream = open(file, encoding="utf-8-sig", newline="")  # noqa: SIM115 - the rows close it
    with_names = stream.readline(2**20)
    stream.seek(0)
    delimiter = delimiter or max(",;\t", key=with_names.count)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)

    def rows() -> Iterator[list[str]]:
        with stream:
            try:
                yield from reader
            except csv.Error as error:
                raise DataError(f"line {reader.line_num} of {file} is not CSV: {error}; repair the line") from error

    lines = rows()
    columns = [name.strip() for name in next(lines, [])]

    def cells() -> Iterator[tuple[int, Sequence[object]]]:
        for row in lines:
            if len(row) != len(columns) and any(map(str.strip, row)):
                raise DataError(
                    f"line {reader.line_num} of {file} has {len(row)} cells, but the first line names {len(columns)} columns; "
                    f"repair it, with quotes around a cell that holds a {delimiter!r}"
                )
            if any(map(str.strip, row)):
                yield reader.line_num, row

    return _Table(columns, cells())


def _read_tsv(file: Path) -> _Table:
    return _read_csv(file, "\t")


def _read_jsonl(file: Path) -> _Table:
    """Read it twice, since an object may have what none before it had."""
    columns = list(dict.fromkeys(name for _, row in _objects(file) for name in row))
    return _Table(columns, ((line, [row.get(name) for name in columns]) for line, row in _objects(file)))


def _objects(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(file, encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                raise DataError(f"line {number} of {file} is not JSON: {error}; repair the line") from error
            if not isinstance(row, dict):
                raise DataError(
                    f'line {number} of {file} is no JSON object; write one such as {{"path": …, "label": …}}'
                )
            yield number, row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


_FORMATS: dict[str, Callable[[Path], _Table]] = {".csv": _read_csv, ".tsv": _read_tsv, ".jsonl": _read_jsonl}
SUFFIXES = tuple(_FORMATS)


def _line_that_is_not_utf8(file: Path) -> int:
    with open(file, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.decode(errors="ignore").encode() != line:
                return number
    return 1


# --- Columns ------------------------------------------------------------------------------------------------------------


def _keys(cells: Sequence[object], file: Path, place: Place) -> list[str]:
    """The paths, normalised, each of them once and of a file that is there."""
    first_with: dict[str, int] = {}
    missing, keys = [], []
    for index, cell in enumerate(cells):
        if not isinstance(cell, str) or not cell.strip() or "\0" in cell:
            raise DataError(f"{place(index)}: the path is {cell!r}; give that of a picture file")
        key, there = _normalised(cell, file.parent)
        check_key(key)
        whole = os.path.normpath(file.parent / key)
        earlier = first_with.setdefault(whole, index)
        if earlier != index:
            raise DataError(
                f"{place(index)} names {cell!r} again, after {place(earlier)}; keep one line a picture, with all of its labels"
            )
        if not there:
            missing.append(index)
        keys.append(key)
    if missing:
        verb = "picture is" if len(missing) == 1 else "pictures are"
        named = ", ".join(f"{cells[index]!r} ({place(index)})" for index in missing[:_NAMED])
        more = ", …" if len(missing) > _NAMED else ""
        raise DataError(
            f"{len(missing):,} {verb} not there: {named}{more}; correct the paths, which start at {file.parent.absolute()}"
        )
    return keys


def _normalised(path: str, folder: Path) -> tuple[str, bool]:
    """A path as a key, and whether it is that of a file."""
    for text in dict.fromkeys((path, path.replace("\\", "/"))):  # lists are written on Windows, too
        key = Path(os.path.normpath(text)).as_posix()
        if os.path.isfile(folder / key):
            return key, True
    return key, False


def _splits(cells: Sequence[object], place: Place, file: Path) -> tuple[str, ...] | None:
    """The splits; None where the list has no column for them, leaves it empty, or has all of its pictures in one."""
    if all(cell is None or cell == "" for cell in cells):
        return None
    splits = []
    for index, cell in enumerate(cells):
        split = SPLIT_NAMES.get(str(cell).strip().lower())
        if split is None:
            near = difflib.get_close_matches(str(cell).lower(), list(SPLIT_NAMES), n=1)
            hint = f". Did you mean {near[0]!r}?" if near else "; correct it"
            raise DataError(f"{place(index)}: the split {cell!r} is none of {', '.join(SPLITS)}{hint}")
        splits.append(split)
    if set(splits) == {"validation", "test"}:
        raise DataError(f"{file} has pictures for validation and test, but none for train; add some")
    return tuple(splits) if len(set(splits)) > 1 else None


def _groups(cells: Sequence[object], place: Place) -> tuple[str, ...] | None:
    for index, cell in enumerate(cells):
        if isinstance(cell, list | dict):
            raise DataError(f"{place(index)}: the group is {cell!r}; give its name")
    groups = tuple("" if cell is None else str(cell).strip() for cell in cells)
    return groups if any(groups) else None


def _weights(cells: Sequence[object], place: Place) -> np.ndarray | None:
    weights = np.zeros(len(cells), np.float32)
    for index, cell in enumerate(cells):
        try:
            weights[index] = float(cell)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            weights[index] = np.nan
        if isinstance(cell, bool) or not 0 < weights[index] < np.inf:
            raise DataError(f"{place(index)}: the weight {cell!r} is not a number above 0; correct or remove it")
    return weights if len(weights) else None
