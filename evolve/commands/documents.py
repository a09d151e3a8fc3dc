"""Programs and scores as commands print them: text for people, and the same facts as JSON."""

from collections.abc import Sequence
from typing import Any

import click

import programs
from evolve.commands.references import NamedProgram
from evolve.scores.standing import Standing

_NO_DECAY = ("none is found", "none is found that explains what is measured")


def standing_rows(standings: Sequence[Standing], tasks: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """Return the columns and rows of a table of programs and their scores."""
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
    """Return a program and its facts as a JSON document."""
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
        **_behaviour_document(program),
    }


def _behaviour_document(program: programs.Program) -> dict[str, Any]:
    """Return what a program is made of and does; fields that end in ``_measured`` come from running it."""
    found = programs.effective(program)
    measured = found.measured
    return {
        "recognised": [
            {"name": row.name, "sentence": row.sentence, "value": row.value, "numbers": dict(row.numbers)}
            for row in programs.recognise(program)
        ],
        "nearest": [{"name": row.name, "cosine": row.cosine} for row in programs.nearest_seeds(program)],
        "effective_learning_rate": {
            "factor": found.rate_factor,
            "update_size_measured": measured.update_size,
            "power_of_lr_measured": measured.update_power,
        },
        "effective_decay": {
            "rules": [{"name": row.name, **dict(row.numbers)} for row in found.decays],
            "part_of_weights_measured": measured.shrinkage,
        },
        "latex": programs.to_latex(program),
    }


def print_program(named: NamedProgram) -> None:
    """Print a program with the kind of every value, its dead statements marked, and its facts.

    The facts are comments below it, so that what is printed can be read as a program again.
    """
    program, facts = named.program, programs.check(named.program)
    lines = [f"# {line}" for line in named.header.splitlines()]
    first, *body = str(program).splitlines()
    width = max(len(line) for line in (first, *body)) + 2
    lines.append(first)
    for line, kind, live in zip(body, facts.kinds, facts.live, strict=False):
        lines.append(f"{line:<{width}}# {kind}{'' if live else ', dead'}")
    lines.append(body[-1])
    told = [f"# {line}".rstrip() for line in (*_fact_lines(named), *_behaviour_lines(program))]
    click.echo("\n".join([*lines, "", *told]))


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
        ("does not read", ", ".join(name for name in ("w", "g") if name not in facts.inputs)),
        ("key", programs.key(program)),
        ("fingerprint", programs.fingerprint(program)),
        ("same as", ", ".join(same_key)),
        ("behaves like", f"{alike} (other key, same fingerprint)" if alike else ""),
    ]
    lines = [f"{name:<17} {text}" for name, text in rows if text]
    return [*lines, facts.unread_rate] if facts.unread_rate else lines


def _behaviour_lines(program: programs.Program) -> list[str]:
    """Return lines that describe what a program is made of and does, in sections."""
    found = programs.effective(program)
    sections = {
        "recognised": [(row.name, row.sentence) for row in programs.recognise(program)]
        or [("", "nothing with a name")],
        "nearest seed programs (mean cosine of the updates, 24 steps)": [
            (row.name, f"{row.cosine:.3f}") for row in programs.nearest_seeds(program)
        ],
        "effective learning rate": [
            ("in the program", _rate_in_program(program, found)),
            ("measured", _rate_measured(found.measured)),
        ],
        "decay": [
            *[("in the program", f"{row.name}: {row.sentence}") for row in found.decays],
            *[("in the program", _NO_DECAY[found.unexplained])] * (not found.decays),
            ("measured", _decay_measured(found.measured)),
        ],
    }
    lines = []
    for title, rows in sections.items():
        width = max(len(name) for name, _ in rows)
        lines += ["", title, *(f"  {name:<{width}}  {text}" if name else f"  {text}" for name, text in rows)]
    return lines


def _rate_in_program(program: programs.Program, found: programs.Effective) -> str:
    if "lr" not in programs.check(program).inputs:
        return "lr is not read"
    if found.rate_factor is None:
        return "lr does not multiply the update as a whole"
    return f"lr times {found.rate_factor:.6g} multiplies the update as a whole"


def _rate_measured(measured: programs.Measured) -> str:
    if measured.update_size is None:
        return "updates are not finite on noise of variance 1"
    power = f", scaling as lr^{measured.update_power:g}" if measured.update_power is not None else ""
    return f"an update is about {measured.update_size:.2g} per weight (lr 1, gradients are noise of variance 1){power}"


def _decay_measured(measured: programs.Measured) -> str:
    if measured.shrinkage is None:
        return "updates are not finite without a gradient"
    return f"a step without a gradient shrinks the weights by {measured.shrinkage:.2g} of their size (lr 1)"
