"""No circle of imports between our files, and none inside a function: whoever opens a file sees all that it needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "data", "models")


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


SOURCES = {
    module_name(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(source: str, modules: Mapping[str, str] = SOURCES) -> Iterator[tuple[str, ast.AST]]:
    """The modules of ours that a text imports, wherever in it, with the statement; `import_module("ours")` counts too."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((name.name, node) for name in names if name.name in modules)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                for name in names:
                    whole = f"{module}.{name.name}"
                    found = whole if whole in modules else module
                    if found in modules:
                        yield found, node
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module" | "LazyModule")
                | ast.Attribute(attr="import_module" | "LazyModule"),
                args=[ast.Constant(value=str(module)), *_],
            ) if module in modules:
                yield module, node


def circles(sources: Mapping[str, str]) -> list[set[str]]:
    """The sets of modules each of which imports, by way of others, all of the set."""
    reached = {name: {found for found, _ in imports(text, sources)} - {name} for name, text in sources.items()}
    for name in reached:
        todo = list(reached[name])
        while todo:
            new = reached[todo.pop()] - reached[name]
            reached[name] |= new
            todo += new
    found: list[set[str]] = []
    for name in reached:
        if name in reached[name] and not any(name in one for one in found):
            found.append({other for other in reached[name] if name in reached[other]})
    return found


def imports_inside_functions(source: str, modules: Mapping[str, str] = SOURCES) -> list[str]:
    """Which modules of ours a text imports inside a function, each with its line."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    spans = [
        (outer.lineno, outer.end_lineno or outer.lineno)
        for outer in ast.walk(ast.parse(source))
        if isinstance(outer, functions)
    ]
    return [
        f"{name} (line {node.lineno})"
        for name, node in imports(source, modules)
        if any(first < node.lineno <= last for first, last in spans)
    ]


def test_the_files_are_found() -> None:
    assert {"app", "app.cli", "app.verbs.train", "data.sources", "models.heads"} <= set(SOURCES)


def test_no_files_import_in_a_circle() -> None:
    assert circles(SOURCES) == []


@pytest.mark.parametrize("name", SOURCES)
def test_no_function_imports_a_module_of_ours(name: str) -> None:
    assert imports_inside_functions(SOURCES[name]) == []


@pytest.mark.parametrize(
    "back",
    [
        "import app.one",
        "from app import one",
        "from app.one import thing",
        "def late():\n    from app.one import thing",
        "if TYPE_CHECKING:\n    from app.one import thing",
        "one = import_module('app.one')",
        "one = LazyModule('app.one')",
        "from app import three",
    ],
)
def test_a_circle_is_caught(back: str) -> None:
    made_up = {"app": "", "app.one": "from app.two import x", "app.two": back, "app.three": "import app.one"}
    (found,) = circles(made_up)
    assert {"app.one", "app.two"} <= found <= {"app.one", "app.two", "app.three"}


def test_what_is_no_circle_is_not_caught() -> None:
    made_up = {"app": "", "app.one": "from app.two import x\nimport app.three", "app.two": "from app.three import y"}
    assert circles(made_up | {"app.three": "import os, apple\nfrom numpy import app"}) == []


@pytest.mark.parametrize(
    "source",
    [
        "def late():\n    from app.cli import main",
        "class A:\n    async def late(self):\n        if x:\n            import app.cli",
        "def late():\n    return import_module('app.cli').main",
    ],
)
def test_an_import_inside_a_function_is_caught(source: str) -> None:
    assert len(imports_inside_functions(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from app.cli import main\ndef f():\n    import tensorflow",
        "if TYPE_CHECKING:\n    from app import cli\nelse:\n    cli = LazyModule('app.cli')",
        "class A:\n    from app.cli import main",
    ],
)
def test_what_is_outside_of_functions_is_not_caught(source: str) -> None:
    assert imports_inside_functions(source) == []
