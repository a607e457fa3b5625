"""Images for the user to look at: what there is, and what the network sees of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from app.config.plan import Plan
from app.evaluation import plots
from app.evaluation.fonts import fonts_for
from app.interface.events import status
from app.runs.run import Run
from app.tasks import TASKS
from app.tasks.task import evenly
from app.training.activations import view_seed
from app.training.fit_data import FitData
from data.loading import Loader, load_ahead, load_views
from data.transform import Seed

_MOST_VIEWS = 8  # of an image, as many as are shown
_VIEWED_ROWS = 5  # rows of images with their views


@status("drawing samples")
def write_samples(run: Run, plan: Plan, data: FitData, splits: Mapping[str, np.ndarray], *, cached: bool) -> None:
    """Write `plots/data.png` and `plots/augmentation.png`.

    Args:
        run: where they go.
        plan: of the run.
        data: what is trained on.
        splits: by name, which images, int (n,).
        cached: views are kept, and not drawn again in every epoch.

    Raises:
        DataError: an image can no longer be read.
    """
    with fonts_for(data.loader.examples.class_names) as names:
        plots.save_figure(labelled(data.loader, splits, names), run.plots / "data.png")
    plots.save_figure(augmented(plan, data, cached=cached), run.plots / "augmentation.png")


def labelled(loader: Loader, splits: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> Figure:
    """How many images of each class, or which numbers, each split has; and training images under their labels.

    Args:
        loader: of the images.
        splits: by name, which images, int (n,).
        names: of the classes as they are drawn; None for their own.
    """
    labels, task = loader.examples.labels, TASKS[loader.examples.task]
    labels = replace(labels, names=tuple(names or labels.names))
    title = f"{len(labels):,} images" + (f", {len(labels.classes):,} classes" if labels.classes else "")
    shown, captions = task.samples(labels, splits["train"])
    loaded = load_ahead(loader, [one for one in shown if one is not None])
    images = [None if one is None else next(loaded) for one in shown]
    return task.overview({split: labels.taken(some) for split, some in splits.items()}, images, captions, title)


def augmented(plan: Plan, data: FitData, *, cached: bool) -> Figure:
    """Training images as they are, and in the views that the run trains on: those kept, or of its first epochs."""
    numbers = data.all_views[0].numbers if cached else tuple(range(1, plan.head_epochs + 1))
    numbers = numbers[:_MOST_VIEWS] if data.loader.transform.is_augmented else ()
    headings = ["as it is", *(f"{'view' if cached else 'epoch'} {number}" for number in numbers)]
    count = _VIEWED_ROWS * plots.beside_each_other(len(headings))
    order = data.loader.examples.labels.taken(data.train).order()
    shown = evenly(data.train[order], count)
    title = f"Training images with --augment {plan.augment}{'' if plan.flip else ' --no-flip'}"
    title += ", before they are mixed" if plan.mixup or plan.cutmix else ""
    return plots.views(views_seen(data, shown.tolist(), numbers, cached=cached), headings, title)


def views_seen(data: FitData, indices: Sequence[int], numbers: Sequence[int], *, cached: bool) -> list[np.ndarray]:
    """Images as they are, and in views that the run trains on.

    Args:
        data: what is trained on.
        indices: which images.
        numbers: which of the views that are kept, or of the epochs of the first phase, from 1.
        cached: as for `write_samples`.

    Returns:
        Of each image, uint8 (1 + len(numbers), image_size, image_size, 3).
    """

    def seed_of(index: int, number: int) -> Seed:
        if not cached:
            return (data.phase_seed(0), number - 1, index)  # as in `data.pipeline.training_batches`
        assert data.loader.examples.digests is not None  # `app.interface.sources.open_readable` gives them
        return view_seed(data.loader.examples.digests[index], number)

    wanted = [(index, [None, *(seed_of(index, number) for number in numbers)]) for index in indices]
    return list(load_views(data.loader, wanted))
