"""Downloads from a real server on this machine: what is asked of it, and what happens when it breaks off."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from data.cache.disk import is_temporary
from data.sources import SourceOptions, download, open_source
from tests.sources import different, flowers, refusal, tarred, zipped

ROOT = Path(__file__).parents[1]
KEYS = ("rose/0.png", "rose/1.png", "tulip/0.png", "tulip/1.png")


class Server(ThreadingHTTPServer):
    """A server of one file.

    Attributes:
        content: of the file.
        etag: its version; "" for a server that does not say.
        break_after: bytes after which each answer breaks off; None for never.
        knows_ranges: whether it can begin in the middle.
        says_size: whether it says how large the file is.
        status: of each answer.
        location: where it sends on to, with status 302.
        asked: the `Range` of each request so far.
        wait: an answer is held back here, after its first half.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = b""
        self.etag = '"1"'
        self.break_after: int | None = None
        self.knows_ranges = True
        self.says_size = True
        self.status = 200
        self.location = ""
        self.asked: list[str | None] = []
        self.wait: threading.Event | None = None

    def handle_error(self, *words: Any) -> None:
        """A client that was killed is no news."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/flowers.zip"


class Handler(BaseHTTPRequestHandler):
    """Answers as its `Server` says."""

    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        start = int(re.findall(r"\d+", asked)[0]) if asked and server.knows_ranges else 0
        body = server.content[start:]
        status = 416 if start >= len(server.content) > 0 else 206 if start else server.status
        self.send_response(status)
        if server.says_size:
            self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.location:
            self.send_header("Location", server.location)
        self.end_headers()
        self._send(body if server.break_after is None else body[: server.break_after])

    def _send(self, body: bytes) -> None:
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        if self.server.wait is not None:
            self.server.wait.wait(timeout=300)
        self.wfile.write(body[half:])

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serves a zip of two classes."""
    with Server() as server:
        server.content = zipped(tmp_path / "flowers.zip", flowers()).read_bytes()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of sources, no proxies, and no patience."""
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_PAUSE", 0.001)
    monkeypatch.setattr(download, "_CHUNK", 256)
    return tmp_path / "cache" / "sources"


def parts(cache: Path) -> list[Path]:
    return sorted(cache.glob("urls/*.part"))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_url_is_downloaded_once(server: Server, cache: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    examples = open_source(server.url, SourceOptions(progress=lambda *words: told.append(words)))
    assert examples.keys == KEYS and examples.source == server.url
    assert [examples.read(index) for index in range(4)] == [different(index) for index in range(4)]
    size = len(server.content)
    assert [words for words in told if words[0] == "downloading"][-1] == ("downloading", size, size)

    assert open_source(server.url).keys == KEYS
    assert server.asked == [None]
    assert sorted(path.suffix for path in cache.glob("urls/*")) == [".json"]


def test_a_download_lies_in_the_chosen_cache(server: Server, cache: Path, tmp_path: Path) -> None:
    options = SourceOptions(cache_folder=str(tmp_path / "chosen"))
    for _ in range(2):
        assert open_source(server.url, options).keys == KEYS
    assert len(server.asked) == 1
    assert not cache.parent.exists() and len(list((tmp_path / "chosen" / "sources").iterdir())) == 2


def test_what_was_downloaded_needs_no_network(server: Server) -> None:
    open_source(server.url)
    server.shutdown()
    server.server_close()
    assert open_source(server.url).keys == KEYS


def test_a_checksum(server: Server, cache: Path) -> None:
    right = sha256(server.content)
    assert f"has the SHA-256 {right}, not {'0' * 64}" in refusal(f"{server.url}#sha256={'0' * 64}")
    assert not parts(cache)  # what is wrong is not gone on with
    assert open_source(f"{server.url}#sha256={right.upper()}").keys == KEYS
    assert len(server.asked) == 2
    assert open_source(f"http://nowhere.invalid/moved.zip#sha256={right}").keys == KEYS  # known by its content
    assert "has the SHA-256" in refusal(f"{server.url}#sha256={'0' * 64}")  # though the URL is known


@pytest.mark.parametrize("fragment", ["#sha256=", "#sha256=abc", "#md5=0", "#top", f"#sha256={'g' * 64}"])
def test_what_is_no_checksum(fragment: str, server: Server) -> None:
    assert "a checksum is #sha256= and 64 hexadecimal digits" in refusal(server.url + fragment)
    assert not server.asked


def test_plain_http_from_elsewhere_needs_a_checksum(server: Server) -> None:
    assert "use https, or add #sha256=" in refusal("http://example.org/a.zip")
    server.status, server.location = 302, "http://example.invalid/a.zip"
    assert "does not answer" in refusal(server.url)


def test_a_download_goes_on_where_it_broke_off(server: Server) -> None:
    server.break_after = 500
    assert open_source(server.url).keys == KEYS
    starts = [0 if asked is None else int(asked[6:-1]) for asked in server.asked]
    assert len(starts) > 4 and starts == sorted(set(starts))  # more than may fail without a byte in between


def test_the_next_run_goes_on_where_the_last_one_broke_off(server: Server, cache: Path) -> None:
    server.break_after, server.knows_ranges = 300, False  # each try begins again, and none gets through
    message = refusal(server.url)
    assert "breaks off after 0.0 MB" in message and "it goes on from there" in message
    assert [path.stat().st_size for path in parts(cache)] == [256]
    server.break_after, server.knows_ranges = None, True
    server.asked.clear()
    assert open_source(server.url).keys == KEYS
    assert server.asked == ["bytes=255-"]


@pytest.mark.parametrize("etag", ['"1"', ""])
def test_a_download_that_is_whole_is_not_fetched_again(etag: str, server: Server, cache: Path) -> None:
    server.etag = etag  # without one, the size must do
    with pytest.raises(KeyboardInterrupt):
        open_source(server.url, SourceOptions(progress=interrupt_when("reading")))
    assert [path.read_bytes() for path in parts(cache)] == [server.content]
    server.asked.clear()
    assert open_source(server.url).keys == KEYS
    assert server.asked == [f"bytes={len(server.content) - 1}-"]


def interrupt_when(activity: str) -> Any:
    def progress(now: str, done: int, total: int | None) -> None:
        if now == activity:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("shorter", [False, True])
def test_a_part_of_another_version_is_not_gone_on_with(shorter: bool, server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_source(server.url, SourceOptions(progress=interrupt_when("reading")))
    members = {"x/0.png": different(8), "y/0.png": different(9)} | ({} if shorter else flowers("more/"))
    server.content, server.etag = zipped(tmp_path / "new.zip", members).read_bytes(), '"2"'
    members_read = open_source(server.url)
    assert len(members_read) == len(members)
    assert server.asked[-1] is None


def test_a_server_that_does_not_know_ranges(server: Server) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_source(server.url, SourceOptions(progress=interrupt_when("reading")))
    server.knows_ranges = False
    assert open_source(server.url).keys == KEYS


def test_a_server_that_does_not_say_the_size(server: Server) -> None:
    server.says_size, server.etag = False, ""
    assert open_source(server.url).keys == KEYS


@pytest.mark.parametrize(
    ("status", "message", "tries"),
    [
        (404, "404 Not Found; check the address", 1),
        (403, "403 Forbidden", 1),
        (503, "check the network and begin again", 4),
    ],
)
def test_answers_without_the_file(status: int, message: str, tries: int, server: Server, cache: Path) -> None:
    server.status = status
    assert message in refusal(server.url)
    assert len(server.asked) == tries


def test_a_server_that_is_not_there(server: Server) -> None:
    server.shutdown()
    server.server_close()
    assert "127.0.0.1 does not answer" in refusal(server.url)


@pytest.mark.parametrize("url", ["https://", "https://[", "https:///a.zip", "http://127.0.0.1:99999/a.zip"])
def test_impossible_addresses(url: str) -> None:
    refusal(url)


def test_what_is_no_archive_is_fetched_anew(server: Server, cache: Path, tmp_path: Path) -> None:
    good, server.content = server.content, b"<html>Please log in</html>"
    assert "cannot be extracted" in refusal(server.url)
    assert not parts(cache)
    server.content = good
    assert open_source(server.url).keys == KEYS


def test_more_than_there_is_room_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    assert "there is room for 0.0 only" in refusal(server.url)
    server.says_size = False
    assert "for which there is no room" in refusal(server.url)


def test_tar_shards_are_kept_whole(server: Server, cache: Path, tmp_path: Path) -> None:
    members = {"0.jpg": different(0), "0.cls": b"rose", "1.jpg": different(1), "1.cls": b"tulip"}
    server.content = tarred(tmp_path / "a.tar", members).read_bytes()
    for _ in range(2):
        examples = open_source(server.url)
        assert examples.class_names == ("rose", "tulip") and examples.source == server.url
        assert examples.read(1) == different(1)
    assert len(server.asked) == 1
    assert next(cache.glob(f"{sha256(server.content)}-*/archive.tar")).is_file()


# --- Processes ----------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from data.cache.disk import is_temporary
from data.sources import download, open_source
download._CHUNK = 256
print("asking", flush=True)
print(*open_source(sys.argv[1]).keys)
"""


