"""`--quantize auto`: search for the smallest and fastest quantised file that agrees with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.exporting.context import ExportContext
from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.figures import beyond
from app.exporting.formats import FORMATS, Format
from app.exporting.parity import verify
from app.exporting.tflite import write_int8
from app.exporting.verification import Verification
from app.interface.stages import status

SHARES = (0.5, 0.9, 0.99)  # of the summed error, carried by the layers that stay in float
HARMLESS = 1e-3  # a layer with a smaller share of the error is not worth keeping in float
NAMED_LAYERS = 10


@dataclass
class Search:
    """The formats that were tried, in order, and why each was rejected.

    Attributes:
        name: key of the kept format in `parity.json`.
        format: its row of the table of formats.
        verification: verification of the kept file on the test images.
        steps: for each try its `format`, `what` it is, `file`, `bytes`, the figures on the validation images, and the
            `failures`. The last step is the kept file.
        layers: if full integer failed, the most harmful layers: `layer`, `share` of the summed error, and the range of its
            values.
    """

    name: str = ""
    format: Format | None = None
    verification: Verification | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)


def quantize_automatically(
    context: ExportContext,
    folder: Path,
    validation: EvaluationSet,
    test: EvaluationSet,
    *,
    max_drop: float,
    more: Callable[[], EvaluationSet] | None = None,
) -> Search:
    """Write the first file of the ladder that passes: full integer; with the worst layers in float; 8-bit weights; float16.

    Full integer and 8-bit weights are within a tenth of each other's size, a quarter of float32's, so the fastest comes first.
    Files with a few layers in float come next, as long as they are smaller than float16. Other formats are not tried: 4-bit
    weights (2 in 10 of float32's size) lost 5 points on amazon and took three times as long as float32; dynamic files are
    slower than float32 too, and 16-bit activations 60 times slower.

    The file is chosen on the validation images, so that the test images stay a test; a file that fails on those is rejected
    too. Where the validation images are too few, the training images are added and decide.

    Args:
        context: model to quantise.
        folder: where the file is written; files that failed are removed.
        validation: images to choose by.
        test: images to verify the choice on.
        max_drop: largest accuracy loss allowed, in points.
        more: returns images of training and validation.

    Returns:
        The search. The last format of the ladder is kept even if its verification fails.

    Examples:
        >>> from app.exporting.metadata import Description
        >>> from app.interface.events import listening
        >>> from app.runs.folder import RunFolder
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> from models.builder import load_model, with_predictions
        >>> model = with_predictions(load_model(RunFolder.open("runs/fruit").model))
        >>> loader = Loader(open_source("images"), ImageTransform(32, "stretch"))
        >>> images = EvaluationSet(loader, np.array([0, 8, 16]), np.eye(3))  # one of each class
        >>> about, pixels = Description("fruit", "", "1", "", "", images.class_names), images.pixels(range(3))
        >>> context = ExportContext(model, description=about, calibration=lambda: pixels)
        >>> with listening([].append, alone=True):  # prints nothing
        ...     search = quantize_automatically(context, Path("."), images, images, max_drop=0.5)
        >>> search.name, search.verification.passed
        ('tflite_int8', True)
        >>> [step["what"] for step in search.steps]
        ['full integer']
    """
    search = Search()
    for name, what, export in _ladder(context, search):
        if search.format is not None:
            (folder / search.format.file).unlink()
        path = folder / export.file
        with status(f"exporting {export.file}"):
            export.write(context, path)
        tried = verify(path, export, validation, max_drop=max_drop, with_client=False, more=more)
        _decide_on_more(tried, validation.task.score, max_drop)
        search.name, search.format = name, export
        if tried.passed:
            search.verification = verify(path, export, test, max_drop=max_drop, more=more, golden=test.golden)
            tried.failures += [f"on the test images: {text}" for text in search.verification.failures]
        score, same = validation.task.score, validation.task.same_answer
        kept = ("file", "bytes", score, f"keras_{score}", f"{score}_drop", same, "within_chance", "more", "seconds")
        figures = {key: tried.figures[key] for key in kept if key in tried.figures}
        search.steps.append({"format": name, "what": what, **figures, "failures": tried.failures})
        if tried.passed:
            break
    else:
        # What is wrong with the last.
        search.verification = verify(path, export, test, max_drop=max_drop, more=more, golden=test.golden)
    return search


def _decide_on_more(tried: Verification, score: str, max_drop: float) -> None:
    """If the interval is too wide to decide, decide by the loss on all training and validation images."""
    more = tried.figures.get("more")
    if more and tried.passed and 100 * more[f"{score}_drop"] > max_drop:
        points = beyond(100 * more[f"{score}_drop"], max_drop)
        tried.failures.append(
            f"loses {points} points on {more['pictures']} training and validation images; at most {max_drop:g} allowed "
            "(--max-drop)"
        )


def _ladder(context: ExportContext, search: Search) -> Iterator[tuple[str, str, Format]]:
    """Yield each try: the name of the format, a short description, and its row."""
    yield "tflite_int8", "full integer", FORMATS["tflite_int8"]
    quantizer, errors = context.quantizer, context.layer_errors
    search.layers = worst_layers(context)
    left_before = 0
    for layers in _cheapest_cures(errors, quantizer.layer_bytes):
        size = sum(quantizer.layer_bytes[layer] for layer in layers)
        if len(layers) > left_before and size < len(quantizer.float32) / 2:  # float16 would be smaller
            what = f"integer but for {len(layers)} of {len(errors)} layers"
            write = partial(write_int8, float_layers=layers)
            mixed = replace(
                FORMATS["tflite_int8"], file="model_int8_mixed.tflite", description=f"LiteRT, {what}", write=write
            )
            yield "tflite_int8_mixed", what, mixed
        left_before = len(layers)
    yield "tflite_int8_weights", "8-bit weights", FORMATS["tflite_int8_weights"]
    yield "tflite_float16", "16-bit weights", FORMATS["tflite_float16"]


def _cheapest_cures(errors: dict[str, float], sizes: dict[str, int]) -> Iterator[list[str]]:
    """Yield sets of layers that carry each of `SHARES` of the summed error, taking those with the most error per byte first.

    Often a few small layers near the input do most of the harm. In float, they hardly add to the file.
    """
    total = max(sum(errors.values()), 1e-30)
    harmful = [layer for layer in errors if errors[layer] / total >= HARMLESS]
    order = sorted(harmful, key=lambda layer: -errors[layer] / (sizes[layer] + 1))
    carried = np.cumsum([errors[layer] / total for layer in order])
    for share in SHARES:
        yield order[: int(np.searchsorted(carried, share)) + 1]


def worst_layers(context: ExportContext) -> list[dict[str, Any]]:
    """Return the layers that do most harm when they are quantised, for the report.

    Examples:
        >>> from app.exporting.metadata import Description
        >>> from app.interface.events import listening
        >>> from app.runs.folder import RunFolder
        >>> from models.builder import load_model, with_predictions
        >>> model = with_predictions(load_model(RunFolder.open("runs/fruit").model))
        >>> pixels = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (0, 255)])
        >>> about = Description("fruit", "", "1", "", "", ("apple", "banana", "cherry"))
        >>> with listening([].append, alone=True):  # prints nothing
        ...     found = worst_layers(ExportContext(model, description=about, calibration=lambda: pixels))
        >>> found[-1]["layer"]  # the least harmful one
        'stem_1/convolution1'
        >>> round(sum(layer["share"] for layer in found), 3)
        1.0
    """
    errors = context.layer_errors
    total = max(sum(errors.values()), 1e-30)
    return [
        {"layer": readable(name), "share": error / total, "range": context.quantizer.range_of(name)}
        for name, error in list(errors.items())[:NAMED_LAYERS]
    ]


def readable(name: str) -> str:
    """Return the Keras layer and operation in a name from the converter, such as "block7a_project_bn/batchnorm/sub".

    Examples:
        >>> readable("colours/narrow/Relu;colours/narrow/BiasAdd")
        'narrow/BiasAdd'
        >>> readable("StatefulPartitionedCall:0")
        'probabilities'
    """
    # A name lists everything that was fused into one operation; the last part is the operation it ends with.
    parts = max(name.split(";")[-1:] + name.split(";"), key=lambda part: "/" in part).split("/")
    return "/".join(part for part in parts[1:] if not part.startswith("backbone")) or "probabilities"
