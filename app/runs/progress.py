"""How far an unfinished run is, and how to continue it, in words."""

from __future__ import annotations

from app.config import load_config
from app.runs.folder import RunFolder


def progress_text(run: RunFolder) -> str:
    """Return the last finished epoch of an unfinished run, or its finished folds, and the call that continues it.

    Examples:
        >>> run = RunFolder.create({"source": "images"}, output="runs/new")
        >>> progress_text(run)
        "No epoch is finished yet. Continue with train(resume='runs/new')."
        >>> run.write_options({"source": "images", "folds": 5})
        >>> progress_text(run)
        "0 of 5 folds are finished. Continue with train(resume='runs/new')."
    """
    config = load_config(run.options)
    how = f"Continue with train(resume={str(run.path)!r})."
    if config.runs_of_folds:
        finished = sum(RunFolder(fold).is_finished for fold in run.path.glob("fold-*"))
        return f"{finished} of {config.folds} folds are finished. {how}"
    if not run.history:
        return f"No epoch is finished yet. {how}"
    last = run.history[-1]
    return f"The last finished epoch is {last['epoch']} of the phase {last['phase']}. {how}"
