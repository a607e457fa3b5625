"""The notebook runs from end to end, in a checkout and in Colab, holds no outputs, and is the twin of its script."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

import app

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
SCRIPT = NOTEBOOK.with_suffix(".py")
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
PLACEHOLDER = "https://github.com/OWNER/graft"
COLAB = """
from pathlib import Path
def download(path):
    assert Path(path).is_file()
    print("downloaded", Path(path).name)
"""


@pytest.fixture
def notebook() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in which runs may be made."""
    copy = tmp_path_factory.mktemp("checkout") / "copy"
    copy.mkdir()
    for name in NEEDED:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(place, copy)
    return copy


@pytest.fixture(scope="module")
def repository(checkout: Path) -> str:
    """The same as the address of a git repository."""
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "-C", str(checkout)]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*git, *command], check=True)
    return checkout.as_uri()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of kernels, for which there is no package index."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


@pytest.fixture
def colab(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernels are as in Colab, which imports a package of its own before the first cell; gives their home folder."""
    package = tmp_path / "colab" / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "files.py").write_text(COLAB)
    (package.parents[1] / "sitecustomize.py").write_text("import google.colab\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parents[1]))
    return home


def execute(folder: Path, *cells: str) -> list[list[NotebookNode]]:
    """The outputs of code cells that a new kernel has run in a folder; what follows an error is not run."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(made, timeout=120, resources={"metadata": {"path": str(folder)}}, allow_errors=True)
    client.execute()
    return [cell.outputs for cell in made.cells]


def printed(outputs: list[NotebookNode]) -> str:
    """What a cell has printed, if it has done nothing else."""
    assert {output.output_type for output in outputs} <= {"stream"}, outputs
    assert {output.name for output in outputs} <= {"stdout"}, outputs
    return "".join(output.text for output in outputs)


def sentence(outputs: list[NotebookNode]) -> str:
    """How a cell has ended that says what to do first."""
    (error,) = (output for output in outputs if output.output_type == "error")
    (text,) = error.traceback
    return text


def code(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def first_cell(repository: str) -> str:
    """The first cell with another address."""
    (cell, *_) = code(nbformat.read(NOTEBOOK, as_version=4))
    found = re.search(r'\AREPOSITORY = "([^"]*)"', cell)
    assert found is not None
    return cell.replace(found[1], repository)


# --- The file ---------------------------------------------------------------------------------------------------------


def test_outputs_are_stripped(notebook: NotebookNode) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) == 10  # as the README says
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


def test_script_and_notebook_are_the_same(notebook: NotebookNode) -> None:
    script = jupytext.read(SCRIPT)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ], "run `make notebook`"


def addresses(folder: Path) -> dict[str, str]:
    """The repository that is named in each place."""
    cells = nbformat.read(folder / "notebooks" / "quickstart.ipynb", as_version=4).cells
    texts = {
        "script": (folder / "notebooks" / "quickstart.py").read_text(encoding="utf-8"),
        "notebook": "\n".join(cell.source for cell in cells),
        "README": (folder / "README.md").read_text(encoding="utf-8"),
    }
    badge = r"colab\.research\.google\.com/github/([^/]+/[^/]+)/blob/main/notebooks/quickstart\.ipynb\)"
    found = {}
    for name, text in texts.items():
        (link,) = re.findall(badge, text)
        found[f"{name}, badge"] = f"https://github.com/{link}"
        for line in re.findall(r'^REPOSITORY = "([^"]*)"', text, re.MULTILINE):
            found[f"{name}, line"] = line
    return found


def test_the_line_and_the_badges_name_the_same_repository() -> None:
    found = addresses(ROOT)
    assert len(found) == 5 and len(set(found.values())) == 1


def make_notebook(folder: Path, repository: str) -> subprocess.CompletedProcess[str]:
    # The environment that runs this test stands for the one that make would set up.
    command = [
        "make",
        "notebook",
        f"REPOSITORY={repository}",
        f"BIN={Path(sys.executable).parent}",
        "SET_UP=@true",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("given", ["https://github.com/you/mine", "https://github.com/you/mine.git"])
def test_make_puts_an_address_into_every_place(given: str, checkout: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkout, tmp_path / "copy"))
    ended = make_notebook(copy, given)
    assert ended.returncode == 0, ended.stderr
    assert set(addresses(copy).values()) == {"https://github.com/you/mine"}
    assert not list(copy.rglob("*.bak"))


def test_make_refuses_an_address_that_colab_cannot_open(checkout: Path) -> None:
    before = addresses(checkout)
    ended = make_notebook(checkout, "https://gitlab.com/you/mine")
    assert ended.returncode != 0 and "REPOSITORY=https://github.com/you/graft" in ended.stdout
    assert addresses(checkout) == before


# --- The first cell ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [".", "notebooks"])
@pytest.mark.parametrize("place", ["home", "colab"])
def test_in_a_checkout_nothing_is_cloned_or_installed(
    folder: str, place: str, checkout: Path, request: pytest.FixtureRequest
) -> None:
    home = request.getfixturevalue(place)
    quiet, where = execute(checkout / folder, first_cell(PLACEHOLDER), "print(os.getcwd())")
    assert printed(quiet) == "" and printed(where).strip() == str(checkout)
    assert not (home / "graft").exists()


def test_colab_clones_once_and_works_again_from_anywhere(repository: str, colab: Path, tmp_path: Path) -> None:
    cell, where = first_cell(repository), "import app\nprint(os.getcwd(), Path(app.__file__).parents[1])"
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    other.mkdir()
    first, again, found = execute(empty, cell, cell, where)
    assert printed(first) == printed(again) == ""
    assert printed(found).split() == [str(colab / "graft")] * 2

    # After a restart, in another folder, while the network is away.
    gone = first_cell((tmp_path / "no longer there").as_uri())
    after, found = execute(other, gone, where)
    assert printed(after) == "" and printed(found).split() == [str(colab / "graft")] * 2


