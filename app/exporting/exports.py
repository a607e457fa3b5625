"""Writes a run's export folder: all files, their labels, and their proof, in one step."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from app.console import console
from app.exporting.formats import FORMATS
from app.exporting.parity import Proof, prove
from app.runs import Run, write_json, write_text, written_whole
from data.pictures import PictureSet
from models.builder import with_probabilities


def write_exports(
    model: keras.Model, run: Run, formats: Sequence[str], test: PictureSet, test_answers: np.ndarray
) -> None:
    """Export a model and compare every file with it; `run.check_parity` says whether they agree.

    The folder takes the place of an earlier one only when it is complete.

    Args:
        model: gives logits.
        run: whose `export` folder is written.
        formats: keys of `FORMATS`.
        test: the run's test pictures.
        test_answers: the model's probabilities for them, float32 (n, classes).
    """
    config = run.config
    predictor = with_probabilities(model)
    with written_whole(run.export) as folder, console.status("exporting") as status:
        folder.mkdir()
        write_text(folder / "labels.txt", "".join(f"{name}\n" for name in run.class_names))
        for name in formats:
            status.update(f"exporting {FORMATS[name].file}")
            FORMATS[name].write(predictor, folder / FORMATS[name].file, config.resize)
        status.update("comparing the exported files with the model, each in a fresh process")
        proof = Proof.of(test, test_answers, image_size=model.input_shape[1], resize=config.resize)
        write_json(folder / "parity.json", prove(folder, formats, proof))
