"""Turns any model file into predictions: a run's model, what Graft exports, and the files of others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.config import load_config
from app.errors import UsageError
from app.exporting.description import ModelDescription
from app.exporting.folder import FAILED
from app.exporting.metadata import LABELS, THRESHOLDS
from app.exporting.process import ModelProcess
from app.interpretation import Answers, interpret
from app.label_files import read_label_file
from app.run_folder import read_thresholds
from app.runs import Run
from models.heads import NUMBERS

_IDENTIFIERS = ("/m/", "/g/")  # of Google's Knowledge Graph, which some files have in place of names
_OF_RUN, _BESIDE = "of its run", "beside it"


class Predictor:
    """A model file and all that is known of it; a context manager.

    What the user says counts first, then the run that a file belongs to, then the file's own description, then the labels
    and thresholds that lie beside it.
    """

    def __init__(
        self,
        model: Path,
        *,
        labels: str | None = None,
        locale: str | None = None,
        task: str | None = None,
        resize: str | None = None,
        image_size: int | None = None,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
    ) -> None:
        """Load the file.

        Args:
            model: a run folder, or a model file or folder.
            labels: a file with the class names, one a line, in label order.
            locale: of the names to answer with, such as "de".
            task: a key of `app.tasks.TASKS`.
            resize: a key of `data.decoding.RESIZES`.
            image_size: side of the images for a file that takes them in any size.
            mean: what is subtracted from pixels in [0, 255], one number or one a channel.
            std: what they are divided by after that.

        Raises:
            UsageError: no such model or label file, or the model cannot be loaded, or takes no RGB images or those of another
                size.
        """
        run = run_of(model)
        self.file = run.require(run.model) if run and model == run.path else model
        self._locale = locale
        given = _given(labels, task, resize, mean, std)
        self._process = ModelProcess(self.file, image_size=image_size)
        try:
            self.about = self._merged(given, run)
            if given.mean is not None:
                self._process.ask("scale_pixels", (given.mean, given.std))
            self.size = self._size(image_size)
        except BaseException:
            self._process.close()
            raise

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    @property
    def resize(self) -> str:
        """How images become `size`; what MediaPipe Tasks does where nobody says."""
        return self.about.resize or "stretch"

    def raw(self, pixels: np.ndarray) -> np.ndarray:
        """What the file gives for pixels, uint8 (n, *size, 3): float32 (n, outputs).

        Raises:
            UsageError: the file cannot be run, or gives no row of values for each image, or other names than it has values.
        """
        values = self._process.probabilities(pixels)
        self._check_names(values.shape[1])
        return values

    def answers(self, raw: np.ndarray) -> Answers:
        """What the values of `raw` mean, for all images at once, since how they lie tells of what they are."""
        gives_numbers = self._process.output == NUMBERS
        answers = interpret(raw, self.about, end=self._process.ask("end"), gives_numbers=gives_numbers)
        names, notes = self._shown_names(answers.names)
        return replace(answers, names=names, notes=(*self._notes(), *notes, *answers.notes))

    def _size(self, asked: int | None) -> tuple[int, int]:
        height, width = self._process.input.height, self._process.input.width
        if asked is not None and (asked, asked) != (height, width):
            what = f"takes images of {width} x {height} pixels, not {asked}"
            raise UsageError(f"{self.file} {what}; leave out --image-size")
        return height, width

    def _merged(self, given: ModelDescription, run: Run | None) -> ModelDescription:
        known = given.over(_of_run(run)) if run else given
        says = self._process.says
        return known.over(says).over(ModelDescription() if run else _beside(self.file, known.names, says.names))

    def _check_names(self, outputs: int) -> None:
        names = self.about.names
        if names is None or len(names) == outputs or (outputs == 1 and len(names) == 2):
            return
        where = self.about.origins["names"]
        fix = "put the right labels.txt beside it" if where == _BESIDE else "give the right ones with --labels FILE"
        what = "1 class" if outputs == 1 else f"{outputs} classes"
        raise UsageError(f"{self.file} knows {what}, but the labels {where} name {len(names)}; {fix}")

    def _shown_names(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names in the language that is asked for, or in any where the file has only identifiers, and a note of that."""
        locales = self.about.locales or {}
        if self._locale is not None and self._locale not in locales:
            known = ", ".join(sorted(locales)) or "none"
            raise UsageError(f"{self.file} has no names for the locale {self._locale!r}; it has: {known}")
        identifiers = sum(name.startswith(_IDENTIFIERS) for name in names)
        locale = self._locale or next(iter(["en"] if "en" in locales else sorted(locales)), None)
        if locale is None or (self._locale is None and 2 * identifiers < len(names)):
            return names, ()
        shown = locales[locale]
        if len(shown) != len(names):
            raise UsageError(f"{self.file} has {len(shown)} names for the locale {locale!r}, not {len(names)}")
        note = () if self._locale else (f"its names are those of its locale {locale!r} (--locale)",)
        return tuple(new or old for new, old in zip(shown, names, strict=True)), note

    def _notes(self) -> tuple[str, ...]:
        """What had to be assumed of the file, whatever it answers."""
        about, given = self.about, self._process.input
        notes = list(about.notes)
        if not about.is_ours:
            if given.is_float and about.mean is None:
                notes.append("it does not say how pixels are scaled, so it gets 0 to 255 (--mean, --std)")
            if about.resize is None:
                notes.append(f"images are stretched to {given.width} x {given.height} (--resize)")
        if about.names is None:
            notes.append("it does not name its classes (--labels)")
        return tuple(notes)


