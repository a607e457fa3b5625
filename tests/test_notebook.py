"""The notebook runs from end to end, holds no outputs, and is the twin of its script."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from tests.pictures import write_folder

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
SCRIPT = NOTEBOOK.with_suffix(".py")


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_outputs_are_stripped(notebook: nbformat.NotebookNode) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == 10
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_script_and_notebook_are_the_same(notebook: nbformat.NotebookNode) -> None:
    script = jupytext.read(SCRIPT)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ], "run `make notebook`"


def test_runs_on_small_data(notebook: nbformat.NotebookNode, tmp_path: Path) -> None:
    write_folder(tmp_path / "pictures")
    options = {
        "output": str(tmp_path / "run"),
        "weights": "none",
        "image_size": 32,
        "head_epochs": 1,
        "fine_tune_epochs": 1,
    }
    for cell in notebook.cells:
        cell.source = re.sub(r"^SOURCE = .*$", f"SOURCE = {str(tmp_path / 'pictures')!r}", cell.source, flags=re.M)
        cell.source = re.sub(r"^OPTIONS = .*$", f"OPTIONS = {options!r}", cell.source, flags=re.M)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    images = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(images) == 3
    assert (tmp_path / "run" / "export" / "model_float32.tflite").is_file()
