"""Every export format for every family of backbones, with random weights and images of half the usual size.

Opt-in (`-m families`): it takes about an hour. What cannot be exported is in `FORMATS`, so that it is said before training.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from app.exporting.context import ExportContext
from app.exporting.formats import FORMATS
from app.exporting.metadata import Description
from app.exporting.process import ModelProcess
from models.backbones import BACKBONES, find_backbone
from models.builder import build_model, with_predictions
from tests.networks import enliven, photographs


def smallest_of_each_family() -> list[str]:
    families: dict[tuple[str, ...], str] = {}
    for spec in sorted(BACKBONES.values(), key=lambda one: one.parameters):
        families.setdefault((spec.paper, spec.scaling, spec.blocks), spec.name)
    return sorted(families.values())


CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module", params=smallest_of_each_family())
def untrained(request: pytest.FixtureRequest) -> tuple[str, ExportContext, np.ndarray]:
    """A backbone's name, its network with random weights, ready for export, and images, uint8 (n, size, size, 3)."""
    keras.utils.set_random_seed(0)
    spec = find_backbone(request.param)
    size = spec.image_size // 2  # the smallest images end as single pixels, see `enliven`
    pixels = photographs(size)
    model = build_model(spec, num_classes=len(CLASSES), image_size=size, weights="none")
    enliven(model, pixels.astype(np.float32))
    about = Description(name=spec.name, text="", version="1", author="", licence="", class_names=CLASSES)
    return (
        spec.name,
        ExportContext(with_predictions(model), description=about, calibration=lambda: pixels),
        pixels,
    )


@pytest.mark.families
@pytest.mark.parametrize("name", FORMATS)
def test_a_family_is_exported(name: str, untrained: tuple[str, ExportContext, np.ndarray], tmp_path: Path) -> None:
    _, context, pixels = untrained
    export = FORMATS[name]
    path = tmp_path / export.file
    export.write(context, path)
    with ModelProcess(path) as model:
        found = model.predict(pixels)
    expected = np.asarray(context.model(pixels.astype(np.float32), training=False))
    assert np.ptp(expected, axis=0).max() > 0.01  # else a file that says nothing of the image would do
    # The gate that checks accuracy is not for networks that guess; integer files of random weights are rough.
    assert np.abs(found - expected).max() <= (export.tolerance or 0.25)
