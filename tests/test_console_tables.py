"""Tables fit where they are printed, and no word is cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len

from app.interface.events import print_table


@pytest.fixture(autouse=True)
def no_width_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


def printed(
    capsys: pytest.CaptureFixture[str],
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    **options: Any,
) -> list[str]:
    """The lines of a table without what stands at their ends."""
    capsys.readouterr()
    print_table(title, columns, rows, **options)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


METRICS = (
    (
        "split",
        "images",
        "accuracy",
        "95 % interval",
        "balanced accuracy",
        "macro F1",
        "log loss",
        "calibration error",
    ),
    [
        ("validation", 269, "0.989", "0.968 – 0.996", "0.989", "0.989", "0.187", "0.131"),
        ("test", 269, "0.985", "0.962 – 0.994", "0.985", "0.985", "0.171", "0.118"),
    ],
)
FINDINGS = (
    ("found", "", "count", "the first", "what to do"),
    [
        (
            "different files that show the same",
            "warning",
            9,
            "laptop_computer/frame_0006.jpg, laptop_computer/frame_0041.jpg, …: show the same",
            "Look at them and keep one of each, as --fix does; train keeps them in one split.",
        ),
        ("empty files", "error", 1, "mug/frame_0001.jpg: the file is empty", "Remove them."),
    ],
)
NARROW = (("name", "日本語 title"), [("写真" * 9, "a text of some words " * 5), ("b", "")])


def test_cells_are_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("title", ("name", "value"), [("[bold]class[/bold]", 3), ("[/", None)])
    out = capsys.readouterr().out
    assert "[bold]class[/bold]" in out and "[/" in out


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("shown", [METRICS, FINDINGS, NARROW], ids=["metrics", "findings", "narrow"])
def test_a_table_fits_and_no_word_is_cut(
    shown: tuple[Any, Any], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, "", *shown)
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).replace(": ", " ").split()
    for row in shown[1]:
        for word in " ".join(map(str, row)).replace(": ", " ").split():
            assert word in words


def test_a_row_that_fits_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "a title", ("split", "images"), [("train", 18), ("test", 3)])
    assert [line.split() for line in lines if line and "─" not in line] == [
        ["a", "title"],
        ["split", "images"],
        ["train", "18"],
        ["test", "3"],
    ]


@pytest.mark.parametrize(("width", "is_grid"), [(60, False), (80, True), (100, True)])
def test_figures_stand_below_each_other_if_there_is_room(
    width: int, is_grid: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, "", *METRICS)
    assert (
        any(
            line.split() == ["test", "269", "0.985", "0.962", "–", "0.994", "0.985", "0.985", "0.171", "0.118"]
            for line in lines
        )
        == is_grid
    )
    assert ("  images: 269   accuracy: 0.985" in lines) != is_grid


def test_long_texts_make_a_block_of_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "faults", *FINDINGS) == [
        "faults",
        "",
        "different files that show the same",
        "  warning   count: 9",
        "  the first: laptop_computer/frame_0006.jpg, laptop_computer/frame_0041.jpg, …: show the same",
        "  what to do: Look at them and keep one of each, as --fix does; train keeps them in one split.",
        "empty files",
        "  error   count: 1   the first: mug/frame_0001.jpg: the file is empty   what to do: Remove them.",
        "",
    ]


def test_a_path_that_is_longer_than_a_line_is_broken_after_a_slash(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/home/somebody/images/" * 6 + "x.jpg"
    lines = printed(capsys, "", ("image", "answer"), [(path, "apple 90.1%")])
    _, first, second, answer, _ = lines
    assert first + second == path and first.endswith("/") and len(first) > 76
    assert answer == "  answer: apple 90.1%"


def test_optional_columns_are_left_out_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns, rows = (
        ("name", "size", "licence", "paper"),
        [("vgg16", "14.7 M", "CC-BY-4.0", "https://arxiv.org/" + 60 * "9")],
    )
    monkeypatch.setenv("COLUMNS", "60")
    lines = printed(capsys, "", columns, rows, optional=("licence", "paper", "another"))
    assert ["vgg16", "14.7", "M", "CC-BY-4.0"] in [line.split() for line in lines]
    needed = re.fullmatch(r"Not shown: paper\. Set COLUMNS=(\d+) to see all columns\.", lines[-1])
    assert needed is not None
    monkeypatch.setenv("COLUMNS", needed[1])
    assert " ".join(rows[0]).split() in [
        line.split() for line in printed(capsys, "", columns, rows, optional=("licence", "paper"))
    ]
