"""Archives: what they may hold, and that none of them does harm."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from data.cache import disk
from data.cache.cache import Cache
from data.cache.disk import is_temporary, size_of
from data.sources import SourceOptions, extraction, open_source
from tests.sources import IMAGE, different, flowers, refusal, tarred, zipped

ROOT = Path(__file__).parents[1]
KEYS = ("rose/0.png", "rose/1.png", "tulip/0.png", "tulip/1.png")
WRITERS = {"a.zip": zipped, "a.tar": tarred, "a.tar.gz": tarred, "A.TGZ": tarred}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of sources."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sources"


def assert_nothing_came_out(tmp_path: Path, archive: Path) -> None:
    assert {path.name for path in tmp_path.iterdir()} <= {archive.name, "cache"}
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


# --- What an archive may hold -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("top", ["", "flowers/", "./", "a/b/"])
def test_class_folders(name: str, top: str, tmp_path: Path) -> None:
    archive = WRITERS[name](tmp_path / name, flowers(top) | {f"{top}README.md": b"hello"})
    examples = open_source(str(archive))

    assert examples.keys == KEYS and examples.class_names == ("rose", "tulip")
    assert examples.source == str(archive) and examples.ignored["loose files"] == 1
    assert [examples.read(index) for index in range(4)] == [different(index) for index in range(4)]


def test_class_folders_in_split_folders(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", flowers("set/train/") | flowers("set/test/"))
    examples = open_source(str(archive))
    assert examples.given_splits == ("test",) * 4 + ("train",) * 4
    only_train = open_source(str(zipped(tmp_path / "b.zip", flowers("train/"))))
    assert only_train.given_splits == ("train",) * 4


@pytest.mark.parametrize("top", ["", "set/"])
def test_a_list_in_an_archive(top: str, tmp_path: Path) -> None:
    table = b"path,kind\nimages/0.png,1.5\nimages/1.png,2.5\n"
    members = {f"{top}images/{number}.png": different(number) for number in range(2)} | {f"{top}labels.csv": table}
    examples = open_source(str(zipped(tmp_path / "a.zip", members)), SourceOptions(columns={"label": "kind"}))
    assert examples.keys == ("images/0.png", "images/1.png") and examples.task == "regression"
    assert examples.read(1) == different(1)


def test_what_macos_adds_and_links_to_elsewhere_are_left_out_and_counted(tmp_path: Path) -> None:
    link, pipe = tarfile.TarInfo("rose/2.png"), tarfile.TarInfo("rose/3.png")
    link.type, link.linkname, pipe.type = tarfile.SYMTYPE, "/etc/passwd", tarfile.FIFOTYPE
    hard = tarfile.TarInfo("rose/4.png")
    hard.type, hard.linkname = tarfile.LNKTYPE, "rose/0.png"
    members = flowers() | {"__MACOSX/rose/._0.png": b"x", "rose/.DS_Store": b"x"}
    archive = tarred(tmp_path / "a.tar", members, link, pipe, hard)
    for _ in range(2):  # the second time, nothing is extracted any more
        examples = open_source(str(archive))
        assert examples.keys == tuple(sorted((*KEYS, "rose/4.png")))
        assert {kind: examples.ignored[kind] for kind in ("links", "devices", "of macOS", "hidden")} == {
            "links": 1,
            "devices": 1,
            "of macOS": 1,
            "hidden": 1,
        }


def test_a_link_in_a_zip_is_left_out(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", flowers())
    info = zipfile.ZipInfo("rose/2.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(info, "/etc/passwd")
    examples = open_source(str(archive))
    assert examples.keys == KEYS and examples.ignored["links"] == 1


def test_it_is_extracted_once_and_found_by_content(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_source(str(zipped(tmp_path / "a.zip", flowers())))
    (tmp_path / "b.zip").write_bytes((tmp_path / "a.zip").read_bytes())
    monkeypatch.setattr(extraction, "_members", None)
    assert open_source(str(tmp_path / "b.zip")).keys == KEYS
    assert len(list(cache.iterdir())) == 1


def test_the_cache_can_be_emptied(tmp_path: Path, cache: Path) -> None:
    kept = Cache()
    assert size_of(kept.archives.files()) == kept.clear() == 0
    archive = zipped(tmp_path / "a.zip", flowers())
    open_source(str(archive))
    (cache / "mine.txt").write_bytes(b"x")
    size = size_of(kept.archives.files())
    assert size > sum(map(len, flowers().values()))
    assert kept.clear() == size and size_of(kept.archives.files()) == 0
    assert [path.name for path in cache.iterdir()] == ["mine.txt"]
    assert open_source(str(archive)).keys == KEYS


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    archive = zipped(tmp_path / "a.zip", flowers())
    open_source(str(archive), SourceOptions(progress=lambda *words: told.append(words)))
    size = archive.stat().st_size
    assert told[0] == ("reading", size, size)
    assert told[-1] == ("extracting", sum(map(len, flowers().values())), None)


# --- Archives that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", [zipped, tarred])
@pytest.mark.parametrize(
    "name",
    [
        "/tmp/graft-evil.png",
        "../evil.png",
        "rose/../../evil.png",
        r"..\evil.png",
        r"C:\evil.png",
        "C:/evil.png",
        r"\\host\x.png",
    ],
)
def test_names_that_lead_out(writer: object, name: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.zip" if writer is zipped else "a.tar")
    archive = writer(path, flowers() | {name: IMAGE})  # type: ignore[operator]
    assert "leads out of the folder" in refusal(archive)
    assert_nothing_came_out(tmp_path, archive)


def test_a_link_does_not_lead_a_file_out(tmp_path: Path) -> None:
    link = tarfile.TarInfo("rose")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "out")
    (tmp_path / "out").mkdir()
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        file.addfile(link)
        for name, content in flowers().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    assert open_source(str(archive)).keys == KEYS
    assert not list((tmp_path / "out").iterdir())


def test_modes_have_no_effect(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        for name, content in flowers().items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(content), 0o4777, 1234
            file.addfile(info, io.BytesIO(content))
    open_source(str(archive))
    modes = {path.stat().st_mode & 0o7111 for path in (tmp_path / "cache").rglob("*.png")}
    assert modes == {0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\nb.png", "has control characters"),
        ("rose/0.png/deeper.png", "cannot be written"),
        ("n" * 300 + ".png", "cannot be written"),
    ],
)
def test_names_that_cannot_be(name: str, message: str, tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", flowers() | {name: IMAGE})
    assert message in refusal(archive)
    assert_nothing_came_out(tmp_path, archive)


def test_a_name_twice(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", flowers())
    with tarfile.open(archive, "a") as file:
        file.addfile(tarfile.TarInfo("rose/0.png"))
    assert "'rose/0.png', which cannot be written (it is there twice)" in refusal(archive)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_bomb(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "FREE_BYTES", 2**20)
    archive = WRITERS[name](tmp_path / name, flowers() | {"rose/2.bmp": bytes(16 * 2**20)})
    assert archive.stat().st_size < 30_000
    assert "far more than its own size" in refusal(archive)
    assert_nothing_came_out(tmp_path, archive)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "MAX_MEMBERS", 3)
    assert "more than 3 files" in refusal(zipped(tmp_path / "a.zip", flowers()))


def test_no_more_than_the_disk_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "RESERVE", shutil.disk_usage(tmp_path).total)
    assert "more than 0.0 GB" in refusal(zipped(tmp_path / "a.zip", flowers()))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["pax", "gnu"])
def test_an_endless_name_does_not_fill_the_memory(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 2**40
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(2**20))
    assert "more than it" in refusal(tmp_path / "a.tar.gz") or "far more" in refusal(tmp_path / "a.tar.gz")


def test_a_size_below_zero_ends(tmp_path: Path) -> None:
    block = bytearray(tarfile.TarInfo("x.png").tobuf())
    block[124:136] = b"\xff" * 8 + struct.pack(">i", -512)  # base 256, as GNU writes large numbers
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    (tmp_path / "a.tar").write_bytes(bytes(block) + bytes(1024))
    refusal(tmp_path / "a.tar")


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_archives(name: str, tmp_path: Path) -> None:
    whole = WRITERS[name](tmp_path / name, flowers()).read_bytes()
    assert len(IMAGE) <= 512  # so that a tar has a member every 1,024 bytes
    for cut in (0, 1, 100, 700, 1024, 4096 if name == "a.tar" else len(whole) - 5):
        archive = tmp_path / f"cut{cut}{name}"
        archive.write_bytes(whole[:cut])
        assert "cannot be extracted" in refusal(archive) or "holds" in refusal(archive)


def test_a_zip_with_a_wrong_checksum(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, content in flowers().items():
            file.writestr(name, content)
    content = bytearray(archive.read_bytes())
    content[content.index(b"IHDR")] ^= 1
    archive.write_bytes(content)
    assert "Bad CRC-32" in refusal(archive)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", flowers())
    content = bytearray(archive.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    archive.write_bytes(content)
    assert "is encrypted; extract it yourself" in refusal(archive)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.md": b"x"}, "holds no images"),
        ({"0.png": IMAGE}, "holds images but no class folders"),
        ({}, "no images"),
        ({"a.csv": b"path,label\n0.png,x\n"}, "1 image is not there: '0.png'"),
    ],
)
def test_archives_of_something_else(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    assert message in refusal(zipped(tmp_path / "a.zip", members))


@pytest.mark.parametrize("path", ["{outside}", "../../../outside.png"])
def test_a_list_in_an_archive_does_not_lead_out(path: str, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(IMAGE)
    table = f"path,label\n0.png,a\n{path.format(outside=tmp_path / 'outside.png')},b\n"
    message = refusal(zipped(tmp_path / "a.zip", {"0.png": IMAGE, "a.csv": table.encode()}))
    assert "which is not in the archive" in message or "is not there" in message


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    assert "set GRAFT_CACHE to a folder" in refusal(zipped(tmp_path / "a.zip", flowers()))


# --- Processes ----------------------------------------------------------------------------------------------------------

SLOW = """
import os, sys, time
from data.cache import disk
from data.cache.cache import Cache
from data.cache.disk import is_temporary, size_of
from data.sources import SourceOptions, open_source, extraction

