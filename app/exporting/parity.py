"""The proof of an export: every file, loaded in a fresh process by its own runtime, against the Keras model.

The pictures are those of the test split, as the files of the source hold them. Pixels come from Graft's own decoder; the
SavedModel's `encoded` signature, which decodes by itself, is asked about the picture files too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import app
from app.exporting.formats import FORMATS, Format
from data.decoding import load_pixels, reads_alike_in_tensorflow
from data.pictures import PictureSet

MAX_PICTURES = 500
# TensorFlow's resize rounds the last bit of a few pixels otherwise than Pillow's, so single pictures may differ a little
# more; another channel order or another resize would show in the mean.
ENCODED_TOLERANCE = 0.02
TIE = 1e-4  # two best classes closer than this are a tie: rounding may order them either way


@dataclass(frozen=True)
class Proof:
    """What the files are held against: pictures, their labels, and the Keras model's probabilities for them."""

    pictures: PictureSet
    probabilities: np.ndarray
    image_size: int
    resize: str

    @classmethod
    def of(cls, pictures: PictureSet, probabilities: np.ndarray, *, image_size: int, resize: str) -> Proof:
        """At most `MAX_PICTURES` of the pictures, evenly chosen, so that every class has its share."""
        chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), MAX_PICTURES)).round().astype(int)
        return cls(pictures.subset(chosen), probabilities[chosen], image_size, resize)


def prove(folder: Path, formats: Sequence[str], proof: Proof) -> dict[str, Any]:
    """Compare exported files with the Keras model.

    Args:
        folder: the export folder.
        formats: keys of `FORMATS` that were written to it.
        proof: at least one picture.

    Returns:
        The content of `parity.json`. A file that cannot be run has the worst figures, and the reason as `error`.
    """
    with tempfile.TemporaryDirectory(prefix="graft-parity-") as work:
        pixels, encoded = Path(work, "pixels.npy"), Path(work, "encoded")
        np.save(
            pixels,
            [
                load_pixels(proof.pictures.encoded(i), proof.image_size, proof.resize)
                for i in range(len(proof.pictures))
            ],
        )
        alike = _write_encoded(proof.pictures, encoded)
        figures = {}
        for name in formats:
            file = folder / FORMATS[name].file
            figures[name] = {"file": file.name, "bytes": _size(file), **_compare(file, pixels, proof, FORMATS[name])}
            if name == "saved_model" and alike:
                figures[name]["encoded"] = _compare_encoded(file, encoded, alike, proof)
                figures[name]["passed"] &= figures[name]["encoded"]["passed"]
    return {
        "pictures": len(proof.pictures),
        "passed": all(one["passed"] for one in figures.values()),
        "formats": figures,
    }


def _write_encoded(pictures: PictureSet, folder: Path) -> list[int]:
    """Write the picture files that TensorFlow decodes as Graft does; gives their positions."""
    folder.mkdir()
    alike = [i for i in range(len(pictures)) if reads_alike_in_tensorflow(pictures.encoded(i))]
    for position in alike:
        (folder / f"{position:06d}").write_bytes(pictures.encoded(position))
    return alike


class _CannotRun(Exception):  # noqa: N818 - it names the thing
    """An exported file that gives no answers, or answers of another shape."""


def _answers(file: Path, questions: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities of one file for pixels (.npy) or for a folder of picture files, from a fresh process."""
    with tempfile.TemporaryDirectory(prefix="graft-parity-") as work:
        result = Path(work, "probabilities.npy")
        command = [sys.executable, "-m", "app.exporting.answer", str(file.resolve()), str(questions), str(result)]
        root = Path(app.__file__).parent.parent
        ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            reason = (ended.stderr.strip().splitlines() or ["no message"])[-1]
            raise _CannotRun(f"cannot be run in a fresh process (exit code {ended.returncode}): {reason}")
        answers = np.load(result)
        if answers.shape != shape:
            raise _CannotRun(f"gives answers of shape {answers.shape}, not {shape}")
        return answers


def _compare(file: Path, pixels: Path, proof: Proof, export: Format) -> dict[str, Any]:
    figures = _ask(file, pixels, proof.probabilities, proof.pictures.labels)
    close = figures["max_probability_difference"] <= export.tolerance
    return {**figures, "tolerance": export.tolerance, "passed": close and figures["top1_agreement"] == 1.0}


def _compare_encoded(file: Path, encoded: Path, positions: Sequence[int], proof: Proof) -> dict[str, Any]:
    figures = _ask(file, encoded, proof.probabilities[positions], proof.pictures.labels[positions])
    passed = figures["mean_probability_difference"] <= ENCODED_TOLERANCE
    return {"pictures": len(positions), **figures, "tolerance": ENCODED_TOLERANCE, "passed": passed}


def _ask(file: Path, questions: Path, expected: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    try:
        return _agreement(_answers(file, questions, expected.shape), expected, labels)
    except _CannotRun as error:
        return {
            "top1_agreement": 0.0,
            "accuracy": 0.0,
            "keras_accuracy": float((expected.argmax(axis=1) == labels).mean()),
            "max_probability_difference": 1.0,
            "mean_probability_difference": 1.0,
            "error": str(error),
        }


def _agreement(answers: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    difference = np.abs(answers - expected).max(axis=1)
    second, first = np.sort(expected, axis=1)[:, -2:].T
    agrees = (answers.argmax(axis=1) == expected.argmax(axis=1)) | (first - second < TIE)
    return {
        "top1_agreement": float(agrees.mean()),
        "accuracy": float((answers.argmax(axis=1) == labels).mean()),
        "keras_accuracy": float((expected.argmax(axis=1) == labels).mean()),
        "max_probability_difference": float(difference.max()),
        "mean_probability_difference": float(difference.mean()),
    }


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(file.stat().st_size for file in files)
