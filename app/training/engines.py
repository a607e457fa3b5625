"""Engines: fast runtimes for a frozen network. An engine is one function and one row of `ENGINES`.

Training needs TensorFlow. The frozen part below it needs no gradients, so any engine with the same activations will do.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.interface.console import quiet_descriptors
from app.interface.errors import UsageError
from data.threads import THREAD_NAME

if TYPE_CHECKING:  # the table is read by `--help`, which must not import TensorFlow
    import keras

# A prepared engine: from pixels, uint8 (n, size, size, 3), to each output of the network, float32 (n, ...).
Forward = Callable[[np.ndarray], list[np.ndarray]]

# Largest difference of activations from TensorFlow's, relative to their root mean square. bfloat16 differs by 0.04 to 0.06,
# which moved the accuracy of a linear head by +0.1 and -0.3 points (means of 5 seeds on two sets); a wrong network by 1.
TOLERANCE = 0.1
_PROBE_RUNS = 2
_MOST_GAIN = 4  # how many times as fast as TensorFlow an engine may be on the same CPU; up to 3.1 was measured
_MOST_INTERPRETERS = 8  # of LiteRT: each has its own copy of the weights
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """One way to run a frozen network.

    Attributes:
        description: short description.
        module: the package that it needs.
        requirement: how to install the package.
        prepare: prepares a frozen network.
    """

    description: str
    module: str
    requirement: str
    prepare: Callable[[Frozen], Forward]

    @property
    def is_installed(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.module) is not None


@dataclass(frozen=True)
class Choice:
    """The chosen engine.

    Attributes:
        name: key in `ENGINES`.
        forward: the prepared forward pass.
        rate: images per second of the bare forward pass on the probe.
    """

    name: str
    forward: Forward
    rate: float


def choose_engine(name: str, network: keras.Model, probe: np.ndarray) -> Choice:
    """Prepare the fastest engine that agrees with TensorFlow, or the requested one.

    Args:
        name: a key of `ENGINES`, or "auto": the fastest. The others, which run on the CPU, are not prepared if TensorFlow is
            much faster on a GPU than on the CPU.
        network: from pixels, float32 (batch, size, size, 3), to one or several outputs; run in inference mode.
        probe: some of the images, uint8 (n, size, size, 3).

    Raises:
        UsageError: the requested engine is not installed, or its predictions differ from TensorFlow's by more than `TOLERANCE`.

    Examples:
        >>> import keras
        >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
        >>> pixels = np.full((2, 8, 8, 3), 255, np.uint8)
        >>> choice = choose_engine("tensorflow", network, pixels)
        >>> choice.name
        'tensorflow'
        >>> choice.forward(pixels)[0].tolist()
        [[255.0, 255.0, 255.0], [255.0, 255.0, 255.0]]
    """
    if name not in ("auto", "tensorflow") and not ENGINES[name].is_installed:
        raise UsageError(f"--engine {name} is not installed: pip install {ENGINES[name].requirement}")
    frozen = Frozen(network)
    forward = ENGINES["tensorflow"].prepare(frozen)
    expected, rate = _measure(forward, probe)
    choices = [Choice("tensorflow", forward, rate)]
    if name == "tensorflow" or (name == "auto" and _is_far_ahead(forward, probe, rate)):
        return choices[0]
    others = [other for other, engine in ENGINES.items() if other != "tensorflow" and engine.is_installed]
    for other in others if name == "auto" else [name]:
        try:
            choices.append(_try(other, frozen, probe, expected))
        except Exception as error:  # converters raise nearly anything over an unsupported operation
            if name != "auto":
                reason = str(error).strip().partition("\n")[0].removesuffix(".") or type(error).__name__
                raise UsageError(
                    f"--engine {name} cannot be used here: {reason}. Choose another, or leave it out"
                ) from error
            _log.info("engine %s: %s", other, error)
    return max(choices if name == "auto" else choices[1:], key=lambda choice: choice.rate)


def _is_far_ahead(forward: Forward, probe: np.ndarray, rate: float) -> bool:
    """Return whether TensorFlow runs on a GPU, at a rate that no engine on this machine's CPU can reach."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return False
    with tf.device("CPU:0"):
        _, on_cpu = _measure(forward, probe)
    return rate > _MOST_GAIN * on_cpu


def _try(name: str, frozen: Frozen, probe: np.ndarray, expected: list[np.ndarray]) -> Choice:
    """Prepare an engine, and check that it agrees with TensorFlow."""
    forward = ENGINES[name].prepare(frozen)
    found, rate = _measure(forward, probe)
    furthest = max(disagreement(one, other) for one, other in zip(found, expected, strict=True))
    if furthest > TOLERANCE:
        raise ValueError(f"its activations are {furthest:.1%} from TensorFlow's, and may be {TOLERANCE:.0%}")
    return Choice(name, forward, rate)


