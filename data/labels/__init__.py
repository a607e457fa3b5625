"""The kinds of labels: what can be learned from examples. Each kind is one file here and one row of `LABELS`.

The task that learns a kind has the same name: one file and one row of `app.tasks`, and one row of `models.heads`.
"""

from __future__ import annotations

from data.labels.labels import Indices, Labelling, Labels, Strata
from data.labels.multi_label import MULTI_LABEL, UNKNOWN, MultiLabel
from data.labels.names import SEPARATOR
from data.labels.regression import REGRESSION, Regression
from data.labels.single_label import SINGLE_LABEL, SingleLabel

__all__ = [
    "LABELS",
    "MULTI_LABEL",
    "REGRESSION",
    "SEPARATOR",
    "SINGLE_LABEL",
    "UNKNOWN",
    "Indices",
    "Labelling",
    "Labels",
    "MultiLabel",
    "Regression",
    "SingleLabel",
    "Strata",
]

# Name of the task -> kind of labels.
LABELS: dict[str, type[Labels]] = {
    SINGLE_LABEL: SingleLabel,
    MULTI_LABEL: MultiLabel,
    REGRESSION: Regression,
}
