"""Source: an image classification set of TensorFlow Datasets."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.errors import DataError
from data.pictures import SPLITS, PictureSet

_SPLIT_OF = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def open_tfds(text: str) -> PictureSet:
    """Open `tfds:NAME[/CONFIG][:VERSION]`, downloading and preparing it on first use.

    The set is prepared in TFDS' random-access format, so that pictures are read one by one and never held in memory.
    TFDS keeps its data in `~/tensorflow_datasets`; the environment variable `TFDS_DATA_DIR` moves it.

    Raises:
        DataError: unknown, not to be had (no network), not an image classification set, or prepared in another format.
    """
    import tensorflow_datasets as tfds

    name = text.removeprefix("tfds:")
    try:
        builder = tfds.builder(name, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises its own, the network's and the file system's errors
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"TensorFlow Datasets cannot give {name!r}: {reason}. Check the name and the network"
        ) from error
    image_key, label_key = _feature_keys(builder.info, name)
    splits = {key: _SPLIT_OF[key] for key in builder.info.splits if key in _SPLIT_OF}
    try:
        readers = {key: builder.as_data_source(key, decoders={image_key: tfds.decode.SkipDecoding()}) for key in splits}
    except NotImplementedError as error:
        raise DataError(
            f"{name!r} is already prepared in {builder.data_dir} in a format without random access; "
            "set TFDS_DATA_DIR to another folder and Graft prepares it anew"
        ) from error
    places = [
        (key, index)
        for key in sorted(splits, key=lambda key: SPLITS.index(splits[key]))
        for index in range(len(readers[key]))
    ]

    def encoded(index: int) -> bytes:
        key, row = places[index]
        return bytes(readers[key][row][image_key])

    return PictureSet(
        source=text,
        class_names=tuple(builder.info.features[label_key].names),
        keys=tuple(f"{key}/{row}" for key, row in places),
        labels=np.array([readers[key][row][label_key] for key, row in places], dtype=np.int64),
        encoded=encoded,
        given_splits=tuple(splits[key] for key, _ in places) if len(splits) > 1 else None,
    )


def _feature_keys(info: Any, name: str) -> tuple[str, str]:
    keys = info.supervised_keys
    kinds = [type(info.features[key]).__name__ for key in keys] if keys and len(keys) == 2 else []
    if kinds != ["Image", "ClassLabel"]:
        raise DataError(f"{name!r} is not an image classification set (its supervised keys are {keys}); choose another")
    return keys[0], keys[1]
