"""Which column of a list means what: as the user says, or guessed from usual names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from data.errors import DataError

# Role -> usual names; the first of them is taken even where others are there. Case, spaces, hyphens and a last "_id" do
# not count.
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


# Names that mean a role only where no column has a usual name of it.
FALLBACKS: dict[str, tuple[str, ...]] = {"path": ("id", "fname")}


def find_columns(found: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, tuple[str, ...]]:
    """Give each role its columns.

    Args:
        found: the columns that there are.
        given: role -> column, as the user says; "" for none. Several for the label are separated by commas.
        where: the list, for errors.

    Returns:
        Role -> the names of its columns: one, several for the label, none.

    Raises:
        DataError: a column that is given is not there or there twice, or more than one could be meant.
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
    """Raise `DataError` for a role that needs a column and has none."""
    for role in roles:
        if not columns[role]:
            names = ", ".join(map(repr, found)) or "no columns"
            raise DataError(
                f"{where} has {names}, and none of them is named as the {role} usually is ({', '.join(ROLES[role][:3])}); "
                f"say which it is, as in {role}=NAME, or name the columns in the first line"
            )


def plain_name(column: str) -> str:
    """A column's name without what people write in different ways.

    >>> plain_name("Is valid")
    'is_valid'
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
