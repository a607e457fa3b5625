"""The table of tasks: what can be learned from labels. A task is one file and one row."""

from __future__ import annotations

from app.tasks.multi_label import MULTI_LABEL_TASK
from app.tasks.regression import REGRESSION_TASK
from app.tasks.single_label import SINGLE_LABEL_TASK
from app.tasks.task import Task
from data.pictures import MULTI_LABEL, REGRESSION, SINGLE_LABEL

TASKS: dict[str, Task] = {
    SINGLE_LABEL: SINGLE_LABEL_TASK,
    MULTI_LABEL: MULTI_LABEL_TASK,
    REGRESSION: REGRESSION_TASK,
}