@pytest.mark.parametrize(
    ("place", "address", "expected"),
    [
        ("colab", PLACEHOLDER, "Put the address of Graft's repository into the first line"),
        ("colab", "file:///no/such/repository", "git cannot clone file:///no/such/repository: fatal:"),
        ("home", PLACEHOLDER, "There is no checkout of Graft here: clone the repository"),
    ],
)
def test_without_a_checkout_the_cell_ends_with_a_sentence(
    place: str, address: str, expected: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    home = request.getfixturevalue(place)
    (outputs,) = execute(tmp_path, first_cell(address))
    assert sentence(outputs).startswith(expected)
    assert not (home / "graft").exists()


def wheel(folder: Path, version: str) -> None:
    """A package `probe` that knows its version, for pip to install."""
    info = f"probe-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"probe-{version}-py3-none-any.whl", "w") as file:
        file.writestr("probe.py", f"version = {version!r}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: probe\nVersion: {version}\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


PREPARE = "import runpy; print(runpy.run_path('notebooks/colab.py')['prepare']())"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that pip may change."""
    folder = tmp_path_factory.mktemp("runtime")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.fixture
def prepare(runtime: Path, checkout: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs code in a runtime that has version 1 of a package of which Graft is pinned to version 2."""
    folder = tmp_path / "graft"
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(checkout / "notebooks" / "colab.py", folder / "notebooks")
    (folder / "requirements.txt").write_text("# All that is needed.\nprobe==2.0\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    for version in ("1.0", "2.0"):
        wheel(tmp_path / "wheels", version)
    subprocess.run([str(runtime), "-m", "pip", "install", "--quiet", "probe==1.0"], check=True)

    def run(source: str) -> list[str]:
        command = [str(runtime), "-c", source]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()

    return run


def test_a_replaced_package_that_is_in_use_asks_for_a_restart_until_there_was_one(prepare: Any) -> None:
    installing, first, again = prepare(f"import probe\n{PREPARE}\n{PREPARE}")
    assert installing.startswith("Installing")
    assert first == again
    assert "(probe)" in first and "Restart session, then run this cell again" in first
    assert prepare(f"{PREPARE}\nimport probe; print(probe.version)") == ["None", "2.0"]  # a new session


def test_a_replaced_package_that_is_not_in_use_needs_no_restart(prepare: Any) -> None:
    assert prepare(f"{PREPARE}\nimport probe; print(probe.version)")[1:] == ["None", "2.0"]


def test_what_pip_cannot_install_is_said_in_a_sentence(prepare: Any, tmp_path: Path) -> None:
    (tmp_path / "wheels" / "probe-2.0-py3-none-any.whl").unlink()
    assert "pip cannot install requirements.txt on Python 3." in prepare(PREPARE)[-1]
    assert "No matching distribution found for probe==2.0" in prepare(PREPARE)[-1]


def test_colab_downloads_the_file_for_the_phone(
    checkout: Path, colab: Path, notebook: NotebookNode, tmp_path: Path
) -> None:
    run = app.Run(tmp_path / "run")
    run.export.mkdir(parents=True)
    (run.export / "model_float32.tflite").touch()
    here = f"import app\nrun = app.Run(Path({str(run.path)!r}))"
    *_, downloaded = execute(checkout, first_cell(PLACEHOLDER), here, code(notebook)[-1])
    assert printed(downloaded).strip() == "downloaded model_float32.tflite"


# --- All of it --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def executed(checkout: Path) -> NotebookNode:
    """The notebook as it is, run in a copy of the checkout."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(checkout / "notebooks")}})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")  # a kernel that finds it does not show what C++ writes
        client.execute()
    return notebook


def outputs_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_it_runs_without_a_warning(executed: NotebookNode) -> None:
    outputs = outputs_of(executed)
    assert {output.output_type for output in outputs} == {"display_data", "execute_result", "stream"}
    assert [output.text for output in outputs if output.output_type == "stream" and output.name != "stdout"] == []
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    assert not re.search(r"warning:|WARNING|INFO|Traceback", text)


def test_it_shows_bars_tables_and_images(executed: NotebookNode) -> None:
    data = [output.data for output in outputs_of(executed) if "data" in output]
    html = [one["text/html"] for one in data if "text/html" in one]
    assert len([one for one in html if "extracting" in one]) >= 1
    assert len([one for one in html if "<table" in one]) >= 2
    assert len([one for one in data if "image/png" in one]) == 2


def test_what_it_shows_is_the_run_that_it_made(executed: NotebookNode, checkout: Path) -> None:
    run = app.Run(checkout / "runs" / "digits")
    (shown,) = (cell.outputs[-1].data["text/html"] for cell in executed.cells if cell.source == "run")
    assert run.is_finished and f"{run.metrics['test']['accuracy']:.3f}" in shown and shown.count("<img") == 3
    assert run.metrics["test"]["accuracy"] >= 0.97 and run.parity["passed"]  # what the README promises of the demo
    assert (run.export / "model_float32.tflite").is_file()


def test_predictions_are_shown_once_as_images(executed: NotebookNode) -> None:
    cells = [cell for cell in executed.cells if cell.source.splitlines()[-1].startswith("predict(")]
    assert len(cells) == 2
    for cell in cells:
        *bars, predictions = (output.data["text/html"] for output in cell.outputs)
        assert not any("<img" in bar for bar in bars)  # what takes no time has no bar
        assert predictions.count("<img") == 8 and "digits-0225.png" in predictions
