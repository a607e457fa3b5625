"""Whoever listens hears what a run does, in order, and another thread can cancel it."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import app
from app.interface.errors import Interrupted
from app.interface.events import (
    Advanced,
    Event,
    Finished,
    Said,
    SaidPath,
    SaidTable,
    Started,
    cancellable,
    listening,
    print_path,
    print_table,
    print_text,
    whole,
)
from app.interface.stages import progress, status, track
from tests.conftest import TINY


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """What happens, which the console does not show."""
    heard: list[Event] = []
    with listening(heard.append, alone=True):
        yield heard


def in_another_thread(function: Callable[[], object]) -> None:
    """Call a function in another thread, and wait until it has ended."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


# --- Events ------------------------------------------------------------------------------------------------------------------


def test_a_stage_starts_advances_and_finishes(heard: list[Event], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", 5, "reading", step=2, unit="files")) == ["a", "b", "c"]
    started, *_ = heard
    assert isinstance(started, Started)
    assert heard == [
        Started(started.stage, "reading", 5, "files", 0, "", False),
        *(Advanced(started.stage, "reading", 5, done, "") for done in (2, 4, 5)),
        Finished(started.stage, "reading", 5, 5),
    ]
    assert "".join(capsys.readouterr()) == ""


def test_a_stage_that_breaks_off_finishes_where_it_is(heard: list[Event]) -> None:
    with contextlib.suppress(ZeroDivisionError), progress("reading", 4, done=1, note="a") as stage:
        stage.update(note="b", total=8)
        raise ZeroDivisionError
    started, advanced, finished = heard
    assert isinstance(started, Started) and (started.done, started.total, started.note) == (1, 4, "a")
    assert isinstance(advanced, Advanced) and (advanced.done, advanced.total, advanced.note) == (1, 8, "b")
    assert finished == Finished(started.stage, "reading", 8, 1)


def test_what_is_said_is_plain_text(heard: list[Event]) -> None:
    print_text(f"Found it in {whole('a folder')}.")
    print_path("report", Path("run/report.html"))
    print_table("title", ("name", "value"), [("a", 1)], optional=["value"])
    said, path, table = heard
    assert isinstance(said, Said) and said.text == "Found it in a folder."
    assert path == SaidPath("report", Path("run/report.html"))
    assert table == SaidTable("title", ("name", "value"), (("a", "1"),), ("value",))


def test_a_listener_hears_its_own_thread_beside_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Event] = []
    with listening(heard.append):
        print_text("to both")
        in_another_thread(lambda: print_text("of another thread"))
    print_text("afterwards")
    assert [one.text for one in heard if isinstance(one, Said)] == ["to both"]
    assert capsys.readouterr().out == "to both\nof another thread\nafterwards\n"


def test_a_stage_tells_whoever_listened_when_it_began(heard: list[Event]) -> None:
    with progress("downloading", 2) as stage:
        in_another_thread(stage.advance)
    assert [type(one) for one in heard] == [Started, Advanced, Finished]


def test_bars_of_one_kind_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("downloading", 1, unit="MB") as first, progress("extracting", 1, unit="MB") as second:
        first.advance()
        second.advance()
        with progress("reading", 1, unit="files"):
            pass
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["reading", "0%"],
        ["downloading", "100%"],
        ["extracting", "100%"],
    ]


# --- Cancelling --------------------------------------------------------------------------------------------------------------


def test_a_stage_ends_when_another_thread_cancels_it(heard: list[Event]) -> None:
    def read() -> None:
        for number in track(range(4), 4, "reading"):
            if number == 2:
                in_another_thread(cancel.set)

    with cancellable() as cancel:
        with pytest.raises(Interrupted):
            read()
        with pytest.raises(Interrupted), status("looking"):
            pytest.fail("a stage that is cancelled does not start")
    assert [type(one) for one in heard] == [Started, Advanced, Advanced, Finished]
    with status("looking"):
        pass


