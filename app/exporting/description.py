"""What is known of a model file besides its tensors: its class names, its task, how images become what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

# Ways a network can end: what its raw values are.
SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"


@dataclass(frozen=True)
class ScoreCalibration:
    """How a client turns a file's scores into others: scale / (1 + exp(-(slope * f(score) + offset))) for each class.

    Attributes:
        transformation: f: "identity", "log" or "inverse_logistic".
        default: for classes without parameters, and below their `least`.
        parameters: (scale, slope, offset, least) a class; None for a class without.
    """

    transformation: str
    default: float
    parameters: tuple[tuple[float, float, float, float] | None, ...]


@dataclass(frozen=True)
class ModelDescription:
    """What a source says of a model file: the file itself, its run, or what lies beside it; None for what it does not say.

    Attributes:
        names: one a class, or a number, in label order.
        locales: the names in other languages.
        thresholds: from which probability on each class is answered, None for those without one.
        score_threshold: probability below which a class is left out of the answer.
        score_calibration: how scores become others.
        task: a key of `app.tasks.TASKS`.
        resize: how images become the size that the file takes, a key of `data.image.decoding.RESIZES`.
        background: what shows through where images are transparent, and
        levels: which values of more than 8 bits become black and white, as `data.image.preparing.Preparation.parse` takes them.
        size: height and width that it was made for, in pixels.
        mean: what is subtracted from RGB values in [0, 255], one number or one a channel.
        std: what they are divided by after that.
        bgr: the channels are blue, green, red.
        is_ours: Graft made the file, so that it takes pixels as they are.
        origins: where each of these was read from.
        notes: what had to be guessed on the way, in a few words each.
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
        """What one source says."""
        origins = {name: origin for name, value in found.items() if value is not None}
        return cls(**found, origins=origins, notes=notes)

    def over(self, other: ModelDescription) -> ModelDescription:
        """The same, and of what it does not say, what another source says."""
        origins = {name: origin for name, origin in other.origins.items() if name not in self.origins}
        taken = {name: getattr(other, name) for name in origins}
        return replace(self, **taken, origins={**self.origins, **origins}, notes=self.notes + other.notes)
