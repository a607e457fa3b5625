"""Loss and metric of several yes/no labels per example, some of which may be unknown: NaN among the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def known_crossentropy(label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Return the binary cross-entropy of logits, to which unknown targets add nothing.

    The loss of an example is the sum over its known targets, divided by the number of all targets: an example with few known
    targets has little weight.

    Args:
        label_smoothing: the part of each target, in [0, 1), that is moved to the middle between yes and no.

    Examples:
        >>> import numpy as np
        >>> loss = known_crossentropy()
        >>> round(float(loss(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))), 3)
        0.693
        >>> round(float(loss(np.array([[1.0, np.nan]]), np.array([[0.0, 9.0]]))), 3)
        0.347
    """
    import keras
    from keras import ops

    class KnownCrossentropy(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
        """From targets and logits, (n, outputs), to per-example losses, (n,)."""

        def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
            known = _known(y_true)
            targets = ops.where(known, y_true, 0.0) * (1.0 - label_smoothing) + 0.5 * label_smoothing
            losses = ops.binary_crossentropy(targets, y_pred, from_logits=True)
            return ops.mean(ops.where(known, losses, 0.0), axis=-1)

    return KnownCrossentropy(name="known_crossentropy")


def known_precision(outputs: int) -> keras.metrics.Metric:
    """Return the area under the precision-recall curve, averaged over outputs, each over the examples where its label is known.

    It approximates the average precision, by interpolation between 200 thresholds.

    Args:
        outputs: number of outputs; the metric takes their logits.

    Examples:
        >>> import numpy as np
        >>> metric = known_precision(outputs=1)
        >>> metric.update_state(np.array([[1.0], [0.0], [np.nan]]), np.array([[2.0], [-2.0], [5.0]]))
        >>> round(float(metric.result()), 3)
        1.0
        >>> metric.update_state(np.array([[0.0]]), np.array([[3.0]]))  # a no, with more confidence than the yes
        >>> round(float(metric.result()), 3)
        0.307
    """
    import keras
    from keras import ops

    class KnownPrecision(keras.metrics.AUC):  # type: ignore[misc]  # Keras has no types
        """Updated with batches of targets and logits, (n, outputs), and weights of the examples, (n,)."""

        def update_state(
            self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor, sample_weight: keras.KerasTensor | None = None
        ) -> None:
            known = _known(y_true)
            weight = ops.cast(known, "float32")
            if sample_weight is not None:
                weight *= ops.reshape(sample_weight, (-1, 1))
            super().update_state(ops.where(known, y_true, 0.0), y_pred, sample_weight=weight)

    return KnownPrecision(name="map", curve="PR", multi_label=True, num_labels=outputs, from_logits=True)


def _known(targets: keras.KerasTensor) -> keras.KerasTensor:
    from keras import ops

    return ops.logical_not(ops.isnan(targets))
