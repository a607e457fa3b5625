"""How well the features of each backbone tell the labels of a sample apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from app.auditing.features import extract_features
from app.auditing.out_of_fold import OutOfFold, cross_validate
from app.interface.errors import UsageError
from app.interface.events import print_text
from app.interface.stages import status
from app.ranking.latency import Footprint, footprint
from app.ranking.scores import SCORES, Transfer
from app.tasks import TASKS
from data.cache.activations import ActivationCache, CacheFull
from data.cache.shards import MissingRows, Rows
from data.examples import Examples
from data.image.transform import ImageTransform
from data.loading import Loader, load_ahead
from data.splits import evenly_chosen
from models.backbones import find_backbone
from models.builder import build_model
from models.errors import ModelError

CALIBRATION_IMAGES = 32  # set the ranges of an int8 file that is only timed


class Candidate(NamedTuple):
    """A backbone with weights.

    Attributes:
        backbone: as for `models.build_model`.
        weights: as for `models.build_model`; None for the backbone's pretrained weights.
    """

    backbone: str
    weights: str | None = None

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Read `NAME` or `NAME=WEIGHTS`.

        Examples:
            >>> Candidate.parse("mobilenet_v2")
            Candidate(backbone='mobilenet_v2', weights=None)
            >>> str(Candidate.parse("mobilenet_v2=none"))
            'mobilenet_v2=none'
        """
        name, _, weights = text.partition("=")
        return cls(name, weights or None)

    def __str__(self) -> str:
        return self.backbone if self.weights is None else f"{self.backbone}={self.weights}"


@dataclass(frozen=True)
class Ranked:
    """A candidate and what was measured of it.

    Attributes:
        candidate: the backbone and its weights.
        score: accuracy, or the task's score, of out-of-fold predictions by a linear head, in parts of 1.
        out_of_fold: these predictions.
        scores: by key of `app.ranking.scores.SCORES`; None where a score does not apply.
        footprint: size and speed as an int8 file; None if it cannot be quantised.
    """

    candidate: Candidate
    score: float
    out_of_fold: OutOfFold
    scores: dict[str, float | None]
    footprint: Footprint | None

    def drop_from(self, best: Ranked, examples: Examples) -> tuple[float, tuple[float, float]]:
        """Return by how much the score is below that of the best candidate, and the paired 95 % interval of that.

        Args:
            best: the candidate with the best score.
            examples: the sample.
        """
        figures = _compare(self.out_of_fold, best.out_of_fold, examples)
        name = TASKS[examples.task].score
        return figures[f"{name}_drop"], figures[f"{name}_drop_ci95"]


class Missing(NamedTuple):
    """A candidate whose weights cannot be had, and why."""

    candidate: Candidate
    reason: str


