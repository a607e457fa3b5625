"""MediaPipe Tasks as the client of a `.tflite` file. It decodes, resizes and normalises images by itself."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.exporting.description import ModelDescription
from models.lazy import LazyModule

if TYPE_CHECKING:
    from data.image import decoding, resizing
else:
    decoding, resizing = LazyModule("data.image.decoding"), LazyModule("data.image.resizing")


class MediaPipeRuntime:
    """A `.tflite` file, run by MediaPipe Tasks' `ImageClassifier`, as in an app that passes whole images.

    The client follows the file's metadata: it resizes (plain bilinear, without antialiasing), normalises and names the
    classes accordingly.
    """

    input = None
    output = "probabilities"
    says = ModelDescription()

    def __init__(self, path: Path, threads: int, image_size: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # MediaPipe would load TensorFlow, which takes seconds, only for its documentation.
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
        # MediaPipe 1.2 crashes (SIGSEGV) on the labels of some files unless SciPy is loaded first. It also does if it is spared
        # the packages for drawings and sound.
        import scipy.linalg  # noqa: F401
        from mediapipe.tasks.python import BaseOptions, vision

        (answer,) = Interpreter(model_path=str(path)).get_output_details()
        self.classes = int(answer["shape"][-1])
        self.names: dict[int, str | None] = {}
        self.unread_files = 0
        options = vision.ImageClassifierOptions(
            # Not by path: MediaPipe 1.2 then maps the file, and one process in four crashed (SIGSEGV, SIGBUS).
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
            score_threshold=1e-9,  # every class, whatever threshold the file suggests; 0 would not override it
        )
        self.classifier = vision.ImageClassifier.create_from_options(options)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Predict pixels; see `app.exporting.runtimes.Runtime.predict`."""
        return np.stack([self._one(_srgb(one)) for one in pixels])

    def predict_encoded(self, images: tuple[Sequence[bytes], str]) -> np.ndarray:
        """Predict image files as the model card describes for the given way of resizing.

        Args:
            images: the content of each file, and a key of `data.image.resizing.RESIZES`.

        Returns:
            float32 (n, classes).
        """
        files, resize = images
        return np.stack([self._one_encoded(file, resize) for file in files])

    def end(self, _: None) -> str | None:
        """Kind of final activation: unknown, so None."""
        return None

    def unread(self, _: None) -> int:
        """Number of image files so far that the client could not decode and Graft decoded instead."""
        return self.unread_files

    def _one_encoded(self, encoded: bytes, resize: str) -> np.ndarray:
        image = _decoded_by_client(encoded)
        self.unread_files += image is None
        return self._one(_as_apps_pass(image or _srgb(np.asarray(decoding.decode(encoded))), resize))

    def class_names(self, _: None) -> dict[int, str | None]:
        """Names that the client has returned for classes so far, by label."""
        return self.names

    def _one(self, image: Any) -> np.ndarray:
        (answer,) = self.classifier.classify(image).classifications
        scores = np.zeros(self.classes, np.float32)
        for category in answer.categories:
            scores[category.index] = category.score
            self.names[category.index] = category.category_name
        return scores


def _srgb(pixels: np.ndarray) -> Any:
    import mediapipe as mp

    return mp.Image(mp.ImageFormat.SRGB, np.ascontiguousarray(pixels))


def _as_apps_pass(image: Any, resize: str) -> Any:
    """Return the image that an app passes: the client stretches whatever it gets, so the caller crops or pads."""
    if resize == "stretch":
        return image
    pixels = image.numpy_view()
    if resize == "crop":
        left, top, right, bottom = resizing.central_square(image.width, image.height)
        return _srgb(pixels[top:bottom, left:right])
    spare = [max(pixels.shape[:2]) - side for side in pixels.shape[:2]]
    return _srgb(np.pad(pixels, [(one // 2, one - one // 2) for one in spare] + [(0, 0)]))


def _decoded_by_client(encoded: bytes) -> Any:
    """Return the image as decoded by the client itself; None if it does not see an RGB image."""
    import mediapipe as mp

    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        file = Path(folder, "image")
        file.write_bytes(encoded)
        with contextlib.suppress(RuntimeError, ValueError):  # WebP, or two channels
            image = mp.Image.create_from_file(str(file))
            if image.image_format == mp.ImageFormat.SRGB:
                return image
    return None
