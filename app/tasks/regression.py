"""Task: numbers, one or several a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from app.evaluation.metrics import measure_regression
from app.tasks.task import Goal, Metrics, Task, mean_interval

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure


def _new_metric(_: int) -> keras.metrics.Metric:
    import keras

    return keras.metrics.R2Score(name="r2")


def _loss(label_smoothing: float) -> keras.losses.Loss:
    import keras

    return keras.losses.MeanSquaredError()


def _targets(labels: np.ndarray, outputs: int) -> np.ndarray:
    return labels.astype(np.float32)


def _smooth(targets: np.ndarray, share: float) -> np.ndarray:
    return targets  # numbers have no other classes to be spread over


def _linear_loss(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    errors = logits - targets
    return np.square(errors).sum(axis=1), 2 * errors


def _choose_thresholds(answers: np.ndarray, labels: np.ndarray, goal: Goal) -> None:
    return None


def _highlights(test: Metrics) -> list[tuple[str, str]]:
    return [
        (
            f"{test['mae']:.4g}",
            f"mean absolute error on {test['n']} test pictures, 95 % interval {_mae_interval(test)}",
        ),
        (f"{test['rmse']:.4g}", "root mean square error"),
        (f"{test['r2']:.3f}", "R², the part of the variance that is explained"),
    ]


def _mae_interval(one: Metrics) -> str:
    if one["mae_ci95"] is None:
        return "unknown"  # of one picture
    low, high = one["mae_ci95"]
    return f"{low:.4g} – {high:.4g}"


def _details(test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
    names = sorted(test["numbers"], key=lambda name: test["numbers"][name]["r2"])
    rows: list[Sequence[Any]] = [
        (name, f"{one['mae']:.4g}", f"{one['rmse']:.4g}", f"{one['r2']:.3f}")
        for name in names
        for one in [test["numbers"][name]]
    ]
    return ("number", "MAE", "RMSE", "R²"), rows


def _figures(answers: np.ndarray, labels: np.ndarray, names: Sequence[str], thresholds: None) -> dict[str, Figure]:
    from app.evaluation import plots

    return {"scatter": plots.scatter(answers, labels, names)}


def _caption(answers: np.ndarray, label: np.ndarray, names: Sequence[str], thresholds: None) -> tuple[str, bool]:
    from app.evaluation.plots import short

    def text(numbers: np.ndarray) -> str:
        return short(", ".join(f"{number:.4g}" for number in numbers), 28)

    return f"{text(answers)}\nis {text(label)}", True


def _surprise(answers: np.ndarray, labels: np.ndarray, thresholds: None) -> np.ndarray:
    return (np.abs(answers - labels) / _spread(labels)).max(axis=1)


def _spread(labels: np.ndarray) -> np.ndarray:
    """The standard deviation of each number over the pictures; 1 where all are the same."""
    spread = labels.astype(np.float64).std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def standardization(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What numbers are divided by to be learned, and subtracted before: their spread and their mean.

    After that they have a mean of 0 and a standard deviation of 1, whatever their unit.

    Args:
        labels: of the training pictures, (n, numbers).

    Returns:
        Both float32 (numbers,); the spread is 1 where all are the same.
    """
    return _spread(labels).astype(np.float32), labels.astype(np.float64).mean(axis=0).astype(np.float32)


def _agreement(
    answers: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    thresholds: None,
    spread: np.ndarray | None = None,
) -> Metrics:
    """See `app.exporting.parity.agreement`; differences are in standard deviations, those of the training pictures if given.

    A few test pictures may have nearly the same numbers; their own spread would make differences of no importance large.
    `resolution` is the step from one float32 to the next at the largest of the numbers, in standard deviations too.
    """
    own = _spread(labels)
    if spread is not None:
        own = np.where(labels.std(axis=0) > 0, own, spread)
    spread = own if spread is None else spread
    errors, expected_errors = (np.square((one - labels) / own).mean(axis=1) for one in (answers, expected))
    difference = (np.abs(answers - expected) / spread).max(axis=1)
    steps = np.spacing(np.abs(expected).max(axis=0).astype(np.float32)) / spread
    lost = errors - expected_errors
    return {
        "r2": float(1 - errors.mean()),
        "keras_r2": float(1 - expected_errors.mean()),
        "r2_drop": float(lost.mean()),
        "r2_drop_ci95": mean_interval(lost),
        "mae": float(np.abs(answers - labels).mean()),
        "keras_mae": float(np.abs(expected - labels).mean()),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "resolution": float(steps.max()),
    }


REGRESSION_TASK = Task(
    description="numbers, such as a weight or an age",
    metric="r2",
    new_metric=_new_metric,
    loss=_loss,
    targets=_targets,
    smooth=_smooth,
    linear_loss=_linear_loss,
    averages_outputs=True,
    calibrator=None,
    choose_thresholds=_choose_thresholds,
    measure=measure_regression,
    columns={
        "MAE": lambda one: f"{one['mae']:.4g}",
        "95 % interval": _mae_interval,
        "RMSE": lambda one: f"{one['rmse']:.4g}",
        "R²": lambda one: f"{one['r2']:.3f}",
    },
    highlights=_highlights,
    details=_details,
    figures=_figures,
    caption=_caption,
    surprise=_surprise,
    score="r2",
    score_title="R²",
    agreement=_agreement,
    same_answer=None,
    strictly_same=None,
    strict_text="",
    difference="max_difference",
)
