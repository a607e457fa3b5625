"""Mixed precision: layers compute in 16 bits while a model trains, on weights that stay float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from models.backbones.tf_hub import HubLayer


@contextmanager
def mixed_precision(model: keras.Model, dtype: str | None) -> Iterator[None]:
    """Let the layers of a model compute in 16 bits; afterwards all of them compute in float32 again.

    The last layer always computes in float32, and so does a SavedModel of TF Hub, whose types are fixed. Keras' global policy
    stays as it is. A model that is compiled inside scales its loss, if the type is float16, so that small gradients do not
    become zero.

    Args:
        model: model whose layers are float32; other layers are left as they are.
        dtype: "float16", "bfloat16", or None for no change.

    Examples:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(3)])
        >>> with mixed_precision(model, "bfloat16"):
        ...     [layer.compute_dtype for layer in model.layers]
        ['bfloat16', 'float32']
        >>> [layer.compute_dtype for layer in model.layers]
        ['float32', 'float32']
    """
    layers = [] if dtype is None else [layer for layer in model._flatten_layers() if _can_change(layer)]
    layers = [layer for layer in layers if layer is not model.layers[-1]]
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = f"mixed_{dtype}"
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy


def _can_change(layer: keras.layers.Layer) -> bool:
    return layer.dtype_policy.name == "float32" and not isinstance(layer, HubLayer)
