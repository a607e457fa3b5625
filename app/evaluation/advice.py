"""Which weights a run keeps, and what to try next: each sentence follows from something that the run has measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.config.plan import Plan
from data.auditing.groups import find_conflicts
from data.examples import Examples

MOST = 3  # pieces of advice: more would not be read
_SURE = 0.95  # probability of another class than the label, from which the label is suspected
_GAP = 0.1  # between training and validation, in parts of 1
_LEAST_CONFUSED = 3  # images: fewer may be chance

PHASES = {"head": "the head", "fine_tune": "fine-tuning", "deeper": "fine-tuning of more blocks", "fit": "the fit"}


@dataclass(frozen=True)
class Measured:
    """Measurements of a run, without its test split: advice that is drawn from it would make it part of training.

    Attributes:
        plan: plan of the run.
        metric: name of the task's metric in the history.
        history: one record per epoch.
        best: the record of the epoch whose weights are kept.
        still_improves: whether validation was still improving when training reached its last epoch.
        blocks: number of blocks of the backbone.
        seconds: `total` and by phase.
        examples: examples of the validation split.
        validation: metrics of the validation split.
        probabilities: predictions for the validation split, float (n, outputs).
        mirrored: from `find_mirrored`.
    """

    plan: Plan
    metric: str
    history: Sequence[dict[str, Any]]
    best: dict[str, Any]
    still_improves: bool
    blocks: int
    seconds: dict[str, float]
    examples: Examples
    validation: dict[str, Any]
    probabilities: np.ndarray
    mirrored: tuple[str, str] | None


def describe_best(best: dict[str, Any], history: Sequence[dict[str, Any]], metric: str) -> str:
    """Describe which epoch's weights are kept, and which are discarded.

    Args:
        best: the record of the kept epoch.
        history: records of all epochs.
        metric: name of the task's metric in the history.

    Examples:
        >>> history = [{"phase": "head", "epoch": epoch, "val_accuracy": 0.8 + epoch / 100} for epoch in (1, 2)]
        >>> describe_best(history[1], history, "accuracy")
        'the weights of epoch 2 of 2 of the head: validation accuracy 0.820'
        >>> describe_best(history[1], [*history, {"phase": "fine_tune", "epoch": 1, "val_accuracy": 0.7}], "accuracy")
        'the weights of epoch 2 of 2 of the head: validation accuracy 0.820; those of fine-tuning (0.700) are discarded'
    """
    phase, reached = best["phase"], f"validation {metric} {best[f'val_{metric}']:.3f}"
    names = list(dict.fromkeys(one["phase"] for one in history))
    later = names[names.index(phase) + 1 :]
    discarded = [title_of(name) for name in later]
    count = sum(one["phase"] == phase for one in history)
    which = f"epoch {best['epoch']} of {count} of {title_of(phase)}" if count > 1 else title_of(phase)
    if not discarded:
        return f"the weights of {which}: {reached}"
    rival = max(one[f"val_{metric}"] for one in history if one["phase"] in later)
    return f"the weights of {which}: {reached}; those of {' and '.join(discarded)} ({rival:.3f}) are discarded"


def title_of(phase: str) -> str:
    """Return a phase's name as it appears in a sentence.

    Examples:
        >>> title_of("head")
        'the head'
        >>> title_of("fine_tune")
        'fine-tuning'
    """
    return PHASES.get(phase, phase.replace("_", " "))


def advise(measured: Measured) -> list[str]:
    """Return what to try next, the most promising first; at most `MOST` sentences.

    Examples:
        >>> from dataclasses import replace
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> from data.sources import open_source
        >>> plan = resolve(load_config({"source": "images"}), train_size=18, blocks=16, image_size=224)
        >>> epoch = {"phase": "fine_tune", "epoch": 1, "accuracy": 0.98, "val_accuracy": 0.7}
        >>> of_data = {"examples": open_source("images"), "probabilities": np.full((24, 3), 1 / 3), "mirrored": None}
        >>> measured = Measured(plan, "accuracy", [epoch], epoch, False, 16, {"total": 40.0}, validation={}, **of_data)
        >>> advise(measured)
        ['Training accuracy is 0.980, validation 0.700: more labelled images help most. So can --augment strong and --views 4.']
        >>> advise(replace(measured, best=epoch | {"val_accuracy": 0.97}))
        []
    """
    return [text for rule in RULES for text in [rule(measured)] if text][:MOST]


def find_mirrored(examples: Examples) -> tuple[str, str] | None:
    """Find two images that are rotations or mirror images of each other, with labels that differ by orientation only.

    Of these labels, so many images are rotated or mirrored copies that they cannot all be mistakes.

    Args:
        examples: examples with their duplicates.

    Returns:
        Their names; None if there are none.

    Examples:
        >>> from dataclasses import replace
        >>> from data.sources import open_source
        >>> fruit = open_source("images").subset([0, 1, 2, 8, 9, 10])  # three apples and three bananas
        >>> find_mirrored(replace(fruit, duplicates=np.array([0, 1, 2, 0, 1, 2]), upright=np.arange(6)))
        ('apple/00.png', 'banana/00.png')
        >>> find_mirrored(replace(fruit, duplicates=np.array([0, 1, 2, 0, 4, 5]), upright=np.arange(6))) is None  # one mistake
        True
    """
    assert (
        examples.duplicates is not None and examples.upright is not None
    )  # set by `app.interface.sources.open_readable`
    for members in find_conflicts(examples, examples.upright, examples.duplicates).orientations:
        (one, *others), labels = members.tolist(), examples.labels.array
        other = next(index for index in others if np.any(labels[index] != labels[one]))
        return examples.keys[one], examples.keys[other]
    return None


def _flip(measured: Measured) -> str | None:
    if measured.mirrored is None or not measured.plan.flip:
        return None
    return flip_advice(measured.mirrored)


def flip_advice(mirrored: tuple[str, str]) -> str:
    """Return advice about the images that `find_mirrored` found.

    Examples:
        >>> flip_advice(("left/1.png", "right/1.png"))
        'left/1.png and right/1.png are turned or mirrored to each other and have different labels: train with --no-flip,
        unless a mirrored image keeps its label.'
        >>> "--no-flip" in flip_advice(("b.png", "d.png"))
        True
    """
    one, other = mirrored
    return (
        f"{one} and {other} are turned or mirrored to each other and have different labels: train with --no-flip, "
        "unless a mirrored image keeps its label."
    )


def _labels(measured: Measured) -> str | None:
    if "confusion" not in measured.validation:
        return None
    examples, predictions = measured.examples, measured.probabilities
    suspects = np.flatnonzero(
        (predictions.argmax(axis=1) != examples.labels.array) & (predictions.max(axis=1) >= _SURE)
    )
    if not len(suspects):
        return None
    first = suspects[np.argmax(predictions[suspects].max(axis=1))]
    example = (
        f"{examples.keys[first]} is labelled {examples.labels.text(first)}, and the model is "
        f"{predictions[first].max():.0%} sure of {examples.class_names[predictions[first].argmax()]}"
    )
    count = f"{len(suspects)} labels of the validation split are" if len(suspects) > 1 else "A validation label is"
    return f"{count} probably wrong: {example}. The audit command lists the suspected labels of all images."


def _head_is_enough(measured: Measured) -> str | None:
    names = {one["phase"] for one in measured.history} - {"head"}
    fine_tuning = sum(measured.seconds.get(name, 0.0) for name in names)
    if measured.best["phase"] != "head" or not fine_tuning:
        return None
    total = measured.seconds["total"]
    return (
        "Fine-tuning did not improve on the head: --strategy feature_extraction gives the same weights, in about "
        f"{total - fine_tuning:.0f} s instead of {total:.0f} s."
    )


def _train_longer(measured: Measured) -> str | None:
    if not measured.still_improves or measured.best["phase"] == "head":
        return None
    epochs = sum(one["phase"] != "head" for one in measured.history)
    unfrozen = measured.plan.deeper_blocks or measured.plan.unfreeze_blocks
    more = f" or --unfreeze-blocks {min(measured.blocks, 2 * unfrozen)}" if unfrozen else ""
    return f"Validation loss was still falling after {epochs} epochs of fine-tuning: try --fine-tune-epochs {2 * epochs}{more}."


def _more_data(measured: Measured) -> str | None:
    context, reached = measured.best[measured.metric], measured.best[f"val_{measured.metric}"]
    if context - reached < _GAP:
        return None
    options = [
        text
        for text, is_new in (
            ("--augment strong", measured.plan.augment not in ("strong", "none")),
            ("--views 4", measured.plan.views < 4 and measured.plan.augment != "live"),
        )
        if is_new
    ]
    also = f" So can {' and '.join(options)}." if options else ""
    return (
        f"Training {measured.metric} is {context:.3f}, validation {reached:.3f}: more labelled images help most.{also}"
    )


def _confused(measured: Measured) -> str | None:
    counts = np.array(measured.validation.get("confusion", []))
    if len(counts) < 3:  # with two classes, any mistake confuses both
        return None
    pairs = np.triu(counts + counts.T, 1)
    one, other = np.unravel_index(pairs.argmax(), pairs.shape)
    if pairs[one, other] < _LEAST_CONFUSED:
        return None
    names, mistakes = measured.examples.class_names, int(counts.sum() - np.trace(counts))
    return (
        f"{names[one]} and {names[other]} are confused most ({pairs[one, other]:.0f} of {mistakes} mistakes on validation): "
        "compare their images, and add some of both."
    )


RULES: tuple[Callable[[Measured], str | None], ...] = (
    _flip,
    _labels,
    _head_is_enough,
    _train_longer,
    _more_data,
    _confused,
)
