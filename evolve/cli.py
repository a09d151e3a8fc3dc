"""The command ``pride``: arguments in, documents out, exit codes of the contract."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

import programs
from evolve import documents
from evolve.errors import BadProgramOrData, UsageError, UserError
from evolve.records import dump_lines
from evolve.references import read_program, run_config, runs_folder
from evolve.running import Ended, Placement, resume, start
from evolve.runs import list_runs, open_to_read
from evolve.search import find_champion
from evolve.standing import candidate, comparison, finalists, pareto_front
from evolve.store import RunStore


class _Group(click.Group):
    """A group that knows what a mistyped command may have meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = programs.did_you_mean(args[0], self.commands)
            raise click.UsageError(f"no command is called '{args[0]}'{hint}; `pride --help` lists them", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="pride")
def cli() -> None:
    """Discover optimizers: search, look into what was found, simplify it, export it to Optax.

    PROGRAM is a seed program's name (adamw, lion, ...), a path to an .opt file, RUN:ID, RUN:best, or - for stdin.
    """


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
_output = click.option("-o", "output", type=click.Path(dir_okay=False), help="Write to this file.")
_set = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the config.")


def _placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where a search runs."""
    for option in (
        click.option("--address", help="A running Ray cluster to join."),
        click.option("--workers", type=click.IntRange(1, 10_000), help="How many workers; default: one a core."),
        click.option("--pool", type=click.Choice(["ray", "serial"]), default="ray", show_default=True),
    ):
        command = option(command)
    return command


@cli.command("search")
@click.argument("config")
@click.option("--name", help="The run's name; default: the config's name and the time.")
@_set
@_placed
@_json
def search_command(
    config: str,
    name: str | None,
    overrides: tuple[str, ...],
    pool: str,
    workers: int | None,
    address: str | None,
    as_json: bool,
) -> int:
    """Search for an optimizer, by a YAML file or a preset (`first`, `smoke`)."""
    return _report_search(start(config, name, overrides, Placement(pool, workers, address)), as_json)


@cli.command("resume")
@click.argument("run")
@_set
@_placed
@_json
def resume_command(
    run: str, overrides: tuple[str, ...], pool: str, workers: int | None, address: str | None, as_json: bool
) -> int:
    """Go on with a run that was interrupted, or that got a larger budget by --set."""
    return _report_search(resume(run, overrides, Placement(pool, workers, address)), as_json)


def _report_search(ended: Ended, as_json: bool) -> int:
    with open_to_read(runs_folder(), ended.name) as store:
        if as_json:
            documents.print_json(_status_document(store) | {"reason": ended.reason})
        elif ended.signal is None:
            _print_comparison(store)
    if ended.signal is None:
        return 0
    click.echo(f"interrupted; go on with: pride resume {ended.name}", err=True)
    return 128 + ended.signal


def _print_comparison(store: RunStore) -> None:
    config = run_config(store)
    columns, rows = documents.standing_rows(finalists(store, config, config.tasks), config.tasks)
    documents.print_table("The best of the search, scored again on fresh rng seeds", columns, rows)
    click.echo()
    columns, rows = documents.standing_rows(comparison(store, config, config.tasks), config.tasks)
    title = "The first of them beside known optimizers, on yet other rng seeds (1 = AdamW as given, more is better)"
    documents.print_table(title, columns, rows)
    champion = find_champion(store, config)
    if champion is not None:
        found = programs.simplify(programs.parse(champion.program)).program
        click.echo(f"\n{store.name}:{champion.index}, simplified by rules that need no training:\n\n{found}")
        click.echo(f"next: pride show {store.name}:best | pride export {store.name}:best --to optax -o found.py")


def _status_document(store: RunStore) -> dict[str, Any]:
    config, counts, champion = run_config(store), store.counts(), find_champion(store, run_config(store))
    best = None
    if champion is not None:
        best = {"id": champion.index, "program": champion.program, "score": champion.score}
    return {
        "run": store.name,
        "best": best,
        "counts": {name: getattr(counts, name) for name in ("generated", "trained", "known", "diverged", "failed")},
        "reason": store.stop_reason,
        "finalists": [documents.standing_document(entry) for entry in finalists(store, config, config.tasks)],
        "comparison": [documents.standing_document(entry) for entry in comparison(store, config, config.tasks)],
    }


@cli.command("list")
@_json
def list_command(as_json: bool) -> None:
    """List the runs."""
    summaries = list_runs(runs_folder())
    if as_json:
        documents.print_json([vars(summary) for summary in summaries])
        return
    columns = ["<run", "<state", "candidates", "trained", "best", "<created (UTC)", "<why it ended"]
    rows = [(s.name, s.state, s.candidates, s.trained, _four(s.best), s.created, s.reason) for s in summaries]
    documents.print_table(f"Runs in {runs_folder()}", columns, rows)


@cli.command("status")
@click.argument("run")
@_json
def status_command(run: str, as_json: bool) -> None:
    """Show how a run stands: counts, best, the comparison with known optimizers."""
    summary = next((entry for entry in list_runs(runs_folder()) if entry.name == run), None)
    with open_to_read(runs_folder(), run) as store:
        document = _status_document(store)
        state = summary.state if summary else "interrupted"
        if as_json:
            documents.print_json(document | {"state": state})
            return
        counts = ", ".join(f"{count} {name}" for name, count in document["counts"].items())
        click.echo(f"run     {run}\nstate   {state}{f' ({store.stop_reason})' if store.stop_reason else ''}")
        click.echo(f"counts  {counts}\n")
        _print_comparison(store)


@cli.command("top")
@click.argument("run")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many.")
@click.option("--pareto", is_flag=True, help="Only those that no other beats in score, statements and state slots.")
@_json
def top_command(run: str, count: int, pareto: bool, as_json: bool) -> None:
    """List a run's best programs by the score of the search."""
    with open_to_read(runs_folder(), run) as store:
        tasks = run_config(store).tasks
        best = store.best(store.counts().generated if pareto else count)
        standings = [candidate(store, outcome, tasks) for outcome in best]
        if pareto:
            standings = pareto_front(standings)[:count]
        if as_json:
            documents.print_json([documents.standing_document(entry) for entry in standings])
            return
        columns, rows = documents.standing_rows(standings, tasks)
        documents.print_table(f"Best of {run}", columns, rows)


