"""Prediction with any model file: a run's model, Graft's exports, and foreign files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.exporting.description import ModelDescription
from app.exporting.process import ModelInMemory, ModelProcess
from app.interface.errors import UsageError
from app.prediction.descriptions import BESIDE, beside, given_by_user, is_run, of_run, run_of
from app.prediction.interpretation import Interpretation, interpret
from app.runs.folder import RunFolder
from data.image.decoding import decode
from data.image.preparing import Preparation
from data.image.rectangles import load_to_size
from models.heads import NUMBERS

if TYPE_CHECKING:
    import keras

_IDENTIFIERS = ("/m/", "/g/")  # of Google's Knowledge Graph, which some files have in place of names


class Predictor:
    """A model file, loaded in a fresh process, and its description; a context manager.

    The user's description takes precedence, followed by that of the run that wrote the file, the file's own description, and
    the labels and thresholds beside it. Several threads may use one predictor; it serves them one after another.

    Attributes:
        file: the model file or folder.
        process: the process that has loaded the file, for requests that only one kind of client supports.

    Examples:
        The likeliest class of an image, by the model of a run:

        >>> from pathlib import Path
        >>> from app import Predictor
        >>> with Predictor("runs/fruit") as predictor:
        ...     outputs = predictor.predict_encoded([Path("apple.png").read_bytes()])
        ...     answers = predictor.interpret(outputs)
        >>> answers.names[answers.chosen[0][0]]
        'apple'

        Probabilities for pixels at hand, by an exported file on one thread:

        >>> import numpy as np
        >>> with Predictor("runs/fruit/export/model_float32.tflite", threads=1) as predictor:
        ...     height, width = predictor.size
        ...     probabilities = predictor.predict(np.zeros((2, height, width, 3), np.uint8))
        >>> probabilities.shape, predictor.about.names
        ((2, 3), ('apple', 'banana', 'cherry'))
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | keras.Model,
        *,
        client: str | None = None,
        threads: int | None = None,
        image_size: int | None = None,
        labels: str | None = None,
        locale: str | None = None,
        task: str | None = None,
        resize: str | None = None,
        background: str | None = None,
        levels: str | None = None,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        plain: bool = False,
        defers: bool = False,
        in_memory: bool = False,
    ) -> None:
        """Load the file.

        Args:
            model: a run or its folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder; or a Keras model, which
                stays in this process.
            client: runtime of the file, a key of `app.exporting.runtimes.CLIENTS`; None for the default of its kind.
            threads: threads of the client; None for one per processor.
            image_size: side of the images, in pixels, for a file that takes any size; ignored by other files.
            labels: a file with the class names, one per line, in label order.
            locale: language of the class names, such as "de".
            task: a key of `app.tasks.TASKS`.
            resize: a key of `data.image.resizing.RESIZES`.
            background: colour behind transparent parts of images; see `data.image.preparing.Preparation.parse`.
            levels: values of more than 8 bits that become black and white; see `data.image.preparing.Preparation.parse`.
            mean: number, or one per channel, that is subtracted from pixels in [0, 255].
            std: number, or one per channel, by which the difference is divided.
            plain: pass RGB pixels in [0, 255], whatever the file or its run says, for a check that must not rely on that
                description.
            defers: let a file that states its own scaling have it, whatever `mean` and `std` say.
            in_memory: load the model of a run in this process, if Keras is loaded here: to start it again takes seconds.

        Raises:
            UsageError: the model or label file does not exist, or the model cannot be loaded or does not take RGB images.
        """
        self._locale, self._plain, self._is_file = locale, plain, isinstance(model, str | os.PathLike)
        self.threads = threads or os.cpu_count() or 1
        self._given = given_by_user(labels, mean, std, task=task, resize=resize, background=background, levels=levels)
        self.process: ModelProcess | ModelInMemory
        if isinstance(model, str | os.PathLike):
            path = Path(model).expanduser()
            run = RunFolder(path) if is_run(path) else None
            file = path if run is None else run.require(run.model)
            if in_memory and run is not None and "keras" in sys.modules:
                self.process = ModelInMemory.load(file, image_size=image_size)
            else:
                self.process = ModelProcess(file, client, threads=self.threads, image_size=image_size)
        else:
            self.process = ModelInMemory(model, image_size=image_size)
        self.file = self.process.file
        try:
            if plain and self.size is not None:
                self.process.ask("take_plain_pixels")
            says = self.process.says
            if self._given.mean is not None and not (defers and (says.is_ours or says.mean is not None)):
                self.process.ask("scale_pixels", (self._given.mean, self._given.std))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process that has loaded the file."""
        self.process.close()

    @cached_property
    def about(self) -> ModelDescription:
        """Description of the file: its names, thresholds and task, and how images become its input.

        Raises:
            UsageError: a label file or `thresholds.json` that belongs to it is damaged.
        """
        if self._plain:
            return self._given
        if not self._is_file:
            return self._given.over(self.process.says)
        run, says = run_of(self.file), self.process.says
        known = self._given if run is None else self._given.over(of_run(run))
        return known.over(says).over(ModelDescription() if run else beside(self.file, known.names, says.names))

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the input images, in pixels; None for a client that takes any size."""
        given = self.process.input
        return None if given is None else (given.height, given.width)

    @property
    def batch(self) -> int | None:
        """Images per call of the client; None for any number."""
        given = self.process.input
        return None if given is None else given.batch

    @property
    def resize(self) -> str:
        """How images are resized to `size`; if no source states it, as in MediaPipe Tasks."""
        return self.about.resize or "stretch"

    @cached_property
    def preparation(self) -> Preparation:
        """How image files are prepared before they are decoded."""
        return Preparation.parse(self.about.background, self.about.levels)

    def load(self, encoded: bytes) -> np.ndarray:
        """Decode an image file as in the model's training; may be called from several threads.

        Args:
            encoded: content of an image file.

        Returns:
            uint8 (height, width, 3), RGB: the input of `predict`.

        Raises:
            UnreadableImage: see `data.image.decoding.decode`.
        """
        prepared = self.preparation(encoded)
        return np.asarray(decode(prepared)) if self.size is None else load_to_size(prepared, self.size, self.resize)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the file's outputs for images.

        Args:
            pixels: uint8 (n, height, width, 3), RGB, of `size`.

        Returns:
            float32 (n, outputs): probabilities, logits or numbers, as the file returns them; see `interpret`.

        Raises:
            UsageError: the pixels have another shape or type, the file cannot be run or does not return a row for each image,
                or the number of its names differs from that of its outputs.
        """
        size = pixels.shape[1:3] if self.size is None else self.size
        if pixels.shape[1:] != (*size, 3) or pixels.dtype != np.uint8:
            what = f"takes pixels as uint8 (n, {size[0]}, {size[1]}, 3), not {pixels.dtype} {pixels.shape}"
            raise UsageError(f"{self.file} {what}; `Predictor.load` makes them of an image file")
        return self._checked(self.process.predict(pixels))

    def predict_encoded(self, images: Sequence[bytes], *, by_client: bool = False) -> np.ndarray:
        """Return the file's outputs for image files.

        Args:
            images: content of each file, at least one.
            by_client: let the client decode and resize them instead of `load`: a SavedModel with the signature `encoded`,
                or MediaPipe Tasks.

        Returns:
            As `predict`.

        Raises:
            UnreadableImage: see `load`.
            UsageError: as for `predict`, or the client decodes no images, or refuses one of them.
        """
        if by_client:
            return self._checked(self.process.predict_encoded(images, self.resize))
        if self.size is None:  # images of any size, one at a time
            return np.concatenate([self.predict(self.load(one)[None]) for one in images])
        return self.predict(np.stack([self.load(one) for one in images]))

    def interpret(self, outputs: np.ndarray) -> Interpretation:
        """Interpret outputs of `predict`, for all images at once, since their range shows what they are.

        Args:
            outputs: float32 (n, outputs).

        Raises:
            UsageError: the file has no names in the requested language.
        """
        gives_numbers = self.process.output == NUMBERS
        predictions = interpret(outputs, self.about, end=self.process.ask("end"), gives_numbers=gives_numbers)
        names, notes = self._shown_names(predictions.names)
        return replace(predictions, names=names, notes=(*self._notes(), *notes, *predictions.notes))

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities or numbers from outputs of `predict`, for all images at once; with `plain`, the outputs.

        Args:
            outputs: float32 (n, outputs).
        """
        return outputs if self._plain else self.interpret(outputs).values.astype(np.float32)

    def latencies(self, seconds: float) -> np.ndarray:
        """Time the predictions for single images of noise, one after another, after a warm-up.

        The clock runs in the process, around the client's call; communication with the process is not measured.

        Args:
            seconds: duration of the measurement, in seconds; at least ten images are measured.

        Returns:
            Seconds per image, float64 (images,); if a call takes several images, its time is divided by their number.

        Raises:
            UsageError: the file cannot be run.
        """
        latencies: np.ndarray = self.process.ask("latencies", seconds)
        return latencies

    @property
    def peak_memory(self) -> int | None:
        """Return the peak memory of the process in bytes; None if the system does not report it, as on Windows."""
        peak: int | None = self.process.ask("peak_memory")
        return peak

    def _checked(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs, after checking that there are as many as names."""
        names, count = self.about.names, outputs.shape[1]
        if names is None or len(names) == count or (count == 1 and len(names) == 2):
            return outputs
        where = self.about.origins["names"]
        fix = "put the right labels.txt beside it" if where == BESIDE else "give the right ones with --labels FILE"
        what = "1 class" if count == 1 else f"{count} classes"
        raise UsageError(f"{self.file} knows {what}, but the labels {where} name {len(names)}; {fix}")

    def _shown_names(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names in the requested language, or in any if the file has only identifiers, and a note about that."""
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
        """Return assumptions about the file that hold for any output."""
        about, given = self.about, self.process.input
        notes = list(about.notes)
        if not about.is_ours and given is not None:
            if given.is_float and about.mean is None:
                notes.append("it does not say how pixels are scaled, so it gets 0 to 255 (--mean, --std)")
            if about.resize is None:
                notes.append(f"images are stretched to {given.width} x {given.height} (--resize)")
        if about.names is None:
            notes.append("it does not name its classes (--labels)")
        return tuple(notes)
