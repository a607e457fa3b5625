"""Files that a user names for the results of a verb."""

from __future__ import annotations

from pathlib import Path

from app.interface.errors import UsageError


def output_path(text: str) -> Path:
    """Return the path that a result is written to.

    Raises:
        UsageError: the path is a folder, or its folder does not exist.

    Examples:
        >>> output_path("table.csv").name
        'table.csv'
        >>> output_path("images")
        Traceback (most recent call last):
        app.interface.errors.UsageError: cannot write images: it is a folder; choose another --output
    """
    output = Path(text).expanduser()
    if output.is_dir() or not output.parent.is_dir():
        reason = "it is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        raise UsageError(f"cannot write {output}: {reason}; choose another --output")
    return output


def output_folder(text: str) -> Path:
    """Return the path of a folder that results are written to, which may not exist yet.

    Raises:
        UsageError: the path is a file.

    Examples:
        >>> output_folder("a_new_folder").name
        'a_new_folder'
        >>> output_folder("apple.png")
        Traceback (most recent call last):
        app.interface.errors.UsageError: --output apple.png is a file; name a folder
    """
    output = Path(text).expanduser()
    if output.is_file():
        raise UsageError(f"--output {text} is a file; name a folder")
    return output