def start(url: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, url], env=environment, stdout=subprocess.PIPE, text=True)


def wait_for_parts(cache: Path, number: int) -> None:
    for _ in range(30_000):
        if sum(path.stat().st_size >= 256 for path in parts(cache)) == number:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{parts(cache)} instead of {number} parts")


def test_two_processes_at_once(server: Server, cache: Path) -> None:
    server.wait = threading.Event()
    both = [start(server.url) for _ in range(2)]
    wait_for_parts(cache, 2)  # each has its own
    server.wait.set()
    ended = [one.communicate()[0].splitlines()[-1] for one in both]
    assert ended == [" ".join(KEYS)] * 2
    assert sorted(path.suffix for path in cache.glob("urls/*")) == [".json"]
    assert len([path for path in cache.iterdir() if path.name != "urls"]) == 1


def test_a_new_part_that_another_process_locks_first_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = iter([False, True])
    monkeypatch.setattr(download, "_lock", lambda part: next(predictions))
    with download._claimed_part(tmp_path, "name") as part:
        assert Path(part.name).parent == tmp_path


def test_a_killed_process_leaves_a_part_to_go_on_with(server: Server, cache: Path) -> None:
    server.wait = threading.Event()
    killed = start(server.url)
    wait_for_parts(cache, 1)
    killed.kill()
    killed.communicate()
    server.wait.set()
    (left,) = parts(cache)
    size = left.stat().st_size

    assert open_source(server.url).keys == KEYS
    assert server.asked[1:] == [f"bytes={size - 1}-"]
    assert not parts(cache) and not list(cache.rglob("*.lock"))
    assert not any(map(is_temporary, cache.rglob("*")))
