"""Printing on stdout: JSON documents and tables."""

import errno
import json
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH = 140  # columns if there is no terminal; more if the numbers of a row need more
_PROSE_WIDTH = 24  # columns that prose needs at least
_GAP = 2  # columns between two cells


class _Console(Console):
    """A console that reports a broken pipe instead of ending the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; numbers that are not finite become null, so that there are no NaN tokens."""
    click.echo(json_text(document))


def json_text(document: Any) -> str:
    """Return a JSON document as text; numbers that are not finite become null."""
    return json.dumps(_finite(document), indent=2, allow_nan=False)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; on a terminal that is too narrow for it, print a block of lines per row.

    Names and numbers are never cut or broken.

    Args:
        title: Printed above.
        columns: Their names; those that start with ``<`` are aligned left, those with ``<<`` hold prose, which may
            wrap.
        rows: A cell per column; floats get four digits.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    console = _Console()
    if not console.is_terminal:
        console = _Console(width=max(_PLAIN_WIDTH, _total(_least_widths(columns, cells))), color_system=None)
    widths = _widths(columns, cells, console.width)
    console.print(Text(title, style="bold"))
    if widths is None:
        _print_records(console, columns, cells)
        return
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column.lstrip("<"), justify="left" if column.startswith("<") else "right", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _least_widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide each column must be: as its widest cell, and the longest word of its name."""
    widths = []
    for place, column in enumerate(columns):
        words = max(map(len, column.lstrip("<").split()), default=0)
        widest = max((Text(row[place]).cell_len for row in rows), default=0)
        widths.append(max(words, min(widest, _PROSE_WIDTH) if column.startswith("<<") else widest))
    return widths


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return the columns' widths in a table of at most a width; None if that is too narrow."""
    widths = _least_widths(columns, rows)
    left = width - _total(widths)
    if left < 0:
        return None
    for prose in (False, True):  # names of columns come first, then prose
        for place, column in enumerate(columns):
            if column.startswith("<<") is prose:
                wanted = max(len(column.lstrip("<")), *(Text(row[place]).cell_len for row in rows), 0)
                more = min(left, wanted - widths[place])
                widths[place] += more
                left -= more
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _print_records(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a block of lines per row: the column's name, and the cell."""
    names = [column.lstrip("<") for column in columns]
    for number, row in enumerate(rows):
        if number:
            console.print()
        block = Table.grid(padding=(0, 2))
        block.add_column(style="bold", no_wrap=True)
        block.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            if cell:
                block.add_row(Text(name), Text(cell))
        console.print(block)


def printable(text: str) -> str:
    """Return a text with replacement marks instead of characters that could control a terminal, such as escapes."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def _cell(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.4f}" if isinstance(cell, float) else printable(str(cell))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
