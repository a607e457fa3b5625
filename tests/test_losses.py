"""The loss with label smoothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.losses import smoothed_cross_entropy

LABELS = np.array([0, 2, 1])
LOGITS = np.array([[4.0, 0.0, 0.0], [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]], np.float32)


def test_without_smoothing_it_is_the_cross_entropy_of_keras() -> None:
    expected = keras.losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True)
    np.testing.assert_allclose(smoothed_cross_entropy(0.0)(LABELS, LOGITS), expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_smoothing_mixes_in_the_cross_entropy_of_a_guess(smoothing: float) -> None:
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    right = -log_probabilities[np.arange(3), LABELS]
    guess = -log_probabilities.mean(axis=1)
    expected = (1 - smoothing) * right + smoothing * guess
    np.testing.assert_allclose(smoothed_cross_entropy(smoothing)(LABELS, LOGITS), expected, rtol=1e-5)
