"""Every block of `docs/extending.md` is run, and what it adds takes effect in a run and in the tables that are shown."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import app
import data
from app.exporting.formats import FORMATS
from app.training.strategies import STRATEGIES
from data.image.augmentation import AUGMENTATIONS
from data.sources import SOURCES
from models import BACKBONES, HEADS
from tests.images import coloured, write_folder
from tests.test_docs import DOCS, ROOT, blocks, read

TABLES = (BACKBONES, HEADS, STRATEGIES, SOURCES, AUGMENTATIONS, FORMATS)
*ADDITIONS, RUN, PIECES = blocks(read(DOCS / "extending.md"), "python")
MOST, MOST_OF_PIECES = 10, 15
NAMES = ("blue", "green", "red")


def execute(block: str) -> dict[str, object]:
    """Run a block on its own, and return its names."""
    names: dict[str, object] = {}
    exec(compile(block, "extending.md", "exec"), names)
    return names


@pytest.fixture(scope="module")
def extended() -> Iterator[list[str]]:
    """The tables with what the page adds, and the names of that; afterwards they are as they were."""
    before = [dict(table) for table in TABLES]
    try:
        for block in ADDITIONS:
            execute(block)
        yield [name for table, old in zip(TABLES, before, strict=True) for name in table if name not in old]
    finally:
        for table, old in zip(TABLES, before, strict=True):
            table.clear()  # type: ignore[attr-defined]
            table.update(old)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `colours.npz`."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("extending")
    labels = np.arange(30) % 3
    images = np.stack([coloured(2 - label, 3, (20, 20), random) for label in labels])
    np.savez(folder / "colours.npz", images=images, labels=np.array(NAMES)[labels])
    return folder


@pytest.fixture(scope="module")
def run(extended: list[str], folder: Path) -> app.Run:
    """The run of the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = execute(RUN)["run"]
    assert isinstance(made, app.Run)
    return app.Run(folder / made.path)


def test_each_block_is_short_and_follows_a_sentence() -> None:
    text = read(DOCS / "extending.md")
    assert len(ADDITIONS) == len(TABLES)
    for block in (*ADDITIONS, RUN, PIECES):
        assert len([line for line in block.splitlines() if line.strip()]) <= (
            MOST_OF_PIECES if block is PIECES else MOST
        )
        assert text.partition(f"```python\n{block}")[0].rstrip().endswith((".", ":"))


@pytest.mark.parametrize("block", ADDITIONS, ids=lambda block: block.splitlines()[-1].partition("[")[0])
def test_a_program_may_begin_with_the_imports_of_any_block(block: str) -> None:
    """A circle through a package's `__init__` shows in a process that has imported nothing else of ours."""
    ours = [line for line in block.splitlines() if re.match(r"from (app|data|models)\b", line)]
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(ours)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ours and not ended.returncode, ended.stderr


def test_each_block_adds_one_row(extended: list[str]) -> None:
    assert extended == ["small", "mean_and_max", "together", "npz", "colours", "keras"]


def test_the_backbone_and_the_head_are_in_the_model(run: app.Run) -> None:
    model = keras.models.load_model(run.model)
    backbone = model.get_layer("backbone")
    assert model.name == "small_single_label" and model.output_shape == (None, 3)
    assert backbone.output_shape[-1] == BACKBONES["small"].feature_width
    assert backbone.count_params() == BACKBONES["small"].parameters
    kinds = [type(layer).__name__ for layer in model.layers]
    assert {"GlobalAveragePooling2D", "GlobalMaxPooling2D", "Concatenate"} <= set(kinds)


def test_the_strategy_makes_the_phases(run: app.Run) -> None:
    assert {line["phase"] for line in run.history} == {"together"}


def test_the_source_is_read(run: app.Run) -> None:
    assert tuple(run.class_names) == NAMES
    examples = data.sources.open_source(str(run.path.parents[1] / "colours.npz"))
    channel = [
        np.argmax(data.image.resizing.load_pixels(examples.read(i), 8, "stretch").mean((0, 1))) for i in range(3)
    ]
    assert channel == [2, 1, 0]  # of RGB


def test_the_augmentation_changes_colours_only(extended: list[str], folder: Path) -> None:
    plain, augmented = (
        np.concatenate([pixels for pixels, _ in data.load(folder / "colours.npz", image_size=16, augment=name).train])
        for name in ("none", "colours")
    )
    assert np.abs(plain.mean((1, 2)) - augmented.mean((1, 2))).max() > 5
    noise = [
        np.corrcoef(one.mean(-1).ravel(), other.mean(-1).ravel())[0, 1]
        for one, other in zip(plain, augmented, strict=True)
    ]
    assert np.median(noise) > 0.8  # each pixel is where it was


def test_the_file_is_written_and_verified(run: app.Run) -> None:
    parity = json.loads((run.export / "parity.json").read_text(encoding="utf-8"))
    assert set(parity["formats"]) == {"keras"} and parity["passed"]
    written = keras.models.load_model(run.export / "probabilities.keras")
    answers = written.predict(np.zeros((1, 32, 32, 3)), verbose=0)
    assert answers.sum() == pytest.approx(1)


def test_the_lists_show_what_was_added(extended: list[str], wide: None, capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("backbones", "heads", "strategies", "sources", "formats"):
        app.list_choices(what)
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("small", "mean_and_max", "together", "FILE.npz", "probabilities.keras"))


def test_a_new_source_may_have_a_prefix(extended: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = data.sources.Source(
        "npz:FILE", "the same", lambda text, _: SOURCES["npz"].open(text[4:], _), prefixes=("npz:",)
    )
    monkeypatch.setitem(SOURCES, "npz:", row)
    assert data.load(f"npz:{folder / 'colours.npz'}", image_size=8).class_names == NAMES
    with pytest.raises(data.DataError, match="Did you mean npz:"):
        data.load("nzp:colours")


def test_the_pieces_for_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "my_images", examples=4)
    monkeypatch.chdir(tmp_path)
    quick = PIECES.replace("epochs=5", "epochs=1, verbose=0").replace("image_size=224", "image_size=64")
    model = execute(quick)["model"]
    assert isinstance(model, keras.Model) and model.optimizer.learning_rate.numpy() == np.float32(1e-5)
    assert model.count_params() > sum(int(np.prod(one.shape)) for one in model.trainable_weights) > 1280 * 3 + 3
