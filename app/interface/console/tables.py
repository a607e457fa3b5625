"""Tables that fit the width: a grid, or a block of lines for each row; in a notebook, HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from app.interface.console.printing import Output
from app.interface.console.wrapping import wrap
from app.interface.events import SaidTable

_HEAD = 3  # lines of a grid's titles, which are ignored when lines are compared
# Spaces between the columns of a grid, and the corresponding padding.
_GAPS: dict[int, tuple[int, int] | tuple[int, int, int, int]] = {3: (0, 1), 2: (0, 1, 0, 0), 1: (0, 0)}
_NARROW = 24  # columns; texts are not wrapped to less


def draw_table(said: SaidTable, output: Output) -> None:
    """Print a table without breaking words.

    If there is no room for all columns, optional columns are left out, and a line says so. Then titles and long texts wrap
    between words; or, if that takes fewer lines or nothing else fits, each row becomes a block.

    Examples:
        >>> from app.interface.console.printing import console
        >>> draw_table(SaidTable("", ("class", "images"), (("apple", "8"), ("pear", "3")), ()), console)
        <BLANKLINE>
          class   images
         ────────────────
          apple   8
          pear    3
        >>> draw_table(SaidTable("fruit", ("class", "images"), (("apple", "8"),), ()), console)
        fruit
        <BLANKLINE>
          class   images
         ────────────────
          apple   8
    """
    asked = _Table(said.title, said.columns, said.rows, output)
    if output.in_notebook:
        with output.capture() as text:
            output.print(asked.grid(asked.natural, 3))
        output.display(asked.page(), text.get())
        return
    shown, leaving = asked, list(said.optional)
    while leaving and not shown.fits(shown.unbroken, 1):
        shown = shown.without(leaving.pop())
    output.print(shown.fitted())
    if shown.columns != asked.columns:
        names = ", ".join(name for name in asked.columns if name not in shown.columns)
        output.print(f"Not shown: {names}. Set COLUMNS={asked.width(asked.natural, 3)} to see all columns.")


@dataclass(frozen=True)
class _Table:
    """Content of a table, and its layout for an output."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    output: Output

    def without(self, column: str) -> _Table:
        """Return the table without a column."""
        kept = [index for index, name in enumerate(self.columns) if name != column]
        columns, *rows = (tuple(line[index] for index in kept) for line in (self.columns, *self.rows))
        return _Table(self.title, columns, tuple(rows), self.output)

    @cached_property
    def natural(self) -> list[int]:
        """Widths of the columns if nothing wraps."""
        return [max(map(cell_len, column)) for column in zip(self.columns, *self.rows, strict=True)]

    @cached_property
    def unbroken(self) -> list[int]:
        """Widths of the columns if titles wrap between words."""
        return [
            max(_longest_word(title), *map(cell_len, cells), 0)
            for title, *cells in zip(self.columns, *self.rows, strict=True)
        ]

    @cached_property
    def broken(self) -> list[int]:
        """Widths of the columns if long texts wrap too."""
        return [
            max(_longest_word(title), *(min(cell_len(cell), max(_NARROW, _longest_word(cell))) for cell in cells), 0)
            for title, *cells in zip(self.columns, *self.rows, strict=True)
        ]

    @staticmethod
    def width(widths: Sequence[int], gap: int) -> int:
        """Return the width of a grid."""
        return sum(widths) + gap * len(widths) + 1

    def fits(self, widths: Sequence[int], gap: int) -> bool:
        """Return whether columns of these widths fit."""
        return self.width(widths, gap) <= self.output.width

    def fitted(self) -> Table | Group:
        """Return the best layout that fits: texts wrap only if that takes no more lines than blocks, and leaves a gap."""
        for gap in (3, 2):
            if self.fits(self.unbroken, gap):
                return self.grid(self.unbroken, gap)
        blocks = self.blocks()
        if self.fits(self.broken, 2):
            grid = self.grid(self.broken, 2)
            if len(self.output.render_lines(grid)) <= len(blocks.renderables) + _HEAD:
                return grid
        return self.grid(self.unbroken, 1) if self.fits(self.unbroken, 1) else blocks

    def grid(self, least: Sequence[int], gap: int) -> Table:
        """Lay out columns side by side, no narrower than `least`, as wide as the output allows."""
        widths = list(self.natural)
        while not self.fits(widths, gap) and (wide := [i for i, one in enumerate(widths) if one > least[i]]):
            widths[max(wide, key=widths.__getitem__)] -= 1
        grid = Table(title=self.title or None, header_style="dim", box=SIMPLE_HEAD, padding=_GAPS[gap])
        grid.title_justify, grid.title_style = "left", "bold"
        for column, width in zip(self.columns, widths, strict=True):
            grid.add_column(Text(column), width=width, overflow="fold")
        for row in self.rows:
            grid.add_row(*map(Text, row))
        return grid

    def blocks(self) -> Group:
        """Lay out a line for the first cell of each row, and below it the other cells with their titles."""
        lines = [Text(self.title, style="bold")] if self.title else []
        lines.append(Text())
        for first, *others in self.rows:
            lines += [Text(line, style="bold") for line in wrap(first, self.output.width, break_words=True)]
            cells = zip(self.columns[1:], others, strict=True)
            named = [f"{title}: {cell}" if title else cell for title, cell in cells if cell]
            lines += [Text(f"  {line}") for line in _packed(named, self.output.width - 2)]
        return Group(*lines, Text())

    def page(self) -> str:
        """Return HTML in the colours of the notebook's theme."""
        title = f'<caption style="color:inherit;text-align:left">{html.escape(self.title)}</caption>'
        head, body = _line("th", self.columns), "".join(_line("td", row) for row in self.rows)
        table = f"{title if self.title else ''}<thead>{head}</thead><tbody>{body}</tbody>"
        return f'<table style="color:inherit">{table}</table>'


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _packed(texts: Iterable[str], width: int) -> list[str]:
    """Fill lines with as many texts as fit; a text longer than a line gets its own line."""
    lines = [""]
    for text in texts:
        joined = f"{lines[-1]}   {text}"
        if lines[-1] and cell_len(joined) <= width:
            lines[-1] = joined
        else:
            first, *others = wrap(text, width - 2, break_words=True)
            lines += [first, *(f"  {other}" for other in others), *([""] if others else [])]
    return list(filter(None, lines))


def _line(tag: str, cells: Iterable[str]) -> str:
    inner = "".join(f'<{tag} style="text-align:left;padding:0.2em 0.8em">{html.escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inner}</tr>"
