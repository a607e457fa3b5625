"""Description of a model file besides its tensors: class names, task, and how images become its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

# Kinds of final activation: what the raw outputs of a network are.
SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"


@dataclass(frozen=True)
class ScoreCalibration:
    """How a client maps a file's scores to calibrated ones: scale / (1 + exp(-(slope * f(score) + offset))) for each class.

    Attributes:
        transformation: f: "identity", "log" or "inverse_logistic".
        default: score of classes without parameters, and of scores below their `least`.
        parameters: (scale, slope, offset, least) for each class; None for a class without parameters.
    """

    transformation: str
    default: float
    parameters: tuple[tuple[float, float, float, float] | None, ...]


@dataclass(frozen=True)
class ModelDescription:
    """Description of a model file by one source: the file itself, its run, or a file beside it. None means not stated.

    Attributes:
        names: a name for each class or number, in label order.
        locales: the names in other languages.
        thresholds: probability from which each class is predicted; None for a class without a threshold.
        score_threshold: probability below which a class is left out of the results.
        score_calibration: how scores are calibrated.
        task: a key of `app.tasks.TASKS`.
        resize: how images are resized to the input size, a key of `data.image.resizing.RESIZES`.
        background: colour behind transparent parts of images, as `data.image.preparing.Preparation.parse` takes it.
        levels: values of more than 8 bits that become black and white, as `data.image.preparing.Preparation.parse` takes them.
        size: height and width of the input, in pixels.
        mean: number, or one per channel, that is subtracted from RGB values in [0, 255].
        std: number, or one per channel, by which the difference is divided.
        bgr: the channels are blue, green, red.
        is_ours: Graft made the file, so it takes pixels as they are.
        origins: the source of each of these fields.
        notes: fields that had to be guessed, in a few words each.
    """

    names: tuple[str, ...] | None = None
    locales: Mapping[str, tuple[str, ...]] | None = None
    thresholds: tuple[float | None, ...] | None = None
    score_threshold: float | None = None
    score_calibration: ScoreCalibration | None = None
    task: str | None = None
    resize: str | None = None
    background: str | None = None
    levels: str | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    bgr: bool | None = None
    is_ours: bool | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, origin: str, notes: tuple[str, ...] = (), **found: Any) -> ModelDescription:
        """Create the description that one source gives."""
        origins = {name: origin for name, value in found.items() if value is not None}
        return cls(**found, origins=origins, notes=notes)

    def over(self, other: ModelDescription) -> ModelDescription:
        """Return this description, with its missing fields filled from another."""
        origins = {name: origin for name, origin in other.origins.items() if name not in self.origins}
        taken = {name: getattr(other, name) for name in origins}
        return replace(self, **taken, origins={**self.origins, **origins}, notes=self.notes + other.notes)
