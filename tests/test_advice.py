"""Advice after a run: each sentence follows from something measured, and is silent otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.evaluation.advice import MOST, RULES, Measured, advise, describe_best, find_mirrored
from data.examples import Examples
from data.labels import SingleLabel
from tests.plans import plan_of


def epoch(phase: str, number: int, reached: float, *, context: float = 0.9) -> dict[str, Any]:
    return {"phase": phase, "epoch": number, "accuracy": context, "val_accuracy": reached, "val_loss": 1 - reached}


HISTORY = [epoch("head", 1, 0.85), epoch("fine_tune", 1, 0.86), epoch("fine_tune", 2, 0.88)]
IMAGES = Examples(
    source="images",
    keys=("a.jpg", "b.jpg", "c.jpg", "d.jpg"),
    labels=SingleLabel(np.array([0, 1, 2, 2]), ("cat", "dog", "fox")),
    read=lambda index: b"",
)
PLAIN = Measured(
    plan=plan_of(unfreeze_blocks=1, deeper_blocks=0, views=2),
    metric="accuracy",
    history=HISTORY,
    best=HISTORY[-1],
    still_improves=False,
    blocks=18,
    seconds={"total": 40.0, "head": 1.0, "fine_tune": 9.0},
    examples=IMAGES,
    validation={"confusion": [[9, 1, 0], [1, 9, 0], [0, 0, 9]]},
    probabilities=np.full((4, 3), 1 / 3),
    mirrored=None,
)


def test_nothing_to_say_is_said_with_nothing() -> None:
    assert advise(PLAIN) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"best": HISTORY[0]},
            "--strategy feature_extraction gives the same weights, in about 31 s instead of 40 s",
        ),
        ({"still_improves": True}, "after 2 epochs of fine-tuning: try --fine-tune-epochs 4 or --unfreeze-blocks 2"),
        (
            {"best": epoch("fine_tune", 2, 0.7, context=0.98)},
            "Training accuracy is 0.980, validation 0.700: more labelled images help most. "
            "So can --augment strong and --views 4",
        ),
        (
            {"validation": {"confusion": [[5, 4, 0], [3, 5, 0], [1, 0, 9]]}},
            "cat and dog are confused most (7 of 8 mistakes on validation)",
        ),
        (
            {"probabilities": np.array([[1, 0, 0], [0.01, 0.01, 0.98], [0, 0, 1], [0.4, 0.3, 0.3]])},
            "b.jpg is labelled dog, and the model is 98% sure of fox",
        ),
        (
            {"mirrored": ("a.jpg", "b.jpg")},
            "a.jpg and b.jpg are turned or mirrored to each other and have different labels",
        ),
    ],
    ids=["head won", "still falling", "gap", "confused", "labels", "mirrored"],
)
def test_advice_follows_from_what_was_measured(changes: dict[str, Any], text: str) -> None:
    (advice,) = advise(replace(PLAIN, **changes))
    assert text in advice
    assert advice.endswith(".")


def test_every_rule_has_spoken_above() -> None:
    assert len(RULES) == 6


def test_at_most_three_sentences() -> None:
    everything = replace(
        PLAIN,
        still_improves=True,
        best=epoch("fine_tune", 2, 0.7, context=0.98),
        validation={"confusion": [[5, 4, 0], [3, 5, 0], [1, 0, 9]]},
        mirrored=("a.jpg", "b.jpg"),
    )
    assert len(advise(everything)) == MOST == 3


@pytest.mark.parametrize(
    "changes",
    [
        {
            "still_improves": True,
            "best": HISTORY[0],
            "seconds": {"total": 40.0, "head": 1.0},
        },  # feature extraction alone
        {"mirrored": ("a.jpg", "b.jpg"), "plan": replace(PLAIN.plan, flip=False)},
        {"validation": {"confusion": [[5, 4], [4, 5]]}},  # of two classes any mistake confuses both
        {"validation": {"map": 0.5}},  # other tasks have no confusion matrix
    ],
)
def test_advice_that_would_not_help_is_not_given(changes: dict[str, Any]) -> None:
    assert advise(replace(PLAIN, **changes)) == []


@pytest.mark.parametrize(
    ("best", "text"),
    [
        (HISTORY[2], "the weights of epoch 2 of 2 of fine-tuning: validation accuracy 0.880"),
        (
            HISTORY[0],
            "the weights of the head: validation accuracy 0.850; those of fine-tuning (0.880) are discarded",
        ),
    ],
)
def test_a_run_says_which_weights_it_keeps(best: dict[str, Any], text: str) -> None:
    assert describe_best(best, HISTORY, "accuracy") == text


@pytest.mark.parametrize("often", [True, False])
def test_mirror_images_with_different_labels_are_found_where_they_are_no_mistake(often: bool) -> None:
    mirrored = np.array([0, 1, 2, 0, 1, 2] if often else [0, 1, 2, 0, 4, 5])
    images = Examples(
        "signs",
        tuple("abcdef"),
        SingleLabel(np.repeat([0, 1], 3), ("left", "right")),
        lambda index: b"",
        duplicates=mirrored,
        upright=np.arange(6),
    )
    assert find_mirrored(images) == (("a", "d") if often else None)
