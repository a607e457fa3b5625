"""Options of the source of images and labels, and of reading image files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from app.config.shared import Options, option, require
from data.image.preparing import Preparation
from data.labels import LABELS
from data.sources import SOURCES
from data.sources.columns import ROLES
from data.sources.options import UNCERTAIN, SourceOptions

SOURCE = option(
    "where the images are, as 'list sources' explains",
    lambda: [one.syntax for one in SOURCES.values()],
    metavar="SOURCE",
    positional=True,
)


@dataclass(frozen=True, kw_only=True)
class ListGroup(Options):
    """Options of reading a source."""

    heading: ClassVar[str] = "source"

    columns: Annotated[
        tuple[str, ...],
        option(
            "columns of a list whose names do not say so, such as path=photo label=species, or label=width,height for "
            "several numbers; the roles",
            ROLES,
            metavar="ROLE=COLUMN...",
        ),
    ] = ()
    label_separator: Annotated[
        str | None, option("what stands between the labels of one cell", metavar="SIGN", default="by the labels")
    ] = None
    label_pattern: Annotated[
        str | None,
        option(
            "labels from file names: a regular expression whose first group finds the class in the path of each image of a "
            "folder, such as '([a-z]+)_[0-9]+'",
            metavar="REGEX",
        ),
    ] = None
    image_folder: Annotated[
        str | None, option("where the paths of a list start", metavar="FOLDER", default="the list's folder")
    ] = None
    image_suffix: Annotated[
        str | None, option("what is added to each path of a list, such as .jpg", metavar="SUFFIX")
    ] = None
    uncertain: Annotated[
        str | None,
        option(
            "what an empty cell or -1 among columns of 0 and 1 counts as; unknown leaves it out of the loss and the figures",
            UNCERTAIN,
            metavar="0|1|unknown",
            default="an error",
        ),
    ] = None

    @property
    def source_options(self) -> SourceOptions:
        """Options for reading the source."""
        columns = {}
        for one in self.columns:
            role, _, column = one.partition("=")
            require("=" in one, f"--columns takes ROLE=COLUMN, such as label=species, not {one!r}")
            columns[role] = column
        names = {field.name for field in fields(SourceOptions)} & {field.name for field in fields(self)}
        return SourceOptions(**{name: getattr(self, name) for name in names} | {"columns": columns})

    def check(self) -> None:
        """Raise `UsageError` or `DataError` for invalid options."""
        _ = self.source_options  # raises if they are invalid
        super().check()


@dataclass(frozen=True, kw_only=True)
class SourceGroup(ListGroup):
    """Options of the task and of additional sources."""

    task: Annotated[str | None, option("what to learn", LABELS, metavar="TASK", default="by the labels")] = None
    validation: Annotated[str | None, option("another source, with the images for validation", metavar="SOURCE")] = None
    test: Annotated[str | None, option("another source, with the images for the test", metavar="SOURCE")] = None


@dataclass(frozen=True, kw_only=True)
class ImageGroup(Options):
    """Options of the preparation of image files before they are decoded."""

    heading: ClassVar[str] = "image"

    background: Annotated[
        str | None,
        option(
            "colour behind transparent parts of images, such as white, black or '#f0f0f0'",
            metavar="COLOUR",
            default="transparency is dropped",
        ),
    ] = None
    levels: Annotated[
        str | None,
        option(
            "values of black and white in images of more than 8 bits, such as 0-4095 for 12",
            metavar="LOW-HIGH",
            default="the high byte is kept",
        ),
    ] = None

    @property
    def preparation(self) -> Preparation:
        """Preparation of image files before they are decoded."""
        return Preparation.parse(self.background, self.levels)

    def check(self) -> None:
        """Raise `UsageError` or `DataError` for invalid options."""
        _ = self.preparation  # raises if they are invalid
        super().check()


@dataclass(frozen=True, kw_only=True)
class UnreadableGroup(ImageGroup):
    """Preparation of image files, where unreadable files are an error by default."""

    skip_unreadable: Annotated[bool, option("leave out images that cannot be read instead of stopping")] = False
