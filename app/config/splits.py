"""Options of the splits: the images for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.shared import Options, check_positive, option, require

MAX_FOLDS = 100


@dataclass(frozen=True, kw_only=True)
class SplitGroup(Options):
    """Options of splitting the images of a source."""

    heading: ClassVar[str] = "split"

    validation_fraction: Annotated[float, option("part of each class that chooses the best weights")] = 0.15
    test_fraction: Annotated[float, option("part of each class that is kept for the final test")] = 0.15
    folds: Annotated[
        int | None, option("cross-validate: test each of so many parts by a run of its own", metavar="INT")
    ] = None
    fold: Annotated[int | None, option("train only this one of the folds, from 1", metavar="INT")] = None
    shots: Annotated[int | None, option("images of each class to train on", metavar="INT", default="all")] = None
    allow_leakage: Annotated[
        bool,
        option("train even if the source's own splits have images in common, which makes test figures too good"),
    ] = False

    @property
    def runs_of_folds(self) -> range:
        """Numbers of the folds that are each trained as a separate run; empty for a single run."""
        return range(1, self.folds + 1) if self.folds is not None and self.fold is None else range(0)

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        for name in ("validation_fraction", "test_fraction"):
            check_positive(name, getattr(self, name), most=1)
        require(
            self.validation_fraction + self.test_fraction < 1,
            "--validation-fraction and --test-fraction leave nothing to train on: together they must be below 1",
        )
        folds, fold = self.folds, self.fold
        require(folds is None or 2 <= folds <= MAX_FOLDS, f"--folds must be from 2 to {MAX_FOLDS}, not {folds}")
        most = folds or "--folds, which is not given"
        require(fold is None or 1 <= fold <= (folds or 0), f"--fold must be from 1 to {most}, not {fold}")
        check_positive("shots", self.shots)
        super().check()
