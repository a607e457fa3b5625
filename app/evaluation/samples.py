"""Pictures for the user to look at: what there is, and what the network sees of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from app.config import TrainConfig
from app.evaluation import plots
from app.evaluation.fonts import fonts_for
from app.events import status
from app.runs import Run
from app.training.activations import view_seed
from app.training.inputs import FitData
from data.augmentation import Augmentation
from data.pictures import MULTI_LABEL, REGRESSION, SINGLE_LABEL, PictureSet
from data.pipeline import PictureLoader, Seed, load_views

_MOST_SAMPLES = 54
_OF_A_CLASS = (9, 4, 3, 2, 1)  # such as fill a row
_UNSORTED = 27  # pictures that are shown where they are not sorted by class
_MOST_VIEWS = 8  # of a picture, as many as are shown
_VIEWED_ROWS = 5  # rows of pictures with their views


@status("drawing samples")
def write_samples(run: Run, data: FitData, splits: Mapping[str, np.ndarray], *, cached: bool) -> None:
    """Write `plots/data.png` and `plots/augmentation.png`.

    Args:
        run: where they go.
        data: what is trained on.
        splits: by name, which pictures, int (n,).
        cached: views are kept, and not drawn anew in every epoch.

    Raises:
        DataError: a picture can no longer be read.
    """
    with fonts_for(data.loader.pictures.class_names) as names:
        plots.save_figure(labelled(data.loader, splits, names), run.plots / "data.png")
    plots.save_figure(augmented(run.config, data, cached=cached), run.plots / "augmentation.png")


def labelled(loader: PictureLoader, splits: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> Figure:
    """How many pictures of each class, or which numbers, each split has; and training pictures under their labels.

    Args:
        loader: of the pictures.
        splits: by name, which pictures, int (n,).
        names: of the classes as they are drawn; None for their own.
    """
    pictures = replace(loader.pictures, class_names=tuple(names or loader.pictures.class_names))
    labels = {split: pictures.labels[members] for split, members in splits.items()}
    title = f"{len(pictures):,} pictures"
    title += f", {len(pictures.class_names):,} classes" if pictures.task != REGRESSION else ""
    if pictures.task == SINGLE_LABEL:
        counts = {split: np.bincount(one, minlength=len(pictures.class_names)) for split, one in labels.items()}
        return plots.classes(counts, pictures.class_names, *_of_each_class(loader, pictures, splits["train"]), title)
    shown = _evenly(_sorted_by_label(pictures, splits["train"]), _UNSORTED)
    samples = (_load(loader, shown), [pictures.label_text(index) for index in shown.tolist()], title)
    if pictures.task == REGRESSION:
        return plots.numbers(labels, pictures.class_names, *samples)
    counts = {split: (one > 0).sum(axis=0) for split, one in labels.items()}
    return plots.classes(counts, pictures.class_names, *samples)


def _of_each_class(
    loader: PictureLoader, pictures: PictureSet, members: np.ndarray
) -> tuple[list[np.ndarray | None], list[str]]:
    """Training pictures of each class, in as many places for each, and the classes' names."""
    names, labels = pictures.class_names, pictures.labels[members]
    shown = _evenly(np.arange(len(names)), _MOST_SAMPLES)
    places = next(places for places in _OF_A_CLASS if places * len(shown) <= _MOST_SAMPLES)
    chosen = [_evenly(members[labels == label], places) for label in shown]
    loaded = iter(_load(loader, np.concatenate(chosen)))
    shown_there = [next(loaded) if place < len(some) else None for some in chosen for place in range(places)]
    return shown_there, [names[label] for label in shown]


def augmented(config: TrainConfig, data: FitData, *, cached: bool) -> Figure:
    """Training pictures as they are, and in the views that the run trains on: those kept, or of its first epochs."""
    assert config.head_epochs is not None  # resolved by `hyperrule`
    numbers = data.all_views[0].numbers if cached else tuple(range(1, config.head_epochs + 1))
    numbers = numbers[:_MOST_VIEWS] if data.augmentation != Augmentation() else ()
    headings = ["as it is", *(f"{'view' if cached else 'epoch'} {number}" for number in numbers)]
    count = _VIEWED_ROWS * plots.beside_each_other(len(headings))
    shown = _evenly(_sorted_by_label(data.loader.pictures, data.train), count)
    title = f"Training pictures with --augment {config.augment}{'' if config.flip else ' --no-flip'}"
    title += ", before they are mixed" if config.mixup or config.cutmix else ""
    return plots.views(views_seen(data, shown.tolist(), numbers, cached=cached), headings, title)


def views_seen(data: FitData, indices: Sequence[int], numbers: Sequence[int], *, cached: bool) -> list[np.ndarray]:
    """Pictures as they are, and in views that the run trains on.

    Args:
        data: what is trained on.
        indices: which pictures.
        numbers: which of the views that are kept, or of the epochs of the first phase, from 1.
        cached: as for `write_samples`.

    Returns:
        Of each picture, uint8 (1 + len(numbers), image_size, image_size, 3).
    """

    def seed_of(index: int, number: int) -> Seed:
        if not cached:
            return (data.phase_seed(0), number - 1, index)  # as in `data.pipeline.training_batches`
        assert data.loader.pictures.digests is not None  # `app.pictures.open_readable` gives them
        return view_seed(data.loader.pictures.digests[index], number)

    wanted = [(index, [None, *(seed_of(index, number) for number in numbers)]) for index in indices]
    return list(load_views(data.loader, wanted, data.augmentation))


def _sorted_by_label(pictures: PictureSet, members: np.ndarray) -> np.ndarray:
    """By class, by the first class of several, or by the first number."""
    labels = pictures.labels[members]
    if pictures.task == MULTI_LABEL:
        labels = labels.argmax(axis=1)
    elif pictures.task == REGRESSION:
        labels = labels[:, 0]
    return members[np.argsort(labels, kind="stable")]


def _evenly(members: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the members, evenly spaced."""
    if len(members) <= count:
        return members
    return members[((np.arange(count) + 0.5) * len(members) / count).astype(np.int64)]


def _load(loader: PictureLoader, indices: np.ndarray) -> list[np.ndarray]:
    return [one[0] for one in load_views(loader, [(index, [None]) for index in indices.tolist()], Augmentation())]
