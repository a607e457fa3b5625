"""What decoding loses: drawings in the alpha channel alone, and values in the lower part of 16 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data.image.decoding import loaded, opened
from data.image.preparing import deep_values, depth_of, is_transparent

VISIBLE, ON_WHITE, ON_BLACK = range(3)  # with its transparency dropped; only on a white ground; only on a black one
_FLAT = 0.2  # of its contrast on that ground, below which an image has lost it
_CONTRAST = 8.0  # levels: less is no drawing
_WHOLE = 2**16 - 1
_UNUSED = 0.5  # of the 16 bits' range, above which an image is called too dark
_DARK = 0.1  # of the highest value, below which the lowest counts as black
_MOST_VALUES = 2**20  # that are looked at


def note_lost(statistics: np.void, encoded: bytes) -> None:
    """Note in a record of `data.auditing.statistics.STATISTICS` what its image loses when it is decoded."""
    with opened(encoded) as image:
        depth = depth_of(image, encoded)
        if depth <= 8 and not is_transparent(image):
            return
        image.load()
        if depth > 8:
            values = deep_values(image, encoded)
            values = np.ravel(values[..., :3] if values.ndim == 3 else values)
            ends = np.percentile(values[:: 1 + len(values) // _MOST_VALUES], [0.1, 99.9])
            ends = ends * 2.0 ** max(0, 16 - depth)  # a file of 12 bits is decoded as such
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
    """The ground on which all images can be seen that are in one colour without their transparency; None without such.

    Args:
        statistics: `data.auditing.statistics.STATISTICS` (n,).
    """
    found = set(statistics["hidden"].tolist()) - {VISIBLE}
    if not found:
        return None
    return "gray" if len(found) > 1 else {ON_WHITE: "white", ON_BLACK: "black"}[found.pop()]


def deep_ones(statistics: np.ndarray) -> np.ndarray:
    """Which images have more than 8 bits a channel and, all together, use less than half of what these can say: bool (n,)."""
    deep = statistics["high"] > 0
    if not deep.any() or statistics["high"][deep].max() - statistics["low"][deep].min() >= _UNUSED * _WHOLE:
        return np.zeros(len(statistics), bool)
    return deep


def levels_for(statistics: np.ndarray) -> str | None:
    """The range of values that such images use, as `--levels` takes it; None without such."""
    deep = statistics[deep_ones(statistics)]
    if not len(deep):
        return None
    low, high = float(deep["low"].min()), float(deep["high"].max())
    if low < _DARK * high:  # as of a sensor with fewer bits
        return f"0-{2 ** int(np.ceil(np.log2(high + 1))) - 1}"
    return f"{int(low)}-{int(np.ceil(high))}"
