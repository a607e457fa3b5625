"""Verify an export: load each file in a fresh process, with its own client, and compare it with the Keras model.

All images of the test split are compared. Graft's decoder provides the pixels. The SavedModel's `encoded` signature and
MediaPipe Tasks decode and resize by themselves, so they are also run on the image files. The figures of a verification count
the images that a check leaves out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from app.exporting.delegates import left_to_cpu
from app.exporting.encoded_check import check_encoded
from app.exporting.evaluation_sets import EvaluationSet, GoldenImages
from app.exporting.figures import beyond
from app.exporting.op_versions import minimum_runtime
from app.exporting.speed import measure_speed
from app.exporting.verification import Verification, agreement
from app.interface.errors import UsageError
from app.interface.stages import progress
from app.prediction.predictor import Predictor

# MediaPipe has its own LiteRT, whose integer kernels may round differently. A wrong normalisation differs by far more.
CLIENT_TOLERANCE = 0.02
# LiteRT's own integer kernels round differently from XNNPACK's; single images differed by up to 0.03.
PLAIN_TOLERANCE = 0.05
CLIENT_IMAGES = 32  # already at the input size, so that the client does not resize and must agree with LiteRT

MOST_TIES = 0.05  # of the predictions: if more differ, they are not near ties, however close each may be
FLOAT_STEPS = 2  # spacings between float32 values by which sums in another order of rounding differ

Tick = Callable[[int], None]
PLAIN: Mapping[str, Any] = MappingProxyType({"plain": True})


class Expected(Protocol):
    """What is expected of a file; `app.exporting.formats.Format` is one."""

    @property
    def tolerance(self) -> float | None:
        """Largest difference of a probability that rounding explains; None for a quantised file, whose accuracy counts."""

    @property
    def is_for_phones(self) -> bool:
        """Whether LiteRT and MediaPipe Tasks must be able to load the file."""
        ...


def verify(
    path: Path,
    export: Expected,
    images: EvaluationSet,
    *,
    max_drop: float,
    with_client: bool = True,
    more: Callable[[], EvaluationSet] | None = None,
    golden: GoldenImages | None = None,
    read_as: Mapping[str, Any] = PLAIN,
) -> Verification:
    """Verify one exported file against the Keras model.

    Args:
        path: the file or folder.
        export: its format, or what else is expected of it.
        images: images to compare on.
        max_drop: largest accuracy loss of a quantised file, in points (hundredths).
        with_client: also run MediaPipe Tasks if the file is for phones.
        more: returns additional images, which decide about a quantised file if `images` are too few.
        golden: of `images`, to be predicted too, for the tests of an app.
        read_as: arguments of `Predictor` for the file. By default it gets pixels as they are, whatever it says, so that a
            wrong description of one of Graft's own files is found.

    Returns:
        The verification. A file that cannot be run is a failure with a reason, not an error.

    Examples:
        >>> from app.exporting.formats import FORMATS
        >>> from app.interface.events import listening
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> export, file = FORMATS["tflite_float32"], Path("runs/fruit/export/model_float32.tflite")
        >>> loader = Loader(open_source("images"), ImageTransform(32, "stretch"))
        >>> with listening([].append, alone=True), Predictor(file) as predictor:  # prints nothing
        ...     images = EvaluationSet(loader, np.array([0]), predictor.predict(loader.load(0)[None]))
        ...     right = verify(file, export, images, max_drop=0.5, with_client=False)
        ...     wrong = verify(Path("apple.png"), export, images, max_drop=0.5)
        >>> right.passed, right.figures["top1_agreement"]
        (True, 1.0)
        >>> wrong.failures
        ['apple.png is not a model: give a run folder, a .keras, .tflite or .onnx file, or a SavedModel folder']
    """
    verification = Verification(
        {"file": path.name, "bytes": _size(path), "tolerance": export.tolerance, "left_out": []}
    )
    if with_client and export.is_for_phones and images.task.not_in_mediapipe:
        reason = f"it {images.task.not_in_mediapipe}"
        verification.leave_out("MediaPipe Tasks", len(images), len(images), reason)
        with_client = False
    with_client &= export.is_for_phones
    started = time.perf_counter()
    try:
        with _bar(path, len(images) * (1 + with_client)) as tick:
            with Predictor(path, **read_as) as model:
                verification.predictions, verification.golden = _predictions(model, images, golden, tick)
                verification.figures["speed"] = measure_speed(model)
                verification.figures |= agreement(verification.predictions, images)
                _check_predictions(verification, export, images, max_drop)
                if verification.figures.get("within_chance") and more is not None:
                    _check_on_more(verification, model, more(), max_drop)
                if path.is_dir() and read_as is PLAIN:
                    check_encoded(verification, model, images)
            if export.is_for_phones:
                _check_operations(verification, path)
                _check_without_xnnpack(verification, path, images, golden, read_as)
            if with_client:
                _check_client(verification, path, images, golden, max_drop, tick)
    except UsageError as error:
        verification.failures.append(_named_shortly(error, path))
    seconds = time.perf_counter() - started
    verification.figures |= {"seconds": seconds, "failures": verification.failures, "passed": verification.passed}
    return verification


def _named_shortly(error: UsageError, path: Path) -> str:
    """Return the message without the folder: `parity.json` is shared, and the file has not been moved to its place yet."""
    return str(error).replace(str(path.resolve()), path.name).replace(str(path), path.name)


@contextmanager
def _bar(path: Path, examples: int) -> Iterator[Tick]:
    with progress("proving", examples, note=path.name) as stage:
        yield stage.advance


def _predictions(
    model: Predictor, images: EvaluationSet, golden: GoldenImages | None, tick: Tick
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the predictions for the images and for the golden images."""
    outputs = _outputs(model, images, tick)
    if golden is None:
        return _values(model, outputs, images), None
    # All at once, since it is their range that shows what the outputs of some files are.
    predictions = _values(model, np.concatenate([outputs, model.predict(golden.pixels)]), images)
    return predictions[: len(images)], predictions[len(images) :]


