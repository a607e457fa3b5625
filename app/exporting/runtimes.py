"""What runs a model file: one class a client, behind one interface. `app.exporting.process` loads them in a fresh process."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from app.errors import UsageError
from app.exporting.saved_model import ENCODED_SIGNATURE, REFUSED

if TYPE_CHECKING:
    import keras


class Runtime(Protocol):
    """A model file, loaded."""

    image_size: int
    output: str  # what the model calls its answers

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Answer pixels, uint8 (n, image_size, image_size, 3), with float32 (n, classes)."""
        ...


class KerasRuntime:
    """A `.keras` file of Graft, which ends with logits or numbers, or of others, taken to give probabilities."""

    def __init__(self, path: Path, threads: int) -> None:
        _limit_tensorflow(threads)
        import tensorflow as tf

        from models.builder import load_model, with_answers

        self.model: keras.Model = with_answers(load_model(path))
        self.image_size = side = _square_side(self.model.input_shape, path)
        self.output = self.model.layers[-1].name
        # Called layer by layer from Python it would take seven times as long; and one graph for all batch sizes rounds alike.
        self.graph = tf.function(
            lambda pixels: self.model(pixels, training=False),
            input_signature=[tf.TensorSpec((None, side, side, 3), tf.float32)],
            autograph=False,
        )

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(self.graph(pixels.astype(np.float32)))


class SavedModelRuntime:
    """A SavedModel folder; it can also answer encoded pictures."""

    def __init__(self, path: Path, threads: int) -> None:
        _limit_tensorflow(threads)
        import tensorflow as tf

        self.model = tf.saved_model.load(str(path))
        self.from_pixels = self.model.signatures["serving_default"]
        (spec,) = self.from_pixels.structured_input_signature[1].values()
        self.image_size = _square_side(spec.shape, path)
        self.output = next(iter(self.from_pixels.structured_outputs), "")

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        (answer,) = self.from_pixels(tf.constant(pixels, tf.float32)).values()
        return np.asarray(answer)

    def probabilities_of_encoded(self, pictures: list[bytes]) -> np.ndarray:
        """Answer picture files with float32 (n, classes)."""
        import tensorflow as tf

        try:
            (answer,) = self.model.signatures[ENCODED_SIGNATURE](tf.constant(pictures)).values()
        except tf.errors.InvalidArgumentError as error:  # a trace stands before the reason
            text = str(error)
            raise ValueError(text[max(0, text.find(REFUSED)) :]) from error
        return np.asarray(answer)


