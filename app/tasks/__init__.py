"""The table of tasks: what can be learned from labels. A task is one file and one row."""

from __future__ import annotations

from app.tasks.multi_label import MultiLabelTask
from app.tasks.regression import RegressionTask
from app.tasks.single_label import SingleLabelTask
from app.tasks.task import Task as Task
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL

TASKS: dict[str, Task] = {
    SINGLE_LABEL: SingleLabelTask(),
    MULTI_LABEL: MultiLabelTask(),
    REGRESSION: RegressionTask(),
}


def find_task(name: str | None) -> Task:
    """The task that a run names; runs of earlier versions name none, and are of one class an image."""
    return TASKS[name or SINGLE_LABEL]
