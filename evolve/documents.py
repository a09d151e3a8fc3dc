"""What commands print: tables for people, and the same facts as JSON."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

import programs
from evolve.references import NamedProgram
from evolve.standing import Standing

_PLAIN_WIDTH = 140  # columns where there is no terminal


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; what is not finite becomes null, so that there are no NaN tokens."""
    click.echo(json.dumps(_finite(document), indent=2, allow_nan=False))


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


def standing_rows(standings: Sequence[Standing], tasks: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """Give the columns and rows of a table of programs and their scores."""
    with_search = any(standing.search_score is not None for standing in standings)
    with_fresh = any(standing.fresh_score is not None for standing in standings)
    columns = ["<program"]
    columns += ["score in search"] * with_search + ["score on fresh rng seeds"] * with_fresh
    columns += [f"{task}, nats" for task in tasks] + ["statements", "state slots"]
    rows = []
    for standing in standings:
        row: list[object] = [standing.name]
        row += [standing.search_score] * with_search + [standing.fresh_score] * with_fresh
        row += [standing.losses.get(task, standing.status) for task in tasks]
        rows.append([*row, standing.statements, standing.state_slots])
    return columns, rows


def program_document(named: NamedProgram) -> dict[str, Any]:
    """Give a program and its facts as a JSON document."""
    program, facts = named.program, programs.check(named.program)
    return {
        "name": named.name,
        "header": named.header,
        "program": str(program),
        "statements": [
            {"text": str(statement), "kind": str(kind), "live": live}
            for statement, kind, live in zip(program.statements, facts.kinds, facts.live, strict=True)
        ],
        "live_statements": facts.statements,
        "state": {name: str(kind) for name, kind in facts.state_kinds.items()},
        "live_state": list(facts.live_state),
        "state_slots": facts.state_slots,
        "cost": facts.cost,
        "inputs": sorted(facts.inputs),
        "key": programs.key(program),
        "fingerprint": programs.fingerprint(program),
    }


def print_program(named: NamedProgram) -> None:
    """Print a program with the kind of every value, what is dead, and its facts."""
    program, facts = named.program, programs.check(named.program)
    lines = [f"# {line}" for line in named.header.splitlines()]
    first, *body = str(program).splitlines()
    width = max(len(line) for line in (first, *body)) + 2
    lines.append(first)
    for line, kind, live in zip(body, facts.kinds, facts.live, strict=False):
        lines.append(f"{line:<{width}}# {kind}{'' if live else ', dead'}")
    lines.append(body[-1])
    state = ", ".join(f"{name} ({facts.state_kinds[name]})" for name in facts.live_state) or "none"
    lines += [
        "",
        f"live statements   {facts.statements} of {len(program.statements)}",
        f"state             {state}; {facts.state_slots} number(s) for each weight",
        f"cost              {facts.cost} operation(s) for each weight and step",
        f"reads             {', '.join(sorted(facts.inputs)) or 'nothing'}",
        f"key               {programs.key(program)}",
        f"fingerprint       {programs.fingerprint(program)}",
    ]
    click.echo("\n".join(lines))


def _cell(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
