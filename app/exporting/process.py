"""A model file in a process of its own: whatever it does there, even a crash, ends in one sentence here."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.exporting.description import ModelDescription
from app.exporting.inputs import ModelInput
from app.interface.console import redirected_to
from app.interface.errors import UsageError

_ROOT = Path(__file__).parents[2]  # where `python -m app...` finds the package


class ModelProcess:
    """A model file that a fresh process has loaded with the runtime of one client; a context manager.

    A `.tflite` or a SavedModel from elsewhere may be damaged or made to do harm: a runtime in C++ can crash over it, or ask
    for all memory there is. Loaded here it takes nothing down but its own process. This is no sandbox: a SavedModel is a
    program that may write files with the rights of its user.
    """

    def __init__(
        self, file: Path, client: str | None = None, *, threads: int | None = None, image_size: int | None = None
    ) -> None:
        """Load the file.

        Args:
            file: a `.keras`, `.tflite` or `.onnx` file or a SavedModel folder.
            client: a key of `app.exporting.runtimes.CLIENTS`; None for the usual one of the file's kind.
            threads: None for one a processor.
            image_size: side of the images for a file that takes them in any size, in pixels.

        Raises:
            UsageError: there is no such file, or it cannot be loaded; or it takes no RGB images, or those of any size where
                neither the file nor `image_size` says which.
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
        """Answer pixels, uint8 (n, height, width, 3), with float32 (n, outputs).

        Raises:
            UsageError: the model cannot be run, or is not a classifier.
        """
        return self._checked(self.ask("predict", pixels))

    def predict_encoded(self, images: Sequence[bytes], resize: str) -> np.ndarray:
        """Answer the bytes of image files, which the client itself decodes, with float32 (n, outputs).

        Args:
            images: the bytes of each file.
            resize: a key of `data.image.decoding.RESIZES`, for a client that has to be told.

        Raises:
            UsageError: as `predict`, or the client decodes no images, or refuses one of them.
        """
        return self._checked(self.ask("predict_encoded", (images, resize)))

    def ask(self, method: str, argument: Any = None) -> Any:
        """Call a method of the runtime by its name, or "peak_memory": the bytes that its process took at most, None on Windows.

        Raises:
            UsageError: the model cannot be run.
        """
        assert self._process.stdin is not None
        with self._lock:
            try:
                pickle.dump((method, argument), self._process.stdin)
                self._process.stdin.flush()
            except BrokenPipeError:
                pass  # the process has ended; its answer says why
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

    def _checked(self, predictions: np.ndarray) -> np.ndarray:
        if predictions.ndim != 2:
            raise UsageError(
                f"{self.file} is not a classifier: its predictions have shape {predictions.shape}, not (images, classes)"
            )
        if not np.isfinite(predictions).all():
            raise UsageError(
                f"{self.file} answers with what is not a number: its weights are damaged, so train or export it again"
            )
        return predictions


_CLIENT_OF_SUFFIX = {".keras": "keras", ".tflite": "litert", ".lite": "litert", ".onnx": "onnxruntime"}
_TFLITE_MARK = b"TFL3"  # from the fifth byte on


def usual_client(file: Path) -> str:
    """The key of `app.exporting.runtimes.CLIENTS` that a model file is run with.

    Raises:
        UsageError: there is no such file, or it is no model.
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