def rank_candidates(
    examples: Examples,
    candidates: Sequence[Candidate],
    cache: ActivationCache,
    *,
    image_size: int | None,
    resize: str,
    engine: str,
    seed: int,
) -> tuple[list[Ranked], list[Missing]]:
    """Measure each candidate on a sample.

    Args:
        examples: the sample, with its digests and duplicates.
        candidates: the backbones.
        cache: cache that keeps the features.
        image_size: side of the images in pixels; None for that of each backbone.
        resize: a key of `data.image.resizing.RESIZES`.
        engine: engine that runs the backbones, one of `app.training.engines.engine_choices()`.
        seed: of random weights.

    Returns:
        The candidates with the best score first, and those without weights.

    Raises:
        UsageError: there are too few images to rank on, or there is no room for the features.
        DataError: an image can no longer be read.

    Examples:
        >>> from pathlib import Path
        >>> from app.interface.events import listening
        >>> from app.interface.sources import open_readable
        >>> small, cache = Candidate("mobilenet_v3_small", "none"), ActivationCache(Path("cache"), 10**9)
        >>> options = {"image_size": 32, "resize": "stretch", "engine": "tensorflow", "seed": 0}
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, _ = open_readable("images", skip_unreadable=False)
        ...     ranked, missing = rank_candidates(examples, [small], cache, **options)
        >>> [str(one.candidate) for one in ranked], missing
        (['mobilenet_v3_small=none'], [])
        >>> with listening([].append, alone=True):
        ...     rank_candidates(examples.subset([0, 8, 16]), [small], cache, **options)
        Traceback (most recent call last):
        app.interface.errors.UsageError: 3 images are too few to rank on: give more per class, or a larger --sample
    """
    ranked: list[Ranked] = []
    missing: list[Missing] = []
    footprints: dict[str, Footprint | None] = {}  # by backbone: weights change neither size nor speed
    for candidate in candidates:
        print_text(f"{candidate}:")
        keras.utils.set_random_seed(seed)
        try:
            features = extract_features(
                examples,
                cache,
                backbone=candidate.backbone,
                weights=candidate.weights,
                image_size=image_size,
                resize=resize,
                engine=engine,
            )
        except ModelError as error:
            missing.append(Missing(candidate, str(error)))
            continue
        except (CacheFull, MissingRows) as error:
            raise UsageError(f"ranking needs room in the cache: {error}") from error
        found = cross_validate(examples, features)
        if found is None:
            raise UsageError(
                f"{len(examples)} images are too few to rank on: give more per class, or a larger --sample"
            )
        if candidate.backbone not in footprints:
            footprints[candidate.backbone] = _footprint(examples, candidate, image_size, resize)
        ranked.append(
            Ranked(
                candidate,
                float(_compare(found, found, examples)[TASKS[examples.task].score]),
                found,
                _scores(examples, candidate, features),
                footprints[candidate.backbone],
            )
        )
    return sorted(ranked, key=lambda one: -one.score), missing


def _compare(found: OutOfFold, expected: OutOfFold, examples: Examples) -> dict[str, Any]:
    """Return the figures of `Task.agreement` for two sets of out-of-fold predictions of the same examples."""
    task, labels, outputs = TASKS[examples.task], examples.labels.array[found.evaluated], found.outputs
    names = [examples.class_names[one] for one in outputs]
    labels = np.searchsorted(outputs, labels) if examples.labels.exclusive else labels[:, outputs]
    return task.agreement(
        found.predictions[found.evaluated],
        expected.predictions[expected.evaluated],
        labels,
        names,
        task.usual_thresholds(len(names)),
        labels.std(axis=0) if not task.decides else None,
    )


def _scores(examples: Examples, candidate: Candidate, rows: Rows) -> dict[str, float | None]:
    """Return the scores of transferability, which are about one class per image."""
    if not examples.labels.exclusive:
        return dict.fromkeys(SCORES)
    features = rows.take(np.arange(len(examples))).astype(np.float64)
    source = _source_probabilities(candidate, features)
    transfer = Transfer(features, examples.labels.array, source)
    return {name: score.compute(transfer) for name, score in SCORES.items()}


def _source_probabilities(candidate: Candidate, features: np.ndarray) -> np.ndarray | None:
    """Return what the backbone's own classifier says of the images; None if there is none with these weights."""
    from scipy.special import softmax

    spec = find_backbone(candidate.backbone)
    if spec.classifier is None or candidate.weights not in (None, *spec.weights[:1]):
        return None
    kernel, bias = spec.classifier()
    probabilities: np.ndarray = softmax(features @ kernel + bias, axis=1)
    return probabilities


def _footprint(examples: Examples, candidate: Candidate, image_size: int | None, resize: str) -> Footprint | None:
    with status(f"timing {candidate.backbone}"):
        model = build_model(
            candidate.backbone,
            num_classes=len(examples.class_names),
            task=examples.task,
            image_size=image_size,
            weights=candidate.weights,
        )
        loader = Loader(examples, ImageTransform(model.input_shape[1], resize))
        pixels = np.stack(list(load_ahead(loader, evenly_chosen(len(examples), CALIBRATION_IMAGES))))
        try:
            return footprint(model, pixels)
        except Exception as error:  # the converter and the quantiser raise nearly anything for an operation they lack
            reason = str(error).strip().partition("\n")[0]
            print_text(f"{candidate.backbone} cannot be quantised to int8, so it is not timed: {reason}.")
            return None
