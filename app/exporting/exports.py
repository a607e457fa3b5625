"""Writes a run's export folder: all files, their labels, golden vectors and their proof, in one step."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config import TrainConfig
from app.console import status
from app.exporting.automatic import Search, layer_errors, quantize_automatically, worst_layers
from app.exporting.formats import FORMATS
from app.exporting.golden import write_golden
from app.exporting.metadata import Description, read_locales
from app.exporting.parity import Proof, prove
from app.exporting.questions import Questions, evenly_chosen
from app.exporting.trained import Trained
from app.runs import Run, write_json, write_text, written_whole
from data.decoding import load_pixels
from data.pictures import MULTI_LABEL, REGRESSION, SINGLE_LABEL, PictureSet
from models.backbones import find_backbone
from models.builder import with_answers

if TYPE_CHECKING:
    import keras

CALIBRATION_PICTURES = 200


def write_exports(
    model: keras.Model,
    run: Run,
    config: TrainConfig,
    pictures: PictureSet,
    indices: Mapping[str, np.ndarray],
    answers: Mapping[str, np.ndarray],
) -> None:
    """Export a model and compare every file with it; `run.check_parity` says whether they agree.

    The folder takes the place of an earlier one only when it is complete. A file that failed its proof stays in it under a
    name that says so.

    Args:
        model: from `models.builder.build_model`, trained.
        run: whose `export` folder is written.
        config: the run's options; `formats` and `quantize` are resolved.
        pictures: of the run.
        indices: which of them are in each split.
        answers: the model's for "test", and for "validation" where a quantised file is to be found, float32 (n, outputs).
    """
    with (
        written_whole(run.export) as folder,
        tempfile.TemporaryDirectory(prefix="graft-") as work,
        _full_disk_named(folder),
    ):
        folder.mkdir()
        trained = Trained(
            with_answers(model),
            resize=config.resize,
            description=_describe(run, config),
            calibration=lambda: _calibration(pictures, indices["train"], model.input_shape[1], config.resize),
        )
        for name, text in trained.description.files.items():
            write_text(folder / name, text)

        def questions(split: str) -> Questions:
            place = Path(work, split)
            place.mkdir()
            size = model.input_shape[1]
            return Questions(
                pictures.subset(indices[split]),
                answers[split],
                image_size=size,
                resize=config.resize,
                folder=place,
                thresholds=run.thresholds,
            )

        test = questions("test")
        search = None
        if config.quantize == "auto":
            search = quantize_automatically(trained, folder, questions("validation"), test, max_drop=config.max_drop)
        proofs = _write_and_prove(trained, folder, config, test, search)
        for proof in proofs.values():
            if not proof.passed:
                _name_as_failed(folder, proof)
        write_golden(folder / "golden", test, {proof.figures["file"]: proof for proof in proofs.values()})
        write_json(folder / "parity.json", _parity(config, test, proofs, search))


_TEXTS = {
    SINGLE_LABEL: "Tells {count} classes apart",
    MULTI_LABEL: "Says which of {count} classes a picture has",
    REGRESSION: "Answers with {names}",
}


def _describe(run: Run, config: TrainConfig) -> Description:
    spec = find_backbone(config.backbone)
    names = run.class_names
    task = config.task or SINGLE_LABEL  # runs of earlier versions
    what = _TEXTS[task].format(count=len(names), names=", ".join(names))
    return Description(
        name=run.path.resolve().name,
        text=f"{what}, by {spec.name} at {config.image_size} pixels. Made with Graft.",
        task=task,
        resize=config.resize,
        thresholds=run.thresholds,
        version=config.model_version,
        author=config.author,
        licence=spec.licence,
        class_names=names,
        locales=read_locales(config.locales, len(names)),
        score_threshold=config.score_threshold,
    )


def _calibration(pictures: PictureSet, train: np.ndarray, size: int, resize: str) -> np.ndarray:
    chosen = train[evenly_chosen(len(train), CALIBRATION_PICTURES)]
    return np.stack([load_pixels(pictures.encoded(int(index)), size, resize) for index in chosen])


def _write_and_prove(
    trained: Trained, folder: Path, config: TrainConfig, test: Questions, search: Search | None
) -> dict[str, Proof]:
    """Every format that was asked for, and last what the search has kept, which is there already."""
    kept = {} if search is None or search.proof is None else {search.name: search.proof}
    proofs: dict[str, Proof] = {}
    assert config.formats is not None
    for name in config.formats:
        if name in kept:
            continue
        export = FORMATS[name]
        with status(f"exporting {export.file}"):
            export.write(trained, folder / export.file)
        proofs[name] = prove(folder / export.file, export, test, max_drop=config.max_drop)
        if export.tolerance is None and not proofs[name].passed:
            quantizer = trained.quantizer
            proofs[name].figures["layers"] = worst_layers(quantizer, layer_errors(quantizer))
    return proofs | kept


def _name_as_failed(folder: Path, proof: Proof) -> None:
    """Nobody is to ship it unnoticed."""
    file = folder / proof.figures["file"]
    proof.figures["file"] = f"{file.stem}_FAILED{file.suffix}"
    file.rename(folder / proof.figures["file"])


def _parity(config: TrainConfig, test: Questions, proofs: dict[str, Proof], search: Search | None) -> dict[str, Any]:
    steps = [] if search is None else search.steps
    return {
        "pictures": len(test),
        "passed": all(proof.passed for proof in proofs.values()),
        "max_drop": config.max_drop,
        "seconds": sum(proof.figures["seconds"] for proof in proofs.values()) + sum(one["seconds"] for one in steps),
        "formats": {name: proof.figures for name, proof in proofs.items()},
        "quantization": None if search is None else {"kept": search.name, "steps": steps, "layers": search.layers},
    }


@contextmanager
def _full_disk_named(folder: Path) -> Iterator[None]:
    """TensorFlow has errors of its own for a full disk; turn them into Python's."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if "No space left on device" not in str(error):
            raise
        raise OSError(errno.ENOSPC, "No space left on device", str(folder.parent)) from error
