"""The commands about programs, tasks and the language: show, evaluate, export, tasks and functions."""

from dataclasses import asdict

import click

import programs
from evolve.commands import documents
from evolve.commands.export_targets import TARGETS
from evolve.commands.options import force_option, json_option, output_option
from evolve.commands.outputs import check_module, check_output, how_to_import, write
from evolve.commands.printing import print_json, print_table
from evolve.commands.references import read_program
from evolve.commands.streams import note

_MOST_RNG_SEEDS = 1_000  # from 1,000 to 1,999; from 2,000 on are those of simplify, from 4,000 on of searches' finals
_RNG_SEEDS = 5  # trainings per task, by default
_RESULTS = {
    programs.Kind.TENSOR: "as its arguments",
    programs.Kind.PER_ARRAY: "per-array at most",
    programs.Kind.SCALAR: "scalar",
}


def _transformations() -> str:
    """Return the transformations for a command's help: how each is written with its defaults, and what it does."""
    rows = programs.TRANSFORMATIONS.values()
    written = [",".join([row.name, *(f"{given.name}={given.default}" for given in row.parameters)]) for row in rows]
    width = max(map(len, written))
    lines = [f"  {text:<{width}}  {row.summary}" for text, row in zip(written, rows, strict=True)]
    return "\n".join(["\b", "Transformations, with their defaults:", *lines])


def _targets() -> str:
    """Return the export targets for a command's help."""
    width = max(map(len, TARGETS))
    return "\n".join(["\b", "Targets:", *(f"  {row.name:<{width}}  {row.summary}" for row in TARGETS.values())])


_SEED_PROGRAMS = f"Seed programs: {', '.join(programs.seed_programs())}."


@click.command("show", epilog=f"{_SEED_PROGRAMS}\n\n{_transformations()}")
@click.argument("program")
@json_option
def show_command(program: str, as_json: bool) -> None:
    """Show a program, what it is made of and what it does.

    What is printed is a program again, with its kinds, dead statements and facts in comments.

    Any PROGRAM may also be transformed: lookahead:adamw. Transformations may be given settings and be chained, the
    outermost first: lookahead,k=10,alpha=0.8:clip_by_global_norm:RUN:best.
    """
    named = read_program(program)
    if as_json:
        print_json(documents.program_document(named))
    else:
        documents.print_program(named)


@click.command("evaluate")
@click.argument("program", nargs=-1, required=True)
@click.option("--tasks", "suite", required=True, help="A suite's name, a task's name, or a YAML file.")
@click.option(
    "--rng-seeds",
    type=click.IntRange(1, _MOST_RNG_SEEDS),
    default=_RNG_SEEDS,
    show_default=True,
    help="Trainings per task; the rng seeds after these are those of simplify and of searches.",
)
@json_option
def evaluate_command(program: tuple[str, ...], suite: str, rng_seeds: int, as_json: bool) -> None:
    """Train tasks with programs and print their scores.

    Losses are those on held-out data.
    """
    from evolve.commands.scoring import score_named

    named = [read_program(reference) for reference in program]
    tasks, standings = score_named(named, suite, rng_seeds)
    if as_json:
        print_json([asdict(entry) for entry in standings])
        return
    columns, rows = documents.standing_rows(standings, tasks)
    print_table(f"{rng_seeds} rng seed(s) per task (score 1 = AdamW as given, higher is better)", columns, rows)


@click.command("export", epilog=_targets())
@click.argument("program")
@click.option("--to", "target", type=click.Choice(list(TARGETS)), required=True, help="What to export it as.")
@click.option("--name", default="optimizer", show_default=True, help="The name of a module's factory or class.")
@output_option
@force_option
def export_command(program: str, target: str, name: str, output: str | None, force: bool) -> None:
    """Write a program as a module, as equations or as text."""
    row = TARGETS[target]
    if output:
        check_output(output, force)
        if row.module:
            check_module(output)
    named = read_program(program)
    write(row.write(named, name), output)
    if output:
        note(f"wrote {output}" + (f": {how_to_import(output, name)}" if row.module else ""))
    if unread := programs.check(named.program).unread_rate:
        note(f"{named.name} {unread}")


@click.command("tasks")
@json_option
def tasks_command(as_json: bool) -> None:
    """List the tasks and the suites."""
    import tasks

    rows = [tasks.get(name) for name in tasks.TASKS]
    suites = {name: list(members) for name, members in tasks.SUITES.items()}
    if as_json:
        fields = ("name", "description", "steps", "batch_size", "worst", "reference")
        print_json({"tasks": [{field: getattr(row, field) for field in fields} for row in rows], "suites": suites})
        return
    columns = ["<task", "steps", "batch", "worst, nats", "AdamW, nats", "<<what it is"]
    cells = [
        (
            r.name,
            r.steps,
            r.batch_size,
            r.worst,
            r.reference,
            r.description,
        )
        for r in rows
    ]
    print_table("Tasks", columns, cells)
    click.echo()
    print_table("Suites", ["<suite", "<<tasks"], [(name, ", ".join(suites[name])) for name in suites])


@click.command("functions")
@json_option
def functions_command(as_json: bool) -> None:
    """List the functions of the language."""
    rows = programs.FUNCTIONS.values()
    if as_json:
        fields = ("name", "form", "commutative", "multiply_adds", "transcendentals", "paper", "summary", "source")
        print_json(
            [
                {field: getattr(row, field) for field in fields}
                | {"result": _RESULTS[row.largest], "scalars": sorted(row.scalars)}
                for row in rows
            ]
        )
        return
    columns = ["<function", "<form", "<kind of the result", "multiply-adds", "transcendentals", "<<what it gives"]
    cells = [
        (
            row.name if row.paper else f"{row.name} *",
            row.form,
            _RESULTS[row.largest],
            row.multiply_adds,
            row.transcendentals,
            row.summary,
        )
        for row in rows
    ]
    print_table(f"{len(rows)} functions (* beyond the paper's language)", columns, cells)
