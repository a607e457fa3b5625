"""Runtimes of model files: one class per client, with one interface. `app.exporting.process` loads them in a fresh process."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from app.exporting.description import ModelDescription
from app.exporting.inputs import ModelInput, as_rows, model_input
from app.exporting.mediapipe_client import MediaPipeRuntime
from app.exporting.saved_model import ENCODED_SIGNATURE, REFUSED
from app.exporting.self_description import (
    describe_onnx,
    describe_saved_model,
    describe_tflite,
    end_of_onnx,
    end_of_tflite,
)
from app.interface.errors import BAD_INPUT, UsageError
from app.interface.tensorflow_loading import import_keras
from models.heads import OUTPUTS, end_activation, output_of
from models.lazy import LazyModule

if TYPE_CHECKING:
    import keras

    from models import builder
else:
    builder = LazyModule("models.builder")

_OURS = {output.predictions for output in OUTPUTS.values()}


class Runtime(Protocol):
    """A loaded model file."""

    output: str  # the model's name of its predictions
    says: ModelDescription  # the file's description of itself

    @property
    def input(self) -> ModelInput | None:
        """Input of the model; None for a client that takes images of any size."""

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Predict pixels, uint8 (n, height, width, 3), as float32 (n, outputs)."""
        ...


class PixelRuntime(ABC):
    """A model file that takes tensors; this class converts pixels to them."""

    input: ModelInput
    output = ""
    says = ModelDescription()

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Predict pixels; see `Runtime.predict`."""
        parts = [as_rows(self._run(tensor), len(tensor))[:count] for tensor, count in self.input.batches(pixels)]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def scale_pixels(self, by: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        """Subtract the first values from pixels in [0, 255] and divide by the second, whatever the file says."""
        self.input = replace(self.input, mean=by[0], std=by[1])

    def take_plain_pixels(self, _: None) -> None:
        """Pass pixels in [0, 255] as RGB, whatever the file says: a check must not rely on the metadata that it checks."""
        self.input = replace(self.input, mean=None, std=(1.0,), bgr=False)

    def end(self, _: None) -> str | None:
        """Return the kind of final activation: a name from `app.exporting.description`, or None if unknown."""
        return None

    def _follow(self, says: ModelDescription) -> None:
        """Store the file's description of itself, and scale pixels accordingly."""
        self.says = says
        if says.mean is not None and says.std is not None:
            self.scale_pixels((says.mean, says.std))
        self.input = replace(self.input, bgr=bool(says.bgr))

    @abstractmethod
    def _run(self, tensor: np.ndarray) -> np.ndarray: ...


class KerasRuntime(PixelRuntime):
    """A `.keras` file: Graft's, which ends with logits or numbers, or a foreign one, which is run as it is."""

    def __init__(self, path: Path, threads: int, image_size: int | None = None) -> None:
        _limit_tensorflow(threads)
        self._take(_load_keras(path), path, image_size)

    @classmethod
    def of(cls, model: keras.Model | Path, image_size: int | None = None) -> KerasRuntime:
        """Return the runtime of a model, or of a `.keras` file, in this process."""
        runtime = cls.__new__(cls)
        if isinstance(model, Path):
            runtime._take(_load_keras(model), model, image_size)
        else:
            runtime._take(model, Path(model.name), image_size)
        return runtime

    def _take(self, context: keras.Model, path: Path, image_size: int | None) -> None:
        import tensorflow as tf

        given = _single(getattr(context, "inputs", None) or (), path, "input")
        _single(context.outputs, path, "output")
        self.input = model_input(given.shape, given.dtype, path, image_size)
        if output_of(context) is not None:
            self.says = ModelDescription.of("in its layers", is_ours=True)
        self.model: keras.Model = builder.with_predictions(context)
        self.output = self.model.layers[-1].name
        # Seven times as fast as calling layer by layer from Python; and one graph for all batch sizes rounds alike.
        self.graph = tf.function(
            lambda pixels: self.model(pixels, training=False),
            input_signature=[tf.TensorSpec((self.input.batch, *_sides(self.input)), given.dtype)],
            autograph=False,
        )

    def end(self, _: None) -> str | None:
        """Return the kind of the last layer, by its activation."""
        return end_activation(self.model)

    def _run(self, tensor: np.ndarray) -> np.ndarray:
        return np.asarray(self.graph(tensor))


