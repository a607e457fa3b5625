"""TFLite metadata: what a client needs to know about a `.tflite`, packed into the file in the official schema.

Source: `metadata_schema.fbs`, https://www.tensorflow.org/lite/models/convert/metadata. MediaPipe Tasks reads the input's
normalisation and the label files from here.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from app.exporting.op_versions import correct_versions
from app.interface.errors import UsageError
from app.tasks import TASKS
from data.labels import SINGLE_LABEL

MIN_PARSER_VERSION = "1.0.0"  # of the schema: no field used here is newer
FILE_KEY = "TFLITE_METADATA"
OWN_KEY = "GRAFT"  # of an additional entry, for fields that the schema lacks
LABELS = "labels.txt"
THRESHOLDS = "thresholds.json"


@dataclass(frozen=True)
class Description:
    """Description that is stored in a model file.

    Attributes:
        name: name of the model.
        text: what the model is, in a sentence or two.
        version: version that the author gave the model.
        author: who made the model.
        licence: licence of the backbone's weights.
        class_names: a name for each class or number, in label order.
        locales: the class names in other languages, by locale ("de", "en-GB").
        score_threshold: probability below which a client should leave a class out, in [0, 1].
        mean: value that a client subtracts from RGB values in [0, 255].
        std: value by which a client divides the difference. The defaults leave pixels as they are, as Graft's models expect.
        task: a key of `app.tasks.TASKS`.
        thresholds: probability from which each class is predicted, (classes,), NaN for a class without a threshold.
        resize: how images are resized to the input size, a key of `data.image.resizing.RESIZES`.
        background: colour behind transparent parts of images, as `data.image.preparing.Preparation.parse` takes it.
        levels: values of more than 8 bits that become black and white, as `data.image.preparing.Preparation.parse` takes them.
    """

    name: str
    text: str
    version: str
    author: str
    licence: str
    class_names: Sequence[str]
    locales: Mapping[str, Sequence[str]] = field(default_factory=dict)
    score_threshold: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    task: str = SINGLE_LABEL
    thresholds: np.ndarray | None = None
    resize: str = "stretch"
    background: str | None = None
    levels: str | None = None

    @property
    def of_images(self) -> dict[str, str]:
        """Return the options by which images are decoded to pixels, by name."""
        found = {"resize": self.resize, "background": self.background, "levels": self.levels}
        return {name: text for name, text in found.items() if text is not None}

    @property
    def files(self) -> dict[str, str]:
        """Text of each file packed with the model, by file name: labels, and thresholds if there are any."""
        if self.thresholds is None:
            return self.label_files
        named = zip(self.class_names, self.thresholds.tolist(), strict=True)
        thresholds = json.dumps({name: one for name, one in named if math.isfinite(one)}, indent=2, ensure_ascii=False)
        return self.label_files | {THRESHOLDS: f"{thresholds}\n"}

    @property
    def label_files(self) -> dict[str, str]:
        """Text of each label file by file name; the first is the one without a locale."""
        files = {LABELS: self.class_names} | {f"labels_{locale}.txt": names for locale, names in self.locales.items()}
        return {name: "".join(f"{label}\n" for label in labels) for name, labels in files.items()}


def absolute_locales(locales: Iterable[str]) -> tuple[str, ...]:
    """Return the options with absolute file paths, which are valid from any folder.

    Examples:
        >>> [one.startswith("de=") for one in absolute_locales(["de=german.txt"])]
        [True]
        >>> absolute_locales([])
        ()
    """
    parts = (one.partition("=") for one in locales)
    return tuple(f"{locale}={Path(file).expanduser().resolve()}" if file else locale for locale, _, file in parts)


def read_locales(locales: Iterable[str], classes: int) -> dict[str, list[str]]:
    """Read the class names in other languages.

    Args:
        locales: options of the form "LOCALE=FILE", as `--locales` takes them; a file has one name per line, in label order.
        classes: number of names that each file must hold.

    Raises:
        UsageError: an option has another form, or its file does not exist or holds another number of names.

    Examples:
        >>> _ = Path("german.txt").write_text("Apfel")
        >>> read_locales(["de=german.txt"], 1)
        {'de': ['Apfel']}
        >>> read_locales(["de=german.txt"], 3)
        Traceback (most recent call last):
        app.interface.errors.UsageError: german.txt names 1 classes, not 3: one a line, in label order
    """
    names = {}
    for one in locales:
        locale, _, file = one.partition("=")
        if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*", locale) or not file:
            raise UsageError(f"--locales takes LOCALE=FILE, such as de=labels_de.txt, not {one!r}")
        path = Path(file).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no label file {path} for the locale {locale}")
        try:
            names[locale] = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
        except UnicodeDecodeError:
            raise UsageError(f"{path} is not text in UTF-8") from None
        if len(names[locale]) != classes:
            raise UsageError(f"{path} names {len(names[locale])} classes, not {classes}: one a line, in label order")
    return names


def with_metadata(file: bytes, description: Description) -> bytes:
    """Pack a description and its label files into a `.tflite`.

    Args:
        file: content of a `.tflite` with one input, RGB pixels in [0, 255], and one output, probabilities or numbers.
        description: description to store.

    Returns:
        Content of the new file: a FlatBuffer with the label files appended as a zip archive.

    Examples:
        >>> about = Description("fruit", "Tells fruit.", "1", "A. Author", "Apache-2.0", ("apple", "banana", "cherry"))
        >>> file = Path("runs/fruit/export/model_float32.tflite").read_bytes()
        >>> with_metadata(file, about)[4:8]
        b'TFL3'
        >>> b"Tells fruit." in with_metadata(file, about)
        True
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(file)
    own = json.dumps({"task": description.task, **description.of_images}).encode()
    for key, content in ((FILE_KEY, _packed(description)), (OWN_KEY, own)):
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(content, np.uint8)
        model.buffers.append(buffer)
        entry.name, entry.buffer = key, len(model.buffers) - 1
        model.metadata = [*(model.metadata or []), entry]
    model.description = description.text
    correct_versions(model)
    archive = io.BytesIO(flatbuffer_utils.convert_object_to_bytearray(model))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as files:
        for name, text in description.files.items():
            # A fixed date, so that the same model gives the same bytes.
            files.writestr(zipfile.ZipInfo(name), text.encode())
    return archive.getvalue()


