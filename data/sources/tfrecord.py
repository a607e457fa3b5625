"""Source: TFRecord files, read in place. Each record is a `tf.train.Example` with an image file and its label.

A record is a length (8 bytes), the checksum of the length, the data, and the checksum of the data (4 bytes each); see
tensorflow/core/lib/io/record_writer.h. The files are read once, as a stream, for the labels and the place of each record.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from data.errors import DataError
from data.examples import Examples
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from data.sources.labelling import label_examples
from data.sources.options import SourceOptions
from data.sources.shards import ByteRanges, expand, shard_names

# Names of features: those of TensorFlow's own image sets, and those of TFDS.
_IMAGES = ("image/encoded", "image")
_TEXTS = ("image/class/text", "image/class/texts")
_LABELS = ("image/class/label", "image/class/labels", "label", "labels")
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_GZIP = b"\x1f\x8b"


def open_tfrecord(text: str, options: SourceOptions) -> Examples:
    """Open TFRecord files.

    Each record has `image/encoded`, and `image/class/text` (names) or `image/class/label` (numbers). If a record has several
    labels, the set is multi-label; numbers that are not whole are regression. Images whose label is below 0 are left out
    and counted in `ignored`.

    Args:
        text: a file, a pattern, or one of several shards, which stands for all shards.
        options: `task`, `columns` (names of features, for path and label) and `label_separator` are used.

    Returns:
        The images, keyed by file and number of the record.

    Raises:
        DataError: there are no such files, they are damaged, or a record has no image or label.

    Examples:
        >>> import tensorflow as tf
        >>> values = {"image/encoded": Path("apple.png").read_bytes(), "image/class/text": b"apple"}
        >>> lists = {name: tf.train.BytesList(value=[value]) for name, value in values.items()}
        >>> features = tf.train.Features(feature={name: tf.train.Feature(bytes_list=one) for name, one in lists.items()})
        >>> with tf.io.TFRecordWriter("fruit.tfrecord") as file:
        ...     file.write(tf.train.Example(features=features).SerializeToString())
        >>> examples = open_tfrecord("fruit.tfrecord", SourceOptions())
        >>> examples.keys, examples.class_names
        (('fruit.tfrecord/000000',), ('apple',))
        >>> examples.read(0) == Path("apple.png").read_bytes()
        True
    """
    files = expand(text)
    index = _Index(ByteRanges(files), *_feature_names(options))
    for number, (file, name) in enumerate(zip(files, shard_names(files), strict=True)):
        index.add_file(number, file, name, options)
    if not index.keys:
        raise DataError(f"{text} holds no images with a label; write some to it")
    cells, task = _cells(index.labels)
    labelling = label_examples(
        ["label"],
        [cells],
        lambda i: f"record {index.keys[i]}",
        replace(options, task=options.task or (None if options.label_separator else task), skip_unreadable=False),
    )
    return Examples(
        source=text,
        keys=tuple(index.keys),
        labels=labelling.labels,
        read=_Records(index.places, index.keys, index.images),
        ignored=index.ignored,
    )


@dataclass(frozen=True)
class _Records:
    """Read the image of each record from the first of `features` that it has."""

    places: ByteRanges
    keys: Sequence[str]
    features: Sequence[str]

    def __call__(self, index: int) -> bytes:
        with self.places.opened(index) as (file, _):
            return bytes(_values(_features(_read_record(file), self.keys[index]), self.features)[0])


@dataclass
class _Index:
    """What is found in files.

    Attributes:
        places: the places of the records.
        images: names of features that may hold the image; the first that a record has is used.
        texts: names of features that may hold names of classes.
        numbers: names of features that may hold numbers.
        keys: the key of each record, in the order of `places`.
        labels: for each record, the names and the numbers of its classes.
        ignored: as in `Examples`.
    """

    places: ByteRanges
    images: tuple[str, ...]
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    keys: list[str] = field(default_factory=list)
    labels: list[tuple[list[Any], list[Any]]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def add_file(self, number: int, file: Path, name: str, options: SourceOptions) -> None:
        for record, (offset, data) in enumerate(_records(file, options)):
            features = _features(data, f"record {record} of {file}")
            names, numbers = _labels(features, self.texts), _labels(features, self.numbers)
            if any(value < 0 for value in numbers if isinstance(value, int)):  # marks a contest's test in TFDS
                self.ignored["without a label"] += 1
                continue
            if not _values(features, self.images):
                raise DataError(
                    f"record {record} of {file} has no image in {self.images[0]}, but {_named(features)}; say which they are, "
                    "with --columns path=FEATURE label=FEATURE"
                )
            if not any(name in features for name in (*self.texts, *self.numbers)):
                raise DataError(
                    f"record {record} of {file} has no label in {self.texts[0]} or {self.numbers[0]}, but "
                    f"{_named(features)}; say which it is, with --columns label=FEATURE"
                )
            self.keys.append(f"{name}/{record:06d}")
            self.labels.append((names, numbers))
            self.places.add(number, offset)


def _cells(labels: Sequence[tuple[list[Any], list[Any]]]) -> tuple[list[object], str | None]:
    """Return the label of each record, by name if all records have names, and the task."""
    use_text = any(texts for texts, _ in labels) and all(len(texts) >= len(values) for texts, values in labels)
    found = [texts if use_text else values for texts, values in labels]
    if any(len(values) > 1 for values in found):
        return list(found), MULTI_LABEL
    cells = [values[0] if values else None for values in found]
    if any(isinstance(cell, float) for cell in cells):
        return cells, REGRESSION
    return cells, SINGLE_LABEL


# --- Records ------------------------------------------------------------------------------------------------------------


def _records(file: Path, options: SourceOptions) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the data of each record."""
    try:
        size = file.stat().st_size
        with open(file, "rb") as stream:
            if stream.read(2) == _GZIP:
                raise DataError(
                    f"{file} is compressed, so that nothing can be found in it; decompress it first (gunzip)"
                )
            offset = 0
            while offset < size:
                stream.seek(offset)
                yield offset, _read_record(stream)
                offset = stream.tell()
                options.report("indexing", offset, size)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}; get it again") from error


