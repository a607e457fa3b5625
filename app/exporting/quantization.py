"""Integer `.tflite` files, made from the float32 file by LiteRT's quantiser (`litert-quantizer`).

The choice of tool for each format is based on EfficientNet-Lite0 (amazon, 144 test images, 2 threads, x86; float32: 13.5 MB,
2.7 ms, accuracy 0.972), with each file made by both tools:

| file                      | litert-quantizer              | TensorFlow's converter        |
|---------------------------|-------------------------------|-------------------------------|
| int8, time to make        | **2.2 s**                     | 12.7 s                        |
| int8, accuracy            | 0.979, **1.2 ms**, 4.0 MB     | 0.979, 1.7 ms, 4.0 MB         |
| int16x8                   | 0.979, 181 ms, **4.1 MB**     | 0.979, 183 ms, 4.2 MB         |
| dynamic                   | 0.979, 11.8 ms, off by 0.059  | 0.979, **9.2 ms**, by 0.026   |
| 8-bit weights only        | **0.979, 2.7 ms**, 3.7 MB     | not available                 |
| 4-bit weights, dynamic    | 0.924, 7.2 ms, 2.6 MB         | not available                 |
| float16                   | 0.972, 2.8 ms, 6.8 MB         | **0.972, 2.7 ms**, 6.8 MB     |

The quantiser therefore makes the integer files, and the converter (`app.exporting.converter`) float16 and dynamic; on
EfficientNetB0 the quantiser's float16 file took twice the time of the converter's. Only the quantiser can exclude layers.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from app.interface.console import quiet_descriptors
from data.splits import evenly_chosen

SIGNATURE = "serving_default"
PROBES = 8  # images on which the errors of layers are measured


class Quantizer:
    """Makes integer files from one float32 file; calibrates once for all of them."""

    def __init__(self, float32: bytes, calibration: np.ndarray) -> None:
        """Store the file and the calibration images.

        Args:
            float32: a `.tflite` with the signature `serving_default`, `pixels` to `probabilities` or standardised numbers.
            calibration: representative images, uint8 (n, size, size, 3), on which the ranges of activations are measured.
        """
        self.float32, self.calibration = float32, calibration

    @property
    def scaling(self) -> Scaling:
        """Scaling of pixels at the start of the model."""
        return self._parts[1]

    def weights_only(self) -> bytes:
        """Make a file with 8-bit weights, one scale per channel, that computes in float."""
        return _quantized(self.float32, _recipe(_Rule(".*", "weights")))

    def static(
        self, *, activation_bits: int, float_layers: Collection[str] = (), integer_answers: bool = False
    ) -> bytes:
        """Make a full-integer file: weights of 8 bits, activations of 8 or 16.

        Args:
            activation_bits: 8 for a file that takes uint8 pixels, or 16 for one that takes float32, since no client takes
                16 bits. Both return float32 probabilities.
            float_layers: names from `layers` that stay in float, weights included.
            integer_answers: return 8-bit probabilities as uint8.
        """
        rules = [_Rule(".*", f"static{activation_bits}")]
        if float_layers:
            rules.append(_Rule(_any_of(float_layers), "float"))
        body = self._body if activation_bits == 8 else self.float32
        quantized = _quantized(body, _recipe(*rules), self._ranges)
        return _with_plain_interface(quantized, integer_answers=integer_answers)

    @cached_property
    def layers(self) -> list[str]:
        """Names of the operations' outputs, in the order of the file, without the scaling of pixels."""
        _, graph = _opened(self._body)
        return [graph.tensors[operation.outputs[0]].name.decode() for operation in graph.operators]

    @cached_property
    def layer_bytes(self) -> dict[str, int]:
        """Bytes that the weights of each of `layers` take in the float32 file."""
        model, graph = _opened(self._body)

        def weights(tensor: int) -> int:
            data = model.buffers[graph.tensors[tensor].buffer].data
            return 0 if data is None else len(data)

        counts = (sum(weights(tensor) for tensor in operation.inputs if tensor >= 0) for operation in graph.operators)
        return dict(zip(self.layers, counts, strict=True))

    def range_of(self, layer: str) -> tuple[float, float]:
        """Return the smallest and largest value of a layer over the calibration images."""
        found = self._ranges[layer]
        return float(np.min(found["min"])), float(np.max(found["max"]))

    def layer_errors(self, layers: Iterable[str]) -> dict[str, float]:
        """Measure the effect of each layer alone on the predictions: it is quantised to 8 bits, all others stay in float.

        Args:
            layers: names from `layers`.

        Returns:
            For each layer the mean squared error of the probabilities over `PROBES` calibration images, computed by the
            quantiser; the largest first.
        """
        from litert_quantizer.utils.validation_utils import mean_squared_difference

        probes = self.calibration[evenly_chosen(len(self.calibration), PROBES)]
        expected = _predictions(self.float32, probes)
        errors = {}
        for layer in layers:
            alone = _quantized(self._body, _recipe(_Rule(_any_of([layer]), "static8")), self._ranges)
            predictions = _predictions(_with_plain_interface(alone), probes, self.scaling)
            errors[layer] = mean_squared_difference(predictions, expected)
        return dict(sorted(errors.items(), key=lambda one: -one[1]))

    @cached_property
    def _ranges(self) -> dict[str, Any]:
        """Smallest and largest value of every tensor over the calibration images."""
        from litert_quantizer import calibrator
        from litert_quantizer.recipe_manager import RecipeManager
        from litert_quantizer.utils.qsv_utils import min_max_update

        # `Quantizer.calibrate` takes a moving average, in which the last twenty images, all of one class, count for two
        # thirds, so that values common in the other classes are cut off.
        with quiet_descriptors():  # of the interpreters that it makes
            tool = calibrator.Calibrator(
                self.float32,
                num_threads=os.cpu_count() or 1,
                mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
                qsv_update_func=min_max_update,
            )
            examples = [{"pixels": one[None].astype(np.float32)} for one in self.calibration]
            tool.calibrate({SIGNATURE: examples}, RecipeManager())
        ranges: dict[str, Any] = tool.get_model_qsvs()
        # Pixels have 256 levels, and each level becomes one step.
        levels = np.array([0.0, 255.0])
        for file, (low, high) in (
            (self.float32, levels),
            (self._body, levels * self.scaling.factor + self.scaling.offset),
        ):
            ranges[_input_name(file)] = {"min": np.array([low]), "max": np.array([high])}
        return ranges

    @property
    def _body(self) -> bytes:
        """The file without the scaling of pixels, which the type of an integer input implies at no cost.

        On 2 threads, EfficientNet-Lite0's full-integer file took 1.3 ms without and 1.8 ms with the scaling (float32: 3.0 ms).
        """
        return self._parts[0]

    @cached_property
    def _parts(self) -> tuple[bytes, Scaling]:
        return _without_scaling(self.float32)


