"""Keras classifiers as a user writes them, of tiny networks for images of `SIDE` pixels."""

from __future__ import annotations

from typing import Any

import keras

SIDE = 12


@keras.saving.register_keras_serializable("tests")
class Doubling(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer of the user's own."""

    def call(self, inputs: Any) -> Any:
        return 2.0 * inputs


class Unregistered(Doubling):
    """A layer that a file cannot bring back."""


class Subclassed(keras.Model):  # type: ignore[misc]  # Keras has no types
    def call(self, inputs: Any) -> Any:
        return inputs


def network(seed: int = 0) -> keras.Model:
    """A network of three layers, without a head."""
    pixels = features = keras.Input((SIDE, SIDE, 3))
    for number in range(3):
        start = keras.initializers.HeNormal(seed=seed + number)
        conv = keras.layers.Conv2D(4, 3, 2, "same", activation="relu", name=f"conv{number}", kernel_initializer=start)
        features = conv(features)
    return keras.Model(pixels, features, name="base")


def on_network(end: str | None = "softmax", *, units: int = 3, frozen: bool = True) -> keras.Model:
    """A classifier with the network as one layer, which is frozen, as in Keras' guide."""
    base = network()
    base.trainable = not frozen
    pixels = keras.Input((SIDE, SIDE, 3))
    features = keras.layers.Rescaling(1 / 127.5, -1.0)(pixels)
    features = keras.layers.GlobalAveragePooling2D()(base(features, training=False))
    dense = keras.layers.Dense(units, activation=end, name="out", kernel_initializer=keras.initializers.HeNormal(1))
    return keras.Model(pixels, dense(keras.layers.Dropout(0.2, seed=0)(features)), name="on_network")


def flat() -> keras.Model:
    """A classifier of the network's own layers, as in the documentation of Keras Applications."""
    base = network()
    features = keras.layers.GlobalAveragePooling2D()(base.output)
    head = keras.layers.Dense(3, activation="softmax", name="out", kernel_initializer=keras.initializers.HeNormal(1))
    return keras.Model(base.input, head(features), name="flat")


def sequential(
    *last: keras.layers.Layer, shape: tuple[int | None, ...] = (SIDE, SIDE, 3), dtype: Any = None
) -> keras.Model:
    first = [keras.Input(shape, dtype=dtype), keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([*first, *last], name="mine")


def dense(units: int = 3, end: str | None = None, **options: Any) -> keras.layers.Dense:
    return keras.layers.Dense(units, activation=end, **options)
