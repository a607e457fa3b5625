"""Figures as text that agrees with the decision made on them: a loss of 0.52 must not be rounded to the allowed 0.5."""

from __future__ import annotations


def beyond(value: float, limit: float, *, digits: int = 1, kind: str = "f") -> str:
    """Format a figure with as many digits as show on which side of a limit it lies.

    Args:
        value: the figure; differs from the limit.
        limit: value that the figure is compared with.
        digits: least number of digits.
        kind: "f" counts digits after the decimal point, "g" significant digits.

    Examples:
        >>> beyond(0.52, 0.5)
        '0.52'
        >>> beyond(0.5200001, 0.52, digits=2, kind="g")
        '0.5200001'
    """
    texts = (f"{value:.{number}{kind}}" for number in range(digits, 17))
    return next((text for text in texts if (float(text) - limit) * (value - limit) > 0), f"{value!r}")


def percent(share: float) -> str:
    """Format a share of 1 in percent. Only 1 gives 100.0 %, and only 0 gives 0.0 %.

    Examples:
        >>> percent(0.125)
        '12.5%'
        >>> percent(0.9999)
        '99.99%'
    """
    for limit in (0.0, 1.0):
        if share != limit and f"{share:.1%}" == f"{limit:.1%}":
            return f"{beyond(100 * share, 100 * limit)}%"
    return f"{share:.1%}"
