"""Source: an image classification set of TensorFlow Datasets."""

from __future__ import annotations

import difflib
import io
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from data.errors import DataError
from data.examples import SPLITS, Examples
from data.labels import SingleLabel

_SPLIT_OF = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
_RETRIES = 4  # of a download; without a network they take three seconds


@dataclass(frozen=True)
class _Records:
    """Read the image of each record; `places` holds the split and the row of each."""

    splits: Mapping[str, Any]
    places: Sequence[tuple[str, int]]
    image_key: str

    def __call__(self, index: int) -> bytes:
        split, row = self.places[index]
        return bytes(self.splits[split][row][self.image_key])


def open_tfds(text: str) -> Examples:
    """Open `tfds:NAME[/CONFIG][:VERSION]`, downloading and preparing it on first use.

    The set is prepared in TFDS' random-access format, so that images are read one by one and never held in memory.
    TFDS keeps its data in `~/tensorflow_datasets`; the environment variable `TFDS_DATA_DIR` moves it.

    Raises:
        DataError: the set is unknown, cannot be downloaded, is not for image classification, or is prepared in another format.

    Examples:
        >>> open_tfds("tfds:mnits")
        Traceback (most recent call last):
            ...
        data.errors.DataError: TensorFlow Datasets has no 'mnits'. Did you mean tfds:mnist?
        >>> open_tfds("tfds:coco")
        Traceback (most recent call last):
            ...
        data.errors.DataError: 'coco' is not an image classification set (its supervised keys are None); choose another
    """
    name = text.removeprefix("tfds:")
    builder, image_key, label_key = _prepare(name)
    splits = {key: _SPLIT_OF[key] for key in builder.info.splits if key in _SPLIT_OF}
    if not splits:
        found = ", ".join(builder.info.splits)
        raise DataError(f"{name!r} has neither train nor test images (its splits are {found}); choose another")
    readers = _open_splits(builder, list(splits), image_key)
    places, labels, ignored = [], [], Counter[str]()
    for key in sorted(splits, key=lambda key: SPLITS.index(splits[key])):
        for row in range(len(readers[key])):
            label = int(readers[key][row][label_key])
            if label < 0:  # TFDS' mark for the test images of a contest
                ignored["without a label"] += 1
                continue
            places.append((key, row))
            labels.append(label)
    given = {splits[key] for key, _ in places}
    return Examples(
        source=text,
        keys=tuple(f"{key}/{row}" for key, row in places),
        labels=SingleLabel(np.array(labels, dtype=np.int64), tuple(builder.info.features[label_key].names)),
        read=_Records(readers, places, image_key),
        given_splits=tuple(splits[key] for key, _ in places) if len(given) > 1 else None,
        ignored=ignored,
    )


def _prepare(name: str) -> tuple[Any, str, str]:
    """Return the prepared builder, and the names of its image and label features."""
    import requests
    import tensorflow_datasets as tfds

    try:
        with _quiet_and_brisk():
            builder = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
            keys = _feature_keys(builder.info, name)
            options = tfds.download.DownloadConfig(try_download_gcs=False)
            builder.download_and_prepare(file_format="array_record", download_config=options)
    except DataError:
        raise
    except tfds.core.registered.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=1)
        hint = f"Did you mean tfds:{near[0]}?" if near else "See https://www.tensorflow.org/datasets/catalog"
        raise DataError(f"TensorFlow Datasets has no {name!r}. {hint}") from error
    except requests.RequestException as error:
        host = urlsplit(str(error.request.url)).hostname if error.request is not None else "its server"
        raise DataError(
            f"TensorFlow Datasets cannot download {name!r}: {host} does not answer; check the network"
        ) from error
    except Exception as error:  # TFDS raises errors of its own, of the network and of the file system
        reason = str(error).strip().partition("\n")[0].rstrip(". ")
        raise DataError(
            f"TensorFlow Datasets cannot give {name!r} ({reason}); check the name, the network and the room on the disk"
        ) from error
    return builder, *keys


@contextmanager
def _quiet_and_brisk() -> Iterator[None]:
    """Keep TFDS from printing progress bars and banners, and from retrying a dead network for more than three minutes."""
    from tensorflow_datasets.core.download import downloader

    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, _RETRIES
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # for good: its threads may outlive a failure
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        downloader.MAX_RETRIES = retries


def _open_splits(builder: Any, keys: list[str], image_key: str) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    try:
        return {key: builder.as_data_source(key, decoders={image_key: tfds.decode.SkipDecoding()}) for key in keys}
    except NotImplementedError as error:
        raise DataError(
            f"{builder.name!r} is already prepared in {builder.data_dir} in a format without random access; "
            "set TFDS_DATA_DIR to another folder and Graft prepares it again"
        ) from error


def _feature_keys(info: Any, name: str) -> tuple[str, str]:
    keys = info.supervised_keys
    kinds = [type(info.features[key]).__name__ for key in keys] if keys and len(keys) == 2 else []
    if kinds != ["Image", "ClassLabel"]:
        raise DataError(f"{name!r} is not an image classification set (its supervised keys are {keys}); choose another")
    return keys[0], keys[1]
