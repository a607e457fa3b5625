"""What decoding loses: drawings that are only in the alpha channel, and values in the lower part of 16 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data.image.decoding import is_transparent, loaded, opened
from data.image.preparing import deep_values, depth_of

VISIBLE, ON_WHITE, ON_BLACK = range(3)  # without transparency; only on white; only on black
_FLAT = 0.2  # share of its contrast on that background; an image with less has lost it
_CONTRAST = 8.0  # levels; less contrast is not a drawing
_WHOLE = 2**16 - 1
_UNUSED = 0.5  # share of the 16-bit range; images that use less are too dark
_DARK = 0.1  # share of the highest value; a lowest value below it counts as black
_MOST_VALUES = 2**20  # the most values of an image that are examined


def note_lost(statistics: np.void, encoded: bytes) -> None:
    """Set `hidden`, `low` and `high` of a record of `data.auditing.statistics.STATISTICS`: what decoding loses of its image.

    Examples:
        >>> from pathlib import Path
        >>> from data.auditing.statistics import STATISTICS
        >>> statistics = np.zeros(1, STATISTICS)[0]
        >>> Image.fromarray(np.full((8, 8), 900, np.uint16)).save("deep.png")
        >>> note_lost(statistics, Path("deep.png").read_bytes())
        >>> float(statistics["low"]), float(statistics["high"])
        (900.0, 900.0)
        >>> Image.merge("LA", [Image.new("L", (256, 256)), Image.linear_gradient("L")]).save("drawing.png")
        >>> note_lost(statistics, Path("drawing.png").read_bytes())
        >>> int(statistics["hidden"]) == ON_WHITE
        True
    """
    with opened(encoded) as image:
        depth = depth_of(image, encoded)
        if depth <= 8 and not is_transparent(image):
            return
        image.load()
        if depth > 8:
            values = deep_values(image, encoded)
            values = np.ravel(values[..., :3] if values.ndim == 3 else values)
            ends = np.percentile(values[:: 1 + len(values) // _MOST_VALUES], [0.1, 99.9])
            ends = ends * 2.0 ** max(0, 16 - depth)  # a 12-bit file is decoded to 12 bits
            statistics["low"], statistics["high"] = ends
        if is_transparent(image):
            statistics["hidden"] = _hidden(statistics["thumbnail"], loaded(image, lambda one: one.convert("RGBA")))


def _hidden(thumbnail: np.ndarray, image: Image.Image) -> int:
    size = (thumbnail.shape[1], thumbnail.shape[0])
    alpha = np.asarray(image.getchannel("A").resize(size, Image.Resampling.BILINEAR), np.float32)[..., None] / 255
    grounds = [alpha * thumbnail + (1 - alpha) * level for level in (255.0, 0.0)]
    contrasts = [float(one.std(axis=(0, 1)).mean()) for one in (thumbnail, *grounds)]
    best = int(np.argmax(contrasts[1:])) + 1
    return best if contrasts[best] >= _CONTRAST and contrasts[0] < _FLAT * contrasts[best] else VISIBLE


def background_for(statistics: np.ndarray) -> str | None:
    """Return the background that shows all images that are one colour without transparency; None if there are none.

    Args:
        statistics: `data.auditing.statistics.STATISTICS` (n,).

    Examples:
        >>> background_for(np.array([(ON_WHITE,), (VISIBLE,)], [("hidden", "u1")]))
        'white'
        >>> background_for(np.array([(ON_WHITE,), (ON_BLACK,)], [("hidden", "u1")]))
        'gray'
    """
    found = set(statistics["hidden"].tolist()) - {VISIBLE}
    if not found:
        return None
    return "gray" if len(found) > 1 else {ON_WHITE: "white", ON_BLACK: "black"}[found.pop()]


def deep_ones(statistics: np.ndarray) -> np.ndarray:
    """Return which images have more than 8 bits per channel, if together they use less than half of the range: bool (n,).

    Examples:
        >>> deep_ones(np.array([(0, 4095), (0, 0)], [("low", "f4"), ("high", "f4")])).tolist()
        [True, False]
        >>> deep_ones(np.array([(0, 4095), (0, 65535)], [("low", "f4"), ("high", "f4")])).tolist()
        [False, False]
    """
    deep = statistics["high"] > 0
    if not deep.any() or statistics["high"][deep].max() - statistics["low"][deep].min() >= _UNUSED * _WHOLE:
        return np.zeros(len(statistics), bool)
    return deep


def levels_for(statistics: np.ndarray) -> str | None:
    """Return the range of values that the images of `deep_ones` use, as `--levels` takes it; None if there are none.

    Examples:
        >>> levels_for(np.array([(0, 3000)], [("low", "f4"), ("high", "f4")]))
        '0-4095'
        >>> levels_for(np.array([(1000, 3000)], [("low", "f4"), ("high", "f4")]))
        '1000-3000'
    """
    deep = statistics[deep_ones(statistics)]
    if not len(deep):
        return None
    low, high = float(deep["low"].min()), float(deep["high"].max())
    if low < _DARK * high:  # as from a sensor with fewer bits
        return f"0-{2 ** int(np.ceil(np.log2(high + 1))) - 1}"
    return f"{int(low)}-{int(np.ceil(high))}"
