"""Options of the cache, and of the files that a run folder keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.shared import Options, check_choice, option, require
from app.training.engines import engine_choices


@dataclass(frozen=True, kw_only=True)
class CacheFolderGroup(Options):
    """Location of the cache."""

    heading: ClassVar[str] = "cache"

    cache_folder: Annotated[
        str | None,
        option(
            "where activations, image statistics and extracted archives are kept between runs",
            metavar="FOLDER",
            default="GRAFT_CACHE, or the system's place for caches",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CacheGroup(CacheFolderGroup):
    """Options of the cache's content and size."""

    engine: Annotated[
        str,
        option(
            "what runs the frozen layers; auto: the fastest installed one that answers like TensorFlow", engine_choices
        ),
    ] = "auto"
    cache_limit: Annotated[float, option("largest size of the cache of activations, in GB; 0: no cache")] = 20

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_choice("engine", self.engine, engine_choices())
        require(0 <= self.cache_limit < math.inf, f"--cache-limit must be a number from 0 up, not {self.cache_limit}")
        super().check()


@dataclass(frozen=True, kw_only=True)
class KeepGroup(Options):
    """Options of the files that a finished run keeps."""

    heading: ClassVar[str] = "run folder"

    keep_images: Annotated[
        bool,
        option(
            "keep the images that an export needs in the run folder: all of validation and test, up to 1,200 of training"
        ),
    ] = False
    keep_checkpoints: Annotated[bool, option("keep the run's checkpoints, though nothing is left to resume")] = False