def failure_of(file: Path) -> str | None:
    """What to say of an exported file that failed its check; None of any other."""
    if not file.stem.endswith(FAILED):
        return None
    reasons: list[str] = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # of others, or none
        formats = json.loads((file.resolve().parent / "parity.json").read_bytes())["formats"].values()
        reasons += [reason for one in formats if one["file"] == file.name for reason in one["failures"]]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"{file.name} failed its check when it was exported{why}, so its answers may be wrong"


def _given(
    labels: str | None, task: str | None, resize: str | None, mean: tuple[float, ...], std: tuple[float, ...]
) -> ModelDescription:
    """What the user says."""
    names, guessed = read_label_file(Path(labels).expanduser()) if labels else (None, "")
    return ModelDescription.of(
        f"in {labels}",
        (f"{labels} is read as {guessed}",) if guessed else (),
        names=names,
        task=task,
        resize=resize,
        mean=(mean or (0.0,)) if mean or std else None,
        std=(std or (1.0,)) if mean or std else None,
    )


def run_of(path: Path) -> Run | None:
    """The run that a folder is, or that a file was written by."""
    if (path / "config.json").is_file() and not (path / "saved_model.pb").is_file():
        return Run.open(str(path))
    for folder in path.resolve().parents[:2]:
        if all((folder / name).is_file() for name in ("config.json", "classes.txt", "splits.csv")):
            run = Run.open(str(folder))
            return run if path.resolve().name in _files_of(run) else None
    return None


def _files_of(run: Run) -> set[str]:
    exported = run.parity["formats"].values() if (run.export / "parity.json").is_file() else ()
    return {run.model.name, *(one["file"] for one in exported)}


def _of_run(run: Run) -> ModelDescription:
    config, thresholds = load_config(run.options), run.thresholds
    locales = {file.stem.removeprefix("labels_"): read_label_file(file)[0] for file in run.export.glob("labels_*.txt")}
    return ModelDescription.of(
        _OF_RUN,
        names=run.class_names,
        locales=locales or None,
        thresholds=None if thresholds is None else _as_tuple(thresholds),
        score_threshold=config.score_threshold or None,
        task=config.task,
        resize=config.resize,
        background=config.background,
        levels=config.levels,
        is_ours=True,
    )


def _beside(path: Path, given: Sequence[str] | None, packed: Sequence[str] | None) -> ModelDescription:
    """The labels and thresholds beside a file, unless it has others of its own."""
    folders = (path.parent, path, path / "assets")
    labels = _first(folder / name for folder in folders for name in (LABELS, "classes.txt"))
    thresholds = _first(folder / THRESHOLDS for folder in folders)
    if labels is None:
        unused = thresholds and not packed
        return ModelDescription(notes=(f"{THRESHOLDS} beside it is not used without {LABELS}",) if unused else ())
    names, guessed = read_label_file(labels)
    if packed and names != packed:
        what = f"its labels are those in its metadata, not those of {labels.name} beside it (--labels)"
        return ModelDescription(notes=() if given else (what,))
    return ModelDescription.of(
        _BESIDE,
        (f"{labels.name} is read as {guessed}",) if guessed and not given else (),
        names=names,
        thresholds=_as_tuple(read_thresholds(thresholds, names)) if thresholds else None,
    )


def _as_tuple(thresholds: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(one) if np.isfinite(one) else None for one in thresholds)


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
