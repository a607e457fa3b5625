"""Files of every kind of source, damaged at random: they are read, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from data.errors import DataError
from data.sources import open_source
from tests.sources import different, flowers, tarred, zipped
from tests.test_sources_shards import record, samples, write_records

DAMAGES = 40  # of each kind; a hundred times as many were tried once


def write_text(path: Path, text: str) -> Path:
    for number in range(3):
        (path.parent / f"{number}.png").write_bytes(different(number))
    path.write_text(text)
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.csv": lambda path: write_text(path, 'path,label,weight\n0.png,"a|b",1\n1.png,c,2\n2.png,"x ""y""",1\n'),
    "a.jsonl": lambda path: write_text(path, '{"path": "0.png", "label": ["a"]}\n{"path": "1.png", "label": ["b"]}\n'),
    "a.zip": lambda path: zipped(path, flowers()),
    "a.tar": lambda path: tarred(path, flowers("long" * 40 + "/")),
    "a.tar.gz": lambda path: tarred(path, flowers()),
    "shard.tar": lambda path: tarred(path, samples({"label": 1}, {"label": 2}, suffix="json")),
    "a.tfrecord": lambda path: write_records(path, *(record(number, label=number) for number in range(3))),
}


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Change, remove, insert or repeat some bytes."""
    for _ in range(random.choice([1, 1, 2, 10])):
        place, length = int(random.integers(len(content))), int(random.choice([1, 4, 100, 512]))
        head, middle, tail = content[:place], content[place : place + length], content[place + length :]
        content = (
            (head + random.bytes(1) + content[place + 1 :], head + tail, head + random.bytes(length) + middle + tail)
            + (head + middle + middle + tail,)
        )[random.integers(4)]
        content = content or b"\0"
    return content


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    path = WRITERS[name](tmp_path / name)
    whole, refusals = path.read_bytes(), []
    random = np.random.default_rng(0)
    for _ in range(DAMAGES):
        path.write_bytes(damaged(whole, random))
        try:
            examples = open_source(str(path))
        except DataError as error:
            refusals.append(str(error))
        else:
            with suppress(OSError):  # as a file that has changed
                examples.read(0)
    assert refusals and not any("\n" in text for text in refusals)
