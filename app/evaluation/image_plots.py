"""Figures with images in them: predictions, views, and what is in each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from app.evaluation.plots import LIGHT_GREY, RED, SPLIT_COLOURS, blank_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 10.0  # of the figures of images, in inches
_COLUMNS = 9  # images in a row
# In sides of an image: around an image, between an image with its views and the next, and above an image for its caption.
_MARGIN, _GAP, _CAPTION = 0.02, 0.15, 0.17
_LETTERS = 13  # of a caption, per inch
_NAMED_BARS = 30  # largest number of classes that are named
_MOST_HISTOGRAMS = 6


def predictions(images: np.ndarray, captions: Sequence[tuple[str, bool]]) -> Figure:
    """Plot a grid of images under their predictions, which are red if they are wrong.

    Args:
        images: uint8 (n, size, size, 3).
        captions: for each image the text, of one or two lines, and whether the prediction is right.

    Examples:
        >>> images = np.zeros((2, 8, 8, 3), np.uint8)
        >>> figure = predictions(images, [("apple 90%", True), ("pear 60%", False)])
        >>> texts = [text for axes in figure.axes for text in [axes.title, *axes.texts] if text.get_text()]
        >>> [text.get_text() for text in texts]
        ['apple 90%', 'pear 60%']
        >>> texts[0].get_color() == texts[1].get_color()
        False
    """
    columns = min(6, len(images))
    rows = -(-len(images) // columns)
    figure = blank_figure(figsize=(2 * columns, 2.4 * rows))
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, (text, right) in zip(grid, images, captions, strict=False):
        axes.imshow(image)
        axes.set_title(text, fontsize=8, color="black" if right else RED)
    figure.tight_layout()
    return figure


def classes(
    counts: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    images: Sequence[np.ndarray | None],
    captions: Sequence[str],
    title: str,
) -> Figure:
    """Plot the number of images of each class in each split, above some images.

    Args:
        counts: by split, int (classes,).
        class_names: a name for each class.
        images: uint8 (size, size, 3), the same number for each caption; None for an empty place.
        captions: a caption for each image or group of images in a row.
        title: title of the figure.

    Examples:
        >>> images, counts = [np.zeros((8, 8, 3), np.uint8)] * 2, {"train": np.array([5, 3]), "test": np.array([1, 1])}
        >>> figure = classes(counts, ["apple", "pear"], images, ["apple", "pear"], "Two fruits")
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['train', 'test']
        >>> len(figure.axes)
        2
    """
    named = len(class_names) <= _NAMED_BARS
    height = 0.9 + 0.24 * len(class_names) if named else 3.0
    figure, (axes,) = _above_images(1, height, images, captions, title)
    if named:
        _named_bars(axes, counts, class_names)
    else:
        _ranked_bars(axes, counts, class_names)
    axes.legend(frameon=False, ncols=len(counts), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def numbers(
    values: Mapping[str, np.ndarray],
    names: Sequence[str],
    images: Sequence[np.ndarray | None],
    captions: Sequence[str],
    title: str,
) -> Figure:
    """Plot the distribution of the target numbers in each split, above some images.

    Args:
        values: by split, float (images, numbers).
        names: a name for each number.
        images: as for `classes`.
        captions: as for `classes`.
        title: title of the figure.

    Examples:
        >>> images, values = [np.zeros((8, 8, 3), np.uint8)], {"train": np.array([[1.0], [2.0]]), "test": np.array([[1.5]])}
        >>> figure = numbers(values, ["weight"], images, ["1.0"], "Weights")
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['train', 'test']
        >>> len(figure.axes)
        2
    """
    from matplotlib.ticker import MaxNLocator

    shown = names[:_MOST_HISTOGRAMS]
    figure, charts = _above_images(len(shown), 2.0, images, captions, title)
    for position, (axes, name) in enumerate(zip(charts, shown, strict=True)):
        of_number = [split[:, position] for split in values.values()]
        axes.hist(of_number, bins=30, stacked=True, color=SPLIT_COLOURS[: len(values)], label=list(values))
        axes.set(xlabel=short(name), ylabel="images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    charts[0].legend(frameon=False, ncols=len(values), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def views(images: Sequence[np.ndarray], headings: Sequence[str], title: str) -> Figure:
    """Plot images and their augmented views.

    Args:
        images: for each image uint8 (1 + views, size, size, 3), the image itself first.
        headings: headings of the columns.
        title: title of the figure.

    Examples:
        >>> figure = views([np.zeros((3, 8, 8, 3), np.uint8)], ["image", "view 1", "view 2"], "Augmentation")
        >>> figure.get_suptitle()
        'Augmentation'
        >>> len(figure.axes)
        1
    """
    beside = beside_each_other(len(headings))
    rows = -(-len(images) // beside)
    figure = blank_figure(figsize=(_WIDTH, 0.6 + rows * _side(len(headings), beside)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = figure.subplots()
    _wall(axes, [one for of_image in images for one in of_image], len(headings), beside, above=0)
    for number, heading in enumerate([*headings] * beside):
        left = number + number // len(headings) * _GAP
        axes.text(left + 0.5, -0.04, heading, ha="center", va="bottom", fontsize=9)
    return figure


def beside_each_other(places: int) -> int:
    """Return how many images fit in a row of a figure of `views`, if each takes `places` places.

    Examples:
        >>> beside_each_other(1)
        9
        >>> beside_each_other(3)
        3
    """
    return max(1, _COLUMNS // places)


def _above_images(
    count: int, height: float, images: Sequence[np.ndarray | None], captions: Sequence[str], title: str
) -> tuple[Figure, list[Axes]]:
    """Create a figure with room for charts of this height, in inches, above a grid of images; return the charts' axes too."""
    places = len(images) // len(captions)
    beside = beside_each_other(places)
    pitch, side = 1 + _CAPTION, _side(places, beside)
    wall = 0.3 + -(-len(captions) // beside) * pitch * side
    figure = blank_figure(figsize=(_WIDTH, count * height + wall), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[count * height, wall], squeeze=False)[:, 0]
    upper.suptitle(title, x=0.01, ha="left", fontsize=11)
    lower.suptitle("Training images", x=0.01, ha="left", fontsize=11)
    charts = list(upper.subplots(count, 1, squeeze=False)[:, 0])
    axes = lower.subplots()
    _wall(axes, images, places, beside, above=_CAPTION)
    for number, caption in enumerate(captions):
        left, top = number % beside * (places + _GAP), number // beside * pitch + _CAPTION
        text = short(caption, round(places * side * _LETTERS))
        axes.text(left + _MARGIN, top - 0.02, text, ha="left", va="bottom", fontsize=9)
    for chart in charts:
        chart.spines[["top", "right"]].set_visible(False)
    return figure, charts


def _side(places: int, beside: int) -> float:
    """Return the side of an image, in inches, if `beside` groups of `places` images fill the width of a figure."""
    return _WIDTH / (beside * (places + _GAP) - _GAP)


def _wall(axes: Axes, images: Sequence[np.ndarray | None], places: int, beside: int, *, above: float) -> None:
    """Draw images in groups of `places`, `beside` groups in a row, each image a square of side 1, with room above it."""
    from matplotlib.patches import Rectangle

    for number, image in enumerate(images):
        group, place = divmod(number, places)
        left, top = group % beside * (places + _GAP) + place, group // beside * (1 + above) + above
        if image is not None:
            side = 1 - 2 * _MARGIN
            left, top = left + _MARGIN, top + _MARGIN
            axes.imshow(image, extent=(left, left + side, top + side, top))
            axes.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=LIGHT_GREY, linewidth=0.5))
    rows = -(-len(images) // (places * beside))
    axes.set(xlim=(0, beside * (places + _GAP) - _GAP), ylim=(rows * (1 + above), 0), aspect="equal")
    axes.axis("off")


def _named_bars(axes: Axes, counts: Mapping[str, np.ndarray], class_names: Sequence[str]) -> None:
    start = np.zeros(len(class_names))
    for (split, count), colour in zip(counts.items(), SPLIT_COLOURS, strict=False):
        bars = axes.barh(range(len(class_names)), count, left=start, color=colour, label=split)
        start = start + count
    axes.bar_label(bars, [f"{total:,.0f}" for total in start], padding=3, fontsize=9)
    axes.set_yticks(range(len(class_names)), [short(name) for name in class_names])
    axes.invert_yaxis()
    axes.set(xlabel="images")


def _ranked_bars(axes: Axes, counts: Mapping[str, np.ndarray], class_names: Sequence[str]) -> None:
    """Draw bars for more classes than can be named: the largest first, with names at both ends."""
    totals = np.sum(list(counts.values()), axis=0)
    order = np.argsort(-totals, kind="stable")
    start = np.zeros(len(order))
    for (split, count), colour in zip(counts.items(), SPLIT_COLOURS, strict=False):
        axes.bar(range(1, len(order) + 1), count[order], width=1.0, bottom=start, color=colour, label=split)
        start = start + count[order]
    ends = [f"{short(class_names[one])} ({totals[one]:,})" for one in (*order[:3], *order[-3:])]
    axes.set(xlabel="classes, the largest first", ylabel="images", xlim=(0.5, len(order) + 0.5))
    axes.set_title(f"most: {', '.join(ends[:3])}\nfewest: {', '.join(ends[3:])}", loc="left", fontsize=9)
