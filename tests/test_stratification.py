"""Splits, folds and shots of every task: each part has its share of all classes, and parts no group and no duplicates."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from data.errors import DataError
from data.examples import SPLITS, Examples
from data.labels import LABELS, MULTI_LABEL, REGRESSION, SINGLE_LABEL, Regression
from data.splits import few_shot_subset, fold_examples
from tests.labelled import count, crossing, example_set, has_class, random_set, split

# --- What belongs together, and labels of every kind -----------------------------------------------------------------------

TIES = {"groups": {"groups": True}, "duplicates": {"duplicates": True}, "both": {"groups": True, "duplicates": True}}


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(5))
def test_no_group_and_no_duplicate_is_in_two_splits(task: str, ties: str, seed: int) -> None:
    examples = random_set(task, 240, seed, **TIES[ties])
    splits = split(examples, seed=seed)
    assert crossing(examples, splits) == []
    for one in ("validation", "test"):
        assert np.mean(splits == one) == pytest.approx(0.15, abs=0.03)
    assert split(examples, seed=seed).tolist() == splits.tolist()
    assert split(examples, seed=seed + 1).tolist() != splits.tolist()


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_class_gets_its_share_of_every_split(task: str, groups: bool, seed: int) -> None:
    examples = random_set(task, 240, seed, groups=groups)
    splits = split(examples, validation=0.2, test=0.1, seed=seed)
    has = has_class(examples)
    for one, fraction in (("validation", 0.2), ("test", 0.1)):
        shares = has[splits == one].sum(axis=0) / has.sum(axis=0)
        assert shares == pytest.approx(fraction, abs=0.1 if groups else 0.05)
        assert (shares > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_every_split_has_low_and_high_numbers(seed: int) -> None:
    examples = random_set(REGRESSION, 300, seed)
    splits = split(examples, validation=0.1, test=0.1, seed=seed)
    ranks = examples.labels.array.argsort(axis=0).argsort(axis=0) / 300
    for one in SPLITS:
        tenths = np.quantile(ranks[splits == one], [0.1, 0.5, 0.9], axis=0)
        assert tenths == pytest.approx(np.array([[0.1] * 3, [0.5] * 3, [0.9] * 3]), abs=0.12)


def test_numbers_that_are_all_the_same_are_split() -> None:
    examples = replace(random_set(REGRESSION, 40, 0), labels=Regression(np.ones((40, 3), np.float32), ("a", "b", "c")))
    assert Counter(split(examples).tolist()) == {"train": 28, "validation": 6, "test": 6}


def test_an_image_in_two_ties_ties_them_together() -> None:
    examples = example_set(40, 40)
    groups = ["first"] * 4 + ["second"] * 4 + [""] * 72
    duplicates = np.arange(80)
    duplicates[7] = duplicates[0]  # one of the second shows the same as one of the first
    together = replace(examples, groups=tuple(groups), duplicates=duplicates)
    for seed in range(20):
        splits = split(together, seed=seed)
        assert len(set(splits[:8])) == 1
        assert set(splits[8:]) == set(SPLITS)  # no group is no tie


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (
            ["x"] * 5 + ["y"] * 5,
            r"class 'b' has 10 images, which belong together as 2 \(by group.*\), but needs 3 .*remove the class",
        ),
        (["x"] * 10, r"class 'b' has 10 images, which belong together as 1 \(by group.*\), but needs 3"),
    ],
)
def test_a_class_of_too_few_groups_is_named(groups: list[str], text: str) -> None:
    examples = replace(example_set(10, 10), groups=tuple([""] * 10 + groups))
    with pytest.raises(DataError, match=text):
        split(examples)


def test_too_few_images_with_numbers_are_an_error() -> None:
    with pytest.raises(DataError, match=r"chance has 2 images, but needs 3 \(one for train .*\); add images"):
        split(random_set(REGRESSION, 200, 0).subset([0, 1]))


def test_where_each_class_can_be_in_each_split_it_is() -> None:
    """Compared with all ways to divide a few groups: none is missed, and what is refused has none."""
    outcomes: Counter[bool] = Counter()
    for seed in range(100):
        random = np.random.default_rng(seed)
        groups = random.integers(0, 6, 24)
        examples = random_set((SINGLE_LABEL, MULTI_LABEL)[seed % 2], 24, seed)
        examples = replace(examples, groups=tuple(f"patient {group}" for group in groups))
        held = [has_class(examples)[groups == group].any(axis=0) for group in np.unique(groups)]
        possible = any(
            all(
                np.any([one for one, of in zip(held, way, strict=True) if of == part], axis=0).all()
                for part in range(3)
            )
            for way in itertools.product(range(3), repeat=len(held))
        )
        outcomes[possible] += 1
        if possible:
            splits = split(examples, seed=seed)
            assert all(has_class(examples)[splits == one].any(axis=0).all() for one in SPLITS)
        else:
            with pytest.raises(DataError):
                split(examples, seed=seed)
    assert min(outcomes[True], outcomes[False]) > 20


# --- Folds ------------------------------------------------------------------------------------------------------------------


def fold(examples: Examples, number: int, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    return fold_examples(examples, folds=folds, fold=number, validation_fraction=0.15, seed=seed)


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("ties", [{}, *TIES.values()], ids=["none", *TIES])
@pytest.mark.parametrize("folds", [2, 5])
def test_folds_test_every_image_once_and_part_nothing(task: str, ties: dict[str, bool], folds: int) -> None:
    examples = random_set(task, 240, folds, **ties)
    made = [fold(examples, number, folds=folds) for number in range(1, folds + 1)]
    assert (sum((splits == "test").astype(int) for splits in made) == 1).all()
    for splits in made:
        assert crossing(examples, splits) == []
        assert np.mean(splits == "test") == pytest.approx(1 / folds, abs=0.03 if ties else 0.005)
        assert np.mean(splits == "validation") == pytest.approx(0.15 * (1 - 1 / folds), abs=0.03)
        if task != REGRESSION:
            has = has_class(examples)
            assert all(has[splits == one].any(axis=0).all() for one in SPLITS)


def test_folds_of_small_classes_differ_by_one_image_at_most() -> None:
    examples = example_set(6, 7, 8, 9, 11, 12)
    sizes = [Counter(examples.labels.array[fold(examples, number) == "test"].tolist()) for number in range(1, 6)]
    for label in range(6):
        of_class = [size[label] for size in sizes]
        assert min(of_class) >= 1 and max(of_class) - min(of_class) <= 1
    assert sorted(size.total() for size in sizes) == [10, 10, 11, 11, 11]


def test_the_seed_decides_the_folds() -> None:
    examples = example_set(30, 30)
    assert (fold(examples, 2, seed=1) == fold(examples, 2, seed=1)).all()
    assert (fold(examples, 2, seed=1) != fold(examples, 2, seed=2)).any()


def test_a_class_of_fewer_images_than_folds_is_named() -> None:
    with pytest.raises(DataError, match=r"class 'b' has 4 images, but needs 5 .*; add images or take fewer folds"):
        fold(example_set(10, 4), 1)


def test_folds_do_not_mix_up_a_split_of_the_source() -> None:
    with pytest.raises(DataError, match=r"images brings its own validation or test split.*train without folds"):
        fold(example_set(10, 10, given=(["train"] * 8 + ["test"] * 2) * 2), 1)
    assert set(fold(example_set(10, 10, given=["train"] * 20), 1)) == set(SPLITS)


# --- Shots ------------------------------------------------------------------------------------------------------------------


def test_shots_are_so_many_images_of_each_class_and_the_other_splits_stay() -> None:
    examples = example_set(40, 20, 30)
    splits = split(examples)
    kept = {}
    for shots in (3, 10):
        few, few_splits = few_shot_subset(examples, splits, shots=shots, seed=1)
        assert count(few, few_splits) == count(examples, splits) | {(name, "train"): shots for name in "abc"}
        kept[shots] = set(few.keys)
        again, _ = few_shot_subset(examples, splits, shots=shots, seed=1)
        other, _ = few_shot_subset(examples, splits, shots=shots, seed=2)
        assert again.keys == few.keys != other.keys
    assert kept[3] < kept[10]


@pytest.mark.parametrize("seed", range(5))
def test_of_several_classes_each_gets_its_shots_without_waste(seed: int) -> None:
    examples = random_set(MULTI_LABEL, 240, seed)
    splits = split(examples, seed=seed)
    few, few_splits = few_shot_subset(examples, splits, shots=8, seed=seed)
    per_class = has_class(few)[few_splits == "train"].sum(axis=0)
    assert (per_class >= 8).all()
    assert np.sum(few_splits == "train") <= 24  # one class' images serve others, too
    assert np.sum(few_splits != "train") == np.sum(splits != "train")


def test_a_class_with_fewer_images_than_shots_is_named() -> None:
    examples = example_set(30, 10)
    with pytest.raises(DataError, match="class 'b' has 6 images in train, but needs 7 for 7 shots; take fewer shots"):
        few_shot_subset(examples, split(examples), shots=7, seed=0)