def _quantized(file: bytes, recipe: list[dict[str, Any]], ranges: dict[str, Any] | None = None) -> bytes:
    from litert_quantizer import quantizer

    with quiet_descriptors():  # of the interpreters that it makes
        tool = quantizer.Quantizer(file, recipe)
        result = tool.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


@dataclass(frozen=True)
class Scaling:
    """Scaling of a pixel x in [0, 255] at the start of a model: factor * x + offset, the same for all three colours."""

    factor: float = 1.0
    offset: float = 0.0


def _without_scaling(file: bytes) -> tuple[bytes, Scaling]:
    """Remove operations at the start of a file that scale all input colours alike, and return the scaling they did."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_litert.tools import flatbuffer_utils

    model, graph = _opened(file)
    factor, offset = 1.0, 0.0
    while True:
        (given,) = graph.inputs
        users = [operator for operator in graph.operators if given in operator.inputs]
        operator = users[0]
        constants = [_constant(model, graph, tensor) for tensor in operator.inputs if tensor != given]
        if len(users) > 1 or len(constants) != 1 or constants[0] is None or operator.inputs[0] != given:
            break
        code = flatbuffer_utils.get_builtin_code_from_operator_code(model.operatorCodes[operator.opcodeIndex])
        steps = {
            BuiltinOperator.MUL: (constants[0], 0.0),
            BuiltinOperator.DIV: (1 / constants[0] if constants[0] else 0.0, 0.0),
            BuiltinOperator.ADD: (1.0, constants[0]),
            BuiltinOperator.SUB: (1.0, -constants[0]),
        }
        if code not in steps or operator.builtinOptions.fusedActivationFunction:
            break
        factor, offset = factor * steps[code][0], offset * steps[code][0] + steps[code][1]
        graph.operators.remove(operator)
        graph.inputs = list(operator.outputs)
        model.signatureDefs[0].inputs[0].tensorIndex = operator.outputs[0]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), Scaling(factor, offset)


def _constant(model: Any, graph: Any, tensor: int) -> float | None:
    """Return the single value of a constant float32 tensor; None if it is not constant or holds several values."""
    from ai_edge_litert.schema_py_generated import TensorType

    data = model.buffers[graph.tensors[tensor].buffer].data
    if data is None or graph.tensors[tensor].type != TensorType.FLOAT32:
        return None
    values = np.unique(np.frombuffer(bytes(data), np.float32))
    return float(values[0]) if len(values) == 1 else None


@dataclass(frozen=True)
class _Rule:
    """How to quantise the operations that match a regular expression: "static8", "static16", "weights" or "float"."""

    names: str
    mode: str


def _recipe(*rules: _Rule) -> list[dict[str, Any]]:
    """Return the rules as the quantiser's recipe; later rules override earlier ones."""
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName
    from litert_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    for rule in rules:
        if rule.mode == "float":
            manager.add_quantization_config(
                rule.names, TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        elif rule.mode == "weights":
            for operation in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
                manager.add_weight_only_config(rule.names, TFLOperationName[operation], num_bits=8)
        else:
            bits = int(rule.mode.removeprefix("static"))
            manager.add_static_config(
                rule.names, TFLOperationName.ALL_SUPPORTED, activation_num_bits=bits, weight_num_bits=8
            )
            # With a scale per channel, TFLite before 2.10 returns nonsense, and NNAPI, TFLM and the EdgeTPU refuse the file.
            manager.add_static_config(
                rule.names,
                TFLOperationName.FULLY_CONNECTED,
                activation_num_bits=bits,
                weight_num_bits=8,
                weight_granularity=QuantGranularity.TENSORWISE,
            )
    recipe: list[dict[str, Any]] = manager.get_quantization_recipe()
    return recipe


def _any_of(layers: Iterable[str]) -> str:
    # The quantiser searches for the expression in the name followed by a semicolon.
    return f"^(?:{'|'.join(re.escape(layer) for layer in layers)});?$"


def _with_plain_interface(quantized: bytes, *, integer_answers: bool = False) -> bytes:
    """Add an operation at either end, so that int8 input becomes uint8, and integer output becomes float32.

    MediaPipe takes only uint8 or float32 pixels, and a caller need not know the scale of the probabilities. Pipelines of an
    EdgeTPU expect bytes: with `integer_answers`, int8 output becomes uint8.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(quantized)
    for buffer in model.buffers:
        if buffer.data is not None:  # an array is packed at once, a list byte by byte
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    (graph,) = model.subgraphs
    signature = model.signatureDefs[0]

    def convert(tensor: int, kind: int, operation: str) -> tuple[int, Any]:
        """Create a twin of a tensor in another type, and the operation that converts between the two."""
        twin = copy.deepcopy(graph.tensors[tensor])
        twin.name, twin.type, twin.quantization = twin.name + b"_plain", kind, None
        graph.tensors.append(twin)
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, operation)
        code.version = 1
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        return len(graph.tensors) - 1, operator

    def as_uint8(tensor: int, twin: int) -> None:
        """Give the twin of an int8 tensor the same scale, and a zero point for bytes from 0."""
        graph.tensors[twin].quantization = copy.deepcopy(graph.tensors[tensor].quantization)
        graph.tensors[twin].quantization.zeroPoint = [graph.tensors[tensor].quantization.zeroPoint[0] + 128]

    for one in graph.operators:
        if hasattr(one.builtinOptions, "potScaleInt16"):
            # Otherwise 16-bit scales that happen to be powers of two, as for pixels in [-1, 1], are taken for an older scheme,
            # which refuses to add tensors whose range differs from the sum's.
            one.builtinOptions.potScaleInt16 = False
    (given,), (answer,) = graph.inputs, graph.outputs
    kinds = schema.TensorType
    if graph.tensors[given].type != kinds.FLOAT32:
        eight_bits = graph.tensors[given].type == kinds.INT8
        plain, operator = convert(given, kinds.UINT8 if eight_bits else kinds.FLOAT32, "QUANTIZE")
        if eight_bits:
            as_uint8(given, plain)
        operator.inputs, operator.outputs = [plain], [given]
        graph.operators.insert(0, operator)
        graph.inputs = [plain]
        signature.inputs[0].tensorIndex = plain
    if graph.tensors[answer].type != kinds.FLOAT32:
        if integer_answers:
            plain, operator = convert(answer, kinds.UINT8, "QUANTIZE")
            as_uint8(answer, plain)
        else:
            plain, operator = convert(answer, kinds.FLOAT32, "DEQUANTIZE")
        operator.inputs, operator.outputs = [answer], [plain]
        graph.operators.append(operator)
        graph.outputs = [plain]
        signature.outputs[0].tensorIndex = plain
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _opened(file: bytes) -> tuple[Any, Any]:
    """Return a file's model and its only graph, as objects of the schema."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(file)
    (graph,) = model.subgraphs
    return model, graph


def _input_name(file: bytes) -> str:
    _, graph = _opened(file)
    return str(graph.tensors[graph.inputs[0]].name.decode())


def _predictions(file: bytes, pixels: np.ndarray, scaling: Scaling | None = None) -> np.ndarray:
    """Return the probabilities, float32 (n, classes), of a trusted file made in this module; float inputs are scaled first."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_descriptors():
        interpreter = Interpreter(model_content=file, num_threads=os.cpu_count())
        interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    if scaling is not None and given["dtype"] == np.float32:
        pixels = pixels.astype(np.float32) * np.float32(scaling.factor) + np.float32(scaling.offset)
    predictions = []
    for one in pixels:
        interpreter.set_tensor(given["index"], one[None].astype(given["dtype"]))
        interpreter.invoke()
        predictions.append(interpreter.get_tensor(answer["index"])[0].copy())
    return np.stack(predictions)