def _read_record(file: BinaryIO) -> bytes:
    """Return the data of the record that begins at the position of the file.

    Raises:
        OSError: the record is damaged or cut off.
    """
    import google_crc32c

    def masked(data: bytes) -> int:
        crc: int = google_crc32c.value(data)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    offset = file.tell()
    header = file.read(_HEADER.size)
    if len(header) == _HEADER.size:
        length, checksum = _HEADER.unpack(header)
        if checksum != masked(header[:8]):
            raise OSError(f"no TFRecord, or damaged: a wrong checksum at byte {offset:,}")
        if length > os.fstat(file.fileno()).st_size - offset:  # would allocate that much memory
            raise OSError(f"cut off within the record at byte {offset:,}")
        data, footer = file.read(length), file.read(_FOOTER.size)
        if len(data) == length and len(footer) == _FOOTER.size:
            if _FOOTER.unpack(footer)[0] != masked(data):
                raise OSError(f"damaged: a wrong checksum of the record at byte {offset:,}")
            return data
    raise OSError(f"cut off within the record at byte {offset:,}")


def _features(data: bytes, where: str) -> Any:
    """Return the features of a `tf.train.Example`, by name. TFDS has the message without all of TensorFlow."""
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto.tf_example_generated_pb2 import Example

    try:
        return Example.FromString(data).features.feature
    except DecodeError as error:
        raise DataError(f"{where} is no tf.train.Example; write the set as such") from error


def _values(features: Any, names: Sequence[str]) -> list[Any]:
    """Return the values of the first of these features that has any: numbers or bytes."""
    for name in names:
        if name in features:  # indexing would add a missing feature
            kind = features[name].WhichOneof("kind")
            values = list(getattr(features[name], kind).value) if kind else []
            if values:
                return values
    return []


def _labels(features: Any, names: Sequence[str]) -> list[Any]:
    values = _values(features, names)
    return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]


def _feature_names(options: SourceOptions) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of features of images, of labels as text, and of labels as numbers."""
    image, label = options.columns.get("path"), options.columns.get("label")
    return (image,) if image else _IMAGES, (label,) if label else _TEXTS, (label,) if label else _LABELS


def _named(features: Any) -> str:
    return ", ".join(sorted(features)[:10]) or "nothing"
