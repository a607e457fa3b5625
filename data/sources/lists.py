"""Source: a list of images in a `.csv`, `.tsv` or `.jsonl` file, with a label for each and whatever else is known."""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.errors import DataError
from data.examples import SPLITS, Examples
from data.image.decoding import SUFFIXES as IMAGES
from data.image.reading import ImageFiles
from data.labels import Labelling
from data.labels.written import Place
from data.sources.columns import ROLES, check_columns, find_columns, plain_name
from data.sources.labelling import label_examples
from data.sources.names import existing_file, splits_of
from data.sources.options import SourceOptions
from data.sources.paths import find_files

ONE_HOT = "_classes.csv"  # Roboflow's name of a list with a column of 0 and 1 for each class
_EXAMPLES = 3
# Columns of yes and no, as in fastai -> the splits for no and for yes.
_FLAG_COLUMNS = {
    **dict.fromkeys(("is_valid", "is_validation", "is_val"), ("train", "validation")),
    "is_test": ("train", "test"),
    "is_train": ("test", "train"),
}
_FLAGS = {"true": 1, "1": 1, "yes": 1, "t": 1, "1.0": 1, "false": 0, "0": 0, "no": 0, "f": 0, "0.0": 0}


class _Table(NamedTuple):
    """A list as it is read: its columns, and an iterator over its rows, each with its line number and one cell per column."""

    columns: list[str]
    rows: Iterator[tuple[int, Sequence[object]]]
    delimiter: str = ""
    has_names: bool = True


def open_list(text: str, options: SourceOptions) -> Examples:
    r"""Open a list of images.

    The first line of a `.csv` (separated by commas, semicolons or tabs) or `.tsv` names the columns; a line of a `.jsonl` is
    an object; a line of a `.txt` is a path and a label, without names. `data.sources.columns` says which columns are used,
    `data.sources.paths` where the images are, and `data.sources.labelling` how labels are read.

    Args:
        text: path of the list.
        options: all but `label_pattern` are used.

    Returns:
        The images, keyed by their normalised paths from the list; relative paths start at its folder or `image_folder`.

    Raises:
        DataError: the list cannot be read, lacks a column, or has a line that cannot be used.

    Examples:
        >>> text = "path,label\napple/00.png,apple\ncherry/00.png,cherry\n"
        >>> written = Path("images/fruit.csv").write_text(text)
        >>> examples = open_list("images/fruit.csv", SourceOptions())
        >>> examples.keys, examples.labels.text(1)
        (('apple/00.png', 'cherry/00.png'), 'cherry')
        >>> open_list("images/fruit.csv", SourceOptions(columns={"label": "species"}))
        Traceback (most recent call last):
            ...
        data.errors.DataError: images...fruit.csv has no column 'species'. It has 'path', 'label'
    """
    file = existing_file(text)
    try:
        rows = _read(file, options)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {_line_that_is_not_utf8(file)} of {file} is not UTF-8; save the list as UTF-8"
        ) from error
    if not rows.lines:
        raise DataError(f"{file} has no images; name one a line")

    def place(index: int) -> str:
        return f"line {rows.lines[index]} of {file}"

    cells = rows.cells
    paths = find_files(rows.only("path"), file, place, options)
    names, labels = list(cells["label"]), list(cells["label"].values())
    labelling = label_examples(names, labels, place, options, comma_separates=rows.delimiter not in (";", "\t"))
    splits, found = _splits(rows, place, file)
    examples = Examples(
        source=text,
        keys=tuple(paths.keys),
        labels=labelling.labels,
        read=ImageFiles(paths.folder, tuple(paths.keys)),
        given_splits=splits,
        groups=_groups(rows.only("group"), place),
        weights=_weights(rows.only("weight"), place),
        notes=(*paths.notes, *found),
    )
    kept = np.setdiff1d(labelling.kept, paths.missing)
    examples = examples.subset(kept)
    left_out = {"without a file": len(paths.missing), "without a label": len(labels[0]) - len(labelling.kept)}
    note = _reading(rows, labelling, examples, file)
    return replace(examples, notes=(note, *examples.notes), ignored=Counter(left_out))


class _Rows(NamedTuple):
    """What is used of a list.

    Attributes:
        lines: the line number of each image.
        cells: for each role, its columns with their cells; other columns are not kept.
        delimiter: what separates columns; "" if nothing does.
    """

    lines: list[int]
    cells: dict[str, dict[str, list[object]]]
    delimiter: str

    def only(self, role: str) -> list[object]:
        """Return the cells of a role that has one column; [] if it has none."""
        return next(iter(self.cells[role].values()), [])


