"""MediaPipe Tasks as the client of a `.tflite` file: it decodes, resizes and normalises images by itself."""

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
    from data.image import decoding
else:
    decoding = LazyModule("data.image.decoding")


class MediaPipeRuntime:
    """A `.tflite` file, run by MediaPipe Tasks' `ImageClassifier`, as an app does that hands over whole images.

    The client reads the file's metadata: it resizes (plain bilinear, without antialiasing), normalises and names the classes
    by what it finds there.
    """

    input = None
    output = "probabilities"
    says = ModelDescription()

    def __init__(self, path: Path, threads: int, image_size: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # MediaPipe would load TensorFlow, which takes seconds, for the pages of its documentation only.
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
        # MediaPipe 1.2 dies (SIGSEGV) over the labels that some files hold, unless SciPy is loaded before it.
        import scipy.linalg  # noqa: F401
        from mediapipe.tasks.python import BaseOptions, vision

        (answer,) = Interpreter(model_path=str(path)).get_output_details()
        self.classes = int(answer["shape"][-1])
        self.names: dict[int, str | None] = {}
        self.unread_files = 0
        options = vision.ImageClassifierOptions(
            # Not by its path: MediaPipe 1.2 maps the file then, and one process in four died of that (SIGSEGV, SIGBUS).
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
            score_threshold=1e-9,  # every class, whatever threshold the file advises; 0 would not override it
        )
        self.classifier = vision.ImageClassifier.create_from_options(options)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Predict pixels; see `app.exporting.runtimes.Runtime.predict`."""
        return np.stack([self._one(_srgb(one)) for one in pixels])

    def predict_encoded(self, images: tuple[Sequence[bytes], str]) -> np.ndarray:
        """Answer image files, called as the model card tells for the way to resize that is named.

        Args:
            images: the bytes of each file; and a key of `data.image.decoding.RESIZES`.

        Returns:
            float32 (n, classes).
        """
        files, resize = images
        return np.stack([self._one_encoded(file, resize) for file in files])

    def end(self, _: None) -> str | None:
        """How the network ends: nobody says."""
        return None

    def unread(self, _: None) -> int:
        """How many image files so far the client did not decode itself, so that Graft did."""
        return self.unread_files

    def _one_encoded(self, encoded: bytes, resize: str) -> np.ndarray:
        image = _decoded_by_client(encoded)
        self.unread_files += image is None
        return self._one(*_as_the_card_tells(image or _srgb(np.asarray(decoding.decode(encoded))), resize))

    def class_names(self, _: None) -> dict[int, str | None]:
        """The names that the client has given to classes so far, by label."""
        return self.names

    def _one(self, image: Any, region: Any = None) -> np.ndarray:
        from mediapipe.tasks.python.vision.core.image_processing_options import ImageProcessingOptions

        options = ImageProcessingOptions(region_of_interest=region) if region else None
        (answer,) = self.classifier.classify(image, options).classifications
        scores = np.zeros(self.classes, np.float32)
        for category in answer.categories:
            scores[category.index] = category.score
            self.names[category.index] = category.category_name
        return scores


def _srgb(pixels: np.ndarray) -> Any:
    from mediapipe.tasks.python.vision.core.image import Image, ImageFormat

    return Image(ImageFormat.SRGB, np.ascontiguousarray(pixels))


def _as_the_card_tells(image: Any, resize: str) -> tuple[Any, Any]:
    """The image as the client takes it, and the region of it to look at (None: all of it)."""
    from mediapipe.tasks.python.components.containers.rect import RectF

    if resize == "pad":  # the client cannot pad; its caller does
        pixels = image.numpy_view()
        spare = [max(pixels.shape[:2]) - side for side in pixels.shape[:2]]
        return _srgb(np.pad(pixels, [(one // 2, one - one // 2) for one in spare] + [(0, 0)])), None
    if resize == "crop":
        left, top, right, bottom = decoding.central_square(image.width, image.height)
        width, height = image.width, image.height
        # By name, since their order here is another than on phones.
        return image, RectF(left=left / width, top=top / height, right=right / width, bottom=bottom / height)
    return image, None


def _decoded_by_client(encoded: bytes) -> Any:
    """The image as the client itself decodes it; None for what it takes for no RGB image."""
    from mediapipe.tasks.python.vision.core.image import Image, ImageFormat

    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        file = Path(folder, "image")
        file.write_bytes(encoded)
        with contextlib.suppress(RuntimeError, ValueError):  # WebP, or two channels
            image = Image.create_from_file(str(file))
            if image.image_format == ImageFormat.SRGB:
                return image
    return None
