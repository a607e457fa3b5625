"""A model file in a separate process: a failure there, even a crash, is reported here in one sentence."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.exporting.description import ModelDescription
from app.exporting.inputs import ModelInput
from app.interface.console import redirected_to
from app.interface.errors import UsageError
from models.lazy import LazyModule

if TYPE_CHECKING:
    import keras

    from app.exporting import runtimes
    from app.exporting.runtimes import KerasRuntime
else:
    runtimes = LazyModule("app.exporting.runtimes")

_ROOT = Path(__file__).parents[2]  # where `python -m app...` finds the package


class ModelProcess:
    """A model file, loaded in a fresh process with the runtime of one client; a context manager.

    A `.tflite` or a SavedModel of unknown origin may be damaged or malicious: a C++ runtime can crash on it, or allocate all
    memory. In a separate process, it takes down only that process. This is no sandbox: a SavedModel is a program that may
    write files with the rights of its user.
    """

    def __init__(
        self, file: Path, client: str | None = None, *, threads: int | None = None, image_size: int | None = None
    ) -> None:
        """Load the file.

        Args:
            file: a `.keras`, `.tflite` or `.onnx` file or a SavedModel folder.
            client: a key of `app.exporting.runtimes.CLIENTS`; None for the default client of the file's kind.
            threads: number of threads; None for one per processor.
            image_size: side of the images for a file that takes any size, in pixels.

        Raises:
            UsageError: the file does not exist or cannot be loaded, does not take RGB images, or takes any size and neither
                the file nor `image_size` gives one.
        """
        self.file = file
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "app.exporting.worker",
                client or usual_client(file),
                str(file.resolve()),
                str(threads or os.cpu_count() or 1),
                *([str(image_size)] if image_size else []),
            ],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=redirected_to(),
        )
        try:
            about = self._predict()
            self.input: ModelInput | None = about["input"]
            self.output: str = about["output"]
            self.says: ModelDescription = about["says"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Predict pixels, uint8 (n, height, width, 3), as float32 (n, outputs).

        Raises:
            UsageError: the model cannot be run, or is not a classifier.
        """
        return _checked(self.ask("predict", pixels), self.file)

    def predict_encoded(self, images: Sequence[bytes], resize: str) -> np.ndarray:
        """Predict image files, which the client decodes, as float32 (n, outputs).

        Args:
            images: the content of each file.
            resize: a key of `data.image.resizing.RESIZES`, for a client that needs it.

        Raises:
            UsageError: as for `predict`, or the client decodes no images, or refuses one of them.
        """
        return _checked(self.ask("predict_encoded", (images, resize)), self.file)

    def ask(self, method: str, argument: Any = None) -> Any:
        """Call a method of the runtime by name, or "peak_memory": peak memory of its process in bytes, None on Windows.

        Raises:
            UsageError: the model cannot be run.
        """
        assert self._process.stdin is not None
        with self._lock:
            try:
                pickle.dump((method, argument), self._process.stdin)
                self._process.stdin.flush()
            except BrokenPipeError:
                pass  # the process has ended; `_predict` reports why
            return self._predict()

    def _predict(self) -> Any:
        assert self._process.stdout is not None
        try:
            answer, reason = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise UsageError(f"{self.file} cannot be run: {self._end()}. It is damaged, or made to do harm") from None
        if reason is not None:
            raise UsageError(reason)
        return answer

    def _end(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"the process that loaded it ended with code {code}"
        return f"the process that loaded it was ended by {signal.Signals(-code).name}"


def _checked(predictions: np.ndarray, file: Path) -> np.ndarray:
    if predictions.ndim != 2:
        raise UsageError(
            f"{file} is not a classifier: its predictions have shape {predictions.shape}, not (images, classes)"
        )
    if not np.isfinite(predictions).all():
        raise UsageError(
            f"{file} answers with what is not a number: its weights are damaged, so train or export it again"
        )
    return predictions


class ModelInMemory:
    """A Keras model of this process, with the interface of `ModelProcess`."""

    def __init__(self, model: keras.Model, *, image_size: int | None = None) -> None:
        """Take the model.

        Args:
            model: takes RGB images, and has one output.
            image_size: side of the images for a model that takes any size, in pixels.

        Raises:
            UsageError: the model does not take RGB images, has several outputs, or takes any size where
                `image_size` is None.
        """
        self._take(runtimes.KerasRuntime.of(model, image_size), Path(model.name))

    @classmethod
    def load(cls, file: Path, *, image_size: int | None = None) -> ModelInMemory:
        """Load a `.keras` file; the arguments and errors are as in `ModelProcess`."""
        with runtimes.one_sentence(f"{file} cannot be loaded"):
            model = cls.__new__(cls)
            model._take(runtimes.KerasRuntime.of(file, image_size), file)
        return model

    def _take(self, runtime: KerasRuntime, file: Path) -> None:
        self._runtime, self.file = runtime, file
        self.input, self.output, self.says = runtime.input, runtime.output, runtime.says

    def close(self) -> None:
        """Do nothing: the model belongs to the caller."""

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Predict pixels; see `ModelProcess.predict`."""
        return _checked(self._runtime.predict(pixels), self.file)

    def predict_encoded(self, images: Sequence[bytes], resize: str) -> np.ndarray:
        """Raise `UsageError`: a Keras model does not decode images."""
        raise UsageError(f"{self.file} takes pixels only; decode the images with `Predictor.load`")

    def ask(self, method: str, argument: Any = None) -> Any:
        """Call a method of the runtime by name."""
        return getattr(self._runtime, method)(argument)


_CLIENT_OF_SUFFIX = {".keras": "keras", ".tflite": "litert", ".lite": "litert", ".onnx": "onnxruntime"}
_TFLITE_MARK = b"TFL3"  # at byte offset 4


def usual_client(file: Path) -> str:
    """Return the key of `app.exporting.runtimes.CLIENTS` that a model file runs with by default.

    Raises:
        UsageError: the file does not exist, or is not a model.

    Examples:
        >>> usual_client(Path("runs/fruit/export/model_float32.tflite"))
        'litert'
        >>> usual_client(Path("apple.png"))
        Traceback (most recent call last):
        app.interface.errors.UsageError: apple.png is not a model: give a run folder, a .keras, .tflite or .onnx ...
    """
    if not file.exists():
        raise UsageError(f"there is no model {file}")
    if (file / "saved_model.pb").is_file():
        return "tensorflow"
    client = _CLIENT_OF_SUFFIX.get(file.suffix.lower())
    if file.is_file() and (client or _begins_as_tflite(file)):
        return client or "litert"
    raise UsageError(
        f"{file} is not a model: give a run folder, a .keras, .tflite or .onnx file, or a SavedModel folder"
    )


def _begins_as_tflite(file: Path) -> bool:
    with open(file, "rb") as content:
        return content.read(8)[4:] == _TFLITE_MARK
