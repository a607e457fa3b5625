"""Each notebook is the twin of its script, holds no outputs, and finds the checkout, in a computer's folder and in Colab.

What the notebooks put out is tested in `tests/test_notebook_NAME.py`.
"""

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
from tests.notebooks import NAMES, ROOT, code, copy_checkout, printed, read_notebook

PLACEHOLDER = "https://github.com/OWNER/graft"
COLAB = """
from pathlib import Path
def download(path):
    assert Path(path).is_file()
    print("downloaded", Path(path).name)
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


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


def sentence(outputs: list[NotebookNode]) -> str:
    """How a cell has ended that says what to do first."""
    (error,) = (output for output in outputs if output.output_type == "error")
    (text,) = error.traceback
    return text


def first_cell(repository: str) -> str:
    """The first cell with another address."""
    (cell, *_) = code(read_notebook("quickstart"))
    found = re.search(r'\AREPOSITORY = "([^"]*)"', cell)
    assert found is not None
    return cell.replace(found[1], repository)


# --- The file ---------------------------------------------------------------------------------------------------------


def test_the_notebooks_are_those_that_the_readme_names() -> None:
    assert NAMES == ["custom", "fine_tune", "mobile", "quickstart"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(notebooks/(\w+)\.ipynb\)", readme)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_stripped(name: str) -> None:
    cells = [cell for cell in read_notebook(name).cells if cell.cell_type == "code"]
    assert name != "quickstart" or len(cells) == 10  # as the README says
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("name", NAMES)
def test_script_and_notebook_are_the_same(name: str) -> None:
    script = jupytext.read(ROOT / "notebooks" / f"{name}.py")
    assert [(cell.cell_type, cell.source) for cell in read_notebook(name).cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ], "run `make notebook`"


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_is_that_of_quickstart(name: str) -> None:
    assert code(read_notebook(name))[0] == code(read_notebook("quickstart"))[0], "run `make notebook`"


def addresses(folder: Path) -> dict[str, str]:
    """The repository that is named in each place."""
    found = {}
    for name in NAMES:
        cells = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4).cells
        texts = {
            f"{name}.py": (folder / "notebooks" / f"{name}.py").read_text(encoding="utf-8"),
            f"{name}.ipynb": "\n".join(cell.source for cell in cells),
        }
        for file, text in texts.items():
            found[f"{file}, badge"] = badge(text, name)
            (found[f"{file}, line"],) = re.findall(r'^REPOSITORY = "([^"]*)"', text, re.MULTILINE)
    found["README, badge"] = badge((folder / "README.md").read_text(encoding="utf-8"), "quickstart")
    return found


def badge(text: str, notebook: str) -> str:
    """The repository that the only badge of a text opens a notebook from."""
    (link,) = re.findall(r"colab\.research\.google\.com/github/([^)]*)\)", text)
    assert link.endswith(f"/blob/main/notebooks/{notebook}.ipynb")
    return "https://github.com/" + "/".join(link.split("/")[:2])


def test_the_lines_and_the_badges_name_the_same_repository() -> None:
    found = addresses(ROOT)
    assert len(found) == 4 * len(NAMES) + 1 and len(set(found.values())) == 1


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
    assert names_of_files(copy) == names_of_files(checkout)  # nothing is left beside them


def names_of_files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if ".git" not in path.parts}


def test_make_without_an_address_changes_nothing(checkout: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkout, tmp_path / "copy"))
    ended = make_notebook(copy, "")
    assert ended.returncode == 0, ended.stderr
    for path in [copy / "README.md", *(copy / "notebooks").iterdir()]:
        assert path.read_bytes() == (checkout / path.relative_to(copy)).read_bytes(), path.name


def test_make_puts_the_first_cell_of_quickstart_into_each(checkout: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkout, tmp_path / "copy"))
    script = copy / "notebooks" / "quickstart.py"
    script.write_text(
        script.read_text(encoding="utf-8").replace("import os\n", "import os  # changed\n"), encoding="utf-8"
    )
    assert make_notebook(copy, "").returncode == 0
    for name in NAMES:
        notebook = nbformat.read(copy / "notebooks" / f"{name}.ipynb", as_version=4)
        assert "import os  # changed\n" in code(notebook)[0]
        assert code(notebook)[1:] == code(read_notebook(name))[1:]


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


def test_colab_downloads_the_file_for_the_phone(checkout: Path, colab: Path, tmp_path: Path) -> None:
    run = app.Run(tmp_path / "run")
    run.export.mkdir(parents=True)
    (run.export / "model_float32.tflite").touch()
    here = f"import app\nrun = app.Run(Path({str(run.path)!r}))"
    *_, downloaded = execute(checkout, first_cell(PLACEHOLDER), here, code(read_notebook("quickstart"))[-1])
    assert printed(downloaded).strip() == "downloaded model_float32.tflite"
