"""What commands print of programs and scores: text for people, and the same facts as JSON."""

from collections.abc import Sequence
from typing import Any

import click

import programs
from evolve.references import NamedProgram
from evolve.standing import Standing


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
    relatives = programs.seed_relatives(program)
    return {
        "name": named.name,
        "header": named.header,
        "program": str(program),
        "statements": [
            {"text": str(statement), "kind": str(kind), "live": live}
            for statement, kind, live in zip(program.statements, facts.kinds, facts.live, strict=True)
        ],
        "live_statements": facts.statements,
        "live_within_step": sum(programs.live_within_step(program)),
        "state": {name: str(kind) for name, kind in facts.state_kinds.items()},
        "live_state": list(facts.live_state),
        "state_slots": facts.state_slots,
        "cost": facts.cost,
        "multiply_adds": facts.multiply_adds,
        "transcendentals": facts.transcendentals,
        "inputs": sorted(facts.inputs),
        "key": programs.key(program),
        "fingerprint": programs.fingerprint(program),
        "seeds_with_the_same_key": list(relatives.same_key),
        "seeds_with_the_same_fingerprint": list(relatives.same_behaviour),
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
    click.echo("\n".join([*lines, "", *_fact_lines(named)]))


def _fact_lines(named: NamedProgram) -> list[str]:
    program, facts = named.program, programs.check(named.program)
    total, within_step = len(program.statements), sum(programs.live_within_step(program))
    apart = "" if within_step == facts.statements else f" ({within_step} within one step)"
    state = [f"{name} ({kind})" for name, kind in facts.state_kinds.items() if name in facts.live_state]
    dead = [name for name in program.state if name not in facts.live_state]
    relatives = programs.seed_relatives(program)
    same_key = [name for name in relatives.same_key if name != named.name]
    alike = ", ".join(relatives.same_behaviour)
    rows = [
        ("live statements", f"{facts.statements} of {total}{apart}"),
        ("state", f"{', '.join(state) or 'none'}; {facts.state_slots} number(s) for each weight"),
        ("dead state", ", ".join(dead)),
        (
            "cost",
            f"{facts.multiply_adds} multiply-add(s) and {facts.transcendentals} transcendental(s) "
            "for each weight and step",
        ),
        ("reads", ", ".join(sorted(facts.inputs)) or "nothing"),
        ("does not read", ", ".join(name for name in ("w", "lr") if name not in facts.inputs)),
        ("key", programs.key(program)),
        ("fingerprint", programs.fingerprint(program)),
        ("same as", ", ".join(same_key)),
        ("behaves like", f"{alike} (other key, same fingerprint)" if alike else ""),
    ]
    return [f"{name:<17} {text}" for name, text in rows if text]