def _read(file: Path, options: SourceOptions) -> _Rows:
    table = _FORMATS[file.suffix.lower()](file)
    given = dict(options.columns)
    columns = find_columns(table.columns, given, str(file))
    if "label" not in given and (file.name.lower() == ONE_HOT or not table.has_names):
        columns["label"] = tuple(name for name in table.columns if name not in columns["path"])
    check_columns(columns, table.columns, ("path", "label"), str(file))
    cells: dict[str, dict[str, list[object]]] = {role: {name: [] for name in columns[role]} for role in ROLES}
    targets = [(table.columns.index(name), kept) for of_role in cells.values() for name, kept in of_role.items()]
    lines = []
    for line, row in table.rows:
        lines.append(line)
        for position, kept in targets:
            kept.append(row[position])
    return _Rows(lines, cells, table.delimiter)


def _reading(rows: _Rows, labelling: Labelling, examples: Examples, file: Path) -> str:
    """Return a note on how a list was read, with examples, for the user to see before training."""
    path, labels = next(iter(rows.cells["path"])), list(rows.cells["label"])
    named = f"column {labels[0]!r}" if len(labels) == 1 else f"{len(labels)} columns ({labels[0]!r} to {labels[-1]!r})"
    positions = np.unique(np.linspace(0, len(examples) - 1, _EXAMPLES).astype(int))
    shown = ", ".join(f"{examples.keys[i]}: {examples.labels.text(int(i)) or 'no class'}" for i in positions)
    return f"{file.name}: images from column {path!r}, labels from {named}, read as {labelling.reading}. {shown}."


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

    return _Table(columns, cells(), delimiter)


def _read_tsv(file: Path) -> _Table:
    return _read_csv(file, "\t")


def _read_jsonl(file: Path) -> _Table:
    """Read the file twice, since an object may have keys that no object before it has."""
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


def _read_txt(file: Path) -> _Table:
    """Read lines of a path and a label, or of a path and the same number of numbers, such as columns of 0 and 1."""
    with open(file, encoding="utf-8-sig") as stream:
        lines = [(number, line.strip()) for number, line in enumerate(stream, start=1) if line.strip()]
    pattern = _WITH_SUFFIX if any(_WITH_SUFFIX.match(line) for _, line in lines) else _FIRST_WORD
    rows = [(number, pattern.match(line)) for number, line in lines]
    if len(rows) > 1 and rows[0][1] is None and rows[1][1] is not None:
        del rows[0]  # a header
    bare = next((number for number, match in rows if match is None), None)
    if bare is not None:
        raise DataError(
            f"line {bare} of {file} is no image's path and a label with a blank between them; write each line so, or "
            "give the folder of the images, with --label-pattern where their names have the labels"
        )
    cells = [(number, match[1], match[2].split()) for number, match in rows if match]
    counts = {len(labels) for _, _, labels in cells}
    if counts <= {1} or len(counts) > 1 or not all(one.lstrip("-").isdigit() for _, _, row in cells for one in row):
        return _Table(
            ["path", "label"], ((number, [path, " ".join(row)]) for number, path, row in cells), has_names=False
        )
    # Numbers of several columns, which lack only names.
    names = [f"label {number}" for number in range(1, counts.pop() + 1)]
    return _Table(["path", *names], ((number, [path, *row]) for number, path, row in cells), has_names=False)


_WITH_SUFFIX = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, sorted(IMAGES)))}))[\s,;]+(.+)$", re.IGNORECASE)
_FIRST_WORD = re.compile(r"(\S+)[\s,;]+(.+)$")
_FORMATS: dict[str, Callable[[Path], _Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".txt": _read_txt,
}
SUFFIXES = (".csv", ".tsv", ".jsonl")  # of files that are always lists; a .txt may be anything


def _line_that_is_not_utf8(file: Path) -> int:
    with open(file, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.decode(errors="ignore").encode() != line:
                return number
    return 1


# --- Columns ------------------------------------------------------------------------------------------------------------


def _splits(rows: _Rows, place: Place, file: Path) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the splits, and a note if they are in a column of yes and no; None without splits, or with only one."""
    column, cells = next(iter(rows.cells["split"].items()), ("", []))
    if all(cell is None or cell == "" for cell in cells):
        return None, []
    flagged = _FLAG_COLUMNS.get(plain_name(column))
    if flagged and {str(cell).strip().lower() for cell in cells} <= set(_FLAGS):
        splits = [flagged[_FLAGS[str(cell).strip().lower()]] for cell in cells]
        counts = ", ".join(f"{count:,} {split}" for split, count in Counter(splits).items())
        return tuple(splits), [f"Column {column!r} of {file.name} says which images are for which split: {counts}."]
    splits = splits_of([str(cell) for cell in cells])
    for index, (cell, split) in enumerate(zip(cells, splits, strict=True)):
        if not split:
            near = difflib.get_close_matches(str(cell).lower(), SPLITS, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else "; correct it"
            raise DataError(f"{place(index)}: the split {cell!r} is none of {', '.join(SPLITS)}{hint}")
    if set(splits) == {"validation", "test"}:
        raise DataError(f"{file} has images for validation and test, but none for train; add some")
    return (tuple(splits) if len(set(splits)) > 1 else None), []


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
