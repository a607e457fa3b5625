"""Loss and metric of several yes or no per example, of which some may be unknown: NaN among the targets."""

from __future__ import annotations

import keras
from keras import ops


class KnownCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of logits, of which an unknown target adds nothing.

    The loss of an example is the sum over its known targets, divided by the number of all: an example of which little is
    known counts little.

    >>> import numpy as np
    >>> loss = KnownCrossentropy()
    >>> round(float(loss(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))), 3)
    0.693
    >>> round(float(loss(np.array([[1.0, np.nan]]), np.array([[0.0, 9.0]]))), 3)
    0.347
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "known_crossentropy") -> None:
        """Take the part of each target, in [0, 1), that is moved to the middle between yes and no."""
        super().__init__(name=name)
        self.label_smoothing = label_smoothing

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The losses of the examples, (n,), of targets and logits, (n, outputs)."""
        known = _known(y_true)
        targets = ops.where(known, y_true, 0.0) * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        losses = ops.binary_crossentropy(targets, y_pred, from_logits=True)
        return ops.mean(ops.where(known, losses, 0.0), axis=-1)


class KnownPrecision(keras.metrics.AUC):
    """The area under the curve of precision and recall, the mean over the outputs, each over the examples where it is known.

    It is the average precision, but for the 200 steps that it is computed in.

    >>> import numpy as np
    >>> metric = KnownPrecision(outputs=1)
    >>> metric.update_state(np.array([[1.0], [0.0], [np.nan]]), np.array([[2.0], [-2.0], [5.0]]))
    >>> round(float(metric.result()), 3)
    1.0
    """

    def __init__(self, outputs: int, name: str = "map") -> None:
        """Take the number of outputs; what is measured are their logits."""
        super().__init__(name=name, curve="PR", multi_label=True, num_labels=outputs, from_logits=True)

    def update_state(
        self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor, sample_weight: keras.KerasTensor | None = None
    ) -> None:
        """Count a batch: targets and logits, (n, outputs), and weights of the examples, (n,)."""
        known = _known(y_true)
        weight = ops.cast(known, "float32")
        if sample_weight is not None:
            weight *= ops.reshape(sample_weight, (-1, 1))
        super().update_state(ops.where(known, y_true, 0.0), y_pred, sample_weight=weight)


def _known(targets: keras.KerasTensor) -> keras.KerasTensor:
    return ops.logical_not(ops.isnan(targets))
