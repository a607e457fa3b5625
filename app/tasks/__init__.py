"""The table of tasks: what a model learns from labels. A task is one file and one row."""

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
