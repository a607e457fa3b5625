"""The house rules that can be checked by reading the code: see the design, section 1."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("app", "data", "models", "tests", "benchmarks", "notebooks")
FILES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
FORBIDDEN = {"data": {"models", "app", "tests"}, "models": {"data", "app", "tests"}, "app": {"tests"}}
HEAVY = {"tensorflow", "keras", "matplotlib", "tensorflow_datasets", "tensorflow_hub", "tensorboard", "mlflow", "wandb"}
MOST_LINES = 400
# Only here may code tell tasks apart by their names; elsewhere it asks `Labels`, `Task` or `Output`.
ROOMS_OF_TASKS = ("data/labels/", "app/tasks/", "models/heads.py")
TASKS = {"single_label", "multi_label", "regression"}


def imported(source: str, module: tuple[str, ...]) -> Iterator[str]:
    """The top-level packages that the text of a module imports, wherever in it, by statement or by name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name.partition(".")[0] for name in names)
            case ast.ImportFrom(module=name, level=0):
                yield (name or "").partition(".")[0]
            case ast.ImportFrom(module=name, level=level, names=names):
                package = module[: len(module) - level]
                yield from [package[0]] if package else [name.partition(".")[0]] if name else [n.name for n in names]
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name.partition(".")[0]


def edits_of_the_search_path(source: str) -> list[int]:
    """The lines of a module that touch `sys.path`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in ("path", "addsitedir") and _is(node.value, "sys", "site"))
        or (isinstance(node, ast.ImportFrom) and node.module == "sys" and any(n.name == "path" for n in node.names))
    ]


def comparisons_of_tasks(source: str) -> list[int]:
    """The lines of a module that compare with the name of a task, or look something up by it."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.expr | ast.pattern) and any(map(_names_a_task, _compared(node)))
    ]


def _compared(node: ast.AST) -> Sequence[ast.expr | None]:
    """What is compared with something in an expression or a pattern, or is the key of something."""
    match node:
        case ast.Compare(left=left, comparators=others):
            return [left, *others]
        case ast.Dict(keys=keys):
            return keys
        case ast.Subscript(slice=key):
            return [key]
        case ast.MatchValue(value=value):
            return [value]
        case ast.Call(func=ast.Attribute(attr="get" | "pop" | "index" | "count"), args=[key, *_]):
            return [key]
    return []


def _names_a_task(node: ast.expr | None) -> bool:
    match node:
        case ast.Constant(value=str(name)):
            return name in TASKS
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper() and name.lower() in TASKS
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return any(map(_names_a_task, parts))
    return False


def _is(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def module_of(path: Path) -> tuple[str, ...]:
    return path.with_suffix("").parts


def test_the_files_are_found() -> None:
    assert {path.parts[0] for path in FILES} >= {"app", "data", "models", "tests"}
    assert Path("app/cli.py") in FILES and Path("data/sources/folder.py") in FILES


@pytest.mark.parametrize("path", FILES, ids=str)
def test_packages_import_in_one_direction(path: Path) -> None:
    found = set(imported((ROOT / path).read_text(encoding="utf-8"), module_of(path)))
    assert not found & FORBIDDEN.get(path.parts[0], set())


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] not in ("tests", "notebooks")], ids=str)
def test_only_the_console_draws(path: Path) -> None:
    """Rich's own live displays put themselves in the place of the standard streams."""
    source = (ROOT / path).read_text(encoding="utf-8")
    if path.parts[:3] != ("app", "interface", "console"):
        assert "rich" not in imported(source, module_of(path)) and "console.status" not in source


@pytest.mark.parametrize(
    "source",
    [
        "import app",
        "import app.cli as cli, os",
        "from app.interface.errors import UsageError",
        "def late():\n    from app import train",
        "if TYPE_CHECKING:\n    import app.config",
        "import importlib\nimportlib.import_module('app.cli')",
        "__import__('app')",
        "from .. import app",
        "from ..app import cli",
    ],
)
def test_a_wrong_import_is_caught(source: str) -> None:
    assert "app" in set(imported(source, ("models", "heads")))


@pytest.mark.parametrize("source", ["from . import spec", "from ..heads import HEADS", "import apple", "x = 'app'"])
def test_a_right_import_is_not_caught(source: str) -> None:
    assert "app" not in set(imported(source, ("models", "backbones", "tf_hub")))


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in ("app", "data", "models")], ids=str)
def test_task_names_are_compared_in_their_rooms_only(path: Path) -> None:
    if not path.as_posix().startswith(ROOMS_OF_TASKS):
        assert not comparisons_of_tasks((ROOT / path).read_text(encoding="utf-8"))


def test_templates_name_no_task() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.jinja")}
    assert texts and not {path for path, text in texts.items() if any(name in text for name in TASKS)}


@pytest.mark.parametrize(
    "source",
    [
        "if images.task == REGRESSION: pass",
        "x = 1 if 'multi_label' != task else 2",
        "x = task in (SINGLE_LABEL, MULTI_LABEL)",
        "x = [one for one in every if one.task is data.labels.REGRESSION]",
        "match task:\n    case 'regression': pass\n    case labels.MULTI_LABEL | 'single_label': pass",
        "texts = {SINGLE_LABEL: 'one', MULTI_LABEL: 'any number'}",
        "x = OUTPUTS['regression'].predictions",
        "x = TEXTS.get(REGRESSION, '')",
    ],
)
def test_a_comparison_of_task_names_is_caught(source: str) -> None:
    assert comparisons_of_tasks(source)


@pytest.mark.parametrize(
    "source",
    [
        "def read(task: str = SINGLE_LABEL): return MULTI_LABEL",
        "x = other.task == train.task or TASKS[task].decides",
        "x = Output('numbers', 'regression')",
        "if '--task regression' in text: pass",
        "match task:\n    case Task(name=name): pass",
    ],
)
def test_what_only_names_a_task_is_not_caught(source: str) -> None:
    assert not comparisons_of_tasks(source)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_module_edits_the_search_path(path: Path) -> None:
    assert not edits_of_the_search_path((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    ["import sys\nsys.path.insert(0, '.')", "sys.path += ['x']", "from sys import path", "site.addsitedir('.')"],
)
def test_an_edit_of_the_search_path_is_caught(source: str) -> None:
    assert edits_of_the_search_path(source)


def test_files_have_names_and_a_readable_length() -> None:
    assert not [path for path in FILES if path.name in ("utils.py", "util.py", "helpers.py", "misc.py")]
    lines = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import app.cli"],
        ["-m", "app", "--help"],
        ["-m", "app", "train", "--help"],
        ["-m", "app", "list", "backbones"],
        ["-m", "app", "train", "no/such/folder"],
    ],
    ids=" ".join,
)
def test_what_must_be_quick_does_not_import_tensorflow(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
        check=False,
    )
    assert ended.returncode == (2 if "no/such/folder" in arguments else 0)
    names = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}
    assert "app.cli" in names  # the list was understood
    assert not {name.partition(".")[0] for name in names} & HEAVY
