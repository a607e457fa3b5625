"""What libraries have to say: it goes to the log, and afterwards to where it would have gone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.console import chatter_to, console


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """One that nobody else listens to."""
    logger = logging.getLogger("tests.console")
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def test_chatter_goes_to_the_log_whoever_writes_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.txt"
    log.write_text("from before\n")
    with chatter_to(log):
        print("from Python", file=sys.stderr, flush=True)
        os.write(2, b"from C++\n")
        subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('from a child\\n')"], check=True)
        print("from a library")
        console.print("for the user")
    print("after", file=sys.stderr)
    out, err = capfd.readouterr()
    assert (out, err) == ("for the user\n", "after\n")
    assert log.read_text().splitlines() == ["from before", "from Python", "from C++", "from a child", "from a library"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_logging_goes_to_the_log_and_comes_back(
    stream: str, logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.addHandler(logging.StreamHandler(getattr(sys, stream)))
    with chatter_to(tmp_path / "log.txt"):
        logger.addHandler(logging.StreamHandler(getattr(sys, stream)))  # as TensorFlow's, when it is imported
        logger.warning("meanwhile")
    logger.warning("afterwards")
    assert (tmp_path / "log.txt").read_text() == 2 * "meanwhile\n"
    assert getattr(capsys.readouterr(), {"stdout": "out", "stderr": "err"}[stream]) == 2 * "afterwards\n"
    with chatter_to(tmp_path / "second.txt"):
        logger.warning("again")
    assert (tmp_path / "second.txt").read_text() == 2 * "again\n"
    assert "".join(capsys.readouterr()) == ""


def test_a_handler_that_closes_its_stream_does_not_close_standard_error(tmp_path: Path) -> None:
    with chatter_to(tmp_path / "log.txt"):
        kept = sys.stderr
    kept.close()
    assert not sys.stderr.closed


def test_one_log_within_another(tmp_path: Path) -> None:
    with chatter_to(tmp_path / "outer.txt"):
        with chatter_to(tmp_path / "inner.txt"):
            print("inner")
        print("outer")
    assert [(tmp_path / f"{name}.txt").read_text() for name in ("outer", "inner")] == ["outer\n", "inner\n"]


def test_an_error_gets_out_and_standard_error_comes_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        print("chatter", file=sys.stderr)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), chatter_to(tmp_path / "log.txt"):
        fail()
    os.write(2, b"again\n")
    assert capfd.readouterr().err == "again\n"
    assert (tmp_path / "log.txt").read_text() == "chatter\n"


def test_chatter_does_not_leak_file_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        with chatter_to(tmp_path / "log.txt"):
            pass
    assert len(os.listdir("/dev/fd")) == before
