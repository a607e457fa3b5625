"""Find which column of a list means what: as the user says, or guessed from usual names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from data.errors import DataError

# Role -> usual names. A column with the first name is taken even where others have other usual names. Case, spaces,
# hyphens and a final "_id" do not count.
ROLES: dict[str, tuple[str, ...]] = {
    "path": (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "images", "image_path"),
        *("image_file", "image_name", "imagename", "img", "img_path", "picture", "picture_path", "photo"),
    ),
    "label": (
        *(
            "label",
            "labels",
            "class",
            "classes",
            "class_name",
            "classname",
            "species",
            "breed",
            "category",
            "categories",
        ),
        *("target", "targets", "tag", "tags", "y"),
    ),
    "split": (
        *("split", "set", "subset", "partition"),
        *("is_valid", "is_validation", "is_val", "is_test", "is_train"),
    ),
    "group": ("group", "patient", "subject", "video", "camera", "session"),
    "weight": ("weight", "sample_weight"),
}


# Role -> names that mean it only where no column has a usual name.
FALLBACKS: dict[str, tuple[str, ...]] = {"path": ("id", "fname")}


def find_columns(found: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, tuple[str, ...]]:
    """Find the columns of each role.

    Args:
        found: names of the columns of the list.
        given: role -> column, as the user says; "" for none. Several columns of the label are separated by commas.
        where: the list, for errors.

    Returns:
        Role -> the names of its columns: none, one, or several for the label.

    Raises:
        DataError: a given column is missing or exists twice, or several columns could be meant.

    Examples:
        >>> find_columns(["file", "species"], {}, "fruit.csv")
        {'path': ('file',), 'label': ('species',), 'split': (), 'group': (), 'weight': ()}
        >>> find_columns(["file", "width", "height"], {"label": "width,height"}, "fruit.csv")["label"]
        ('width', 'height')
    """
    columns = {role: _given_columns(name, found, where) for role, name in given.items()}
    taken = {name for names in columns.values() for name in names}
    for role in ROLES:
        if role not in columns:
            columns[role] = _guess(role, [name for name in found if name not in taken], where)
            taken.update(columns[role])
    for name in taken:
        if list(found).count(name) > 1:
            raise DataError(f"{where} has {found.count(name)} columns {name!r}; rename or remove all but one")
    return columns


def check_columns(columns: Mapping[str, Sequence[str]], found: Sequence[str], roles: Iterable[str], where: str) -> None:
    """Raise `DataError` for a role that needs a column and has none.

    Examples:
        >>> check_columns({"path": ("file",)}, ["file"], ["path"], "fruit.csv") is None
        True
        >>> check_columns({"path": ()}, ["where"], ["path"], "fruit.csv")
        Traceback (most recent call last):
            ...
        data.errors.DataError: fruit.csv has 'where', and none of them is named as the path usually is (path, ...); ...
    """
    for role in roles:
        if not columns[role]:
            names = ", ".join(map(repr, found)) or "no columns"
            raise DataError(
                f"{where} has {names}, and none of them is named as the {role} usually is ({', '.join(ROLES[role][:3])}); "
                f"say which it is, as in {role}=NAME, or name the columns in the first line"
            )


def plain_name(column: str) -> str:
    """Return the name of a column in lower case, with underscores for spaces and hyphens.

    Examples:
        >>> plain_name("Is valid")
        'is_valid'
        >>> plain_name(" Image-Path ")
        'image_path'
    """
    return column.strip().casefold().replace(" ", "_").replace("-", "_")


def _given_columns(name: str, found: Sequence[str], where: str) -> tuple[str, ...]:
    if not name.strip():
        return ()
    names = [name] if name in found else [one.strip() for one in name.split(",")]
    for one in names:
        if one not in found:
            near = difflib.get_close_matches(one, found, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(map(repr, found))}"
            raise DataError(f"{where} has no column {one!r}. {hint}")
    return tuple(dict.fromkeys(names))


def _guess(role: str, found: Sequence[str], where: str) -> tuple[str, ...]:
    plain = {name: plain_name(name) for name in found}
    without_id = {name: text.removesuffix("_id") for name, text in plain.items()}
    for usual, simple in ((ROLES[role], plain), (ROLES[role], without_id), (FALLBACKS.get(role, ()), plain)):
        likely = [name for name in dict.fromkeys(found) if simple[name] in usual]
        first = [name for name in likely if simple[name] == usual[0]]
        if len(first or likely) > 1:
            names = " and ".join(map(repr, first or likely))
            raise DataError(f"in {where}, {names} could each be the {role}; say which it is, as in {role}={likely[0]}")
        if likely:
            return tuple(first or likely)
    return ()
