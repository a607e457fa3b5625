"""Answers pictures with one model file, in a process of its own: `python -m app.exporting.answer MODEL QUESTIONS ANSWERS`.

QUESTIONS is a `.npy` of pixels, uint8 (n, size, size, 3), or a folder of picture files; ANSWERS is a `.npy` of
probabilities, float32 (n, classes), to write.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from app.exporting.runtimes import SavedModelRuntime, open_runtime

_BATCH = 32


def main(model: Path, questions: Path, answers: Path) -> None:
    """Load the model, answer all pictures in batches, and save the answers."""
    runtime = open_runtime(model)
    if questions.is_dir():
        assert isinstance(runtime, SavedModelRuntime)
        files = sorted(questions.iterdir())
        parts = [
            runtime.probabilities_of_encoded([file.read_bytes() for file in files[start : start + _BATCH]])
            for start in range(0, len(files), _BATCH)
        ]
    else:
        pixels = np.load(questions, mmap_mode="r")
        parts = [runtime.probabilities(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]
    np.save(answers, np.concatenate(parts))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
