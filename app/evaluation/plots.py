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
    from matplotlib.figure import Figure

LIGHT_BLUE = "#93c5fd"
BLUE, ORANGE, RED, GREY, LIGHT_GREY = "#2563eb", "#ea580c", "#dc2626", "#6b7280", "#d1d5db"
METRIC_TITLES = {"map": "mean average precision", "r2": "R²"}
SPLIT_COLOURS = (BLUE, ORANGE, GREY)  # of training, validation and test
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
    path.parent.mkdir(exist_ok=True)  # git and some archives lose an empty folder of an interrupted run
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight", format="png")


def blank_figure(**options: Any) -> Figure:
    """Return an empty figure; options are those of `matplotlib.figure.Figure`.

    Examples:
        >>> blank_figure(figsize=(8, 5)).get_size_inches().tolist()
        [8.0, 5.0]
        >>> blank_figure(layout="constrained").axes
        []
    """
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
    figure = blank_figure(figsize=(10, 4))
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
    figure = blank_figure(figsize=(side + 1, side))
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
    figure = blank_figure(figsize=(8, 5), layout="constrained")
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
    figure = blank_figure(figsize=(8, 5), layout="constrained")
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
    figure = blank_figure(figsize=(4.2 * columns, 4 * rows), layout="constrained")
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
