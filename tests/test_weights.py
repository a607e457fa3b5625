"""Weights of images: how much each has to say."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import app
from app.interface.sources import open_readable
from app.job.fit import _fit_data
from app.training.activations import Extractor
from app.training.fitting import fit
from data.cache.activations import ActivationCache
from data.image.transform import ImageTransform
from data.loading import Loader
from models.builder import build_model, with_predictions
from models.freezing import freeze
from tests.conftest import TINY_SPEC
from tests.phases import make_phase
from tests.plans import plan_of
from tests.squares import COUNT


def answers_after(folder: Path, squares: Path, *, swapped: bool, weight: float, direct: bool) -> np.ndarray:
    """Of a head fitted to a list where a third of the training images have this weight and, perhaps, the other label."""
    folder.mkdir()
    rows = list(csv.reader((squares / "red.csv").read_text().splitlines()))[1:]
    every = np.arange(COUNT)
    validation = every % 5 == 0
    light = ~validation & (every // 3 % 3 == 0)  # some of each label
    other = {"red": "other", "other": "red"}
    with open(folder / "list.csv", "w", newline="") as file:
        csv.writer(file).writerow(["path", "label", "weight"])
        for (name, label), is_light in zip(rows, light, strict=True):
            label, own = (other[label] if swapped and is_light else label), (weight if is_light else 1)
            csv.writer(file).writerow([squares / name, label, own])
    examples, _ = open_readable(str(folder / "list.csv"), skip_unreadable=False)
    loader = Loader(examples, ImageTransform(32, "stretch"))
    indices = {"train": every[~validation], "validation": every[validation]}
    data = _fit_data(plan_of(augment="none", views=1), loader, indices)
    model = build_model(TINY_SPEC, num_classes=2, dropout=0.0, weights="none")
    phase = make_phase(epochs=3, label_smoothing=0.1, trainable=freeze, direct=direct)
    cache = ActivationCache(folder / "cache", 10**9)
    extractor = Extractor(loader, cache, backbone="tiny", engine="tensorflow") if direct else None
    fit(model, [phase], data, app.Run.create({}, output=str(folder / "run")), extractor)
    pixels = np.stack([loader.load(index) for index in every]).astype(np.float32)
    return np.asarray(with_predictions(model)(pixels))


@pytest.mark.parametrize("direct", [True, False], ids=["solved", "in steps"])
def test_an_image_of_hardly_any_weight_has_no_say(direct: bool, squares: Path, tmp_path: Path) -> None:
    honest, swapped, heavy = (
        answers_after(tmp_path / name, squares, swapped=name != "honest", weight=weight, direct=direct)
        for name, weight in (("honest", 1e-6), ("swapped", 1e-6), ("heavy", 1.0))
    )
    unheard = np.abs(swapped - honest).max()
    assert unheard < 1e-3 and np.abs(heavy - honest).max() > 5 * unheard
