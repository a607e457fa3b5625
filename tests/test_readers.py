"""What reads examples can be handed to another process, whatever the source."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf

from data.examples import Examples
from data.image.preparing import Preparation
from data.kept_images import open_images, write_images
from data.sources import SOURCES, SourceOptions, open_source
from data.sources.unlabelled import open_unlabelled
from tests.images import write_folder

ROOT = Path(__file__).parents[1]
ELSEWHERE = """
import pickle, sys
read, count = pickle.load(sys.stdin.buffer)
pickle.dump([read(index) for index in range(count)], sys.stdout.buffer)
"""


def records(folder: Path) -> str:
    path = str(folder.parent / "records.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for file in sorted(folder.rglob("*.png")):
            values = {"image/encoded": file.read_bytes(), "image/class/text": file.parent.name.encode()}
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def tar(folder: Path) -> str:
    for file in sorted(folder.rglob("*.png")):
        file.with_suffix(".cls").write_text(str(len(file.parent.name)))
    return shutil.make_archive(str(folder.parent / "shards-0"), "tar", folder)


def listed(folder: Path) -> str:
    rows = [f"{file.relative_to(folder.parent)},{file.parent.name}" for file in sorted(folder.rglob("*.png"))]
    path = folder.parent / "list.csv"
    path.write_text("\n".join(["path,label", *rows]))
    return str(path)


def kept(folder: Path) -> Examples:
    examples, file = open_source(str(folder)), folder.parent / "kept.zip"
    write_images(examples, range(len(examples)), file)
    rows = "".join(f"{key},{key.split('/')[0]},train\n" for key in examples.keys)
    return open_images(file, f"path,label,split\n{rows}", examples.class_names, examples.task)[0]


def prepared(folder: Path) -> Examples:
    examples = open_source(str(folder))
    return replace(examples, read=Preparation.parse("white", "0-4095").applied_to(examples.read))


OPENED: dict[str, Callable[[Path], Examples]] = {
    "folder": lambda folder: open_source(str(folder)),
    "list": lambda folder: open_source(listed(folder)),
    "webdataset": lambda folder: open_source(tar(folder).replace("-0.tar", "-*.tar")),
    "archive": lambda folder: open_source(shutil.make_archive(str(folder), "zip", folder)),
    "tfrecord": lambda folder: open_source(records(folder)),
    "sample": lambda _: open_source("sample:digits"),
    "other splits": lambda folder: open_source(
        str(folder), SourceOptions(test=str(shutil.copytree(folder, f"{folder} 2")))
    ),
    "unlabelled": lambda folder: open_unlabelled(str(folder)),
    "subset": lambda folder: open_source(str(folder)).subset([5, 3]),
    "kept": kept,
    "prepared": prepared,
}


def test_every_source_is_here() -> None:
    """A URL gives an archive; a set of TensorFlow Datasets is in `test_tfds`."""
    assert set(SOURCES) - set(OPENED) == {"url", "tfds"}


@pytest.mark.parametrize("name", OPENED)
def test_another_process_reads_the_same(name: str, tmp_path: Path) -> None:
    examples = OPENED[name](write_folder(tmp_path / "images", examples=3))
    count = min(len(examples), 6)
    handed = pickle.dumps((examples.read, count))
    ended = subprocess.run([sys.executable, "-c", ELSEWHERE], input=handed, capture_output=True, check=True, cwd=ROOT)
    assert pickle.loads(ended.stdout) == [examples.read(index) for index in range(count)]
