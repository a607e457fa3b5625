"""How TensorFlow is started."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.interface.tensorflow_loading import load_tensorflow

ROOT = Path(__file__).parents[1]
IN_A_NEW_PROCESS = """
import gc
from app.interface.tensorflow_loading import load_tensorflow
{before}
load_tensorflow()
assert "keras" in __import__("sys").modules
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


@pytest.mark.parametrize(("before", "collects"), [("", True), ("gc.disable()", False)])
def test_what_came_with_tensorflow_is_left_alone_by_the_collector_which_goes_on(before: str, collects: bool) -> None:
    found = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS.format(before=before)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert found.stdout.split()[-2:] == [str(collects), "True"]


def test_nothing_of_the_users_is_frozen_if_it_runs_already() -> None:
    import keras  # noqa: F401

    frozen = gc.get_freeze_count()
    load_tensorflow()
    assert gc.get_freeze_count() == frozen


def test_memory_of_gpus_grows_as_it_is_used_unless_the_user_says_otherwise() -> None:
    """A fresh process that verifies a file needs memory beside the process that trains."""
    program = "import app, os; print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"
    for given, expected in (({}, "true"), ({"TF_FORCE_GPU_ALLOW_GROWTH": "false"}, "false")):
        kept = {name: value for name, value in os.environ.items() if name != "TF_FORCE_GPU_ALLOW_GROWTH"}
        found = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, env=kept | given, text=True)
        assert found.strip() == expected
