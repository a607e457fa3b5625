"""`./graft`: from any folder and through links, and how it sets up `.venv`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images import write_folder

ROOT = Path(__file__).parents[1]
FILES = ("graft", "set_up.py", "requirements.txt", "requirements-dev.txt", "constraints.txt")
PACKAGES = ("app", "data", "models")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="graft.cmd is the launcher of Windows")


def copy_checkout(path: Path) -> Path:
    """A checkout without `.venv`."""
    path.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, path)
    for name in PACKAGES:
        (path / name).symlink_to(ROOT / name)
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that is set up, with the packages of this process, in a path with spaces."""
    path = copy_checkout(tmp_path_factory.mktemp("a place") / "my checkout")
    (path / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (path / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (path / ".venv" / "ready").touch()
    return path


def call(
    program: object, *words: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


# --- How it is called -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path_with_links(checkout: Path) -> Path:
    """A folder for the PATH with `graft`, a relative link to a link with an absolute target."""
    folder = checkout.parent / "some bin"
    folder.mkdir()
    (folder / "graft-1").symlink_to(checkout / "graft")
    (folder / "graft").symlink_to("graft-1")
    return folder


@pytest.mark.parametrize(
    ("program", "named"),
    [
        ("./my checkout/graft", "'./my checkout/graft'"),
        ("{checkout}/graft", "'{checkout}/graft'"),
        ("graft", "graft"),
        ("some bin/graft-1", "'some bin/graft-1'"),
    ],
)
def test_it_runs_from_anywhere_and_knows_its_name(
    program: str, named: str, checkout: Path, path_with_links: Path
) -> None:
    program, named = (text.format(checkout=checkout) for text in (program, named))
    if program == "graft":
        program = str(path_with_links / "graft")  # as a shell calls what it finds in the PATH
    path = f"{path_with_links}{os.pathsep}{os.environ['PATH']}"
    ended = call(program, "list", "heads", cwd=checkout.parent, PATH=path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "linear" in ended.stdout
    ended = call(program, "trian", cwd=checkout.parent, PATH=path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"there is no verb 'trian'; {named} --help shows all" in ended.stderr


def test_paths_are_those_of_the_user_s_folder_whose_own_packages_are_left_alone(checkout: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "my images", classes=2, examples=2)
    for name in ("app", "data", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('this is the package of the user')")
    ended = call(checkout / "graft", "audit", "my images", "--no-labels", "--output", "a report", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Found 4 images of 2 classes (apple, banana) in my images." in ended.stdout
    assert (tmp_path / "a report" / "audit.html").is_file()
    ended = call(checkout / "graft", "train", "no images", cwd=tmp_path)
    assert ended.returncode == 2 and "no images" in ended.stderr


def test_it_gives_its_place_to_python_so_that_signals_arrive(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; open('pids', 'a').write(f'{os.getpid()}\\n')")
    process = subprocess.Popen(
        [checkout / "graft", "list", "heads"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},  # a search path of the user is kept
        stdout=subprocess.PIPE,
    )
    process.communicate()
    assert (tmp_path / "pids").read_text().split()[-1] == str(process.pid)


# --- The set-up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", ["no-such-python", "/bin/echo"])
def test_a_python_that_does_not_fit_is_refused(python: str, tmp_path: Path) -> None:
    ended = call(copy_checkout(tmp_path / "new") / "graft", "list", PYTHON=python)
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: Graft needs Python 3.11, 3.12 or 3.13, and ")
    assert len(ended.stderr.splitlines()) == 1 and python in ended.stderr
    assert not (tmp_path / "new" / ".venv").exists()


def test_without_any_python_it_says_which_are_needed(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dirname", "readlink"):
        (tools / name).symlink_to(str(shutil.which(name)))
    ended = call(copy_checkout(tmp_path / "new") / "graft", "list", PATH=str(tools), PYTHON="")
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: Graft needs Python 3.11, 3.12 or 3.13") and "PYTHON=" in ended.stderr


def test_a_venv_of_another_python_is_named(checkout: Path, tmp_path: Path) -> None:
    new = copy_checkout(tmp_path / "new")
    (new / ".venv" / "bin").mkdir(parents=True)
    python = new / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\ncase $* in *set_up.py) exec {sys.executable} "$@" ;; *) echo 3.10 ;; esac\n')
    python.chmod(0o755)
    ended = call(new / "graft", "list")
    assert ended.returncode == 2
    assert ended.stderr == (
        f"Error: Graft needs Python 3.11, 3.12 or 3.13, and {new}/.venv is made with Python 3.10; delete it and try again\n"
    )


def test_the_set_up_is_done_once_said_in_a_line_and_done_again_where_it_must_be(tmp_path: Path) -> None:
    """A real venv and a real pip; there are no packages to install, so that no network is needed."""
    new = copy_checkout(tmp_path / "new")
    for name in ("requirements.txt", "constraints.txt"):
        (new / name).write_text("")
    words = [str(new / "graft"), "list"]
    environment = os.environ | {"PYTHON": sys.executable}
    two = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    endings = [process.communicate() for process in two]
    said = f"Setting up {new}/.venv: this takes some minutes, once.\n"
    missing = (
        f"Error: {new}/.venv/bin/python has no package rich; "
        "call ./graft instead of python -m app: it sets up all of them\n"
    )
    errors = sorted((error for _, error in endings), key=len)
    assert [process.returncode for process in two] == [2, 2]
    assert errors[0] == missing and errors[1].startswith(said) and errors[1].endswith(missing)

    assert call(*words).stderr == missing  # it is there
    (new / ".venv" / "ready").unlink()  # interrupted before pip had ended
    assert call(*words).stderr.startswith(said)
    assert call(*words).stderr == missing
    newer = (new / ".venv" / "ready").stat().st_mtime + 10
    os.utime(new / "requirements.txt", (newer, newer))  # another version of Graft
    assert call(*words).stderr.startswith(said)
    shutil.rmtree(new / ".venv" / "bin")  # the Python behind it is gone
    assert call(*words, PYTHON=sys.executable).stderr.startswith(said)
    assert (new / ".venv" / "ready").is_file()


def test_what_pip_cannot_install_is_said(tmp_path: Path) -> None:
    new = copy_checkout(tmp_path / "new")
    (new / "requirements.txt").write_text("not a requirement\n")
    (new / "constraints.txt").write_text("")
    ended = call(new / "graft", "list", PYTHON=sys.executable)
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last == f"Error: the set-up failed, as said above; mend that, or delete {new}/.venv, and try again"
    assert "not a requirement" in ended.stderr
    assert not (new / ".venv" / "ready").exists()


def test_the_launcher_of_windows_has_lines_that_windows_reads() -> None:
    lines = (ROOT / "graft.cmd").read_bytes().split(b"\r\n")
    assert not any(b"\n" in line for line in lines)
    assert lines[0] == b"@echo off" and b'"%~dp0set_up.py"' in b"\n".join(lines)
