"""Printed summary of an export: the files, how well they agree with the model, and where they are."""

from __future__ import annotations

from app.exporting.delegates import DEVICE_COLUMNS, device_rows
from app.exporting.folder import Kept, users_files
from app.exporting.verdicts import export_cells, export_columns, remarks, search_steps
from app.interface.events import print_path, print_table, print_text
from app.runs.folder import RunFolder
from app.tasks import TASKS


def print_exports(run: RunFolder) -> None:
    """Print one row per exported file, the findings about quantised ones, and where the files are.

    Examples:
        >>> from app.interface.events import SaidTable, listening
        >>> from app.runs.folder import RunFolder
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     print_exports(RunFolder.open("runs/fruit"))
        >>> [event.rows[0][0] for event in heard if isinstance(event, SaidTable)]
        ['model_float32.tflite']
        >>> heard[-1].what
        'exported'
    """
    parity = run.parity
    task = TASKS[run.task]
    rows = [export_cells(task, one) for one in parity["formats"].values()]
    print_table("", export_columns(task), rows)
    for line in (*remarks(task, parity, of_clients=True), *search_steps(parity)):
        print_text(line)
    for one in parity["formats"].values():
        print_path("exported", run.export / one["file"])


def print_devices(run: RunFolder) -> None:
    """Print where each `.tflite` runs; training prints little, and leaves this to the report.

    Examples:
        >>> from app.interface.events import listening
        >>> from app.runs.folder import RunFolder
        >>> with listening(lambda event: print(event.title), alone=True):
        ...     print_devices(RunFolder.open("runs/fruit"))
        where they run
        >>> with listening(lambda event: print(event.rows), alone=True):
        ...     print_devices(RunFolder.open("runs/fruit"))
        (('model_float32.tflite', '1.6', 'nothing', 'nothing', 'nothing'),)
    """
    if rows := device_rows(run.parity):
        print_table("where they run", DEVICE_COLUMNS, rows)


def print_changes(run: RunFolder, kept: Kept) -> None:
    """Print how an export changed an earlier one: what was added, replaced and kept, the user's own files included.

    Examples:
        >>> from app.exporting.folder import find_kept
        >>> from app.interface.events import listening
        >>> from app.runs.folder import RunFolder
        >>> run = RunFolder.open("runs/fruit")
        >>> with listening(lambda event: print(event.text), alone=True):
        ...     print_changes(run, find_kept(run, [], searched=False))
        Kept model_float32.tflite.
        >>> with listening(lambda event: print(event.text), alone=True):
        ...     print_changes(run, find_kept(run, ["tflite_float32"], searched=False))
        Replaced model_float32.tflite.
    """
    formats = run.parity["formats"]
    new = {name: one["file"] for name, one in formats.items() if name not in kept.formats}
    dropped = [file for name, file in kept.replaced.items() if name not in new]
    parts = {
        "Added": [file for name, file in new.items() if name not in kept.replaced],
        "replaced": [file for name, file in new.items() if name in kept.replaced],
        "removed": dropped,
        "kept": [*(one["file"] for one in kept.formats.values()), *users_files(run)],
    }
    if any(parts[name] for name in ("replaced", "removed", "kept")):
        text = "; ".join(f"{name} {', '.join(files)}" for name, files in parts.items() if files)
        print_text(f"{text[0].upper()}{text[1:]}.")