@cli.command("show")
@click.argument("program")
@_json
def show_command(program: str, as_json: bool) -> None:
    """Show a program with its kinds, live statements and facts."""
    named = read_program(program)
    if as_json:
        documents.print_json(documents.program_document(named))
    else:
        documents.print_program(named)


@cli.command("dump")
@click.argument("run")
@_output
def dump_command(run: str, output: str | None) -> None:
    """Print a run's outcomes in order, one canonical JSON document a line."""
    with open_to_read(runs_folder(), run) as store:
        _write("".join(f"{line}\n" for line in dump_lines(store.outcomes())), output)


@cli.command("evaluate")
@click.argument("program", nargs=-1, required=True)
@click.option("--tasks", "suite", required=True, help="A suite's name, a task's name, or a YAML file.")
@click.option("--rng-seeds", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Trainings a task.")
@_json
def evaluate_command(program: tuple[str, ...], suite: str, rng_seeds: int, as_json: bool) -> None:
    """Train tasks with programs and print their held-out losses and scores."""
    from evolve.evaluation import evaluate

    named = [read_program(reference) for reference in program]
    tasks, standings = evaluate(named, suite, rng_seeds)
    if as_json:
        documents.print_json([documents.standing_document(entry) for entry in standings])
        return
    columns, rows = documents.standing_rows(standings, tasks)
    documents.print_table(f"{rng_seeds} rng seed(s) a task (score 1 = AdamW as given, more is better)", columns, rows)


@cli.command("simplify")
@click.argument("program")
@click.option("--tasks", "suite", help="Score the program before and after on this suite.")
@_output
@_json
def simplify_command(program: str, suite: str | None, output: str | None, as_json: bool) -> None:
    """Simplify a program by rules that need no training, and show each step."""
    from evolve.evaluation import evaluate
    from evolve.references import NamedProgram

    named = read_program(program)
    derivation = programs.simplify(named.program)
    simplified = NamedProgram(f"{named.name}, simplified", derivation.program)
    tasks, standings = evaluate([named, simplified], suite, 5) if suite else ((), [])
    if output:
        Path(output).write_text(str(derivation.program), encoding="utf-8")
    if as_json:
        documents.print_json(
            {
                "name": named.name,
                "start": str(derivation.start),
                "steps": [
                    {"reason": step.reason, "exact": step.exact, "program": str(step.program)}
                    for step in derivation.steps
                ],
                "program": str(derivation.program),
                "scores": [documents.standing_document(entry) for entry in standings],
            }
        )
        return
    for number, step in enumerate(derivation.steps, start=1):
        size = len(step.program.statements)
        click.echo(f"{number:3}. {step.reason}{'' if step.exact else ' (up to 1e-8)'}: {size} statements")
    click.echo(f"{'' if derivation.steps else 'nothing to simplify'}\n{derivation.program}")
    if suite:
        columns, rows = documents.standing_rows(standings, tasks)
        documents.print_table("Before and after, 5 rng seeds a task", columns, rows)


@cli.command("export")
@click.argument("program")
@click.option("--to", "target", type=click.Choice(["optax"]), required=True, help="What to make of it.")
@click.option("--name", default="optimizer", show_default=True, help="The factory's name in the module.")
@_output
def export_command(program: str, target: str, name: str, output: str | None) -> None:
    """Write a program as a module that imports only JAX and Optax."""
    _write(programs.export_optax(read_program(program).program, name), output)
    if output:
        click.echo(f"wrote {output}: from {Path(output).stem} import {name}", err=True)


@cli.command("tasks")
@_json
def tasks_command(as_json: bool) -> None:
    """List the tasks and the suites."""
    import tasks

    rows = [tasks.get(name) for name in tasks.TASKS]
    suites = {name: list(members) for name, members in tasks.SUITES.items()}
    if as_json:
        fields = ("name", "description", "steps", "batch_size", "worst", "reference")
        documents.print_json(
            {"tasks": [{field: getattr(row, field) for field in fields} for row in rows], "suites": suites}
        )
        return
    columns = ["<task", "steps", "batch", "worst, nats", "AdamW, nats", "<what it is"]
    cells = [(r.name, r.steps, r.batch_size, _four(r.worst), _four(r.reference), r.description) for r in rows]
    documents.print_table("Tasks", columns, cells)
    click.echo()
    documents.print_table("Suites", ["<suite", "<tasks"], [(name, ", ".join(suites[name])) for name in suites])


@cli.command("functions")
@_json
def functions_command(as_json: bool) -> None:
    """List the functions of the language."""
    rows = [
        {
            "name": row.name,
            "form": f"{row.name}({', '.join(row.parameters)})" if not row.infix else f"x {row.infix} y",
            "result": row.result.value,
            "scalars": sorted(row.scalars),
            "commutative": row.commutative,
            "paper": row.paper,
            "summary": row.summary,
        }
        for row in programs.FUNCTIONS.values()
    ]
    if as_json:
        documents.print_json(rows)
        return
    columns = ["<function", "<form", "<kind of the result", "<in the paper", "<what it gives"]
    cells = [(r["name"], r["form"], r["result"], "yes" if r["paper"] else "no", r["summary"]) for r in rows]
    documents.print_table(f"{len(rows)} functions", columns, cells)


def _four(number: float | None) -> str:
    return "" if number is None else f"{number:.4f}"


def _write(text: str, output: str | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error


def _exit(code: int, message: str = "") -> NoReturn:
    if message:
        click.echo(message, err=True)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command, and end the process with the contract's exit code."""
    try:
        _exit(cli.main(arguments, prog_name="pride", standalone_mode=False) or 0)
    except UserError as error:
        _exit(error.exit_code, f"pride: {error}")
    except programs.ProgramError as error:
        _exit(BadProgramOrData.exit_code, f"pride: {error}")
    except click.ClickException as error:
        error.show()
        _exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit(130, "pride: interrupted")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _exit(0)
    except Exception:
        traceback.print_exc()
        _exit(1, "pride: this is a bug in Pride; please report it with the lines above")
