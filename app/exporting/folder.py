"""The export folder: an export adds to earlier files, replaces only its own, and leaves nothing half written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.exporting.metadata import LABELS, THRESHOLDS
from app.interface.errors import UsageError
from app.runs.folder import RunFolder
from data.files import atomic_write, target_name, write_json

PARITY, GOLDEN, EXPECTED = "parity.json", "golden", "golden/expected.json"
CARD, GUIDE = "model_card.md", "integration.md"  # they describe the whole folder, and are written last
_SAVED_MODEL = "saved_model"  # a folder to which users add files of their own, for TensorFlow Serving
_IN_SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "variables", "assets")
FAILED = "_FAILED"


@dataclass(frozen=True)
class Kept:
    """The parts of an earlier export that stay, and those that are replaced.

    Attributes:
        formats: formats that stay, with their part of `parity.json`; only those whose files still exist.
        quantization: findings of the earlier search for a quantised file, if the file that it kept stays.
        replaced: the other formats, with their files.
    """

    formats: dict[str, Any]
    quantization: dict[str, Any] | None
    replaced: dict[str, str]


def find_kept(run: RunFolder, formats: Collection[str], *, searched: bool) -> Kept:
    """Find what stays in a run's export folder when it is exported again.

    Args:
        run: with the options of the earlier export.
        formats: formats that are written now.
        searched: whether a quantised file is searched for; it replaces the file of an earlier search.

    Examples:
        >>> run = RunFolder.open("runs/fruit")
        >>> list(find_kept(run, ["onnx"], searched=False).formats)
        ['tflite_float32']
        >>> find_kept(run, ["tflite_float32"], searched=False).replaced.keys()
        dict_keys(['tflite_float32'])
    """
    parity = _parity(run.export)
    search = parity["quantization"]
    found = search["kept"] if search else None
    there = {name: one for name, one in parity["formats"].items() if (run.export / one["file"]).exists()}
    gone = {*formats, *([found] if searched and found not in (run.options.get("formats") or ()) else [])}
    return Kept(
        formats={name: one for name, one in there.items() if name not in gone},
        quantization=search if found in there and found not in gone and not searched else None,
        replaced={name: one["file"] for name, one in there.items() if name in gone},
    )


@contextmanager
def new_export(run: RunFolder, describe: Callable[[Path], None] = lambda folder: None) -> Iterator[Path]:
    """Yield an empty folder to export to, where `parity.json` is written last; it replaces the earlier one on success.

    Other files of the earlier folder move along, except those that `parity.json` no longer names.

    Args:
        run: run whose export folder is replaced.
        describe: writes what describes the new folder when all its files are there.

    Examples:
        >>> run = RunFolder.open("runs/fruit")
        >>> with new_export(run) as folder:
        ...     _ = (folder / "parity.json").write_text('{"formats": {}}')
        >>> sorted(path.name for path in run.export.iterdir())
        ['golden', 'labels.txt', 'parity.json']
        >>> run.parity
        {'formats': {}}
    """
    _clear_leftovers(run)
    with atomic_write(run.export) as folder:
        folder.mkdir()
        yield folder
        if run.export.is_dir():
            _keep_golden(run.export, folder)
            _carry_over(run.export, folder, _outdated(run, folder))
        describe(folder)


def failed_name(file: str) -> str:
    """Return the name of a file that failed verification.

    Examples:
        >>> failed_name("model_int8.tflite")
        'model_int8_FAILED.tflite'
        >>> failed_name("saved_model")
        'saved_model_FAILED'
    """
    path = Path(file)
    return f"{path.stem}{FAILED}{path.suffix}"


def users_files(run: RunFolder) -> list[str]:
    """Return the names of the files in a run's export folder that Graft did not write.

    Examples:
        >>> run = RunFolder.open("runs/fruit")
        >>> users_files(run)
        []
        >>> _ = (run.export / "notes.txt").write_text("mine")
        >>> users_files(run)
        ['notes.txt']
    """
    ours = {PARITY, GOLDEN, CARD, GUIDE, LABELS, THRESHOLDS, *_label_files(run), *_files(_parity(run.export))}
    return sorted(path.name for path in run.export.iterdir() if path.name not in ours)


def _parity(export: Path) -> dict[str, Any]:
    path = export / PARITY
    if not path.is_file():
        return {"formats": {}, "quantization": None}
    try:
        parity: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return parity
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}. Move the folder away and export again") from error


def _files(parity: dict[str, Any]) -> set[str]:
    return {one["file"] for one in parity["formats"].values()}


def _outdated(run: RunFolder, new: Path) -> set[Path]:
    """Return the files that Graft wrote into the earlier folder and the new one must not have, relative to it."""
    stay = _files(_parity(new))
    plain = {name.replace(FAILED, "") for name in stay}
    names = (_files(_parity(run.export)) | plain | set(map(failed_name, plain))) - stay
    names |= {*_label_files(run), THRESHOLDS, CARD, GUIDE, *_golden_files(run.export)}
    if (new / _SAVED_MODEL).is_dir():
        names |= {f"{_SAVED_MODEL}/{name}" for name in _IN_SAVED_MODEL}
    return {Path(name) for name in names}


def _label_files(run: RunFolder) -> list[str]:
    return [f"labels_{one.partition('=')[0]}.txt" for one in run.options.get("locales", ())]


def _golden_files(export: Path) -> list[str]:
    examples = _read_expected(export).get("pictures", [])
    return [f"{GOLDEN}/{one[key]}" for one in examples for key in ("picture", "tensor")]


def _read_expected(export: Path) -> dict[str, Any]:
    try:
        expected: dict[str, Any] = json.loads((export / EXPECTED).read_text(encoding="utf-8"))
        return expected
    except (OSError, ValueError):  # removed or changed by the user
        return {}


def _keep_golden(old: Path, new: Path) -> None:
    """Copy the predictions of kept files into the new golden vectors, if these are of the same images."""
    before, now, files = _read_expected(old), _read_expected(new), _files(_parity(new))
    images = _golden_files(new)
    if _golden_files(old) != images or any(not _same(old / one, new / one) for one in images):
        return
    for part, values in before.items():
        if isinstance(values, dict) and isinstance(now.get(part, {}), dict):
            now[part] = {file: value for file, value in values.items() if file in files} | now.get(part, {})
    write_json(new / EXPECTED, now)


def _same(old: Path, new: Path) -> bool:
    return old.is_file() and old.read_bytes() == new.read_bytes()


def _carry_over(old: Path, new: Path, left_out: Collection[Path], within: Path = Path()) -> None:
    """Add everything that a new folder lacks from an old one; files are hard-linked where possible, otherwise copied."""
    for entry in sorted(os.scandir(old / within), key=lambda one: one.name):
        place = within / entry.name
        if place in left_out:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not (new / place).is_dir():
                (new / place).mkdir()
                shutil.copystat(entry.path, new / place)
            _carry_over(old, new, left_out, place)
        elif not os.path.lexists(new / place):
            _link(entry.path, new / place)


def _link(old: str, new: Path) -> None:
    try:
        os.link(old, new, follow_symlinks=False)
    except (OSError, NotImplementedError):  # not on every file system
        shutil.copy2(old, new, follow_symlinks=False)


def _clear_leftovers(run: RunFolder) -> None:
    """Remove leftovers of killed exports; put an export back that was killed while the folders were being swapped."""
    hidden = [path for path in run.path.iterdir() if target_name(path) == run.export.name and path.is_dir()]
    if not run.export.exists():
        whole = [path for path in hidden if (path / PARITY).is_file()]  # it is written last
        if whole:
            newest = max(whole, key=lambda path: (path / PARITY).stat().st_mtime)
            newest.rename(run.export)
            hidden.remove(newest)
    for path in hidden:
        shutil.rmtree(path, ignore_errors=True)
