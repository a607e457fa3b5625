"""Direct solvers of a head on cached features, for `Phase.solver`."""

from __future__ import annotations

from app.training.inputs import CachedInputs
from app.training.linear import LinearHead, fit_linear_head


def linear_head(inputs: CachedInputs) -> LinearHead:
    """Fit logistic or ridge regression, by the loss of the objective; the penalty is chosen on validation.

    Examples:
        >>> from pathlib import Path
        >>> import keras
        >>> import numpy as np
        >>> from app.training.fit_data import FitData
        >>> from app.training.objectives import LabelObjective
        >>> from data.cache.activations import ActivationCache
        >>> from data.cache.partition import Partition
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> partition = Partition(ActivationCache(Path("cache"), 10**9), {}, shape=(3,))
        >>> every, keys = np.arange(24), [f"{number:064x}-plain" for number in range(24)]
        >>> with partition.writer() as writer:
        ...     writer.add(keys, np.eye(3)[every // 8])  # features that tell the classes apart
        >>> loader, rows = Loader(open_source("images"), ImageTransform(8, "stretch")), partition.rows(keys)
        >>> data = FitData(loader, train=every, validation=every, batch_size=8, seed=0)
        >>> head = linear_head(CachedInputs(keras.Sequential(), data, LabelObjective(data), rows, rows))
        >>> head.logits(np.eye(3)).argmax(axis=1).tolist()
        [0, 1, 2]
        >>> head.kernel.shape, head.bias.shape
        ((3, 3), (3,))
    """
    return fit_linear_head(
        inputs.training_blocks(),
        inputs.objective.linear_loss,
        lambda head: inputs.validation_figures(head.logits)["val_loss"],
    )
