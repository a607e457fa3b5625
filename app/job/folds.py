"""Cross-validation: a run for each fold, so that every image is tested once, by a model that has not seen it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.config import RunConfig, load_config
from app.interface.errors import BAD_INPUT, GateError
from app.interface.events import print_text
from app.job.summary import print_folds
from app.runs.fold_figures import summarise
from app.runs.folder import RunFolder
from data.errors import DataError
from data.examples import Examples
from data.files import write_json


def train_folds(
    whole: RunFolder,
    examples: Examples,
    sha256: str,
    *,
    begin: Callable[[RunConfig, Examples, str, str], RunFolder],
    go_on: Callable[[RunFolder, Examples, str], RunFolder],
) -> RunFolder:
    """Train each fold as a separate run, `fold-1` … in the folder of the whole, and summarise their tests.

    Finished folds are not trained again.

    Args:
        whole: the run that holds the folds.
        examples: all examples.
        sha256: hash over all images.
        begin: trains a new run from its options, in a folder.
        go_on: continues an interrupted run.

    Returns:
        `whole`, finished.

    Raises:
        DataError: a class has too few images for the number of folds, or the images differ from those of earlier folds.
        GateError: all folds are trained, but an exported file of a fold does not agree with its model.

    Examples:
        >>> from pathlib import Path
        >>> from app.interface.events import listening
        >>> from data.sources import open_source
        >>> examples, done = open_source("images"), RunFolder.open("runs/fruit")
        >>> def begin(config, examples, sha256, folder):  # instead of training
        ...     return RunFolder(Path(shutil.copytree(done.path, folder)))
        >>> whole = RunFolder.create(done.options | {"folds": 2}, output="runs/folds")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     _ = train_folds(whole, examples, done.environment["data_sha256"], begin=begin, go_on=begin)
        >>> sorted(path.name for path in whole.path.iterdir())
        ['config.json', 'fold-1', 'fold-2', 'folds.json']
        >>> train_folds(whole, examples, "of other images", begin=begin, go_on=begin)
        Traceback (most recent call last):
        data.errors.DataError: the images of images are no longer those that runs/folds/fold-1 was trained on; ...
    """
    config = load_config(whole.options)
    runs = [RunFolder(whole.path / f"fold-{number}") for number in config.runs_of_folds]
    _check_same(runs, examples, sha256)
    try:
        for number, run in enumerate(runs, start=1):
            if not run.is_finished:
                print_text(f"Fold {number} of {len(runs)}:")
                _train_fold(replace(config, fold=number), run, examples, sha256, begin, go_on)
    except BAD_INPUT:
        if not any(run.path.exists() for run in runs):  # refused before anything was trained
            whole.remove()
        raise
    write_json(whole.folds_file, summarise([run.metrics["test"] for run in runs]))
    print_folds(whole)
    _check_parity(runs)
    return whole


def _train_fold(
    config: RunConfig,
    run: RunFolder,
    examples: Examples,
    sha256: str,
    begin: Callable[[RunConfig, Examples, str, str], RunFolder],
    go_on: Callable[[RunFolder, Examples, str], RunFolder],
) -> None:
    try:
        if (run.path / "splits.csv").exists():
            with run.in_use():
                go_on(run, examples, sha256)
        else:
            shutil.rmtree(run.path, ignore_errors=True)  # it was interrupted before training started
            begin(config, examples, sha256, str(run.path))
    except GateError:
        print_text("An exported file failed its check; the other folds are trained first.")


def _check_same(runs: Sequence[RunFolder], examples: Examples, sha256: str) -> None:
    """Refuse changed images, which would change the folds, so that an image could be tested twice or never."""
    for run in runs:
        if (run.path / "environment.json").exists() and run.environment["data_sha256"] != sha256:
            raise DataError(
                f"the images of {examples.source} are no longer those that {run.path} was trained on; "
                "put back what was changed, or train new folds"
            )


def _check_parity(runs: Sequence[RunFolder]) -> None:
    failures = []
    for run in runs:
        try:
            run.check_parity()
        except GateError as error:
            failures.append(str(error))
    if failures:
        raise GateError("\n".join(failures))
