"""A network that was made by hand: it tells the coloured squares of `tests.images` apart without any training."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

SIZE = 32
RESCALED = "wide"  # the layer whose outputs one channel of which is stretched


def colour_classifier(stretch: float = 1.0, *, size: int = SIZE) -> keras.Model:
    """Red, green or blue? Three classes, as `tests.images.write_folder` makes them; it is always right.

    Args:
        stretch: factor of one channel of the layer `RESCALED`; the next layer undoes it, so that the function stays the
            same. A large one leaves an integer file, which has one scale for all channels, nothing of the others.
        size: side of the images.

    Returns:
        RGB pixels, float32 (batch, size, size, 3) in [0, 255], to logits, float32 (batch, 3).
    """
    layers, random = keras.layers, np.random.default_rng(0)
    features = pixels = keras.Input((size, size, 3), name="pixels")
    features = layers.Rescaling(1 / 255, name="scaling")(features)
    features = layers.Conv2D(4, 3, padding="same", name="stem")(features)
    features = layers.ReLU(name="stem_relu")(features)
    features = layers.Conv2D(4, 3, padding="same", use_bias=False, name=RESCALED)(features)
    features = layers.BatchNormalization(epsilon=0.0, name="wide_bn")(features)
    features = layers.ReLU(name="wide_relu")(features)
    features = layers.Conv2D(4, 3, padding="same", name="narrow")(features)
    features = layers.ReLU(name="narrow_relu")(features)
    features = layers.GlobalAveragePooling2D(name="pooling")(features)
    model = keras.Model(pixels, layers.Dense(3, name="logits")(features), name="colours")

    # How much more of its own colour an image has than of the others; the fourth channel is how bright it is.
    colours = np.concatenate([1.5 * np.eye(3) - 0.5, np.full((3, 1), 1 / 3)], axis=1)
    stretches = np.array([1.0, 1.0, 1.0, stretch])
    wide = np.eye(4) + random.uniform(-0.02, 0.02, (4, 4))
    narrow = np.eye(4) + random.uniform(-0.02, 0.02, (4, 4))
    model.get_layer("stem").set_weights([_in_the_middle(colours), np.zeros(4)])
    model.get_layer(RESCALED).set_weights([_in_the_middle(wide)])
    model.get_layer("wide_bn").set_weights([stretches, np.zeros(4), np.zeros(4), np.ones(4)])
    model.get_layer("narrow").set_weights([_in_the_middle(narrow / stretches[:, None]), np.zeros(4)])
    model.get_layer("logits").set_weights([8 * np.eye(4)[:, :3], np.zeros(3)])
    return model


def _in_the_middle(weights: np.ndarray) -> np.ndarray:
    """The kernel of a convolution that looks at one pixel, with a little of its neighbours."""
    kernel = np.zeros((3, 3, *weights.shape))
    kernel[1, 1] = 0.8 * weights
    kernel[1, [0, 2]] = kernel[[0, 2], 1] = 0.05 * weights
    return kernel


def softmax(logits: Sequence[float] | np.ndarray) -> np.ndarray:
    """Probabilities of logits, along the last axis."""
    powers = np.exp(np.asarray(logits) - np.max(logits, axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
