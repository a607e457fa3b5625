"""Tables."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from app.console.printing import console

_WIDEST = 1000  # columns of a table that is not printed on a terminal


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table, or show it as HTML in a notebook; cells are text as it is, without markup."""
    titles, cells = list(columns), [[str(cell) for cell in row] for row in rows]
    grid = _grid(title, titles, cells)
    if not console.in_notebook:
        console.print(grid)
        return
    with console.capture() as text:
        console.print(grid)
    console.display(_page(title, titles, cells), text.get())


def _grid(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    grid = Table(title=title or None, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE_HEAD)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    if not console.is_terminal:  # in a file or a pipe, a row is a line
        grid.width = console.measure(grid, options=console.options.update(width=_WIDEST)).maximum
    return grid


def _page(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """HTML whose colours are those of the notebook's theme."""
    caption = f'<caption style="color:inherit;text-align:left">{html.escape(title)}</caption>' if title else ""
    lines = [_line("th", columns), *(_line("td", row) for row in rows)]
    return f"<table>{caption}<thead>{lines[0]}</thead><tbody>{''.join(lines[1:])}</tbody></table>"


def _line(tag: str, cells: Iterable[str]) -> str:
    inner = "".join(f'<{tag} style="text-align:left">{html.escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inner}</tr>"
