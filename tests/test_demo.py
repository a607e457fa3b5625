"""The demo of the README keeps its promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.cli import main
from app.runs import Run

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_demo_reaches_its_accuracy(tmp_path: Path) -> None:
    demo = re.search(r"^DEMO := (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert demo is not None
    assert main(["train", *demo.group(1).split(), "--output", str(tmp_path / "run")]) == 0
    run = Run(tmp_path / "run")
    assert run.metrics["test"]["accuracy"] >= 0.97
    assert run.parity["passed"]
    assert all(one["top1_agreement"] == 1.0 for one in run.parity["formats"].values())


def test_readme_and_makefile_run_the_same_demo() -> None:
    demo = re.search(r"^DEMO := (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert demo is not None
    assert f"./graft train {demo.group(1)}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
