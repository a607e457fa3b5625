"""Figures as text that agrees with what was decided by them: rounding must not turn a loss of 0.52 into the 0.5 allowed."""

from __future__ import annotations


def beyond(value: float, limit: float, *, digits: int = 1, kind: str = "f") -> str:
    """A figure with as many digits as show on which side of a limit it lies.

    Args:
        value: the figure, which is not the limit.
        limit: what it is compared with.
        digits: the fewest.
        kind: "f" to count digits behind the point, "g" from the first.
    """
    texts = (f"{value:.{number}{kind}}" for number in range(digits, 17))
    return next((text for text in texts if (float(text) - limit) * (value - limit) > 0), f"{value!r}")


def percent(share: float) -> str:
    """A part of 1 in percent. Only all of it is 100.0 %, and only nothing 0.0 %."""
    for limit in (0.0, 1.0):
        if share != limit and f"{share:.1%}" == f"{limit:.1%}":
            return f"{beyond(100 * share, 100 * limit)}%"
    return f"{share:.1%}"
