"""The examples in docstrings: every public function has two, and they are run as they stand."""

from __future__ import annotations

import ast
import doctest
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import app
from tests.handmade import colour_classifier

ROOT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(ROOT) for folder in ("data", "models", "app") for path in (ROOT / folder).rglob("*.py"))
COMPLETE = ("data", "models", "app")  # in these folders, every public function has examples
LEAST = 2


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def lacking(source: str) -> Iterator[str]:
    """The public functions of a module whose docstrings have fewer than two examples with what they give."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            examples = doctest.DocTestParser().get_examples(ast.get_docstring(node) or "")
            if sum(bool(one.want) for one in examples) < LEAST:
                yield node.name


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in COMPLETE], ids=str)
def test_every_public_function_has_two_examples(path: Path) -> None:
    assert list(lacking((ROOT / path).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [(">>> f(1)\n    1\n    >>> f(2)\n    2", []), (">>> f(1)\n    1\n    >>> f(2)", ["f"]), ("Gives it.", ["f"])],
)
def test_examples_are_counted(docstring: str, expected: list[str]) -> None:
    source = f'def f(x):\n    """F.\n\n    {docstring}\n    """\n\n\ndef _g():\n    pass\n'
    assert list(lacking(source)) == expected


@pytest.mark.parametrize(
    "path", [path for path in FILES if ">>> " in (ROOT / path).read_text(encoding="utf-8")], ids=str
)
def test_examples_give_what_they_say(
    path: Path, fruit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """They find `images/` with apples, bananas and cherries, `apple.png`, and a finished run of them in `runs/fruit`."""
    shutil.copytree(fruit, tmp_path / "images")
    shutil.copy(fruit / "apple" / "00.png", tmp_path / "apple.png")
    if "runs/fruit" in (ROOT / path).read_text(encoding="utf-8"):
        run = app.Run(Path(shutil.copytree(request.getfixturevalue("tiny_run").path, tmp_path / "runs" / "fruit")))
        colour_classifier().save(run.model)
    monkeypatch.chdir(tmp_path)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testmod(importlib.import_module(module_of(path)), optionflags=options)
    assert tried and not failed
