"""Plots, made only from saved numbers, so that they can be redrawn without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.evaluation.calibration import BINS, Reliability, calibration_error, error_by_chance
from app.evaluation.calibration import reliability as reliability_of
from app.evaluation.metrics import average_precisions
from data.files import atomic_write
from data.labels import UNKNOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT_BLUE = "#93c5fd"
BLUE, ORANGE, RED, GREY, LIGHT_GREY = "#2563eb", "#ea580c", "#dc2626", "#6b7280", "#d1d5db"
METRIC_TITLES = {"map": "mean average precision", "r2": "R²"}
SPLIT_COLOURS = (BLUE, ORANGE, GREY)  # of training, validation and test
_WIDTH = 10.0  # of the figures of images, in inches
_COLUMNS = 9  # images in a row
# In sides of an image: around an image, between an image with its views and the next, and above an image for its caption.
_MARGIN, _GAP, _CAPTION = 0.02, 0.15, 0.17
_LETTERS = 13  # of a caption, per inch
_NAMED_BARS = 30  # largest number of classes that are named
_MOST_HISTOGRAMS = 6
_MOST_CURVES = 10


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically.

    Examples:
        >>> save_figure(confusion([[3, 1], [0, 4]], ["apple", "pear"]), Path("confusion.png"))
        >>> Path("confusion.png").read_bytes()[1:4]
        b'PNG'
        >>> sorted(path.name for path in Path().glob("confusion*"))
        ['confusion.png']
    """
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight", format="png")


def _figure(**options: Any) -> Figure:
    from matplotlib.figure import Figure  # slow to import

    return Figure(**options)


def curves(history: Sequence[dict[str, Any]], metric: str, best: dict[str, Any]) -> Figure:
    """Plot a metric of the history and the loss against epochs, for training and validation.

    A line marks the start of a phase, and a ring the epoch whose weights are kept, `best`.

    Examples:
        >>> record = {"phase": "head", "epoch": 1, "loss": 0.5, "val_loss": 0.6, "accuracy": 0.8, "val_accuracy": 0.7}
        >>> history = [record, {**record, "epoch": 2}]
        >>> len(curves(history, "accuracy", best=history[1]).axes)
        2
        >>> [axes.get_xlabel() for axes in curves(history, "accuracy", best=history[1]).axes]
        ['epoch', 'epoch']
    """
    figure = _figure(figsize=(10, 4))
    epochs = np.arange(1, len(history) + 1)
    starts = [i + 1 for i in range(1, len(history)) if history[i]["phase"] != history[i - 1]["phase"]]
    for axes, name in zip(figure.subplots(1, 2), (metric, "loss"), strict=True):
        axes.plot(epochs, [one[name] for one in history], "o-", ms=3, color=BLUE, label="training (augmented)")
        axes.plot(epochs, [one[f"val_{name}"] for one in history], "o-", ms=3, color=ORANGE, label="validation")
        kept = 1 + [(one["phase"], one["epoch"]) for one in history].index((best["phase"], best["epoch"]))
        axes.plot(kept, best[f"val_{name}"], "o", ms=9, mfc="none", color=ORANGE, label="weights kept")
        for start in starts:
            axes.axvline(
                start - 0.5, color=GREY, ls="--", lw=1, label=f"{history[start - 1]['phase'].replace('_', '-')} begins"
            )
        axes.set(xlabel="epoch", title=METRIC_TITLES.get(name, name))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def confusion(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """Plot the confusion matrix: shares of each true class as colour, counts as text while they are readable.

    Examples:
        >>> figure = confusion([[3, 1], [0, 4]], ["apple", "pear"])
        >>> [axes.get_xlabel() for axes in figure.axes][:1]
        ['predicted']
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['3', '1', '4']
    """
    matrix = np.array(counts)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(1.5 + 0.5 * len(class_names), 4, 30))
    figure = _figure(figsize=(side + 1, side))
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    ticks = range(len(class_names))
    axes.set_xticks(ticks, [short(name) for name in class_names], rotation=45, ha="right")
    axes.set_yticks(ticks, [short(name) for name in class_names])
    axes.set(xlabel="predicted", ylabel="true", title="Test images")
    if len(class_names) <= 30:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=9)
    return figure


