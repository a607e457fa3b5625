"""The record of the Keras objects that a run was trained with, without which it cannot be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.interface.errors import UsageError
from app.interface.program import command
from app.runs.folder import RunFolder
from data.files import write_json

_FILE = "keras_objects.json"


def write_record(run: RunFolder, record: Mapping[str, Any]) -> None:
    """Write the record into the run folder, if there is anything in it.

    Args:
        run: the run.
        record: by argument of `train`, the name and the settings of each object.

    Examples:
        >>> run = RunFolder.create({"source": "images"}, output="runs/one")
        >>> write_record(run, {})
        >>> (run.path / "keras_objects.json").exists()
        False
        >>> write_record(run, {"optimizer": {"name": "SGD", "config": {"momentum": 0.9}}})
        >>> read_record(run)["optimizer"]["name"]
        'SGD'
    """
    if record:
        write_json(run.path / _FILE, _plain(record))


def read_record(run: RunFolder) -> dict[str, Any]:
    """Return the record of a run; empty if it was trained with Graft's own objects.

    Examples:
        >>> run = RunFolder.create({"source": "images"}, output="runs/two")
        >>> read_record(run)
        {}
        >>> write_record(run, {"callbacks": [{"name": "EarlyStopping"}]})
        >>> read_record(run)
        {'callbacks': [{'name': 'EarlyStopping'}]}
    """
    path = run.path / _FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is damaged: {error}") from error


def how_to_resume(run: RunFolder) -> str:
    """Return the command that continues an interrupted run, or the call in Python if it needs objects.

    Examples:
        >>> run = RunFolder.create({"source": "images"}, output="runs/three")
        >>> how_to_resume(run)
        'python -m app train --resume runs/three'
        >>> write_record(run, {"loss": {"name": "focal"}})
        >>> how_to_resume(run)
        "train(resume='runs/three', loss=...)"
    """
    record = read_record(run)
    if not record:
        return command("train", "--resume", run.path)
    return f"train(resume={str(run.path)!r}{''.join(f', {name}=...' for name in record)})"


def check_resumed(run: RunFolder, record: Mapping[str, Any]) -> None:
    """Check that an interrupted run goes on with the objects that it began with.

    Args:
        run: the run.
        record: of the objects that are given now.

    Raises:
        UsageError: objects are missing, are new, or have other settings.

    Examples:
        >>> run = RunFolder.create({"source": "images"}, output="runs/four")
        >>> check_resumed(run, {}) is None
        True
        >>> write_record(run, {"optimizer": {"name": "SGD", "config": {}}})
        >>> check_resumed(run, {})
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/four began with optimizer=SGD, which its folder cannot hold; ...
    """
    began, now = read_record(run), _plain(record)
    missing = [name for name in began if name not in now]
    if missing:
        objects = ", ".join(f"{name}={_names(began[name])}" for name in missing)
        raise UsageError(
            f"{run.path} began with {objects}, which its folder cannot hold; continue it in Python: {how_to_resume(run)}"
        )
    for name in now:
        if name not in began:
            raise UsageError(f"{run.path} began without {name}=; leave it out, or start a new run")
        if now[name] != began[name]:
            other = f"{_names(began[name])}, not {_names(now[name])}"
            same = _names(began[name]) == _names(now[name])
            raise UsageError(
                f"{run.path} began with {name}={other if not same else f'{_names(began[name])} of other settings'}; give the "
                f"same, which {_FILE} in it describes, or start a new run"
            )


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record as JSON holds it; what has no place there is its type."""
    found: dict[str, Any] = json.loads(json.dumps(record, default=lambda value: type(value).__name__))
    return found


def _names(described: Any) -> str:
    if isinstance(described, list):
        return f"[{', '.join(map(_names, described))}]"
    return str(described["name"])
