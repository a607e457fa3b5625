"""What the tests of sources share."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.examples import Examples
from data.sources import SourceOptions, open_source
from tests.images import encode, smooth

IMAGE = encode(smooth(12, 9))
CAFE = "caf\u00e9"


def put(*paths: Path) -> None:
    """Write the same image to each path."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGE)


def refusal(source: object, **options: Any) -> str:
    """The one sentence with which a source is refused."""
    with pytest.raises(DataError) as caught:
        open_source(str(source), SourceOptions(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def different(number: int) -> bytes:
    """An image of its own for each number."""
    return encode(smooth(12, 9, seed=number))


def flowers(folder: str = "") -> dict[str, bytes]:
    """Names and contents of two classes with two images each."""
    return {
        f"{folder}{name}/{number}.png": different(2 * label + number)
        for label, name in enumerate(("rose", "tulip"))
        for number in range(2)
    }


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def tarred(path: Path, members: Mapping[str, bytes], *special: tarfile.TarInfo) -> Path:
    """Write a tar archive, compressed as its name says, with `special` members at its end."""
    mode = "w:gz" if path.suffix.lower() in (".gz", ".tgz") else "w"
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for info in special:
            file.addfile(info)
    return path


def opened(source: Path, **options: Any) -> Examples:
    return open_source(str(source), SourceOptions(**options))


def texts(examples: Examples) -> list[str]:
    return [examples.labels.text(index) for index in range(len(examples))]


def said(examples: Examples) -> str:
    return "\n".join(examples.notes)


def folder_of(root: Path, *paths: str) -> Path:
    """A folder with an image at each path; a path that ends in a slash stands for two images."""
    put(*(root / one for path in paths for one in ([f"{path}0.png", f"{path}1.png"] if path.endswith("/") else [path])))
    return root