def _outputs(model: Predictor, images: EvaluationSet, tick: Tick) -> np.ndarray:
    parts = []
    for batch in images.batches():
        parts.append(model.predict(images.pixels(batch)))
        tick(len(batch))
    return np.concatenate(parts)


def _values(model: Predictor, outputs: np.ndarray, images: EvaluationSet) -> np.ndarray:
    predictions = model.values(outputs)
    if predictions.shape[1:] != images.reference.shape[1:]:
        raise UsageError(f"gives answers of shape {predictions[: len(images)].shape}, not {images.reference.shape}")
    return predictions


def _check_predictions(verification: Verification, export: Expected, images: EvaluationSet, max_drop: float) -> None:
    assert verification.predictions is not None
    if export.tolerance is None:
        _check_drop(verification, images, max_drop)
    else:
        _check_differences(verification, export.tolerance, images)


def _check_drop(verification: Verification, images: EvaluationSet, max_drop: float) -> None:
    """A quantised file may lose some accuracy; a larger loss that may be chance is no failure, but is reported."""
    figures, score = verification.figures, images.task.score
    loses = 100 * figures[f"{score}_drop"] > max_drop
    figures["within_chance"] = bool(loses and figures[f"{score}_drop_ci95"][0] <= 0)
    if loses and not figures["within_chance"]:
        verification.failures.append(f"{_loss(figures, images, max_drop)}; at most {max_drop:g} allowed (--max-drop)")


def _check_on_more(verification: Verification, model: Predictor, more: EvaluationSet, max_drop: float) -> None:
    """If the test images are too few, decide on training and validation images where possible."""
    figures = agreement(_values(model, _outputs(model, more, lambda _: None), more), more)
    score = more.task.score
    kept = (score, f"keras_{score}", f"{score}_drop", f"{score}_drop_ci95")
    verification.figures["more"] = {"pictures": len(more), **{name: figures[name] for name in kept}}
    if 100 * figures[f"{score}_drop"] > max_drop and figures[f"{score}_drop_ci95"][0] > 0:
        verification.figures["within_chance"] = False
        loss = _loss(figures, more, max_drop, "training and validation images")
        verification.failures.append(f"{loss}; at most {max_drop:g} allowed (--max-drop)")


def _check_differences(verification: Verification, tolerance: float, images: EvaluationSet) -> None:
    """A file that computes in float must give the same predictions."""
    figures, task = verification.figures, images.task
    differing = round((1 - figures[task.same_answer]) * len(images)) if task.same_answer else 0
    if differing:
        verification.failures.append(f"another answer than the Keras model for {differing} of {len(images)} images")
    elif task.strictly_same:
        compared = figures["compared_answers"]
        strictly = round((1 - figures[task.strictly_same]) * compared)
        if strictly > max(1, MOST_TIES * compared):
            text = task.strict_text.format(strictly, compared)
            verification.failures.append(f"{text}, more than the {MOST_TIES:.0%} that near ties explain")
    # float32 cannot resolve numbers whose spread is small compared with their size.
    figures["tolerance"] = tolerance = max(tolerance, FLOAT_STEPS * figures.get("resolution", 0.0))
    largest = figures[task.difference]
    if largest > tolerance:
        what = "a probability differs by" if task.same_answer else "a number differs, in standard deviations, by"
        found = beyond(largest, tolerance, digits=2, kind="g")
        verification.failures.append(f"{what} {found}, more than {tolerance:.3g}")


def _loss(figures: dict[str, Any], images: EvaluationSet, max_drop: float, what: str = "images") -> str:
    task = images.task
    low, high = (100 * end for end in figures[f"{task.score}_drop_ci95"])
    drop = figures[f"{task.score}_drop"]
    lost = f"{round(drop * len(images))} of {len(images)} {what}, " if task.score == "accuracy" else ""
    return f"loses {beyond(100 * drop, max_drop)} points of {task.score_title} ({lost}95 % interval {low:.1f} to {high:.1f})"


