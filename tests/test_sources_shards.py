"""Sets in TFRecord files and in tar shards: what they may hold, and that images are read from their places."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from data.checking import check_images
from data.examples import Examples
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from data.sources import SourceOptions, open_source
from data.sources.shards import expand
from tests.sources import IMAGE, different, flowers, refusal, tarred


def labels_of(examples: Examples) -> list[str]:
    return [examples.labels.text(index) for index in range(len(examples))]


# --- Which files a string stands for ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "text", "found"),
    [
        ("a.tar", "a.tar", "a.tar"),
        ("a-1.tar a-0.tar b-0.tar", "a-*.tar", "a-0.tar a-1.tar"),
        ("a-0.tar a-1.tar a-2.tar", "a-[02].tar", "a-0.tar a-2.tar"),
        ("a-08.tar a-09.tar a-10.tar a-11.tar", "a-{08..10}.tar", "a-08.tar a-09.tar a-10.tar"),
        ("a-0.tar b-0.tar a-1.tar b-1.tar", "{a,b}-{0..1}.tar", "a-0.tar a-1.tar b-0.tar b-1.tar"),
        ("x-0/a.tar x-1/a.tar x-1/b.tar", "x-{0..1}/*.tar", "x-0/a.tar x-1/a.tar x-1/b.tar"),
        ("a{0..1}.tar", "a{0..1}.tar", "a{0..1}.tar"),  # there is such a file
        ("a.r-000-of-002 a.r-001-of-002 b.r-000-of-001", "a.r-001-of-002", "a.r-000-of-002 a.r-001-of-002"),
        ("a.r-000-of-002 a.r-001-of-002", "a.r", "a.r-000-of-002 a.r-001-of-002"),
        ("a-000-of-002.r a-001-of-002.r", "a-000-of-002.r", "a-000-of-002.r a-001-of-002.r"),
    ],
)
def test_files_of_a_pattern(there: str, text: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in there.split():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    for start in ("", f"{tmp_path}/"):
        assert [str(path) for path in expand(start + text)] == [start + name for name in found.split()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c-*.tar", "no file is called"),
        ("a-{0..2}.tar", "a-2.tar. Did you mean"),
        ("a-{0..999999999}.tar", "more than 100,000 files"),
        ("{0..9}" * 6 + ".tar", "more than 100,000 files"),
        ("a[.tar", "there is no file"),
        ("part.tfrecord-000-of-003", "1 of the 3 shards of"),
        ("part.tfrecord*", "such as number 1; get them all"),
        ("prat.tfrecord", "Did you mean"),
    ],
)
def test_files_that_are_not_there(text: str, message: str, tmp_path: Path) -> None:
    for name in ("a-0.tar", "a-1.tar", "part.tfrecord-000-of-003", "part.tfrecord-002-of-003"):
        (tmp_path / name).touch()
    assert message in refusal(tmp_path / text)


# --- TFRecord -----------------------------------------------------------------------------------------------------------


def write_records(path: Path, *records: Mapping[str, Any]) -> Path:
    """Write TFRecord as TensorFlow does; a feature is a value or a list of them."""
    kinds = {int: ("int64_list", tf.train.Int64List), float: ("float_list", tf.train.FloatList)}
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            features = {}
            for name, value in record.items():
                values = value if isinstance(value, list) else [value]
                field, make = kinds.get(type(values[0]) if values else int, ("bytes_list", tf.train.BytesList))
                features[name] = tf.train.Feature(**{field: make(value=values)})
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return path


def record(number: int, **features: Any) -> dict[str, Any]:
    return {"image/encoded": different(number)} | {f"image/class/{name}": value for name, value in features.items()}


def test_records_with_names(tmp_path: Path) -> None:
    path = write_records(
        tmp_path / "a.tfrecord", *(record(i, label=i % 2, text=(b"tulip", b"rose")[i % 2]) for i in range(4))
    )
    examples = open_source(str(path))
    assert examples.keys == tuple(f"a.tfrecord/{number:06d}" for number in range(4))
    assert examples.class_names == ("rose", "tulip") and examples.labels.array.tolist() == [1, 0, 1, 0]
    assert examples.labels.array.dtype == np.int64 and examples.task == SINGLE_LABEL
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(examples.read, list(range(4)) * 20))
    assert read == [different(number) for number in range(4)] * 20


def test_shards_of_records(tmp_path: Path) -> None:
    for shard in range(2):
        write_records(
            tmp_path / f"a.tfrecord-0000{shard}-of-00002",
            *(record(2 * shard + i, label=10 - shard) for i in range(2)),
        )
    for text in ("a.tfrecord-00000-of-00002", "a.tfrecord", "a.tfrecord*", "*.tfrecord-*-of-00002"):
        examples = open_source(str(tmp_path / text))
        assert examples.class_names == ("9", "10") and examples.labels.array.tolist() == [1, 1, 0, 0]
        assert examples.keys[3] == "a.tfrecord-00001-of-00002/000001" and examples.read(3) == different(3)


@pytest.mark.parametrize(
    ("features", "options", "task", "texts"),
    [
        ([{"label": 0}, {"label": 1}, {"label": 2}], {}, SINGLE_LABEL, ["0", "1", "2"]),
        ([{"label": 0.5}, {"label": 1.0}, {"label": -2.0}], {}, REGRESSION, ["0.5", "1", "-2"]),
        ([{"label": 3}, {"label": 1}, {"label": 2}], {"task": REGRESSION}, REGRESSION, ["3", "1", "2"]),
        ([{"text": [b"a", b"b"]}, {"text": []}, {"text": b"b"}], {}, MULTI_LABEL, ["a|b", "", "b"]),
        ([{"labels": [1, 2]}, {"labels": [2]}, {"labels": []}], {}, MULTI_LABEL, ["1|2", "2", ""]),
        ([{"text": b"a;b"}, {"text": b"a"}, {"text": b"c"}], {"label_separator": ";"}, MULTI_LABEL, ["a|b", "a", "c"]),
        ([{"text": b"a", "label": 1}, {"label": 1}, {"label": 2}], {}, SINGLE_LABEL, ["1", "1", "2"]),
    ],
)
def test_labels_of_records(
    features: list[dict[str, Any]], options: dict[str, Any], task: str, texts: list[str], tmp_path: Path
) -> None:
    records = [record(number, **one) for number, one in enumerate(features)]
    examples = open_source(str(write_records(tmp_path / "a.tfrec", *records)), SourceOptions(**options))
    assert examples.task == task and labels_of(examples) == texts


def test_records_as_tfds_writes_them(tmp_path: Path) -> None:
    records = [{"image": different(number), "label": label} for number, label in enumerate([0, 1, -1])]
    examples = open_source(str(write_records(tmp_path / "a.tfrecord", *records)))
    assert len(examples) == 2 and examples.ignored["without a label"] == 1


def test_records_may_have_other_names(tmp_path: Path) -> None:
    records = ({"jpg": different(i), "class_id": i % 2} for i in range(6))
    path = write_records(tmp_path / "a.tfrecord", *records)
    assert "--columns path=FEATURE label=FEATURE" in refusal(path)
    examples = open_source(str(path), SourceOptions(columns={"path": "jpg", "label": "class_id"}))
    assert examples.class_names == ("0", "1") and examples.read(1) == different(1)


def test_records_that_cannot_be_used(tmp_path: Path) -> None:
    write_records(tmp_path / "no_image.tfrecord", {"image/height": 3})
    assert "has no image in image/encoded, but image/height" in refusal(tmp_path / "no_image.tfrecord")
    write_records(tmp_path / "no_label.tfrecord", record(0, label=1), record(1))
    assert "say which it is, with --columns label=FEATURE" in refusal(tmp_path / "no_label.tfrecord")
    write_records(tmp_path / "empty.tfrecord")
    assert "no images with a label" in refusal(tmp_path / "empty.tfrecord")
    with tf.io.TFRecordWriter(str(tmp_path / "other.tfrecord")) as writer:
        writer.write(b"\xff\xff\xff")
    assert "record 0 of" in refusal(tmp_path / "other.tfrecord")
    (tmp_path / "zipped.tfrecord").write_bytes(gzip.compress(b"x"))
    assert "decompress it first" in refusal(tmp_path / "zipped.tfrecord")
    (tmp_path / "text.tfrecord").write_bytes(b"path,label\n" * 9)
    assert "no TFRecord, or damaged" in refusal(tmp_path / "text.tfrecord")


def test_damaged_records_are_noticed(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecord", *(record(i, label=i % 2) for i in range(4)))
    whole = path.read_bytes()
    examples = open_source(str(path))
    for place in range(0, len(whole), 41):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        message = refusal(path)
        assert "a wrong checksum" in message or "cut off" in message
    faults = [one.fault for one in check_images(examples) if one.fault]  # damaged after it was opened
    assert len(faults) == 1 and "a wrong checksum" in faults[0]
    for cut in range(1, len(whole), 97):
        path.write_bytes(whole[:cut])
        if cut not in np.cumsum([len(whole) // 4] * 4):
            assert "cut off" in refusal(path)


# --- Tar shards ---------------------------------------------------------------------------------------------------------


def samples(*labels: object, suffix: str = "cls", folder: str = "", start: int = 0) -> dict[str, bytes]:
    """Members of a shard: an image and its label each."""
    members = {}
    for number, label in enumerate(labels, start=start):
        members[f"{folder}{number:04d}.png"] = different(number)
        members[f"{folder}{number:04d}.{suffix}"] = label if isinstance(label, bytes) else json.dumps(label).encode()
    return members


def test_tar_shards(tmp_path: Path) -> None:
    for shard in range(3):
        tarred(tmp_path / f"a-{shard:03d}.tar", samples(shard, 10, start=2 * shard))
    for text in ("a-{000..002}.tar", "a-*.tar"):
        examples = open_source(str(tmp_path / text))
        assert examples.class_names == ("0", "1", "2", "10") and examples.labels.array.tolist() == [0, 3, 1, 3, 2, 3]
        assert examples.keys[:3] == ("a-000.tar/0000.png", "a-000.tar/0001.png", "a-001.tar/0002.png")
        assert [examples.read(index) for index in (5, 0, 3)] == [different(index) for index in (5, 0, 3)]


@pytest.mark.parametrize(
    ("members", "options", "task", "texts"),
    [
        (samples(0, 1), {}, SINGLE_LABEL, ["0", "1"]),
        (samples(b"rose\n", b"tulip"), {}, SINGLE_LABEL, ["rose", "tulip"]),
        (samples(b"rose", b"tulip", suffix="txt"), {}, SINGLE_LABEL, ["rose", "tulip"]),
        (samples("rose", "tulip", suffix="json"), {}, SINGLE_LABEL, ["rose", "tulip"]),
        (samples(["a", "b"], [], suffix="json"), {}, MULTI_LABEL, ["a|b", ""]),
        (samples({"label": 1.5, "x": 2}, {"label": 2}, suffix="json"), {}, REGRESSION, ["1.5", "2"]),
        (samples({"x": "a"}, {"x": "b"}, suffix="json"), {"columns": {"label": "x"}}, SINGLE_LABEL, ["a", "b"]),
        (samples(b"a b", b"b"), {"label_separator": "b"}, MULTI_LABEL, ["a", ""]),
        (samples(3, 4), {"task": REGRESSION}, REGRESSION, ["3", "4"]),
        (samples(0, 1, folder="deep/er/"), {}, SINGLE_LABEL, ["0", "1"]),
    ],
)
def test_labels_of_samples(
    members: dict[str, bytes], options: dict[str, Any], task: str, texts: list[str], tmp_path: Path
) -> None:
    tarred(tmp_path / "a.tar", members)  # a single tar is recognised by what is in it
    examples = open_source(str(tmp_path / "a.tar"), SourceOptions(**options))
    assert examples.task == task and labels_of(examples) == texts
    assert examples.read(1) == different(1)


def test_what_else_is_in_a_sample_is_counted(tmp_path: Path) -> None:
    members = samples(0, 1) | {
        "0000.seg.png": IMAGE,
        "0001.jpg": IMAGE,
        "0001.npy": b"x",
        "._0001.png": b"x",
        "x": b"",
    }
    link = tarfile.TarInfo("0002.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    examples = open_source(str(tarred(tmp_path / "a.tar", members, link)))
    assert len(examples) == 2
    assert examples.ignored == {
        ".seg.png": 1, "further images": 1, ".npy": 1, "hidden": 1, "no suffix": 1, "links": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.cls": b"1"}, "holds no images"),
        (
            samples(0, 1) | {"x.png": IMAGE},
            "images without a .cls, .json or .txt of the same name (1, such as a.tar/x.png)",
        ),
        (samples(0, 1) | samples(b"x", suffix="txt", start=2), "use one of them for all"),
        (samples(0, b"\xff\xff"), "0001.cls in"),
        (samples(b"", b"1"), "the label is empty"),
        (samples(0, b"{", suffix="cls") | samples(0, b"{", suffix="json"), "is not JSON"),
        (samples({"x": 1}, {"x": 2}, suffix="json"), "none of them is named as the label usually is"),
        (samples(b"1", bytes(2**20 + 1)), "which is no label"),
    ],
)
def test_shards_that_cannot_be_used(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    tarred(tmp_path / "a.tar", members)
    assert message in refusal(tmp_path / "a.tar")


def test_damaged_and_compressed_shards(tmp_path: Path) -> None:
    whole = tarred(tmp_path / "a-0.tar", samples(0, 1, 2)).read_bytes()
    for content in (whole[:600], whole[:1024], gzip.compress(whole), b"", b"no tar at all"):
        (tmp_path / "a-0.tar").write_bytes(content)
        assert "shards are plain tar files" in refusal(tmp_path / "a-*.tar")


def test_class_folders_in_a_tar_are_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    examples = open_source(str(tarred(tmp_path / "a.tar", flowers() | {"rose/0.txt": b"a rose", "rose/0.json": b"{}"})))
    assert examples.class_names == ("rose", "tulip") and len(examples) == 4
    assert examples.ignored[".txt"] == examples.ignored[".json"] == 1