def properties(description: Description) -> dict[str, Any]:
    """Return a description as JSON values, for formats without metadata of their own; lists are in label order.

    Examples:
        >>> about = Description("fruit", "Tells fruit.", "1", "A. Author", "Apache-2.0", ("apple", "pear"))
        >>> properties(about)["labels"]
        ['apple', 'pear']
        >>> sorted(properties(about))[:3]
        ['labels', 'resize', 'score_threshold']
    """
    found: dict[str, Any] = {"task": description.task, **description.of_images}
    found |= {"labels": list(description.class_names), "score_threshold": description.score_threshold}
    found |= {f"labels_{locale}": list(names) for locale, names in description.locales.items()}
    if description.thresholds is not None:
        found["thresholds"] = [one if math.isfinite(one) else None for one in description.thresholds.tolist()]
    return found


@cache
def metadata_schema() -> Any:
    """Return MediaPipe's code for the schema, without its package, which takes seconds to import.

    Examples:
        >>> metadata_schema().ModelMetadataT().name is None
        True
        >>> metadata_schema() is metadata_schema()
        True
    """
    package = importlib.util.find_spec("mediapipe")
    assert package is not None and package.submodule_search_locations is not None
    name = "metadata_schema_py_generated"
    file = Path(package.submodule_search_locations[0], "tasks", "metadata", f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _packed(description: Description) -> bytes:
    import flatbuffers

    schema = metadata_schema()
    graph = schema.SubGraphMetadataT()
    graph.name = TASKS[description.task].graph_name
    graph.inputTensorMetadata = [_input(schema, description)]
    graph.outputTensorMetadata = [_output(schema, description)]
    metadata = schema.ModelMetadataT()
    metadata.name, metadata.description = description.name, description.text
    metadata.version, metadata.author, metadata.license = description.version, description.author, description.licence
    metadata.minParserVersion = MIN_PARSER_VERSION
    metadata.subgraphMetadata = [graph]
    builder = flatbuffers.Builder()
    builder.Finish(metadata.Pack(builder), b"M001")
    return bytes(builder.Output())


def _input(schema: Any, description: Description) -> Any:
    properties = schema.ImagePropertiesT()
    properties.colorSpace = schema.ColorSpaceType.RGB
    normalization = schema.NormalizationOptionsT()
    normalization.mean, normalization.std = [description.mean], [description.std]
    tensor = _tensor(schema, "pixels", "RGB image, the whole of it", "ImageProperties", properties)
    tensor.processUnits = [_process_unit(schema, "NormalizationOptions", normalization)]
    tensor.stats = schema.StatsT()
    tensor.stats.min, tensor.stats.max = ([(level - description.mean) / description.std] for level in (0.0, 255.0))
    return tensor


def _output(schema: Any, description: Description) -> Any:
    task, properties = TASKS[description.task], schema.FeaturePropertiesT()
    text = task.output_text(description.class_names)
    tensor = _tensor(schema, task.output.predictions, text, "FeatureProperties", properties)
    if task.decides:
        threshold = schema.ScoreThresholdingOptionsT()
        threshold.globalScoreThreshold = description.score_threshold
        tensor.processUnits = [_process_unit(schema, "ScoreThresholdingOptions", threshold)]
        tensor.stats = schema.StatsT()
        tensor.stats.min, tensor.stats.max = [0.0], [1.0]
    kinds = schema.AssociatedFileType
    names = [
        _file(schema, name, kinds.TENSOR_AXIS_LABELS, "names in label order, one a line", locale)
        for name, locale in zip(description.label_files, (None, *description.locales), strict=True)
    ]
    others = [
        _file(schema, name, kinds.UNKNOWN, "from which probability on a class is answered, as JSON")
        for name in description.files
        if name not in description.label_files
    ]
    tensor.associatedFiles = names + others
    return tensor


def _file(schema: Any, name: str, kind: int, text: str, locale: str | None = None) -> Any:
    file = schema.AssociatedFileT()
    file.name, file.locale, file.type, file.description = name, locale, kind, text
    return file


def _tensor(schema: Any, name: str, text: str, kind: str, properties: Any) -> Any:
    tensor = schema.TensorMetadataT()
    tensor.name, tensor.description = name, text
    tensor.content = schema.ContentT()
    tensor.content.contentPropertiesType = getattr(schema.ContentProperties, kind)
    tensor.content.contentProperties = properties
    return tensor


def _process_unit(schema: Any, kind: str, options: Any) -> Any:
    unit = schema.ProcessUnitT()
    unit.optionsType, unit.options = getattr(schema.ProcessUnitOptions, kind), options
    return unit
