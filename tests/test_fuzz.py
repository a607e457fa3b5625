"""Random damage to the corpus of awkward files, for some minutes: `python -m pytest -m fuzz`, with FUZZ_MINUTES=5 a test.

Each damaged file must be decided alike by all, in bounded time, and without an error of another kind. What this finds becomes a
row of `tests.awkward.CORPUS`.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from data.image import decoding
from data.image.decoding import UnreadableImage, decode
from data.image.resizing import load_each_way
from tests.awkward import CORPUS, decisions

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

MINUTES = float(os.environ.get("FUZZ_MINUTES", "2"))
LONGEST = 5.0  # seconds of the processor a file
LARGEST_IMAGE = 2**22  # pixels: with 179 million, most of the time would go into a few files
SMALL = 60_000  # bytes of a file that is worth damaging

# What breaks decoders: the ends of ranges of numbers, in either order of bytes, and markers.
NUMBERS = [
    b"\0",
    b"\xff",
    b"\0\0",
    b"\xff\xff",
    b"\x7f\xff",
    b"\0\1",
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\0\0\0\1",
]
TELLING = [
    *NUMBERS,
    *(one[::-1] for one in NUMBERS),
    b"\xff\xd8",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xc4",
    b"!\xf9",
    b",",
    b";",
]

Edit = tuple[str, int, int, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["write", "insert", "remove", "repeat", "move", "flip", "cut"]),
        st.integers(0, SMALL),
        st.integers(1, 300),
        st.one_of(st.sampled_from(TELLING), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=6,
)


def damaged(whole: bytes, edits: list[Edit]) -> bytes:
    """A file after some edits; places are counted round and round."""
    for kind, place, length, content in edits:
        place %= len(whole) + 1
        before, piece, after = whole[:place], whole[place : place + length], whole[place + length :]
        whole = {
            "write": before + content + whole[place + len(content) :],
            "insert": before + content + piece + after,
            "remove": before + after,
            "repeat": before + piece * 3 + after,
            "move": before + after + piece,
            "flip": before + bytes([piece[0] ^ 1 << length % 8]) + piece[1:] + after if piece else whole,
            "cut": before,
        }[kind]
    return whole


def with_right_checksums(png: bytes) -> bytes:
    """A PNG whose damage no checksum shows."""
    whole, place = bytearray(png), 8
    while place + 12 <= len(whole):
        (length,) = struct.unpack_from(">I", whole, place)
        end = place + 8 + length
        if end + 4 > len(whole):
            break
        struct.pack_into(">I", whole, end, zlib.crc32(whole[place + 4 : end]))
        place = end + 4
    return bytes(whole)


def decoded_alike(encoded: bytes, path: Path) -> bool:
    """Whether the decoder alone, in all of its ways, can read a file: many a second."""
    found = []
    for ways in (None, {True}, {False}, {True, False}):
        try:
            pixels = (
                [np.asarray(decode(encoded))] if ways is None else load_each_way(encoded, 32, "crop", ways).values()
            )
            assert all(one.dtype == np.uint8 and one.shape[2:] == (3,) for one in pixels)
            assert ways is None or all(one.shape == (32, 32, 3) for one in pixels)
            found.append(None)
        except UnreadableImage as error:
            found.append(str(error))
    assert len(set(found)) == 1, found
    assert found[0] is None or found[0].isprintable()
    return found[0] is None


def decided_alike(encoded: bytes, path: Path) -> bool:
    """Whether all parts of Graft that read images can read a file."""
    found = decisions(encoded, path)
    assert len(set(found.values())) == 1, found
    return found["check"] is None


@pytest.mark.parametrize("check", [decoded_alike, decided_alike])
def test_damaged_files(check: Callable[[bytes, Path], bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LARGEST_IMAGE", LARGEST_IMAGE)
    files = {name: encoded for name, one in CORPUS.items() if 0 < len(encoded := one.make()) <= SMALL}
    set_hypothesis_home_dir(tmp_path)  # else it would write into the checkout
    path, count, readable = tmp_path / "damaged", 0, 0

    def one(name: str, edits: list[Edit], repair: bool) -> None:
        nonlocal count, readable
        encoded = damaged(files[name], edits)
        encoded = with_right_checksums(encoded) if repair else encoded
        path.write_bytes(encoded)  # stays behind after a failure
        note(f"the file is {path}")
        started = time.process_time()
        readable += check(encoded, path)
        assert time.process_time() - started < LONGEST
        count += 1

    end, number = time.monotonic() + 60 * MINUTES, int(time.time())
    options = settings(
        max_examples=1000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    while time.monotonic() < end:
        seed(number)(options(given(st.sampled_from(sorted(files)), EDITS, st.booleans())(one)))()
        number += 1
    print(
        f"{check.__name__}: {count:,} damaged files of {len(files)} in {MINUTES:g} minutes, {readable:,} of them readable"
    )
