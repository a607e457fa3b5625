"""The source `tfds:`, with tiny data sets that these tests define: nothing is downloaded."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.checking import check_images
from data.errors import DataError
from data.image.decoding import decode
from data.sources import open_source

NAMES = ("leaf", "stone", "water")


def image(split: str, number: int) -> np.ndarray:
    return np.full((6, 5, 3), number * 20 + (split == "test"), np.uint8)


class GraftTiny(tfds.core.GeneratorBasedBuilder):
    """Twelve images for training, six for the test, and a split that Graft does not know."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = ("train", "test", "unlabelled")
    SUPERVISED: tuple[str, str] | None = ("image", "label")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=NAMES),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=self.SUPERVISED
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for number in range(12 if split == "train" else 6):
            yield f"{number:02d}", {"image": image(split, number), "label": number % 3}


class GraftTinyContest(GraftTiny):
    """Its test images have no labels."""

    SPLITS = ("train", "test")

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, example in super()._generate_examples(split):
            yield key, example | ({"label": -1} if split == "test" else {})


class GraftTinyStrange(GraftTiny):
    SPLITS = ("everything",)


class GraftTinyUnsupervised(GraftTiny):
    SUPERVISED = None


class GraftTinyRemote(GraftTiny):
    """Lies on a server that does not answer."""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        dl_manager.download(["http://127.0.0.1:9/images.zip", "http://127.0.0.1:9/labels.txt"])
        return {}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(autouse=True)
def _data_dir(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))


def test_gives_images_labels_and_splits_of_the_set() -> None:
    examples = open_source("tfds:graft_tiny")

    assert examples.source == "tfds:graft_tiny"
    assert examples.class_names == NAMES
    assert len(examples) == len(set(examples.keys)) == 18  # not the split that Graft does not know
    assert examples.given_splits == ("train",) * 12 + ("test",) * 6
    for index, split in enumerate(examples.given_splits):
        level = np.asarray(decode(examples.read(index)))[0, 0, 0]
        assert level % 20 == (split == "test")
        assert level // 20 % 3 == examples.labels.array[index]
    assert pickle.loads(pickle.dumps(examples.read))(7) == examples.read(7)  # as another process gets it


def test_a_second_opening_gives_the_same_and_images_can_be_read_by_several_threads() -> None:
    first, second = (open_source("tfds:graft_tiny") for _ in range(2))

    assert first.keys == second.keys and first.labels.array.tolist() == second.labels.array.tolist()
    assert list(check_images(first)) == list(check_images(second))
    assert not any(one.fault for one in check_images(first))


def test_prints_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    open_source("tfds:graft_tiny")  # prepared again
    assert "".join(capfd.readouterr()) == ""


def test_images_without_a_label_are_left_out_and_counted() -> None:
    examples = open_source("tfds:graft_tiny_contest")

    assert len(examples) == 12
    assert examples.given_splits is None
    assert examples.ignored["without a label"] == 6


def test_no_network_is_said_in_one_sentence_soon_and_nothing_else_is(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(DataError, match=r"cannot download 'graft_tiny_remote': 127\.0\.0\.1 .* check the network$"):
        open_source("tfds:graft_tiny_remote")
    assert 0 < sum(pauses) < 20  # between tries; the connection itself is refused at once
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tfds:mnits", "has no 'mnits'. Did you mean tfds:mnist?"),
        ("tfds:zzzzzz", "has no 'zzzzzz'. See https://"),
        ("tfds:", "cannot give ''"),
        ("tfds:../up", "cannot give '../up'"),
        ("tfds:graft_tiny:9.9.9", "only: 1.0.0"),
        ("tfds:graft_tiny_unsupervised", "not an image classification set"),
        ("tfds:imdb_reviews", "not an image classification set"),  # said without a download
        ("tfds:graft_tiny_strange", "its splits are everything"),
    ],
)
def test_what_is_not_to_be_had_is_said_in_one_sentence(source: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_source(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_that_is_prepared_in_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tfds.builder("graft_tiny", data_dir=tmp_path, file_format="tfrecord").download_and_prepare()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    with pytest.raises(DataError, match="without random access; set TFDS_DATA_DIR"):
        open_source("tfds:graft_tiny")
