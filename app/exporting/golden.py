"""Golden vectors: images with their exact input tensors and predictions, for the unit tests of an app."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.parity import GOLDEN_IMAGES
from app.exporting.verification import Verification
from data.files import write_json

# Of a probability, or of the standard deviation of a number: other processors round differently.
TOLERANCE = 0.01
# Other versions and processors may round differently again: twice the difference between XNNPACK and LiteRT's own kernels.
MARGIN = 2.0

_ABOUT = (
    "Give `tensor` (uint8 RGB, row by row, top left first; as float32, the same numbers from 0 to 255, to files that take "
    "float32) to a file and expect `from_tensor`, up to the file's number in `tolerances`, with XNNPACK or without; of a "
    "file that gives uint8, (value - zero point) * scale. Resize `image` as your app does and compare with `tensor` to see "
    "how well it does so. MediaPipe Tasks' ImageClassifier, given `image`, is to answer `mediapipe`, where that is here."
)


def write_golden(folder: Path, images: EvaluationSet, verifications: Mapping[str, Verification]) -> None:
    """Write a folder of golden vectors.

    Args:
        folder: folder to create. It holds `expected.json` and, for each image, the original file and its `.rgb`: uint8
            (size, size, 3) without a header, as decoded by Graft.
        images: the test images; `GOLDEN_IMAGES` of them are taken, evenly over the classes.
        verifications: predictions of each file in the export folder, by file name.

    Examples:
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
    chosen = images.sample(GOLDEN_IMAGES)
    examples = []
    for number, index in enumerate(chosen):
        encoded = images.examples.read(int(index))
        image, tensor = f"{number}{_suffix(encoded)}", f"{number}.rgb"
        (folder / image).write_bytes(encoded)
        (folder / tensor).write_bytes(images.pixels([index]).tobytes())
        label = images.examples.labels.text(int(index))
        examples.append({"picture": image, "tensor": tensor, "label": label})
    outputs = {
        file: {"from_tensor": _rows(verification.predictions, chosen)}
        | (
            {}
            if verification.client_predictions is None
            else {"mediapipe": _rows(verification.client_predictions, chosen)}
        )
        for file, verification in verifications.items()
        if verification.predictions is not None
    }
    transform = images.loader.transform
    tolerances = {file: _tolerance(images, verifications[file]) for file in outputs}
    about = {
        "about": _ABOUT,
        "shape": list(transform.shape),
        "resize": transform.key["resize"],
        "tolerance": max(tolerances.values(), default=TOLERANCE),
        "tolerances": tolerances,
    }
    write_json(folder / "expected.json", {**about, "pictures": examples, "outputs": outputs})


def _tolerance(images: EvaluationSet, verification: Verification) -> float:
    """Return how far a correct app's predictions may differ from a file's; for numbers, in units of the widest spread."""
    measured = verification.figures.get("without_xnnpack", {}).get(images.task.difference, 0.0)
    tolerance = max(TOLERANCE, MARGIN * measured) * images.task.unit_of(images.labels)
    return float(f"{tolerance:.2g}")


def _suffix(encoded: bytes) -> str:
    with Image.open(io.BytesIO(encoded)) as image:
        return {"JPEG": ".jpg"}.get(image.format or "", f".{(image.format or 'image').lower()}")


def _rows(predictions: np.ndarray | None, chosen: np.ndarray) -> list[list[float]]:
    assert predictions is not None
    return [[round(float(one), 6) for one in row] for row in predictions[chosen]]
