"""The demo is the same wherever it is named; `tests/test_notebook_quickstart.py` runs it, as the notebook does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jupytext

ROOT = Path(__file__).parent.parent


def demo() -> str:
    found = re.search(r"^DEMO := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def test_readme_and_makefile_run_the_same_demo() -> None:
    assert f"./graft train {demo()}\n" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_notebook_and_makefile_run_the_same_demo() -> None:
    (cell,) = (one.source for one in jupytext.read(ROOT / "notebooks/quickstart.py").cells if "OPTIONS =" in one.source)
    source, options = (ast.literal_eval(line.partition(" = ")[2]) for line in cell.splitlines())
    words = [source]
    for name, value in options.items():
        option = name.replace("_", "-")
        words += [f"--no-{option}"] if value is False else [f"--{option}", str(value)]
    assert " ".join(words) == demo()
