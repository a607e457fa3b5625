"""Format: ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.exporting.trained import Trained


def write_onnx(trained: Trained, path: Path) -> None:
    """Write an `.onnx` file, by Keras' own export (tf2onnx).

    It takes `pixels`, float32 (batch, size, size, 3), RGB in [0, 255], and gives `probabilities`, float32 (batch, classes),
    or `numbers`.
    """
    model = trained.model
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports no functional model that was never called
    model.export(path, format="onnx", verbose=False)
    _name_output(path, model.layers[-1].name)


def _name_output(path: Path, name: str) -> None:
    """Name the answers, which the exporter calls "Identity:0"."""
    import onnx

    model = onnx.load(path)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.input[:] = [name if one == output.name else one for one in node.input]
        node.output[:] = [name if one == output.name else one for one in node.output]
    output.name = name
    onnx.save(model, path)