def _check_operations(verification: Verification, path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(path.read_bytes())
    custom = [
        (code.customCode or b"?").decode()
        for code in model.operatorCodes
        if code.builtinCode == schema.BuiltinOperator.CUSTOM
    ]
    verification.figures["custom_operations"] = custom
    if custom:
        verification.failures.append(f"needs operations that phones do not have: {', '.join(custom)}")
    verification.figures |= {"min_runtime_version": minimum_runtime(model), "left_to_cpu": left_to_cpu(model)}


def _check_without_xnnpack(
    verification: Verification,
    path: Path,
    images: EvaluationSet,
    golden: GoldenImages | None,
    read_as: Mapping[str, Any],
) -> None:
    """Apps may run LiteRT without XNNPACK, its default delegate: its own kernels must give nearly the same predictions."""
    assert verification.predictions is not None
    chosen, task = images.sample(CLIENT_IMAGES), images.task
    pixels, expected = images.pixels(chosen), verification.predictions[chosen]
    if golden is not None:
        assert verification.golden is not None
        chosen = np.concatenate([chosen, golden.positions])
        pixels, expected = np.concatenate([pixels, golden.pixels]), np.concatenate([expected, verification.golden])
    try:
        with Predictor(path, client="litert_plain", **read_as) as model:
            plain = model.values(model.predict(pixels))
    except UsageError as error:
        verification.failures.append(
            f"runs with XNNPACK only, LiteRT's default delegate; without it: {_named_shortly(error, path)}"
        )
        return
    figures = task.agreement(plain, expected, images.labels[chosen], images.class_names, images.thresholds)
    mean = task.difference.replace("max", "mean")
    kept = {key: figures[key] for key in (task.difference, mean)}
    verification.figures["without_xnnpack"] = {"pictures": len(chosen), **kept, "tolerance": PLAIN_TOLERANCE}
    if figures[mean] > PLAIN_TOLERANCE:
        verification.failures.append(
            f"answers otherwise without XNNPACK, LiteRT's default delegate, by {figures[mean]:.2g} on average"
        )


def _check_client(
    verification: Verification,
    path: Path,
    images: EvaluationSet,
    golden: GoldenImages | None,
    max_drop: float,
    tick: Tick,
) -> None:
    """MediaPipe Tasks must find the labels, agree with LiteRT on pixels, and keep the accuracy for whole images."""
    assert verification.predictions is not None
    chosen = images.sample(CLIENT_IMAGES)
    with Predictor(path, client="mediapipe", resize=images.loader.transform.key["resize"], plain=True) as client:
        given = client.predict(images.pixels(chosen))
        parts = []
        for batch in images.batches():
            parts.append(client.predict_encoded(images.encoded(batch), by_client=True))
            tick(len(batch))
        names, unread = client.process.ask("class_names"), client.process.ask("unread")
        if golden is not None:
            verification.client_golden = client.predict_encoded(golden.files, by_client=True)
    total = len(images)
    verification.leave_out(
        "MediaPipe Tasks' own decoder", unread, total, "it does not read them, so Graft's decoder did"
    )
    reason = f"{CLIENT_IMAGES} show whether the file's metadata is right"
    verification.leave_out("pixels through MediaPipe Tasks", total - len(chosen), total, reason)
    figures = agreement(np.concatenate(parts), images)
    figures["max_difference_at_size"] = float(np.abs(given - verification.predictions[chosen]).max())
    verification.figures["mediapipe"] = figures
    if figures["max_difference_at_size"] > CLIENT_TOLERANCE:
        verification.failures.append(
            f"MediaPipe Tasks answers pixels otherwise than LiteRT, by up to {figures['max_difference_at_size']:.2g}: "
            "the metadata tells it a wrong normalisation or colour order"
        )
    wrong = {name for label, name in names.items() if name != images.class_names[label]}
    if wrong:
        verification.failures.append(
            f"MediaPipe Tasks names classes wrongly: {', '.join(map(str, sorted(wrong, key=str)[:3]))}"
        )
    _check_client_score(verification, images, max_drop)


def _check_client_score(verification: Verification, images: EvaluationSet, max_drop: float) -> None:
    """A client that resizes differently may disagree on single images; only a significant loss counts."""
    figures, score = verification.figures["mediapipe"], images.task.score
    loses = 100 * figures[f"{score}_drop"] > max_drop
    figures["within_chance"] = bool(loses and figures[f"{score}_drop_ci95"][0] <= 0)
    if loses and not figures["within_chance"]:
        verification.failures.append(
            f"through MediaPipe Tasks it {_loss(figures, images, max_drop)}; at most {max_drop:g} allowed (--max-drop)"
        )


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(file.stat().st_size for file in files)
