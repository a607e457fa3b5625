"""TensorBoard: event files in the run folder, with the tags and folders that Keras' own callback writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tracking.tracker import Opening

FOLDER = "tensorboard"
_SPLITS = {"val_": "validation", "test_": "test"}  # all other figures are of training


class TensorBoardRun:
    """Event files in `tensorboard/train`, `validation` and `test` of the run folder."""

    def __init__(self, opening: Opening) -> None:
        import tensorflow as tf
        from tensorboard.plugins.hparams import api

        self.id = FOLDER
        self._summary: Any = tf.summary
        self._read_png: Any = tf.io.decode_png
        self._folder, self._step = opening.folder / FOLDER, 0
        self._writers: dict[str, Any] = {}
        if opening.id is None:
            with self._writer("").as_default():
                api.hparams(dict(opening.options))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write scalars, named as by `keras.callbacks.TensorBoard`: training and validation share a chart."""
        self._step = step
        for name, value in figures.items():
            prefix = next((one for one in _SPLITS if name.startswith(one)), "")
            with self._writer(_SPLITS.get(prefix, "train")).as_default():
                self._summary.scalar(f"epoch_{name.removeprefix(prefix)}", value, step=step)
        for writer in self._writers.values():
            writer.flush()

    def attach(self, path: Path) -> None:
        """Show a plot; other files are in the run folder anyway."""
        if path.suffix == ".png":
            pixels = self._read_png(path.read_bytes(), channels=3)
            with self._writer("").as_default():
                self._summary.image(path.stem, pixels[None], step=self._step)

    def close(self, *, finished: bool) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, split: str) -> Any:
        if split not in self._writers:
            self._writers[split] = self._summary.create_file_writer(str(self._folder / split))
        return self._writers[split]
