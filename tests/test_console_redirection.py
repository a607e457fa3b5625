"""What libraries have to say: it goes to the log, and afterwards to where it would have gone."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.exporting.process import ModelProcess
from app.interface.console import redirect_output
from app.interface.errors import UsageError
from app.interface.events import listening, print_text
from app.interface.program import owning_process
from app.interface.stages import status

ROOT = Path(__file__).parents[1]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """One that nobody else listens to."""
    logger = logging.getLogger("tests.console")
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def test_what_libraries_write_goes_to_the_log_whoever_writes_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    log.write_text("from before\n")
    with owning_process(), redirect_output(log):
        print("from Python", file=sys.stderr, flush=True)
        os.write(2, b"from C++\n")
        subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('from a child\\n')"], check=True)
        print("from a library")
        print_text("for the user")
    print("after", file=sys.stderr)
    out, err = capfd.readouterr()
    assert (out, err) == ("for the user\n", "after\n")
    assert log.read_text().splitlines() == ["from before", "from Python", "from C++", "from a child", "from a library"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_logging_goes_to_the_log_and_comes_back(
    stream: str, logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.addHandler(logging.StreamHandler(getattr(sys, stream)))
    with redirect_output(tmp_path / "log.txt"):
        logger.addHandler(logging.StreamHandler(getattr(sys, stream)))  # as TensorFlow's, when it is imported
        logger.warning("meanwhile")
    logger.warning("afterwards")
    assert (tmp_path / "log.txt").read_text() == 2 * "meanwhile\n"
    assert getattr(capsys.readouterr(), {"stdout": "out", "stderr": "err"}[stream]) == 2 * "afterwards\n"
    with redirect_output(tmp_path / "second.txt"):
        logger.warning("again")
    assert (tmp_path / "second.txt").read_text() == 2 * "again\n"
    assert "".join(capsys.readouterr()) == ""


def test_a_handler_that_closes_its_stream_does_not_close_standard_error(tmp_path: Path) -> None:
    with redirect_output(tmp_path / "log.txt"):
        kept = sys.stderr
    kept.close()
    assert not sys.stderr.closed


def test_one_log_within_another(tmp_path: Path) -> None:
    with redirect_output(tmp_path / "outer.txt"):
        with redirect_output(tmp_path / "inner.txt"):
            print("inner")
        print("outer")
    assert [(tmp_path / f"{name}.txt").read_text() for name in ("outer", "inner")] == ["outer\n", "inner\n"]


def test_an_error_gets_out_and_standard_error_comes_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        print("chatter", file=sys.stderr)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), owning_process(), redirect_output(tmp_path / "log.txt"):
        fail()
    os.write(2, b"again\n")
    assert capfd.readouterr().err == "again\n"
    assert (tmp_path / "log.txt").read_text() == "chatter\n"


@pytest.mark.parametrize("owning", [owning_process, contextlib.nullcontext])
def test_redirection_does_not_leak_file_descriptors(owning: Any, tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        with owning(), redirect_output(tmp_path / "log.txt"):
            pass
    assert len(os.listdir("/dev/fd")) == before


# --- In somebody else's process -----------------------------------------------------------------------------------------------


def in_another_thread(function: Callable[[], object]) -> None:
    """Call a function in another thread, and wait until it has ended."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def write_everywhere(who: str) -> None:
    """Write to the standard streams and to their descriptors."""
    print(f"{who}: stdout")
    print(f"{who}: stderr", file=sys.stderr)
    os.write(1, f"{who}: 1\n".encode())
    os.write(2, f"{who}: 2\n".encode())


def test_what_another_thread_writes_stays_where_it_is(
    tmp_path: Path, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    logger.addHandler(logging.StreamHandler())
    with redirect_output(tmp_path / "log.txt"):
        print("library")
        logger.warning("library logs")
        in_another_thread(lambda: write_everywhere("other"))
        in_another_thread(lambda: logger.warning("other logs"))
        subprocess.run([sys.executable, "-c", "print('child')"], check=True)
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == ["child", "other: 1", "other: stdout"]
    assert sorted(err.splitlines()) == ["other logs", "other: 2", "other: stderr"]
    assert (tmp_path / "log.txt").read_text() == "library\nlibrary logs\n"


def test_each_of_several_threads_has_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    streams = sys.stdout, sys.stderr
    both = threading.Barrier(2, timeout=60)

    def run(name: str) -> None:
        with redirect_output(tmp_path / name):
            both.wait()
            print(f"library of {name}")
            print_text(f"for the user of {name}")
            both.wait()
        print(f"after {name}")

    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["library of a\n", "library of b\n"]
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines == ["after a", "after b", "for the user of a", "for the user of b"]
    assert (sys.stdout, sys.stderr) == streams


def test_what_a_listener_prints_is_not_a_library_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def show(event: object) -> None:
        print(type(event).__name__)

    with listening(show, alone=True), redirect_output(tmp_path / "log.txt"), status("looking"):
        print("library")
    assert capsys.readouterr().out == "Started\nFinished\n"
    assert (tmp_path / "log.txt").read_text() == "library\n"


def test_a_model_s_process_writes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(bytes(100))
    with redirect_output(tmp_path / "log.txt"), pytest.raises(UsageError):
        ModelProcess(broken, "tensorflow")  # whose import is never silent
    assert "I0000" in (tmp_path / "log.txt").read_text()
    assert "".join(capfd.readouterr()) == ""


def test_a_stream_that_was_put_in_place_meanwhile_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As by another thread's `contextlib.redirect_stdout`, which takes it away later than this ends."""
    before, other = sys.stdout, io.StringIO()
    with redirect_output(tmp_path / "log.txt"):
        placed, sys.stdout = sys.stdout, other
    assert sys.stdout is other
    sys.stdout = placed
    print("late")
    with redirect_output(tmp_path / "log.txt"):
        print("library")
        in_another_thread(lambda: print("other"))
    assert sys.stdout is before
    assert capsys.readouterr().out == "late\nother\n"
    assert (tmp_path / "log.txt").read_text() == "library\n"


# --- Descriptors in a process that other code may use -------------------------------------------------------------------------

FROM_C = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from app.interface.console import quiet_descriptors, redirect_output

{before}
with redirect_output(Path(sys.argv[1])), quiet_descriptors():
    os.write(2, b"from C")
{after}
"""
OTHER_THREAD = "end = threading.Event()\nthreading.Thread(target=end.wait).start()", "end.set()"
OWN_POOL = "pool = ThreadPoolExecutor(1, 'graft')\npool.submit(int).result()", "pool.shutdown()"


@pytest.mark.parametrize(
    ("around", "is_redirected"),
    [(("", ""), True), (OWN_POOL, True), (OTHER_THREAD, False)],
    ids=["alone", "beside Graft's own threads", "beside another thread"],
)
def test_descriptors_are_redirected_only_while_no_other_thread_may_print(
    around: tuple[str, str], is_redirected: bool, tmp_path: Path
) -> None:
    program = FROM_C.format(before=around[0], after=around[1])
    log = tmp_path / "log.txt"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(log)], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert (log.read_text(encoding="utf-8"), ended.stderr) == (("from C", "") if is_redirected else ("", "from C"))