def predictions(examples: np.ndarray, captions: Sequence[tuple[str, bool]]) -> Figure:
    """Plot a grid of images under their predictions, which are red if they are wrong.

    Args:
        examples: uint8 (n, size, size, 3).
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
    columns = min(6, len(examples))
    rows = -(-len(examples) // columns)
    figure = _figure(figsize=(2 * columns, 2.4 * rows))
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, (text, right) in zip(grid, examples, captions, strict=False):
        axes.imshow(image)
        axes.set_title(text, fontsize=8, color="black" if right else RED)
    figure.tight_layout()
    return figure


def reliability(versions: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Plot how often decisions are right against their confidence: on the diagonal if probabilities are calibrated.

    Larger points stand for more decisions; each point has a 95 % interval.

    Args:
        versions: by name, the confidence of each decision, float (n,) in [0, 1], and whether it is right, bool (n,).

    Examples:
        >>> figure = reliability({"test": (np.array([0.9, 0.8, 0.7]), np.array([True, True, False]))})
        >>> figure.axes[0].get_ylabel() == figure.axes[1].get_ylabel()
        False
        >>> len(figure.axes)
        2
    """
    figure = _figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="as often right as it says")
    for (name, (confidence, right)), colour in zip(versions.items(), (LIGHT_BLUE, BLUE)[-len(versions) :], strict=True):
        bins = reliability_of(confidence, right)
        filled = bins.counts > 0
        error, chance = calibration_error(confidence, right), error_by_chance(confidence)
        label = f"{name}: calibration error {error:.3f} (by chance {chance:.3f})"
        places, heights = bins.confidence[filled], bins.accuracy[filled]
        above.errorbar(places, heights, _wilson(bins, filled), fmt="none", color=colour, lw=1)
        sizes = 10 + 120 * bins.counts[filled] / bins.counts.max()
        above.scatter(places, heights, sizes, color=colour, label=label)
        below.stairs(bins.counts, np.linspace(0, 1, BINS + 1), color=colour, fill=name == next(iter(versions)))
    above.set(ylabel="part that is right", title="Test images", xlim=(0, 1.02), ylim=(0, 1.05))
    below.set(xlabel="probability", ylabel="decisions", yscale="symlog")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center")
    return figure


def _wilson(bins: Reliability, filled: np.ndarray) -> np.ndarray:
    """Return how far the 95 % interval of each accuracy (Wilson 1927) extends below and above it, (2, bins)."""
    from scipy.stats import binomtest

    reach = []
    for accuracy, count in zip(bins.accuracy[filled], bins.counts[filled], strict=True):
        interval = binomtest(round(accuracy * count), int(count)).proportion_ci(0.95, method="wilson")
        reach.append((max(0.0, accuracy - interval.low), max(0.0, interval.high - accuracy)))
    return np.array(reach).T


def precision_recall(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray
) -> Figure:
    """Plot precision against recall for each class, with a dot at its threshold; with many classes, only for the weakest.

    Args:
        probabilities: float (n, classes).
        labels: (n, classes), as in `data.labels.MultiLabel`; unknown labels are left out.
        class_names: a name for each class.
        thresholds: (classes,).

    Examples:
        >>> probabilities, labels = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[1, 0], [0, 1]])
        >>> figure = precision_recall(probabilities, labels, ["dog", "cat"], np.array([0.5, 0.5]))
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('recall', 'precision')
        >>> len(figure.axes)
        1
    """
    from sklearn.metrics import precision_recall_curve

    known, truth = labels != UNKNOWN, labels > 0.5
    probabilities = np.where(known, probabilities, -1.0)
    precisions = average_precisions(probabilities, truth)
    present = np.flatnonzero(truth.any(axis=0))
    shown = present[np.argsort(precisions[present], kind="stable")][:_MOST_CURVES]
    figure = _figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for label in shown:
        some = known[:, label]
        precision, recall, _ = precision_recall_curve(truth[some, label], probabilities[some, label])
        (line,) = axes.step(
            recall, precision, where="post", lw=1.5, label=f"{short(class_names[label])}: {precisions[label]:.3f}"
        )
        decided = probabilities[:, label] >= thresholds[label]
        hits = (decided & truth[:, label]).sum()
        if decided.any():
            axes.plot(hits / truth[:, label].sum(), hits / decided.sum(), "o", color=line.get_color())
    some = f" (the weakest {len(shown)} of {len(present)} classes)" if len(shown) < len(present) else ""
    axes.set(xlabel="recall", ylabel="precision", title=f"Test images{some}", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, title="average precision")
    return figure


