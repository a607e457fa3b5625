"""Sets up `.venv`: makes it, and installs the packages that a file of requirements names.

    python set_up.py [REQUIREMENTS]

`graft`, `graft.cmd` and the Makefile call this. Any Python 3 can run it, without any package. A stamp is left when pip has
succeeded, so an interrupted set-up is done again; where nothing is to do, this ends at once.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMPS = {  # the files of requirements, and what tells in `.venv` that their packages are there
    "requirements.txt": "ready",
    "requirements-dev.txt": "ready-dev",
    "benchmarks/requirements.txt": "ready-bench",
}
VERSIONS = ("3.13", "3.12", "3.11")  # the first that is found is taken
NEEDS = "Error: Graft needs Python 3.11, 3.12 or 3.13"


def main(requirements: str = "requirements.txt") -> None:
    """Install what a key of `STAMPS` names, unless it is there.

    Raises:
        SystemExit: there is no suitable Python, or a step failed and has said why (code 2); or Ctrl-C (130).
    """
    if _is_ready(requirements):
        return
    with _alone():
        if _is_ready(requirements):  # by the process that this one has waited for
            return
        steps = _steps_to_pip()
        print(f"Setting up {VENV}: this takes some minutes, once.", file=sys.stderr, flush=True)
        install = [
            VENV_PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            ROOT / requirements,
        ]
        for step in [*steps, install]:
            _run(step)
        for name in ("requirements.txt", requirements):  # each of the other files includes the first
            (VENV / STAMPS[name]).touch()


def _is_ready(requirements: str) -> bool:
    stamp = VENV / STAMPS[requirements]
    if not (stamp.is_file() and VENV_PYTHON.is_file()):
        return False
    files = ("constraints.txt", "requirements.txt", requirements)
    return stamp.stat().st_mtime >= max((ROOT / file).stat().st_mtime for file in files)


@contextlib.contextmanager
def _alone() -> "Iterator[None]":
    """Wait until no other set-up is at work. The system frees the lock however a process ends."""
    with open(ROOT / ".venv.lock", "w") as file:
        if sys.platform == "win32":
            import msvcrt

            locked = False
            while not locked:  # each try lasts ten seconds
                with contextlib.suppress(OSError):
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    locked = True
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _steps_to_pip() -> list:
    """The commands that are left until `.venv` is there and has pip."""
    version = _ask([VENV_PYTHON])
    if not version:
        return [[*_suitable_python(), "-m", "venv", "--clear", VENV]]
    if version not in VERSIONS:
        _end(f"{NEEDS}, and {VENV} is made with Python {version}; delete it and try again")
    return [] if _ask([VENV_PYTHON], "pip") else [[VENV_PYTHON, "-m", "ensurepip"]]


def _suitable_python() -> list:
    named = os.environ.get("PYTHON")
    launcher = [["py", f"-{version}"] for version in VERSIONS] if os.name == "nt" else []
    others = [[f"python{version}"] for version in VERSIONS]
    for python in [[named]] if named else [*launcher, *others, ["python3"], ["python"]]:
        if _ask(python) in VERSIONS:
            return python
    where = f"PYTHON={named} is none of them" if named else "none of them is in the PATH"
    return _end(f"{NEEDS}, and {where}; name one, such as PYTHON=/usr/bin/python3.12")


def _ask(python: list, module: str = "sys") -> str:
    """The version of a Python, such as "3.12"; nothing if it cannot be run or lacks a module."""
    program = f"import sys, {module}; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.check_output([*map(str, python), "-c", program], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.decode().strip()


def _run(step: list) -> None:
    try:
        code = subprocess.call([str(word) for word in step], stdout=sys.stderr)
    except KeyboardInterrupt:
        _end("\nInterrupted; the next call sets up the rest", 130)
    if code:
        _end(f"Error: the set-up failed, as said above; mend that, or delete {VENV}, and try again")


def _end(text: str, code: int = 2) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