def disagreement(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the root mean square of the differences, relative to that of the expected values; infinite for NaN.

    Examples:
        >>> disagreement(np.array([1.0, 1.1]), np.array([1.0, 1.1]))
        0.0
        >>> disagreement(np.array([np.nan]), np.array([1.0]))
        inf
    """
    if found.shape != expected.shape:
        return float("inf")
    error = float(np.sqrt(np.mean(np.square(found - expected, dtype=np.float64))))
    size = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    return error / max(size, 1e-12) if np.isfinite(error) else float("inf")


def _measure(forward: Forward, probe: np.ndarray) -> tuple[list[np.ndarray], float]:
    predictions, seconds = forward(probe), []
    for _ in range(_PROBE_RUNS):
        started = time.perf_counter()
        forward(probe)
        seconds.append(time.perf_counter() - started)
    return predictions, len(probe) / min(seconds)


class Frozen:
    """A network whose weights are constants, so that normalization is folded into convolutions.

    They are constants from the start: tracing variables and converting them to constants takes longer than everything else.
    """

    def __init__(self, network: keras.Model) -> None:
        import keras
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        weights = [(variable, variable.numpy()) for variable in network.variables]

        def answer(pixels: tf.Tensor) -> Any:
            with keras.StatelessScope([(variable, tf.constant(value)) for variable, value in weights]):
                return network(pixels, training=False)

        pixels = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
        graph = tf.function(answer, input_signature=[pixels], autograph=False).get_concrete_function()
        # Layers may hold variables that are not Keras', such as those of TF Hub.
        self.graph = convert_variables_to_constants_v2(graph) if graph.captured_inputs else graph

    @cached_property
    def tflite(self) -> bytes:
        """The network as a `.tflite`, which several engines read."""
        import tensorflow as tf

        # TensorFlow 2's converter would convert variables to constants again.
        converter = tf.compat.v1.lite.TFLiteConverter(
            self.graph.graph.as_graph_def(), self.graph.inputs, self.graph.outputs
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return bytes(converter.convert())


def _tensorflow(frozen: Frozen) -> Forward:
    import tensorflow as tf

    return lambda pixels: [np.asarray(one) for one in tf.nest.flatten(frozen.graph(tf.cast(pixels, tf.float32)))]


def _litert(frozen: Frozen) -> Forward:
    from ai_edge_litert.interpreter import Interpreter

    # One thread per image and several images at once: no thread waits for the others at the end of each layer.
    processors = os.cpu_count() or 1
    count = min(processors, _MOST_INTERPRETERS)
    with quiet_descriptors():
        interpreters = [Interpreter(model_content=frozen.tflite, num_threads=processors // count) for _ in range(count)]
        for interpreter in interpreters:
            interpreter.allocate_tensors()  # for one image at a time, which is fastest with XNNPACK
    (given,) = interpreters[0].get_input_details()
    outputs = interpreters[0].get_output_details()
    pool = ThreadPoolExecutor(count, thread_name_prefix=THREAD_NAME)

    def forward(pixels: np.ndarray) -> list[np.ndarray]:
        predictions = [np.empty((len(pixels), *one["shape"][1:]), np.float32) for one in outputs]
        rows = iter(range(len(pixels)))  # shared: each idle interpreter takes the next

        def work(interpreter: Interpreter) -> None:
            for row in rows:
                interpreter.set_tensor(given["index"], pixels[row][None].astype(np.float32))
                interpreter.invoke()
                for answer, one in zip(predictions, outputs, strict=True):
                    answer[row] = interpreter.get_tensor(one["index"])[0]

        list(pool.map(work, interpreters))
        return predictions

    return forward


def _openvino(frozen: Frozen) -> Forward:
    # Importing OpenVINO reports to its makers over the network. Python treats a module that is None as missing, which stops it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    with tempfile.TemporaryDirectory(prefix="graft-") as folder:  # OpenVINO reads .tflite from files only
        file = Path(folder) / "network.tflite"
        file.write_bytes(frozen.tflite)
        core = openvino.Core()
        model = core.read_model(file)
        model.reshape([1, *(side.get_length() for side in list(model.inputs[0].partial_shape)[1:])])
        # It computes in the type that is fastest on the processor, such as bfloat16.
        compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    queue = openvino.AsyncInferQueue(compiled)
    shapes = [tuple(output.shape)[1:] for output in compiled.outputs]

    def forward(pixels: np.ndarray) -> list[np.ndarray]:
        predictions = [np.empty((len(pixels), *shape), np.float32) for shape in shapes]

        def keep(request: Any, row: int) -> None:
            for number, answer in enumerate(predictions):
                answer[row] = request.get_output_tensor(number).data[0]

        queue.set_callback(keep)
        for row, image in enumerate(pixels):
            queue.start_async({0: image[None].astype(np.float32)}, row)
        queue.wait_all()
        return predictions

    return forward


ENGINES: dict[str, Engine] = {
    "tensorflow": Engine("TensorFlow's own graph", "tensorflow", "tensorflow", _tensorflow),
    "litert": Engine("LiteRT with XNNPACK", "ai_edge_litert", "ai-edge-litert", _litert),
    "openvino": Engine("OpenVINO, where it is installed", "openvino", "openvino", _openvino),
}


def engine_choices() -> tuple[str, ...]:
    """Return the values of `--engine`.

    Examples:
        >>> engine_choices()
        ('auto', 'tensorflow', 'litert', 'openvino')
        >>> "auto" in ENGINES
        False
    """
    return "auto", *ENGINES
