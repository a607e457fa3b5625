"""Download a file. An interrupted download is resumed, and several processes may download the same file at once.

A process that downloads holds a lock of the operating system on its `.part` file. The lock ends with the process, so a part
without a lock can be resumed. Two processes at once download the file twice, and one of the copies is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from data.cache.archives import sha256_of
from data.cache.disk import free_space
from data.errors import DataError
from data.files import write_json
from data.sources.extraction import MAX_BYTES
from data.sources.options import SourceOptions

if TYPE_CHECKING:
    import requests

_TRIES = 4  # in a row without a new byte
_TIMEOUT = (10, 30)  # seconds to connect, and to wait for data
_PAUSE = 0.25  # seconds, doubled before each further try
_CHUNK = 2**16  # bytes, lost when a connection breaks
_KEPT_SECONDS = 7 * 24 * 3600.0  # age from which a part that is not resumed is removed
_LOCAL = ("localhost", "127.0.0.1", "::1")


@contextmanager
def downloaded(url: str, folder: Path, options: SourceOptions, sha256: str | None) -> Iterator[tuple[Path, str]]:
    """Download a file, and remove it at the end; a call after an interrupted download resumes it.

    Args:
        url: an http or https address.
        folder: folder of partial downloads; it is created if it does not exist.
        options: `progress` is told the number of bytes.
        sha256: the expected SHA-256, in hexadecimal; None accepts any file.

    Yields:
        The path of the file, and its SHA-256.

    Raises:
        DataError: the file or the network is missing, the checksum is wrong, the file is too large, or the URL is not safe.

    Examples:
        >>> with downloaded("http://example.com/fruit.zip", Path("parts"), SourceOptions(), sha256=None):
        ...     pass
        Traceback (most recent call last):
            ...
        data.errors.DataError: http://example.com/fruit.zip is not encrypted, ...; use https, or add #sha256=…
        >>> with downloaded("https://[fruit", Path("parts"), SourceOptions(), sha256=None):
        ...     pass
        Traceback (most recent call last):
            ...
        data.errors.DataError: https://[fruit is no address (...); correct it
    """
    _check_scheme(url, sha256)
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(url.encode()).hexdigest()
    _remove_old_parts(folder)
    with _claimed_part(folder, name) as part:
        path = Path(part.name)
        _fetch_all(url, part, options, sha256)
        found = sha256_of(path, options.report)
        if sha256 is not None and found != sha256:
            _remove(path)
            raise DataError(f"{url} has the SHA-256 {found}, not {sha256}; do not use it, or correct the checksum")
        try:
            yield path, found
        except DataError:  # the server may correct the content
            _remove(path)
            raise
        _remove(path)
    if sys.platform == "win32":  # cannot remove an open file
        _remove(path)


def _check_scheme(url: str, sha256: str | None) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DataError(f"{url} is no address ({error}); correct it") from error
    if parts.scheme != "https" and parts.hostname not in _LOCAL and sha256 is None:
        raise DataError(
            f"{url} is not encrypted, so that anybody may change it on its way; use https, or add #sha256=…"
        )


# --- Parts --------------------------------------------------------------------------------------------------------------


@contextmanager
def _claimed_part(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Yield the largest part that no process works on, or a new one; locked."""
    while True:  # another process may lock a new part before this one does
        found = sorted(folder.glob(f"{name}.*.part"), key=_size_of, reverse=True)
        for path in [*found, folder / f"{name}.{uuid.uuid4().hex}.part"]:
            with open(path, "a+b") as part:
                # Between the listing and the lock, its process may have finished and removed it.
                if _lock(part) and path.exists() and os.path.samestat(path.stat(), os.fstat(part.fileno())):
                    yield part
                    return


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # its process has just finished
        return 0


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; return False if another process holds the lock."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**40)  # a byte that is never read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _about(path: Path) -> Path:
    """Return the file beside a part that says which version of the URL's content the part has."""
    return path.with_name(f"{path.name}.json")


def _version_of(path: Path) -> list[str | None]:
    try:
        version = json.loads(_about(path).read_bytes())
    except (OSError, ValueError):
        return []
    return version if isinstance(version, list) else []


def _remove(path: Path) -> None:
    for one in (_about(path), path):
        with suppress(OSError):
            one.unlink()


def _remove_old_parts(folder: Path) -> None:
    for path in folder.glob("*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                _remove(path)


# --- HTTP ---------------------------------------------------------------------------------------------------------------


def _fetch_all(url: str, part: BinaryIO, options: SourceOptions, sha256: str | None) -> None:
    """Fetch what the part lacks; retry until `_TRIES` attempts in a row bring no new byte."""
    import requests

    failures, reason = 0, ""
    with requests.Session() as session:
        while failures < _TRIES:
            before = _size(part)
            try:
                if _fetch(session, url, part, options, sha256):
                    return
            except DataError:
                raise
            except ValueError as error:
                raise DataError(f"{url} cannot be downloaded ({error}); correct the address") from error
            except requests.RequestException as error:
                reason = type(error).__name__
                failures = 0 if _size(part) > before else failures + 1
                time.sleep(_PAUSE * 2**failures if failures < _TRIES else 0)
    host = urlsplit(url).hostname
    raise DataError(
        f"{url} cannot be downloaded: {host} does not answer, or breaks off after {_size(part) / 1e6:,.1f} MB "
        f"({reason}); check the network and begin again, and it goes on from there"
    )


def _fetch(session: requests.Session, url: str, part: BinaryIO, options: SourceOptions, sha256: str | None) -> bool:
    """Fetch once; return False if the part belonged to another version of the file and is now empty.

    The last byte of the part is requested again: a range that begins after the end would be an error.
    """
    import requests

    path = Path(part.name)
    start = max(0, _size(part) - 1) if _version_of(path) else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        for one in [*response.history, response]:
            _check_scheme(one.url, sha256)
        total = _total(response)
        version = [
            response.headers.get("ETag"),
            response.headers.get("Last-Modified"),
            None if total is None else str(total),
        ]
        if response.status_code == 206 and _starts_at(response, start) and version == _version_of(path):
            part.truncate(start)
        elif start and response.status_code in (206, 416):
            part.truncate(0)
            _about(path).unlink(missing_ok=True)
            return False
        else:
            _check_status(response, url)
            part.truncate(0)
            write_json(_about(path), version if any(version) else [])
        most = min(MAX_BYTES, max(0, free_space(path.parent)) + _size(part))
        if total is not None and total > most:
            raise DataError(f"{url} has {total / 1e9:,.1f} GB, and there is room for {most / 1e9:,.1f} only; free some")
        for chunk in response.iter_content(_CHUNK):
            part.write(chunk)
            options.report("downloading", _size(part), total)
            if _size(part) > most:
                raise DataError(f"{url} has more than {most / 1e9:,.1f} GB, for which there is no room; free some")
    if total is not None and _size(part) != total:
        raise requests.ConnectionError("it ended early")
    return True


def _check_status(response: requests.Response, url: str) -> None:
    code = response.status_code
    if code == 429 or code >= 500:
        response.raise_for_status()  # is retried
    if code != 200:
        raise DataError(f"{url} cannot be downloaded: {response.status_code} {response.reason}; check the address")


def _total(response: requests.Response) -> int | None:
    """Return the size of the whole file, or None if the server does not give it."""
    if response.status_code == 206:
        text = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and "Content-Encoding" not in response.headers else None


def _starts_at(response: requests.Response, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _size(part: BinaryIO) -> int:
    part.flush()
    return os.fstat(part.fileno()).st_size