class SavedModelRuntime(PixelRuntime):
    """A SavedModel folder; it can also predict encoded images."""

    def __init__(self, path: Path, threads: int, image_size: int | None = None) -> None:
        _limit_tensorflow(threads)
        import tensorflow as tf

        self.model = tf.saved_model.load(str(path))
        self.from_pixels = self._signature(path)
        self.given, self.spec = _single(self.from_pixels.structured_input_signature[1].items(), path, "input")
        self.output = _single(self.from_pixels.structured_outputs, path, "output")
        shape = () if self.spec.shape.rank is None else self.spec.shape.as_list()
        self.input = model_input(shape, np.dtype(self.spec.dtype.as_numpy_dtype).name, path, image_size)
        self._follow(describe_saved_model(path))
        if self.output in _OURS and ENCODED_SIGNATURE in self.model.signatures:
            self.says = self.says.over(ModelDescription.of("in its signatures", is_ours=True))

    def predict_encoded(self, images: tuple[Sequence[bytes], str]) -> np.ndarray:
        """Predict image files, which the SavedModel resizes in the exported way, as float32 (n, outputs)."""
        import tensorflow as tf

        try:
            (answer,) = self.model.signatures[ENCODED_SIGNATURE](tf.constant(list(images[0]))).values()
        except tf.errors.InvalidArgumentError as error:  # its message has a trace before the reason
            text = str(error)
            raise ValueError(text[max(0, text.find(REFUSED)) :]) from error
        return np.asarray(answer)

    def _signature(self, path: Path) -> Any:
        signatures = dict(self.model.signatures)
        if "serving_default" in signatures:
            return signatures["serving_default"]
        if len(signatures) == 1:
            return next(iter(signatures.values()))
        names = ", ".join(signatures) or "none"
        raise UsageError(f"{path} has no signature 'serving_default' (it has: {names}); export it with that one")

    def _run(self, tensor: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        (answer,) = self.from_pixels(**{self.given: tf.constant(tensor, self.spec.dtype)}).values()
        return np.asarray(answer)


class LiteRTRuntime(PixelRuntime):
    """A `.tflite` file, run by LiteRT's interpreter with XNNPACK, as in an app that prepares the pixels itself."""

    kernels = "BUILTIN"  # a member of `OpResolverType`

    def __init__(self, path: Path, threads: int, image_size: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.path = path
        kernels = OpResolverType[self.kernels]
        self.interpreter = Interpreter(model_path=str(path), num_threads=threads, experimental_op_resolver_type=kernels)
        given = _single(self.interpreter.get_input_details(), path, "input")
        self.answer = _single(self.interpreter.get_output_details(), path, "output")
        says = describe_tflite(path)
        shape = given["shape_signature"] if len(given["shape_signature"]) else given["shape"]
        sides = [int(side) if side > 0 else None for side in shape]
        kind = np.dtype(given["dtype"]).name
        self.input = model_input(sides, kind, path, image_size, says.size or _converted_for(given["shape"]))
        scale, zero_point = given["quantization"]
        # One at a time if any number is possible: phones do that, and it rounds alike.
        self.input = replace(self.input, batch=self.input.batch or 1, scale=scale, zero_point=zero_point)
        self.index = given["index"]
        if None in sides:
            tensor, _ = next(self.input.batches(np.zeros((1, self.input.height, self.input.width, 3), np.uint8)))
            self.interpreter.resize_tensor_input(self.index, tensor.shape)
        self.interpreter.allocate_tensors()
        signature: dict[str, Any] = next(iter(self.interpreter.get_signature_list().values()), {})
        self.output = next(iter(signature.get("outputs", [])), "")
        self._follow(says)

    def end(self, _: None) -> str | None:
        """Return the kind of the last operation."""
        return end_of_tflite(self.path)

    def _run(self, tensor: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.index, tensor)
        self.interpreter.invoke()
        answer = np.array(self.interpreter.get_tensor(self.answer["index"]))
        scale, zero_point = self.answer["quantization"]
        return (answer.astype(np.float32) - zero_point) * scale if scale else answer


class PlainLiteRTRuntime(LiteRTRuntime):
    """A `.tflite` file, run by LiteRT's own kernels, without XNNPACK."""

    kernels = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


class ONNXRuntime(PixelRuntime):
    """An `.onnx` file, run by ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int, image_size: int | None = None) -> None:
        import onnxruntime

        self.path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.given = _single(self.session.get_inputs(), path, "input")
        self.output = _single(self.session.get_outputs(), path, "output").name
        # A side of any size has a name in place of a number.
        shape = [side if isinstance(side, int) and side > 0 else None for side in self.given.shape]
        kind = self.given.type.removeprefix("tensor(").removesuffix(")")
        self.input = model_input(shape, {"float": "float32", "double": "float64"}.get(kind, kind), path, image_size)
        self._follow(describe_onnx(self.session.get_modelmeta().custom_metadata_map))
        if (self.given.name, self.output in _OURS) == ("pixels", True):
            self.says = self.says.over(ModelDescription.of("in its tensors", is_ours=True))

    def end(self, _: None) -> str | None:
        """Return the kind of the last node."""
        return end_of_onnx(self.path)

    def _run(self, tensor: np.ndarray) -> np.ndarray:
        answer: np.ndarray
        (answer,) = self.session.run(None, {self.given.name: tensor})
        return answer


CLIENTS: dict[str, Callable[[Path, int, int | None], Runtime]] = {
    "keras": KerasRuntime,
    "tensorflow": SavedModelRuntime,
    "litert": LiteRTRuntime,
    "litert_plain": PlainLiteRTRuntime,
    "mediapipe": MediaPipeRuntime,
    "onnxruntime": ONNXRuntime,
}


@contextmanager
def one_sentence(text: str) -> Iterator[None]:
    """Raise `UsageError` with a text and the reason for whatever a damaged file makes a runtime raise: nearly anything.

    Examples:
        >>> with one_sentence("a.keras cannot be loaded"):
        ...     raise KeyError("the end is missing")
        Traceback (most recent call last):
        app.interface.errors.UsageError: a.keras cannot be loaded: 'the end is missing'
        >>> with one_sentence("a.keras cannot be loaded"):
        ...     raise UsageError("a.keras is a model for sounds")
        Traceback (most recent call last):
        app.interface.errors.UsageError: a.keras is a model for sounds
    """
    try:
        yield
    except BAD_INPUT:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(f"{text}: {reason}") from error


def _limit_tensorflow(threads: int) -> None:
    import_keras()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _load_keras(path: Path) -> keras.Model:
    if path.suffix == ".keras":
        return builder.load_model(path)
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:  # Keras takes only this spelling of the suffix
        return builder.load_model(Path(shutil.copyfile(path, Path(folder, f"{path.stem}.keras"))))


def _single(values: Iterable[Any], path: Path, what: str) -> Any:
    found = list(values)
    if len(found) != 1:
        raise UsageError(f"{path} is no classifier of images: it has {len(found)} {what}s, not one")
    return found[0]


def _sides(given: ModelInput) -> tuple[int, int, int]:
    sides = (given.height, given.width)
    return (3, *sides) if given.channels_first else (*sides, 3)


def _converted_for(shape: np.ndarray) -> tuple[int, int] | None:
    """Return the height and width that a `.tflite` for any size was converted with; converters write 1 if unknown."""
    sides = [int(side) for side in shape[1:] if side not in (1, 3)]
    return (sides[0], sides[1]) if len(sides) == 2 else None
