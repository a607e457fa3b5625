"""What a user can look at while a run trains: the images that the network really sees, and true counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from app.evaluation.image_plots import classes
from app.evaluation.samples import augmented, labelled, views_seen
from app.training.activations import Extractor
from app.training.fit_data import FitData
from app.training.inputs import LiveInputs
from app.training.objectives import LabelObjective
from data.examples import Examples
from data.image.augmentation import AUGMENTATIONS
from data.image.transform import ImageTransform
from data.labels import MultiLabel, Regression, SingleLabel
from data.loading import Loader
from tests.extraction import (
    FILES,
    SIZE,
    assert_alike,
    examples_of,
    extractor_of,
    features,
    model,
    seen,
    through,
    views_of,
)
from tests.plans import plan_of

SPLITS = {"train": np.arange(0, 8), "validation": np.arange(8, 10), "test": np.arange(10, 12)}


def data_of(preset: str, examples: Examples | None = None, views: int = 2) -> FitData:
    return FitData(
        loader=Loader(examples or examples_of(FILES), ImageTransform(SIZE, "stretch", AUGMENTATIONS[preset])),
        train=SPLITS["train"],
        validation=SPLITS["validation"],
        batch_size=3,
        seed=7,
        views=views,
    )


def texts(figure: Figure) -> list[str]:
    """All that is written on a figure."""
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def images(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.get_images()]


# --- What the network sees ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["default", "strong"])
def test_the_views_that_are_shown_are_those_in_the_cache(
    preset: str, features: keras.Model, extractor_of: Callable[..., Extractor]
) -> None:
    rows = seen(extractor_of(augmentation=AUGMENTATIONS[preset]), features, views_of([5, 2], 0, 1, 2))[0]
    shown = views_seen(data_of(preset), [5, 2], [1, 2], cached=True)
    assert_alike(rows, through(features, np.concatenate(shown)))


@pytest.mark.parametrize("preset", ["live", "strong"])
def test_the_views_that_are_shown_are_those_of_the_first_epochs(preset: str) -> None:
    data = data_of(preset)
    stream = LiveInputs(keras.Sequential(), data, LabelObjective(data)).training(data.phase_seed(0), 0, 2)
    epochs = np.split(np.concatenate([pixels for pixels, _ in stream.as_numpy_iterator()]), 2)
    for index, (plain, first, second) in zip([0, 6], views_seen(data, [0, 6], [1, 2], cached=False), strict=True):
        assert (plain == data.loader.load(index)).all()
        for view, epoch in ((first, epochs[0]), (second, epochs[1])):
            assert (epoch == view).all(axis=(1, 2, 3)).sum() == 1


@pytest.mark.parametrize(
    ("preset", "cached", "headings"),
    [
        ("default", True, ["as it is", "view 1", "view 2"]),
        ("live", False, ["as it is", "epoch 1", "epoch 2", "epoch 3"]),
        ("none", True, ["as it is"]),
        ("none", False, ["as it is"]),
    ],
)
def test_each_column_says_what_it_shows(preset: str, cached: bool, headings: list[str]) -> None:
    plan = plan_of(augment=preset, head_epochs=3, mixup=0.2)
    figure = augmented(plan, data_of(preset), cached=cached)
    written = texts(figure)
    assert set(headings) < set(written) and f"--augment {preset}, before they are mixed" in " ".join(written)
    assert not {"view 1", "epoch 1"} & (set(written) - set(headings))
    assert len(images(figure)) == min(8, 5 * (9 // len(headings))) * len(headings)


def test_of_many_views_some_are_shown() -> None:
    figure = augmented(plan_of(augment="strong", head_epochs=3), replace(data_of("strong"), views=50), cached=True)
    assert "view 8" in texts(figure) and "view 9" not in texts(figure)


# --- The data -----------------------------------------------------------------------------------------------------------


def several_labels() -> Examples:
    labels = np.zeros((12, 3), np.float32)
    labels[:, 0] = 1
    labels[::2, 1] = 1
    return replace(examples_of(FILES), labels=MultiLabel(labels, ("x", "y", "z")))


def test_counts_are_those_of_each_class_in_each_split() -> None:
    figure = labelled(data_of("none").loader, {"train": np.arange(0, 7), "validation": np.arange(7, 12)})
    assert [[bar.get_width() for bar in bars] for bars in figure.axes[0].containers] == [[4, 3], [2, 3]]
    assert {"12 images, 2 classes", "a", "b", "train", "validation", "6"} <= set(texts(figure))
    assert len(images(figure)) == 7


def test_an_image_of_several_labels_counts_for_each() -> None:
    figure = labelled(Loader(several_labels(), ImageTransform(SIZE, "stretch")), SPLITS)
    assert [[bar.get_width() for bar in bars] for bars in figure.axes[0].containers] == [
        [8, 4, 0],
        [2, 1, 0],
        [2, 1, 0],
    ]
    assert texts(figure).count("x|y") == 4 and len(images(figure)) == 8


def test_numbers_are_shown_as_histograms() -> None:
    labels = np.column_stack([np.arange(12) * 10, -np.arange(12)]).astype(np.float32)
    examples = replace(examples_of(FILES), labels=Regression(labels, ("age", "depth")))
    figure = labelled(Loader(examples, ImageTransform(SIZE, "stretch")), SPLITS)
    for axes, name in zip(figure.axes[:2], ("age", "depth"), strict=True):
        assert axes.get_xlabel() == name
        assert [sum(bar.get_height() for bar in bars) for bars in axes.containers] == [8, 2, 2]
    assert {"12 images", "0|0", "70|-7"} <= set(texts(figure))


def test_more_classes_than_can_be_named_are_sorted_and_the_ends_named() -> None:
    counts = {"train": np.arange(100) + 2, "test": np.ones(100, int)}
    names = [f"class {number}" for number in range(100)]
    figure = classes(counts, names, [np.zeros((8, 8, 3), np.uint8)], ["class 0"], "many")
    tops = [bar.get_y() + bar.get_height() for bar in figure.axes[0].containers[-1]]
    assert tops == sorted(tops, reverse=True) and tops[0] == 102
    title = figure.axes[0].get_title(loc="left")
    assert "most: class 99 (102), class 98" in title and "class 0 (3)" in title


@pytest.mark.parametrize(("count", "places"), [(2, 9), (10, 4), (40, 1), (60, 1)])
def test_each_class_has_as_many_places_for_images(count: int, places: int) -> None:
    """One training image a class, and some of the first: the other places stay empty."""
    labels = np.concatenate([np.arange(count), np.zeros(20, int)])
    names = tuple(f"c{number}" for number in range(count))
    examples = replace(examples_of(FILES[:1] * len(labels)), labels=SingleLabel(labels, names))
    figure = labelled(Loader(examples, ImageTransform(SIZE, "stretch")), {"train": np.arange(len(labels))})
    assert len(images(figure)) == min(count, 54) - 1 + places
    assert {"c0", f"c{count - 1}"} <= set(texts(figure))


@pytest.mark.parametrize("name", ["$\\frac$", "a_b^c", "x" * 300, "ünïcødé ☕"])
def test_no_class_name_breaks_a_figure(name: str) -> None:
    counts = {"train": np.array([3, 0])}
    figure = classes(counts, [name, "b"], [np.zeros((8, 8, 3), np.uint8)] * 2, [name, "b"], "2 classes")
    figure.draw_without_rendering()
