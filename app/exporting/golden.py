"""Golden vectors: images with their exact input tensors and predictions, for the unit tests of an app."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.verification import Verification
from data.files import write_json

# Of a probability, or of the standard deviation of a number: other processors round differently.
TOLERANCE = 0.01
# Other versions and processors may round differently again: twice the difference between XNNPACK and LiteRT's own kernels.
MARGIN = 2.0
# Of a probability through MediaPipe: an app's MediaPipe has its own LiteRT, and on a GPU it resizes there.
CLIENT_TOLERANCE = 0.05

_ABOUT = (
    "Each `picture` is an upright PNG in 8-bit RGB without metadata, so that every decoder gives the same pixels. Its "
    "`tensor` is what Graft makes of it for a model: uint8 RGB of `shape`, row by row, top left first. Give the tensor to a "
    "file, as float32 from 0 to 255 if the file takes float32, and expect `from_tensor`, up to the file's number in "
    "`tolerances`; of a file that gives uint8, (value - zero point) * scale. Give the PNG to MediaPipe Tasks' "
    "ImageClassifier, cropped or padded if `resize` says so, and expect `mediapipe`, up to the file's number in "
    "`mediapipe_tolerances`. Resize the PNG as your app does and compare it with the tensor to see how well it does so."
)


def write_golden(folder: Path, images: EvaluationSet, verifications: Mapping[str, Verification]) -> None:
    """Write a folder of golden vectors.

    Args:
        folder: folder to create. It holds `expected.json` and, for each image, a PNG and its `.rgb`: uint8 (size, size, 3)
            without a header, as decoded by Graft.
        images: the test images, whose golden images were predicted.
        verifications: predictions of each file in the export folder, by file name.

    Examples:
        >>> import numpy as np
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> loader = Loader(open_source("images"), ImageTransform(8, "stretch"))
        >>> images = EvaluationSet(loader, np.array([0, 8]), reference=np.eye(3)[:2])
        >>> write_golden(Path("golden"), images, verifications={})
        >>> sorted(path.name for path in Path("golden").iterdir())
        ['0.png', '0.rgb', '1.png', '1.rgb', 'expected.json']
        >>> Path("golden/1.rgb").stat().st_size  # 8 x 8 pixels of 3 bytes
        192
    """
    folder.mkdir()
    golden, examples = images.golden, []
    for number, position in enumerate(golden.positions):
        image, tensor = f"{number}.png", f"{number}.rgb"
        (folder / image).write_bytes(golden.files[number])
        (folder / tensor).write_bytes(golden.pixels[number].tobytes())
        examples.append({"picture": image, "tensor": tensor, "label": images.examples.labels.text(int(position))})
    transform = images.loader.transform
    tolerances = {file: _tolerance(images, one) for file, one in verifications.items() if one.golden is not None}
    about = {
        "about": _ABOUT,
        "shape": list(transform.shape),
        "resize": transform.key["resize"],
        "tolerance": max(tolerances.values(), default=TOLERANCE),
        "tolerances": tolerances,
        "mediapipe_tolerances": {
            file: max(CLIENT_TOLERANCE, tolerances[file])
            for file, one in verifications.items()
            if one.client_golden is not None
        },
    }
    outputs = {file: _outputs(verifications[file]) for file in tolerances}
    write_json(folder / "expected.json", {**about, "pictures": examples, "outputs": outputs})


def _tolerance(images: EvaluationSet, verification: Verification) -> float:
    """Return how far a correct app's predictions may differ from a file's; for numbers, in units of the widest spread."""
    measured = verification.figures.get("without_xnnpack", {}).get(images.task.difference, 0.0)
    tolerance = max(TOLERANCE, MARGIN * measured) * images.task.unit_of(images.labels)
    return float(f"{tolerance:.2g}")


def _outputs(verification: Verification) -> dict[str, list[list[float]]]:
    found = {"from_tensor": verification.golden, "mediapipe": verification.client_golden}
    return {
        kind: [[round(float(one), 6) for one in row] for row in rows]
        for kind, rows in found.items()
        if rows is not None
    }
