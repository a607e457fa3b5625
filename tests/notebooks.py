"""The notebooks: their files, a copy of the checkout to run them in, and what their cells put out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
NEEDED = (
    "app",
    "data",
    "models",
    "notebooks",
    "requirements.txt",
    "constraints.txt",
    "Makefile",
    "README.md",
)


class Executed(NamedTuple):
    """A notebook with its outputs, and the copy of the checkout that it ran in."""

    notebook: NotebookNode
    checkout: Path

    @property
    def outputs(self) -> list[NotebookNode]:
        return [output for cell in self.notebook.cells if cell.cell_type == "code" for output in cell.outputs]

    @property
    def html(self) -> list[str]:
        return [output.data["text/html"] for output in self.outputs if "text/html" in output.get("data", {})]

    @property
    def images(self) -> list[str]:
        return [output.data["image/png"] for output in self.outputs if "image/png" in output.get("data", {})]

    def cell(self, part: str) -> list[NotebookNode]:
        """The outputs of the only code cell whose source has this part."""
        (outputs,) = (cell.outputs for cell in self.notebook.cells if cell.cell_type == "code" and part in cell.source)
        return outputs

    def check_quiet(self) -> None:
        """No cell has failed, warned, or written to standard error."""
        assert {output.output_type for output in self.outputs} <= {"display_data", "execute_result", "stream"}
        streams = [output for output in self.outputs if output.output_type == "stream"]
        assert [output.text for output in streams if output.name != "stdout"] == []
        assert not re.search(r"warning:|WARNING|INFO|Traceback", "".join(output.text for output in streams))


def read_notebook(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def printed(outputs: list[NotebookNode]) -> str:
    """What a cell has printed, if it has done nothing else."""
    assert {output.output_type for output in outputs} <= {"stream"}, outputs
    assert {output.name for output in outputs} <= {"stdout"}, outputs
    return "".join(output.text for output in outputs)


def copy_checkout(folder: Path) -> Path:
    """A copy of the checkout, in which runs may be made."""
    copy = folder / "copy"
    copy.mkdir()
    for name in NEEDED:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(place, copy)
    return copy


def execute_notebook(name: str, folder: Path) -> Executed:
    """Run a notebook as it is, in a copy of the checkout."""
    notebook, checkout = read_notebook(name), copy_checkout(folder)
    client = NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(checkout / "notebooks")}})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")  # a kernel that finds it does not show what C++ writes
        client.execute()
    return Executed(notebook, checkout)