def progress(activity, done, total):
    if activity == "extracting":
        print(done, flush=True)
        time.sleep(float(sys.argv[2]))

print(*open_source(sys.argv[1], SourceOptions(progress=progress)).keys)
"""


def start(archive: Path, seconds: float) -> subprocess.Popen[str]:
    """Open an archive in a process that rests after each file."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(archive), str(seconds)], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once(tmp_path: Path, cache: Path) -> None:
    archive = zipped(tmp_path / "a.zip", flowers())
    both = [start(archive, 0.05) for _ in range(2)]
    ended = [one.communicate()[0].splitlines()[-1] for one in both]
    assert ended == [" ".join(KEYS)] * 2
    assert len(list(cache.iterdir())) == 1


def test_a_killed_process_does_no_harm(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "a.zip", flowers())
    killed = start(archive, 3600)
    assert killed.stdout is not None
    killed.stdout.readline()  # a file of four is written
    killed.kill()
    killed.communicate()
    (left,) = cache.iterdir()
    assert is_temporary(left)

    assert open_source(str(archive)).keys == KEYS
    assert left.exists()  # for all that is known, somebody is still filling it
    os.utime(left, (0, 0))
    open_source(str(zipped(tmp_path / "b.zip", flowers("more/"))))
    assert not left.exists() and not any(map(is_temporary, cache.iterdir()))