def test_one_thread_s_calls_are_cancelled_and_not_another_s(heard: list[Event]) -> None:
    cancel = threading.Event()
    cancel.set()
    reached: list[str] = []
    with cancellable(cancel):
        in_another_thread(lambda: reached.extend(track("ab", 2, "reading")))
    assert reached == ["a", "b"]


# --- A run -------------------------------------------------------------------------------------------------------------------

OPTIONS = {**TINY, "formats": ("tflite_float32",), "cache_limit": 1, "fine_tune_epochs": 2}


def write_everywhere() -> None:
    """Write to the standard streams, and to the descriptor that C++ writes to."""
    print("other: stdout")
    print("other: stderr", file=sys.stderr)
    os.write(2, b"other: descriptor 2\n")


def test_a_run_is_heard_and_leaves_other_threads_alone(
    fruit: Path, tmp_path: Path, tiny_backbone: str, wide: None, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Started) and event.name == "extracting":
            in_another_thread(write_everywhere)

    with listening(listen):
        run = app.train(str(fruit), output=str(tmp_path / "run"), cache_folder=str(tmp_path / "cache"), **OPTIONS)
    printed, error = capfd.readouterr()

    stages = stages_of(heard)
    counted = [(started.name, finished.total, finished.done) for started, finished in stages if started.unit == "img"]
    splits = [row["split"] for row in csv.DictReader(run.splits.splitlines())]
    train, validation, test = map(splits.count, ("train", "validation", "test"))
    views = run.metrics["extraction"]["views"]
    assert counted == [
        ("checking", len(splits), len(splits)),
        ("extracting", views, views),
        ("fine-tune", 2 * train, 2 * train),
        ("testing", validation, validation),
        ("testing", test, test),
        *(("proving", count, count) for name, count, _ in counted if name == "proving"),
    ]
    assert counted[-1][0] == "proving"
    names = ["looking for images", "checking", "building the model", "extracting", "fitting the head", "fine-tune"]
    assert [started.name for started, _ in stages if started.name in names] == names

    said = [line for one in heard if isinstance(one, Said) for line in one.text.splitlines()]
    assert [line for line in printed.splitlines() if line in said] == said and said[-1].startswith("Finished in ")
    assert SaidPath("report", run.report) in heard and f"report    {run.report}\n" in printed
    assert any(isinstance(one, SaidTable) for one in heard)

    assert "other: stdout\n" in printed and "other: stderr\nother: descriptor 2\n" in error
    assert "other" not in run.log.read_text()
    assert "XNNPACK" in run.log.read_text()  # of the processes that verify the file


def stages_of(heard: list[Event]) -> list[tuple[Started, Finished]]:
    """The start and the end of each stage; in between it advances, and never goes back."""
    stages = []
    for started in heard:
        if isinstance(started, Started):
            first, *advanced, finished = [one for one in heard if getattr(one, "stage", None) == started.stage]
            assert first is started and isinstance(finished, Finished)
            assert all(isinstance(one, Advanced) for one in advanced)
            done = [started.done, *(one.done for one in advanced if isinstance(one, Advanced)), finished.done]
            assert done == sorted(done)
            stages.append((started, finished))
    return stages


def test_a_listener_in_the_console_s_place_leaves_it_silent(
    tiny_copy: app.Run, heard: list[Event], capfd: pytest.CaptureFixture[str]
) -> None:
    app.evaluate(str(tiny_copy.path))
    assert capfd.readouterr().out == ""
    assert any(isinstance(one, SaidTable) for one in heard)


def test_a_run_that_is_cancelled_before_it_has_begun_leaves_nothing(
    fruit: Path, tmp_path: Path, heard: list[Event]
) -> None:
    cancel = threading.Event()
    cancel.set()
    with cancellable(cancel), pytest.raises(Interrupted):
        app.train(str(fruit), output=str(tmp_path / "run"), **OPTIONS)
    assert not (tmp_path / "run").exists() and heard == []
