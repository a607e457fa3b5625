"""What a person sees, and what goes to the log instead."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.console import bars, chatter_to, console, progress, status, table, track
from tests.terminal import on_a_terminal


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """One that nobody else listens to."""
    logger = logging.getLogger("tests.console")
    logger.propagate = False
    yield logger
    logger.handlers.clear()


# --- What goes to the log ---------------------------------------------------------------------------------------------


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


# --- Tables -----------------------------------------------------------------------------------------------------------


def test_cells_are_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table("title", ("name", "value"), [("[bold]class[/bold]", 3), ("[/", None)])
    out = capsys.readouterr().out
    assert "[bold]class[/bold]" in out and "[/" in out


def test_in_a_pipe_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    table("", ("path", "answer"), [("/a/very/long/path" * 20, "b" * 100), ("short", "c")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["/a/very/long/path" * 20, "b" * 100] in lines
    assert ["short", "c"] in lines


# --- Progress ---------------------------------------------------------------------------------------------------------


def test_track_yields_everything_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("reading    100%")


def test_in_a_pipe_what_is_over_at_once_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("files") as shown:
        task = shown.add_task("reading", total=4, note="[a].tflite")
        shown.advance(task)
        shown.update(task, completed=4)
    assert re.fullmatch(r"reading    100% ([\d,.]+ files/s )?in 0:00 \[a\]\.tflite\n", capsys.readouterr().out)
    with status("looking"):
        pass
    assert capsys.readouterr().out == ""


def test_in_a_pipe_what_takes_long_shows_life_though_nothing_advances(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bars, "PIPE_SECONDS", 0.01)
    with progress() as shown:
        shown.update(shown.add_task("reading", total=4), advance=1)
        reading = lines_until(2, capsys)
    assert {line for line in reading if " in " not in line} == {"reading     25%"}
    capsys.readouterr()
    with status("looking at labels"):
        looking = lines_until(2, capsys)
    assert {re.sub(r"\d+:\d\d$", "m:ss", line) for line in looking} == {"looking at labels m:ss"}
    assert re.fullmatch(r"(looking at labels .*\n)*looking at labels in \d+:\d\d\n", capsys.readouterr().out)


def lines_until(number: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is printed, once there are so many lines; or after a minute."""
    lines: list[str] = []
    for _ in range(6000):
        lines += capsys.readouterr().out.splitlines()
        if len(lines) >= number:
            break
        time.sleep(0.01)
    return lines


def test_the_time_of_a_stage_that_broke_off_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(ZeroDivisionError), progress() as shown:
        shown.advance(shown.add_task("reading", total=2))
        raise ZeroDivisionError
    assert capsys.readouterr().out == "reading     50% in 0:00\n"


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [(0, 8, "  0%"), (2, 8, " 25%"), (8, 8, "100% in 1:01:05"), (1234, None, "1,234 MB")],
)
def test_how_far_a_task_is(done: int, total: int | None, text: str) -> None:
    shown = progress("MB")
    shown.add_task("downloading", total=total)
    (task,) = shown.tasks
    task.completed, task.finished_time = done, 3665.9 if done == total else None
    assert bars.Row.of_task(task, "MB").facts == text


def test_nobody_takes_the_place_of_the_standard_streams(tmp_path: Path) -> None:
    with chatter_to(tmp_path / "log.txt"):
        streams = sys.stdout, sys.stderr
        with progress(), status("looking"):
            assert (sys.stdout, sys.stderr) == streams


ON_A_TERMINAL = """
import os, sys
from pathlib import Path
from app.console import chatter_to, console, progress, status
with chatter_to(Path(sys.argv[1])):
    with status("starting"):
        print("while it starts")
    with progress() as bars:
        task = bars.add_task("reading", total=2, note="a note")
        bars.advance(task)
        sys.stderr.write("\\rhalf a line")
        os.write(1, b"from C++")
        bars.refresh()
        console.print("for the user")
        bars.advance(task)
print("done")
"""


def test_on_a_terminal_libraries_do_not_write_over_a_bar(tmp_path: Path) -> None:
    shown = on_a_terminal(80, ON_A_TERMINAL, tmp_path / "log.txt")
    for text in ("starting", "50%", "100%", "a note", "for the user", "done"):
        assert text in shown
    for text in ("while", "half", "C++"):
        assert text not in shown
    assert "━" in shown and "\x1b[2K" in shown  # a bar that is drawn again and again
    log = (tmp_path / "log.txt").read_text()
    assert "while it starts" in log and "half a line" in log and "from C++" in log