def scatter(predictions: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Figure:
    """Plot predictions against labels for each number; right predictions lie on the line.

    Args:
        predictions: float (n, numbers).
        labels: float (n, numbers).
        names: a name for each number.

    Examples:
        >>> labels = np.array([[1.0], [2.0], [3.0]])
        >>> len(scatter(labels + 0.1, labels, ["weight"]).axes)
        1
        >>> len(scatter(np.zeros((3, 2)), np.ones((3, 2)), ["weight", "length"]).axes) >= 2
        True
    """
    shown = names[:_MOST_HISTOGRAMS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = _figure(figsize=(4.2 * columns, 4 * rows), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid[len(shown) :]:
        axes.axis("off")
    for position, (axes, name) in enumerate(zip(grid, shown, strict=False)):
        truth, answer = labels[:, position], predictions[:, position]
        ends = [float(min(truth.min(), answer.min())), float(max(truth.max(), answer.max()))]
        axes.plot(ends, ends, color=GREY, lw=1, ls="--")
        axes.plot(truth, answer, "o", ms=3, alpha=0.5, color=BLUE)
        axes.set(xlabel="true", ylabel="predicted", title=short(name), aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def classes(
    counts: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    examples: Sequence[np.ndarray | None],
    captions: Sequence[str],
    title: str,
) -> Figure:
    """Plot the number of images of each class in each split, above some images.

    Args:
        counts: by split, int (classes,).
        class_names: a name for each class.
        examples: uint8 (size, size, 3), the same number for each caption; None for an empty place.
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
    figure, (axes,) = _above_images(1, height, examples, captions, title)
    if named:
        _named_bars(axes, counts, class_names)
    else:
        _ranked_bars(axes, counts, class_names)
    axes.legend(frameon=False, ncols=len(counts), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def numbers(
    values: Mapping[str, np.ndarray],
    names: Sequence[str],
    examples: Sequence[np.ndarray | None],
    captions: Sequence[str],
    title: str,
) -> Figure:
    """Plot the distribution of the target numbers in each split, above some images.

    Args:
        values: by split, float (images, numbers).
        names: a name for each number.
        examples: as for `classes`.
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
    figure, charts = _above_images(len(shown), 2.0, examples, captions, title)
    for position, (axes, name) in enumerate(zip(charts, shown, strict=True)):
        of_number = [split[:, position] for split in values.values()]
        axes.hist(of_number, bins=30, stacked=True, color=SPLIT_COLOURS[: len(values)], label=list(values))
        axes.set(xlabel=short(name), ylabel="images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    charts[0].legend(frameon=False, ncols=len(values), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def views(examples: Sequence[np.ndarray], headings: Sequence[str], title: str) -> Figure:
    """Plot images and their augmented views.

    Args:
        examples: for each image uint8 (1 + views, size, size, 3), the image itself first.
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
    rows = -(-len(examples) // beside)
    figure = _figure(figsize=(_WIDTH, 0.6 + rows * _side(len(headings), beside)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = figure.subplots()
    _wall(axes, [one for of_image in examples for one in of_image], len(headings), beside, above=0)
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
    count: int, height: float, examples: Sequence[np.ndarray | None], captions: Sequence[str], title: str
) -> tuple[Figure, list[Axes]]:
    """Create a figure with room for charts of this height, in inches, above a grid of images; return the charts' axes too."""
    places = len(examples) // len(captions)
    beside = beside_each_other(places)
    pitch, side = 1 + _CAPTION, _side(places, beside)
    wall = 0.3 + -(-len(captions) // beside) * pitch * side
    figure = _figure(figsize=(_WIDTH, count * height + wall), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[count * height, wall], squeeze=False)[:, 0]
    upper.suptitle(title, x=0.01, ha="left", fontsize=11)
    lower.suptitle("Training images", x=0.01, ha="left", fontsize=11)
    charts = list(upper.subplots(count, 1, squeeze=False)[:, 0])
    axes = lower.subplots()
    _wall(axes, examples, places, beside, above=_CAPTION)
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


def _wall(axes: Axes, examples: Sequence[np.ndarray | None], places: int, beside: int, *, above: float) -> None:
    """Draw images in groups of `places`, `beside` groups in a row, each image a square of side 1, with room above it."""
    from matplotlib.patches import Rectangle

    for number, image in enumerate(examples):
        group, place = divmod(number, places)
        left, top = group % beside * (places + _GAP) + place, group // beside * (1 + above) + above
        if image is not None:
            side = 1 - 2 * _MARGIN
            left, top = left + _MARGIN, top + _MARGIN
            axes.imshow(image, extent=(left, left + side, top + side, top))
            axes.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=LIGHT_GREY, linewidth=0.5))
    rows = -(-len(examples) // (places * beside))
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


def short(name: str, length: int = 20) -> str:
    """Shorten a name to fit into a figure, and escape formulas.

    Examples:
        >>> short("apple")
        'apple'
        >>> short("a very long name of a class", length=10)
        'a very lo…'
    """
    shown = name if len(name) <= length else name[: length - 1] + "…"
    return shown.replace("$", r"\$")  # Matplotlib would read text between two of them as a formula
