"""What a trained model is worth: its answers, thresholds and metrics, as numbers, plots and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.config import TrainConfig
from app.console import console, status, table
from app.errors import UsageError
from app.evaluation import plots
from app.evaluation.answers import answer
from app.runs import Run
from app.tasks import TASKS
from app.tasks.task import Goal
from data.pictures import REGRESSION, SINGLE_LABEL, PictureSet
from data.pipeline import PictureLoader

if TYPE_CHECKING:
    import keras

_SHOWN = 24  # pictures with what the model says of them


def check_goal(pictures: PictureSet, config: TrainConfig) -> Goal:
    """What thresholds are to be chosen for.

    Raises:
        UsageError: there is nothing that the options could be about.
    """
    goal = Goal(pictures.class_names, config.positive, config.target_precision, config.target_recall)
    if goal.precision is None and goal.recall is None:
        return goal
    option = "--target-precision" if goal.precision is not None else "--target-recall"
    if pictures.task == REGRESSION:
        raise UsageError(f"{option} is about classes, and {pictures.source} has numbers; leave it out")
    if pictures.task == SINGLE_LABEL and len(pictures.class_names) != 2:
        raise UsageError(
            f"{option} takes two classes, or several labels a picture; {pictures.source} has {len(pictures.class_names)} "
            "classes of which each picture has one; leave it out"
        )
    if goal.positive is not None and (pictures.task != SINGLE_LABEL or goal.positive not in pictures.class_names):
        raise UsageError(
            f"--positive must be one of two classes ({' or '.join(pictures.class_names[:2])}), not {goal.positive}"
        )
    return goal


def judge(
    model: keras.Model, loader: PictureLoader, indices: dict[str, np.ndarray], *, goal: Goal, batch_size: int
) -> tuple[dict[str, Any], dict[str, np.ndarray], np.ndarray | None]:
    """Ask a model about validation and test: the only look at the test split.

    Args:
        model: from `models.builder.build_model`, trained.
        loader: of the pictures.
        indices: which of them are in each split.
        goal: what thresholds are chosen for, on validation.
        batch_size: pictures a step.

    Returns:
        For "validation" and "test" the metrics and the answers; and the thresholds, (outputs,), or None.
    """
    pictures, task = loader.pictures, TASKS[loader.pictures.task]
    answers = answer(model, loader, {split: indices[split] for split in ("validation", "test")}, batch_size)
    thresholds = task.choose_thresholds(answers["validation"], pictures.labels[indices["validation"]], goal)
    metrics = {
        split: task.measure(answers[split], pictures.labels[indices[split]], pictures.class_names, thresholds)
        for split in answers
    }
    if thresholds is not None and goal.precision is not None:
        _say_out_of_reach(metrics["validation"]["classes"], thresholds, goal)
    return metrics, answers, thresholds


def _say_out_of_reach(classes: dict[str, Any], thresholds: np.ndarray, goal: Goal) -> None:
    assert goal.precision is not None
    for name, threshold in zip(goal.class_names, thresholds, strict=True):
        if np.isfinite(threshold) and classes[name]["precision"] < goal.precision:
            console.print(
                f"No threshold for {name} reaches a precision of {goal.precision:g} on the validation pictures; "
                f"{threshold:.3f} comes nearest, with {classes[name]['precision']:.3f}.",
                markup=False,
            )


@status("drawing the plots")
def write_plots(
    run: Run, loader: PictureLoader, test: np.ndarray, answers: np.ndarray, thresholds: np.ndarray | None
) -> None:
    """Draw how the model came about, what it answers about the test split, and pictures of it with its answers.

    Args:
        run: where plots go.
        loader: of the pictures.
        test: which of them, int (n,).
        answers: (n, outputs).
        thresholds: (outputs,), or None.
    """
    pictures, task = loader.pictures, TASKS[loader.pictures.task]
    labels, names = pictures.labels[test], pictures.class_names
    plots.save_figure(plots.curves(run.history, task.metric), run.plots / "curves.png")
    for name, figure in task.figures(answers, labels, names, thresholds).items():
        plots.save_figure(figure, run.plots / f"{name}.png")
    # The worst mistakes first; then what was right, the least sure first.
    shown = np.argsort(-task.surprise(answers, labels, thresholds), kind="stable")[:_SHOWN]
    captions = [task.caption(answers[one], labels[one], names, thresholds) for one in shown]
    grid = plots.predictions(np.stack([loader.load(index) for index in test[shown]]), captions)
    plots.save_figure(grid, run.plots / "predictions.png")


def say_metrics(run: Run, task_name: str) -> None:
    """Print the main figures of validation and test."""
    columns = TASKS[task_name].columns
    rows = [
        (split, one["n"], *(text(one) for text in columns.values()))
        for split, one in run.metrics.items()
        if split in ("validation", "test")
    ]
    table("", ("split", "pictures", *columns), rows)
