"""What a person sees, and what goes to the log instead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.console import chatter_to, table, track


def test_chatter_goes_to_the_log_whoever_writes_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.txt"
    log.write_text("from before\n")
    with chatter_to(log):
        print("from Python", file=sys.stderr, flush=True)
        os.write(2, b"from C++\n")
        subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('from a child\\n')"], check=True)
        print("for the user")
    print("after", file=sys.stderr)
    out, err = capfd.readouterr()
    assert (out, err) == ("for the user\n", "after\n")
    assert sorted(log.read_text().splitlines()) == ["from C++", "from Python", "from a child", "from before"]


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


def test_cells_are_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table("title", ("name", "value"), [("[bold]class[/bold]", 3), ("[/", None)])
    out = capsys.readouterr().out
    assert "[bold]class[/bold]" in out and "[/" in out


def test_in_a_pipe_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    table("", ("path", "answer"), [("/a/very/long/path" * 20, "b" * 100), ("short", "c")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["/a/very/long/path" * 20, "b" * 100] in lines
    assert ["short", "c"] in lines


def test_track_yields_everything_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert "reading" in capsys.readouterr().out
