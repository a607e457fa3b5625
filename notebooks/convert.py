"""Writes the notebooks from their paired scripts, which are the ones to edit. `make notebook` runs this file.

    python notebooks/convert.py [https://github.com/you/graft]

The first code cell of every script becomes that of `quickstart.py`. An address goes into that cell, and into the links of the
scripts and of the README that open notebooks in Colab.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import jupytext

FOLDER = Path(__file__).parent
NAMES = ("quickstart", "fine_tune", "custom", "mobile")
_FIRST_CELL = re.compile(r"^# %%\n.*?(?=^# %%)", re.MULTILINE | re.DOTALL)


def convert(address: str = "") -> None:
    """Write every notebook, and the scripts and the README where they change.

    Args:
        address: of the repository; an empty one leaves the addresses as they are.

    Raises:
        SystemExit: Colab cannot open notebooks at this address.
    """
    scripts = [FOLDER / f"{name}.py" for name in NAMES]
    if address:
        repository = _repository(address)
        for path in (*scripts, FOLDER.parent / "README.md"):
            _change(path, lambda text: _with_repository(text, repository))
    (cell, *_) = _FIRST_CELL.findall(_read(scripts[0]))
    for script in scripts:
        _change(script, lambda text: _FIRST_CELL.sub(lambda _: cell, text, count=1))
        notebook = jupytext.read(script)
        for number, one in enumerate(notebook.cells):
            one.id = f"cell-{number}"  # instead of a random id, so that converting again changes nothing
        jupytext.write(notebook, script.with_suffix(".ipynb"))


def _repository(address: str) -> str:
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(\.git)?/?", address)
    if found is None:
        print("Colab opens notebooks from GitHub: make notebook REPOSITORY=https://github.com/you/graft")
        sys.exit(2)
    return found[1]


def _with_repository(text: str, repository: str) -> str:
    text = re.sub(r'^REPOSITORY = "[^"]*"', f'REPOSITORY = "https://github.com/{repository}"', text, flags=re.MULTILINE)
    return re.sub(r"(colab\.research\.google\.com/github/)[^/]+/[^/]+/", rf"\g<1>{repository}/", text)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _change(path: Path, edit: Callable[[str], str]) -> None:
    before = _read(path)
    after = edit(before)
    if after != before:
        path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    convert(*sys.argv[1:])
