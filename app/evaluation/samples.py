"""Images for the user to look at: the data set, and its augmented views as the network sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from app.config.plan import Plan
from app.evaluation import image_plots, plots
from app.evaluation.fonts import fonts_for
from app.interface.stages import status
from app.runs.folder import RunFolder
from app.tasks import TASKS
from app.tasks.task import evenly
from app.training.activations import view_seed
from app.training.fit_data import FitData
from data.loading import Loader, load_ahead, load_views
from data.transform import Seed

_MOST_VIEWS = 8  # of an image, that are shown
_VIEWED_ROWS = 5  # rows of images with their views


@status("drawing samples")
def write_samples(run: RunFolder, plan: Plan, data: FitData, splits: Mapping[str, np.ndarray], *, cached: bool) -> None:
    """Write `plots/data.png` and `plots/augmentation.png`.

    Args:
        run: run whose plots are written.
        plan: plan of the run.
        data: training data.
        splits: by name, the positions of images, int (n,).
        cached: views are kept instead of drawn again in every epoch.

    Raises:
        DataError: an image can no longer be read.

    Examples:
        >>> from pathlib import Path
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> from app.interface.events import listening
        >>> from data.image.augmentation import AUGMENTATIONS
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> run, splits = RunFolder.open("runs/fruit"), {"train": np.arange(18), "validation": np.arange(18, 24)}
        >>> plan = resolve(load_config(run.options), train_size=18, blocks=3, image_size=32)
        >>> loader = Loader(open_source("images"), ImageTransform(32, "stretch", AUGMENTATIONS[plan.augment]))
        >>> data = FitData(loader, **splits, batch_size=8, seed=0)
        >>> for path in run.plots.iterdir():
        ...     path.unlink()
        >>> with listening([].append, alone=True):  # prints nothing
        ...     write_samples(run, plan, data, splits, cached=False)
        >>> sorted(path.name for path in run.plots.iterdir())
        ['augmentation.png', 'data.png']
        >>> Path("images/apple/00.png").unlink()
        >>> write_samples(run, plan, data, splits, cached=False)
        Traceback (most recent call last):
        data.errors.DataError: apple/00.png can no longer be read: No such file or directory
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

    Examples:
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(32, "stretch"))
        >>> figure = labelled(loader, {"train": np.arange(18), "validation": np.arange(18, 24)})
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['apple', 'banana', 'cherry']
        >>> figure = labelled(loader, {"train": np.arange(24)}, names=["Apfel", "Banane", "Kirsche"])
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['Apfel', 'Banane', 'Kirsche']
    """
    labels, task = loader.examples.labels, TASKS[loader.examples.task]
    labels = replace(labels, names=tuple(names or labels.names))
    title = f"{len(labels):,} images" + (f", {len(labels.classes):,} classes" if labels.classes else "")
    shown, captions = task.samples(labels, splits["train"])
    loaded = load_ahead(loader, [one for one in shown if one is not None])
    images = [None if one is None else next(loaded) for one in shown]
    return task.overview({split: labels.taken(some) for split, some in splits.items()}, images, captions, title)


def augmented(plan: Plan, data: FitData, *, cached: bool) -> Figure:
    """Plot training images and the views that the run trains on: the kept views, or those of its first epochs.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> from data.image.augmentation import AUGMENTATIONS
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> plan = resolve(load_config({"source": "images", "head_epochs": 2}), train_size=18, blocks=3, image_size=32)
        >>> loader = Loader(open_source("images"), ImageTransform(32, "stretch", AUGMENTATIONS[plan.augment]))
        >>> figure = augmented(plan, FitData(loader, np.arange(18), np.arange(18, 24), batch_size=8, seed=0), cached=False)
        >>> figure.get_suptitle()
        'Training images with --augment default'
        >>> [text.get_text() for text in figure.axes[0].texts[:3]]
        ['as it is', 'epoch 1', 'epoch 2']
    """
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

    Examples:
        >>> from data.image.augmentation import AUGMENTATIONS
        >>> from data.image.transform import ImageTransform
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(32, "stretch", AUGMENTATIONS["light"]))
        >>> data = FitData(loader, np.arange(18), np.arange(18, 24), batch_size=8, seed=0)
        >>> [views.shape for views in views_seen(data, [0, 9], [1, 2], cached=False)]  # each image, and its view in two epochs
        [(3, 32, 32, 3), (3, 32, 32, 3)]
        >>> np.array_equal(views_seen(data, [0], [1], cached=False)[0][0], loader.load(0))
        True
    """

    def seed_of(index: int, number: int) -> Seed:
        if not cached:
            return (data.phase_seed(0), number - 1, index)  # as in `data.pipeline.training_batches`
        assert data.loader.examples.digests is not None  # set by `app.interface.sources.open_readable`
        return view_seed(data.loader.examples.digests[index], number)

    wanted = [(index, [None, *(seed_of(index, number) for number in numbers)]) for index in indices]
    return list(load_views(data.loader, wanted))
