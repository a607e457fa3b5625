"""Prepares a Colab runtime. The first cell of each notebook runs this file from the root of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

_STALE = "GRAFT_STALE_PACKAGES"  # in the environment, which a restart of the session clears


def prepare() -> str | None:
    """Install the packages that Graft is pinned to, unless they are there.

    pip replaces packages in place. In a folder of its own Graft's versions would leave Colab's whole, but a kernel has loaded
    NumPy and others from the usual place before it runs the first cell, and after every restart again.

    Returns:
        None if the runtime is ready, else a sentence that says what to do.
    """
    if not _is_installed():
        print("Installing the packages that Graft is pinned to. This takes a few minutes.")
        loaded = _loaded_packages()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "-r", "requirements.txt"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            reason = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
            return f"pip cannot install requirements.txt on Python {sys.version.split()[0]}: {''.join(reason)}"
        replaced = [name for name, before in loaded.items() if _version(name) != before]
        os.environ[_STALE] = ", ".join(sorted({*replaced, *filter(None, os.environ.get(_STALE, "").split(", "))}))
    if stale := os.environ.get(_STALE):
        return (
            f"pip replaced packages that this session had already loaded ({stale}): "
            "choose Runtime → Restart session, then run this cell again."
        )
    return None


def _is_installed() -> bool:
    """Whether every package of `requirements.txt` is there in its version."""
    pins = re.findall(r"^([\w.-]+)==(\S+)$", Path("requirements.txt").read_text(), re.MULTILINE)
    return all(_version(name) == pinned for name, pinned in pins)


def _loaded_packages() -> dict[str, str | None]:
    """The installed packages of which this session has imported a module, with their versions."""
    modules = {name.partition(".")[0] for name in sys.modules}
    packages = {name for module, names in packages_distributions().items() if module in modules for name in names}
    return {name: _version(name) for name in packages}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
