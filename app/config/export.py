"""Options of exported files. None means the value of the run's last export; a new run has its own defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.shared import Options, check_choice, option, require
from app.exporting.formats import FORMATS

QUANTIZE = ("auto", "none")
_AS_BEFORE = "as in the run's last export"


@dataclass(frozen=True, kw_only=True)
class AccuracyGroup(Options):
    """The accuracy that a file must keep."""

    heading: ClassVar[str] = "export"

    max_drop: Annotated[
        float | None,
        option(
            "most accuracy that a quantised file, or a phone's client, may lose, in points",
            metavar="FLOAT",
            default=_AS_BEFORE,
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for an invalid option."""
        drop = self.max_drop
        require(drop is None or 0 <= drop <= 100, f"--max-drop must be from 0 to 100 points, not {drop}")
        super().check()


@dataclass(frozen=True, kw_only=True)
class ExportGroup(AccuracyGroup):
    """Options of the exported files and their accuracy."""

    formats: Annotated[
        tuple[str, ...] | None,
        option("what to export", FORMATS, metavar="FORMAT...", default="all formats of the run, once more"),
    ] = None
    quantize: Annotated[
        str | None,
        option(
            "auto: also the smallest and fastest quantised file that passes its check; none: no search for it",
            metavar="auto|none",
            default="as in the run, or none with --formats",
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        for name in self.formats or ():
            check_choice("formats", name, FORMATS)
        check_choice("quantize", self.quantize, QUANTIZE)
        super().check()


@dataclass(frozen=True, kw_only=True)
class MetadataGroup(Options):
    """Options of the description in exported files."""

    heading: ClassVar[str] = "metadata"

    author: Annotated[str | None, option("who made the model", metavar="STR", default=_AS_BEFORE)] = None
    model_version: Annotated[str | None, option("version of the model", metavar="STR", default=_AS_BEFORE)] = None
    score_threshold: Annotated[
        float | None,
        option(
            "probability below which clients leave a class out of their answer", metavar="FLOAT", default=_AS_BEFORE
        ),
    ] = None
    locales: Annotated[
        tuple[str, ...] | None,
        option(
            "class names in other languages: de=labels_de.txt, one name a line, in label order",
            metavar="LOCALE=FILE...",
            default=_AS_BEFORE,
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        threshold = self.score_threshold
        require(threshold is None or 0 <= threshold <= 1, f"--score-threshold must be from 0 to 1, not {threshold}")
        super().check()
