"""What a person sees: lines and progress, in a pipe and on a terminal."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from pathlib import Path

import pytest

from app.interface.console import aside, bars, redirect_output
from app.interface.console.printing import console
from app.interface.events import print_path, print_text, whole
from app.interface.stages import progress, status, track
from tests.terminal import on_a_terminal


@pytest.fixture(autouse=True)
def no_width_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


def test_sentences_are_broken_between_words_and_paths_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a/folder with spaces/" * 5
    print_text(f"Found 24 images of 3 classes in {whole(path)}, and [b]many[/b] others that were {'x ' * 40}so on.")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Found 24 images of 3 classes in"
    assert lines[1] == f"{path},"
    assert lines[2].startswith("and [b]many[/b] others") and max(map(len, lines[2:])) <= 100
    print_path("report", path)
    assert capsys.readouterr().out == f"report    {path}\n"
    print_text(f"  command {path}", wraps=False)
    assert capsys.readouterr().out == f"  command {path}\n"


def test_standard_output_can_be_kept_for_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with aside():
        print_text("reading")
        list(track("abc", 3, "checking"))
    with aside(False):
        print_text("read")
    out, err = capsys.readouterr()
    assert out == "read\n" and err.startswith("reading\nchecking   100%")


def test_track_yields_everything_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("reading    100%")


def test_in_a_pipe_what_is_over_at_once_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", 4, unit="files", note="[a].tflite") as stage:
        stage.advance()
        stage.update(done=4)
    assert re.fullmatch(r"reading    100% ([\d,.]+ files/s )?in 0:00 \[a\]\.tflite\n", capsys.readouterr().out)
    with status("looking"):
        pass
    assert capsys.readouterr().out == ""


def test_in_a_pipe_what_takes_long_shows_life_though_nothing_advances(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bars, "PIPE_SECONDS", 0.01)
    with progress("reading", 4) as stage:
        stage.advance()
        reading = lines_until(2, capsys)
    assert all(re.fullmatch(r"reading     25%( \d+:\d\d)?", line) for line in reading)
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


def test_nothing_is_left_of_a_transient_bar_that_is_over_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", 3, "asking", transient=True)) == ["a", "b", "c"]
    assert "".join(capsys.readouterr()) == ""


def test_a_line_of_progress_fits(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("timing", 0, note="a_file_of_a_very_long_name" * 5):
        pass
    (line,) = capsys.readouterr().out.splitlines()
    assert len(line) == 100 and line.endswith("…")


def test_the_time_of_a_stage_that_broke_off_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(ZeroDivisionError), progress("reading", 2) as stage:
        stage.advance()
        raise ZeroDivisionError
    assert capsys.readouterr().out == "reading     50% in 0:00\n"


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [(0, 8, "  0%"), (2, 8, " 25%"), (8, 8, "100% in 1:01:05"), (1234, None, "1,234 MB")],
)
def test_how_far_a_task_is(done: int, total: int | None, text: str) -> None:
    shown = bars.Bars("MB", False, console)
    shown.add_task("downloading", total=total)
    (task,) = shown.tasks
    task.completed, task.finished_time = done, 3665.9 if done == total else None
    assert bars.Row.of_task(task, "MB").facts == text


def test_nobody_takes_the_place_of_the_standard_streams(tmp_path: Path) -> None:
    with redirect_output(tmp_path / "log.txt"):
        streams = sys.stdout, sys.stderr
        with progress("reading"), status("looking"):
            assert (sys.stdout, sys.stderr) == streams


ON_A_TERMINAL = """
import os, sys
from pathlib import Path
from app.interface.console import redirect_output
from app.interface.console.listener import stages
from app.interface.events import print_text
from app.interface.stages import progress, status
from app.interface.program import owning_process
with owning_process(), redirect_output(Path(sys.argv[1])):
    with status("starting"):
        print("while it starts")
    with progress("reading", 2, note="a note") as stage:
        stage.advance()
        sys.stderr.write("\\rhalf a line")
        os.write(1, b"from C++")
        (bar,) = stages.bars.values()
        bar.bars.refresh()
        print_text("for the user")
        stage.advance()
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
