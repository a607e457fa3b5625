"""What a person sees in a notebook whose kernel has no widgets: the outputs of cells that a real kernel executes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
Outputs = list[nbformat.NotebookNode]

CELLS = {
    "start": """
        import logging, os, sys, threading, time, warnings
        sys.modules["ipywidgets"] = None  # not to be found
        from pathlib import Path
        from app.interface.console import redirect_output
        from app.interface.console.listener import stages
        from app.interface.events import print_table, print_text
        from app.interface.stages import progress, status, track
    """,
    "half a line": """
        with progress("reading", 1):
            sys.stderr.write("\\rpartial")
            sys.stderr.flush()
    """,
    "bar": """
        print_text("before [bold]<it>[/bold]")
        with progress("reading", 4, unit="files", note="<a & b>") as stage:
            stage.advance()
            (bar,) = stages.bars.values()
            while not bar.bars._ticker.shown:
                time.sleep(0.01)
            stage.update(done=4)
        print_text("after")
    """,
    "status": """
        with status("starting"):
            pass
    """,
    "long status": """
        from app.interface.console import bars
        bars.BRIEF_SECONDS = bars.NOTEBOOK_SECONDS = 0.01
        with status("starting"):
            time.sleep(0.1)
    """,
    "chatter": """
        logger = logging.getLogger("library")
        logger.addHandler(logging.StreamHandler(sys.stdout))
        with redirect_output(Path(LOG)):
            logger.addHandler(logging.StreamHandler(sys.stdout))  # as TensorFlow's, in a kernel
            logger.warning("Assets written")
            print("print")
            warnings.warn("warned")
            os.write(1, b"C++ to 1\\n")
            os.write(2, b"C++ to 2\\n")
            os.system("echo child")
            other = threading.Thread(target=lambda: print("another thread"))
            other.start()
            other.join()
            print_text("for the user")
            list(track(range(3), 3, "reading"))
        time.sleep(0.5)  # a thread of the kernel reads what C++ writes
    """,
    "after chatter": """
        logger.warning("after")
        os.write(2, b"C++ after\\n")
        time.sleep(0.5)  # a thread of the kernel reads what C++ writes
    """,
    "descriptors": """
        before = len(os.listdir("/dev/fd"))
        for _ in range(10):
            with redirect_output(Path(LOG)):
                list(track("abc", 3, "reading", transient=True))
        print(len(os.listdir("/dev/fd")) - before)
    """,
    "table": """
        print_table("a title", ("name", "<value>"), [("[b]<a & b>", 3)])
    """,
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log.txt"


@pytest.fixture(scope="module")
def executed(log: Path) -> dict[str, Outputs]:
    """The outputs of each cell."""
    sources = [f"LOG = {str(log)!r}", *map(dedent, CELLS.values())]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    # In a test a kernel would leave the file descriptors alone.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute(env=environment)
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells[1:], strict=True)}


def streams(outputs: Outputs, name: str = "stdout") -> str:
    return "".join(one.text for one in outputs if one.output_type == "stream" and one.name == name)


def shown(outputs: Outputs, kind: str = "text/plain") -> list[str]:
    return [one.data[kind] for one in outputs if one.output_type == "display_data"]


def test_half_a_line_during_a_bar_is_no_endless_recursion(executed: dict[str, Outputs]) -> None:
    assert streams(executed["half a line"], "stderr") == "\rpartial"
    assert shown(executed["half a line"]) == ["reading      0% in 0:00"]


def test_a_bar_is_html_that_is_changed_in_place(executed: dict[str, Outputs]) -> None:
    before, bar, after = executed["bar"]
    assert (before.text, after.text) == ("before [bold]<it>[/bold]\n", "after\n")
    text, page = bar.data["text/plain"], bar.data["text/html"]
    assert re.fullmatch(r"reading    100% [\d,.]+ files/s in 0:\d\d <a & b>", text)
    assert "reading" in page and "width:100.0%" in page and "&lt;a &amp; b&gt;" in page
    assert not re.search(r"#[0-9a-f]{3}|rgb|black|white\b(?!-)", page)  # the colours of the theme, be it light or dark


def test_a_status_leaves_nothing_unless_it_takes_long(executed: dict[str, Outputs]) -> None:
    assert executed["status"] == []
    assert shown(executed["long status"]) == ["starting   in 0:00"]


def test_what_libraries_say_goes_to_the_log(executed: dict[str, Outputs], log: Path) -> None:
    said = log.read_text()
    assert said.count("Assets written\n") == 2
    for text in ("print\n", "UserWarning: warned\n"):
        assert text in said
    # The descriptors are all threads', so what is written to them stays where it is.
    assert sorted(streams(executed["chatter"]).splitlines()) == ["C++ to 1", "another thread", "child", "for the user"]
    assert streams(executed["chatter"], "stderr") == "C++ to 2\n"
    assert [text.partition("%")[0] for text in shown(executed["chatter"])] == ["reading    100"]


def test_afterwards_everything_is_where_it_was(executed: dict[str, Outputs]) -> None:
    assert streams(executed["after chatter"]) == "after\nafter\n"
    assert streams(executed["after chatter"], "stderr") == "C++ after\n"


def test_no_file_descriptor_is_left_open(executed: dict[str, Outputs]) -> None:
    assert streams(executed["descriptors"]) == "0\n"


def test_a_table_is_html(executed: dict[str, Outputs]) -> None:
    (page,), (text,) = (shown(executed["table"], kind) for kind in ("text/html", "text/plain"))
    for part in ("<table", "a title", ">&lt;value&gt;</th>", ">[b]&lt;a &amp; b&gt;</td>", ">3</td>"):
        assert part in page
    for part in ("a title", "<value>", "[b]<a & b>", "3"):
        assert part in text


def test_nothing_asks_for_widgets(executed: dict[str, Outputs]) -> None:
    told = "".join(streams(outputs, name) for outputs in executed.values() for name in ("stdout", "stderr"))
    assert "ipywidgets" not in told and "Warning" not in told
