"""What editors, type checkers and readers are told of the library is what the code does."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import app
from app.interface.errors import UsageError
from app.verbs import VERBS
from docs import reference

FUNCTIONS = {row.function_name.rpartition(".")[2]: row for row in VERBS.values()}
USER_SCRIPT = """
from pathlib import Path

from app import audit, evaluate, export, predict, train


def accuracy(folder: Path) -> float:
    run = train("images", backbone="mobilenet_v2", formats=["tflite_float32"], verbose=0)
    names: tuple[str, ...] = run.class_names
    print(names, run.metrics["test"]["accuracy"])
    try:
        found = predict("runs/images", ["one.jpg"], top=3)
        print(found[0].label, found[0].probabilities)
    except ValueError as error:
        print(error)
    print(audit("images", labels=False).findings, export("runs/images", formats=("onnx",)))
    figures = evaluate("runs/images", "other", batch_size=8)
    return float(figures["accuracy"])
"""


@pytest.mark.parametrize(("path", "text"), [(reference.STUB, reference.stub), (reference.PAGE, reference.page)])
def test_it_is_written_from_the_code(path: Path, text: object) -> None:
    assert path.read_text(encoding="utf-8") == text(), "run `make reference`"  # type: ignore[operator]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_verb_shows_each_of_its_options(name: str) -> None:
    verb = getattr(app, name)
    shown = inspect.signature(verb).parameters
    assert "options" not in shown
    assert list(shown)[-1] == "verbose"
    for option in fields(FUNCTIONS[name].options):
        assert f"{option.name}: " in inspect.getdoc(verb)
        if option.default is not MISSING and option.name in shown:
            assert shown[option.name].default == option.default


def test_a_strictly_typed_script_needs_no_ignore(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(USER_SCRIPT)
    (tmp_path / "wrong.py").write_text(USER_SCRIPT.replace('backbone="mobilenet_v2"', "backbone=3, epoks=2"))
    words = ["--strict", "--config-file", "", "--ignore-missing-imports"]  # as `make lint`, whose cache will do
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *words, *map(str, sorted(tmp_path.glob("*.py")))],
        cwd=reference.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "right.py" not in ended.stdout
    assert 'Argument "backbone" to "train" has incompatible type "int"' in ended.stdout
    assert 'Unexpected keyword argument "epoks" for "train"' in ended.stdout


@pytest.mark.parametrize("verbose", [3, "yes", None])
def test_a_level_that_does_not_exist_is_named(verbose: object) -> None:
    with pytest.raises(UsageError, match="verbose must be 0"):
        app.audit("images", verbose=verbose)


def test_quiet_prints_nothing(fruit: Path, capfd: pytest.CaptureFixture[str]) -> None:
    app.audit(str(fruit), labels=False, verbose=0)
    assert capfd.readouterr() == ("", "")


def test_lines_in_place_of_bars(fruit: Path, capfd: pytest.CaptureFixture[str]) -> None:
    app.audit(str(fruit), labels=False, verbose=2)
    lines = capfd.readouterr().out.splitlines()
    assert "checking  100%" in lines
    assert any(line.startswith("Found 24 images of 3 classes") for line in lines)
