"""All options of `compare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.shared import VerbOptions, check_suffix, option, require


@dataclass(frozen=True, kw_only=True)
class CompareConfig(VerbOptions):
    """Options of `compare`."""

    common: ClassVar = ("output", "json")
    examples: ClassVar = {
        "was fine-tuning worth it?": "runs/frozen runs/tuned",
        "three runs, and a page to look at and to pass on": "runs/a runs/b runs/c --output comparison.html",
    }

    runs: Annotated[
        tuple[str, ...],
        option("folders of finished runs of the same task and classes", metavar="RUN...", positional=True),
    ]
    output: Annotated[
        str | None,
        option("write a page with tables, curves and the images on which the runs differ", metavar="FILE.html"),
    ] = None
    json: Annotated[bool, option("print the comparison as JSON instead of the tables")] = False

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        require(len(self.runs) > 1, "name at least two runs to compare")
        check_suffix("output", self.output, ".html")
        super().check()
