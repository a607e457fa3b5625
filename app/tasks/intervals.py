"""Confidence intervals of the differences between two models, and their text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def interval(low_high: Sequence[float]) -> str:
    """Format a 95 % interval as text.

    Examples:
        >>> interval((0.207, 0.938))
        '0.207 – 0.938'
        >>> interval([-0.01, 0.25])
        '-0.010 – 0.250'
    """
    low, high = low_high
    return f"{low:.3f} – {high:.3f}"


def paired_interval(lost: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % interval of the drop in accuracy between two models on the same images.

    Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
    J. Educ. Behav. Stat. 37 (2012): the Wald interval after adding one image to each kind of disagreement.

    Args:
        lost: for each image 1 if only the first model is right, -1 if only the second is, else 0.

    Returns:
        Both ends, as parts of 1.

    Examples:
        >>> low, high = paired_interval(np.zeros(100))
        >>> round(low, 3), round(high, 3)
        (-0.027, 0.027)
        >>> low, high = paired_interval(np.array([1] * 20 + [0] * 80))
        >>> round(low, 3), round(high, 3)
        (0.114, 0.278)
    """
    total = len(lost) + 2
    only_first, only_second = ((lost == 1).sum() + 1) / total, ((lost == -1).sum() + 1) / total
    middle = only_first - only_second
    half = 1.959964 * np.sqrt((only_first + only_second - middle**2) / total)
    return max(-1.0, float(middle - half)), min(1.0, float(middle + half))


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Compute the normal 95 % interval of a mean drop over images, float (n,), in parts of 1; -1 to 1 for one image.

    Examples:
        >>> [round(float(end), 3) for end in mean_interval(np.array([0.1, 0.2, 0.3]))]
        [0.087, 0.313]
        >>> mean_interval(np.array([0.1]))
        (-1.0, 1.0)
    """
    if len(values) == 1:
        return -1.0, 1.0
    half = 1.959964 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half
