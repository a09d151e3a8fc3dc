"""Printing on stdout: JSON documents and tables."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH = 140  # columns if there is no terminal


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; numbers that are not finite become null, so that there are no NaN tokens."""
    click.echo(json_text(document))


def json_text(document: Any) -> str:
    """Return a JSON document as text; numbers that are not finite become null."""
    return json.dumps(_finite(document), indent=2, allow_nan=False)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; columns whose names start with ``<`` are aligned left, floats get four digits."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix("<"), justify="left" if column.startswith("<") else "right")
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH, color_system=None)
    console.print(Text(title, style="bold"))
    console.print(table)


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
