"""Images for the user to look at: the data set, and its augmented views as the network sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from app.config.plan import Plan
from app.evaluation import image_plots, plots
from app.evaluation.fonts import fonts_for
from app.interface.events import status
from app.runs.run import Run
from app.tasks import TASKS
from app.tasks.task import evenly
from app.training.activations import view_seed
from app.training.fit_data import FitData
from data.loading import Loader, load_ahead, load_views
from data.transform import Seed

_MOST_VIEWS = 8  # of an image, that are shown
_VIEWED_ROWS = 5  # rows of images with their views


@status("drawing samples")
def write_samples(run: Run, plan: Plan, data: FitData, splits: Mapping[str, np.ndarray], *, cached: bool) -> None:
    """Write `plots/data.png` and `plots/augmentation.png`.

    Args:
        run: run whose plots are written.
        plan: plan of the run.
        data: training data.
        splits: by name, the positions of images, int (n,).
        cached: views are kept instead of drawn again in every epoch.

    Raises:
        DataError: an image can no longer be read.
    """
    with fonts_for(data.loader.examples.class_names) as names:
        plots.save_figure(labelled(data.loader, splits, names), run.plots / "data.png")
    plots.save_figure(augmented(plan, data, cached=cached), run.plots / "augmentation.png")


def labelled(loader: Loader, splits: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> Figure:
    """Plot the images of each class, or the numbers, in each split; and training images under their labels.

    Args:
        loader: loader of the images.
        splits: by name, the positions of images, int (n,).
        names: class names to draw; None for the original ones.
    """
    labels, task = loader.examples.labels, TASKS[loader.examples.task]
    labels = replace(labels, names=tuple(names or labels.names))
    title = f"{len(labels):,} images" + (f", {len(labels.classes):,} classes" if labels.classes else "")
    shown, captions = task.samples(labels, splits["train"])
    loaded = load_ahead(loader, [one for one in shown if one is not None])
    images = [None if one is None else next(loaded) for one in shown]
    return task.overview({split: labels.taken(some) for split, some in splits.items()}, images, captions, title)


def augmented(plan: Plan, data: FitData, *, cached: bool) -> Figure:
    """Plot training images and the views that the run trains on: the kept views, or those of its first epochs."""
    numbers = data.all_views[0].numbers if cached else tuple(range(1, plan.head_epochs + 1))
    numbers = numbers[:_MOST_VIEWS] if data.loader.transform.is_augmented else ()
    headings = ["as it is", *(f"{'view' if cached else 'epoch'} {number}" for number in numbers)]
    count = _VIEWED_ROWS * image_plots.beside_each_other(len(headings))
    order = data.loader.examples.labels.taken(data.train).order()
    shown = evenly(data.train[order], count)
    title = f"Training images with --augment {plan.augment}{'' if plan.flip else ' --no-flip'}"
    title += ", before they are mixed" if plan.mixup or plan.cutmix else ""
    return image_plots.views(views_seen(data, shown.tolist(), numbers, cached=cached), headings, title)


def views_seen(data: FitData, indices: Sequence[int], numbers: Sequence[int], *, cached: bool) -> list[np.ndarray]:
    """Return images and views of them that the run trains on.

    Args:
        data: training data.
        indices: positions of the images.
        numbers: numbers of the kept views, or of the epochs of the first phase, from 1.
        cached: as for `write_samples`.

    Returns:
        For each image, uint8 (1 + len(numbers), image_size, image_size, 3).
    """

    def seed_of(index: int, number: int) -> Seed:
        if not cached:
            return (data.phase_seed(0), number - 1, index)  # as in `data.pipeline.training_batches`
        assert data.loader.examples.digests is not None  # set by `app.interface.sources.open_readable`
        return view_seed(data.loader.examples.digests[index], number)

    wanted = [(index, [None, *(seed_of(index, number) for number in numbers)]) for index in indices]
    return list(load_views(data.loader, wanted))