class LiteRTRuntime:
    """A `.tflite` file, run by LiteRT's interpreter with XNNPACK, as an app does that prepares the pixels itself."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        (self.answer,) = self.interpreter.get_output_details()
        signature: dict[str, Any] = next(iter(self.interpreter.get_signature_list().values()), {})
        self.output = next(iter(signature.get("outputs", [])), "")
        self.image_size = _square_side(self.input["shape"], path)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([self._one(picture[None]) for picture in pixels])

    def _one(self, picture: np.ndarray) -> np.ndarray:
        kind = self.input["dtype"]
        # int8, as in files that others made, has the same 256 levels, from -128.
        given = (picture ^ 128).view(np.int8) if kind == np.int8 else picture.astype(kind)
        self.interpreter.set_tensor(self.input["index"], given)
        self.interpreter.invoke()
        answer = np.array(self.interpreter.get_tensor(self.answer["index"]))
        scale, zero_point = self.answer["quantization"]
        return (answer.astype(np.float32) - zero_point) * scale if scale else answer


class MediaPipeRuntime:
    """A `.tflite` file, run by MediaPipe Tasks' `ImageClassifier`, as an app does that hands over whole pictures.

    The client reads the file's metadata: it resizes (plain bilinear, without antialiasing), normalises and names the classes
    by what it finds there.
    """

    image_size = 0  # pictures of any size
    output = "probabilities"

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # MediaPipe would load TensorFlow, which takes seconds, for the pages of its documentation only.
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
        from mediapipe.tasks.python import BaseOptions, vision

        (answer,) = Interpreter(model_path=str(path)).get_output_details()
        self.classes = int(answer["shape"][-1])
        self.names: dict[int, str | None] = {}
        self.unread_files = 0
        options = vision.ImageClassifierOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            score_threshold=1e-9,  # every class, whatever threshold the file advises; 0 would not override it
        )
        self.classifier = vision.ImageClassifier.create_from_options(options)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return np.stack([self._one(_srgb(one)) for one in pixels])

    def probabilities_of_encoded(self, pictures: list[tuple[bytes, str]]) -> np.ndarray:
        """Answer picture files, called as the model card tells for the way to resize that is named.

        Args:
            pictures: the bytes of each file, and a key of `data.decoding.RESIZES`.

        Returns:
            float32 (n, classes).
        """
        return np.stack([self._one_encoded(*one) for one in pictures])

    def unread(self, _: None) -> int:
        """How many picture files so far the client did not decode itself, so that Graft did."""
        return self.unread_files

    def _one_encoded(self, encoded: bytes, resize: str) -> np.ndarray:
        from data.decoding import decode

        picture = _decoded_by_client(encoded)
        self.unread_files += picture is None
        return self._one(*_as_the_card_tells(picture or _srgb(np.asarray(decode(encoded))), resize))

    def class_names(self, _: None) -> dict[int, str | None]:
        """The names that the client has given to classes so far, by label."""
        return self.names

    def _one(self, picture: Any, region: Any = None) -> np.ndarray:
        from mediapipe.tasks.python.vision.core.image_processing_options import ImageProcessingOptions

        options = ImageProcessingOptions(region_of_interest=region) if region else None
        (answer,) = self.classifier.classify(picture, options).classifications
        scores = np.zeros(self.classes, np.float32)
        for category in answer.categories:
            scores[category.index] = category.score
            self.names[category.index] = category.category_name
        return scores


def _srgb(pixels: np.ndarray) -> Any:
    from mediapipe.tasks.python.vision.core.image import Image, ImageFormat

    return Image(ImageFormat.SRGB, np.ascontiguousarray(pixels))


def _as_the_card_tells(picture: Any, resize: str) -> tuple[Any, Any]:
    """The picture as the client takes it, and the region of it to look at (None: all of it)."""
    from mediapipe.tasks.python.components.containers.rect import RectF

    from data.decoding import central_square

    if resize == "pad":  # the client cannot pad; its caller does
        pixels = picture.numpy_view()
        spare = [max(pixels.shape[:2]) - side for side in pixels.shape[:2]]
        return _srgb(np.pad(pixels, [(one // 2, one - one // 2) for one in spare] + [(0, 0)])), None
    if resize == "crop":
        left, top, right, bottom = central_square(picture.width, picture.height)
        width, height = picture.width, picture.height
        # By name, since their order here is another than on phones.
        return picture, RectF(left=left / width, top=top / height, right=right / width, bottom=bottom / height)
    return picture, None


def _decoded_by_client(encoded: bytes) -> Any:
    """The picture as the client itself decodes it; None for what it takes for no RGB picture."""
    from mediapipe.tasks.python.vision.core.image import Image, ImageFormat

    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        file = Path(folder, "picture")
        file.write_bytes(encoded)
        with contextlib.suppress(RuntimeError, ValueError):  # WebP, or two channels
            picture = Image.create_from_file(str(file))
            if picture.image_format == ImageFormat.SRGB:
                return picture
    return None


class ONNXRuntime:
    """An `.onnx` file, run by ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (self.input,) = self.session.get_inputs()
        # A side that may be any has a name in place of a number.
        shape = [side if isinstance(side, int) else None for side in self.input.shape]
        self.image_size = _square_side([None, *shape[1:]], path)
        self.output = self.session.get_outputs()[0].name

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        (answer,) = self.session.run(None, {self.input.name: pixels.astype(np.float32)})
        return answer


CLIENTS: dict[str, Callable[[Path, int], Runtime]] = {
    "keras": KerasRuntime,
    "tensorflow": SavedModelRuntime,
    "litert": LiteRTRuntime,
    "mediapipe": MediaPipeRuntime,
    "onnxruntime": ONNXRuntime,
}


def _limit_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _square_side(shape: Any, path: Path) -> int:
    sides = [int(side) for side in list(shape)[1:] if side is not None]
    if len(sides) != 3 or sides[0] != sides[1] or sides[2] != 3:
        raise UsageError(f"{path} does not take square RGB pictures; its input has shape {tuple(shape)}")
    return sides[0]
