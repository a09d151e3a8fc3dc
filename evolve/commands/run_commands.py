"""The commands about runs: search, resume, list, status, top and dump."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

import programs
import workers
from evolve.commands import documents
from evolve.commands.options import (
    force_option,
    json_option,
    other_arithmetic_option,
    output_option,
    placed,
    reuse_option,
)
from evolve.commands.outputs import check_output, write
from evolve.commands.printing import print_json, print_table, printable
from evolve.commands.running import Ended, Placement, resume, start
from evolve.commands.streams import note, reader_may_leave
from evolve.config.files import presets
from evolve.config.settings import Config
from evolve.scores.standing import candidate, comparison, finalists
from evolve.store.finals import find_champion
from evolve.store.folders import list_runs, open_to_read, runs_folder, summarise
from evolve.store.reader import RunReader
from evolve.store.records import Outcome, dump_lines
from evolve.store.run_configs import run_config

_SHOWN_BEFORE_THE_END = 5  # programs, as long as none was scored again

_set = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the config.")


_SEARCH = f"""Search for an optimizer.

CONFIG is a YAML file or one of the presets {", ".join(presets())}.
"""


@click.command("search", help=_SEARCH)
@click.argument("config")
@click.option("--name", help="The run's name; default: the config's name and the time.")
@_set
@reuse_option
@other_arithmetic_option
@placed
@json_option
def search_command(config: str, name: str | None, overrides: tuple[str, ...], as_json: bool, **placement: Any) -> int:
    """Start a search and print what it found."""
    return _report_search(start(config, name, overrides, Placement(**placement)), as_json)


@click.command("resume")
@click.argument("run")
@_set
@reuse_option
@other_arithmetic_option
@placed
@json_option
def resume_command(run: str, overrides: tuple[str, ...], as_json: bool, **placement: Any) -> int:
    """Resume a search that was interrupted.

    A search that is done goes on if its budget is raised, such as by --set budget.candidates=5000.
    """
    return _report_search(resume(run, overrides, Placement(**placement)), as_json)


def _report_search(ended: Ended, as_json: bool) -> int:
    """Print what a search found and return the exit code, which is the same if nobody reads that."""
    with reader_may_leave(), open_to_read(runs_folder(), ended.name) as store:
        if as_json:
            print_json(_status_document(store, run_config(store)) | {"reason": ended.reason})
        elif ended.signal is None:
            _print_result(store, run_config(store))
        elif best := store.best(_SHOWN_BEFORE_THE_END):
            _print_best(store, run_config(store), best)
        sys.stdout.flush()
    if ended.signal is None:
        return 0
    note(f"interrupted; to continue: pride resume {ended.name}")
    return 128 + ended.signal


def _print_result(store: RunReader, config: Config) -> None:
    """Print what a run has found so far, without tables of nothing."""
    if not (best := store.best(_SHOWN_BEFORE_THE_END)):
        click.echo("no candidate trained to the end" if store.counts().trained else "nothing was trained")
        return
    if confirmed := finalists(store, config):
        columns, rows = documents.standing_rows(confirmed, config.tasks)
        print_table("The best of the search, scored again on fresh rng seeds", columns, rows)
    else:
        _print_best(store, config, best)
    if compared := comparison(store, config):
        click.echo()
        columns, rows = documents.standing_rows(compared, config.tasks)
        title = (
            "The first of them beside known optimizers, on other fresh rng seeds (1 = AdamW as given, higher is better)"
        )
        print_table(title, columns, rows)
    champion = find_champion(store, config)
    if champion is not None:
        found = programs.simplify(programs.parse(champion.program)).program
        click.echo(f"\n{store.name}:{champion.index}, simplified by rules that need no training:\n\n{found}")
        click.echo(f"next: pride show {store.name}:best | pride export {store.name}:best --to optax -o found.py")


def _print_best(store: RunReader, config: Config, best: Sequence[Outcome]) -> None:
    columns, rows = documents.standing_rows([candidate(store, config, outcome) for outcome in best], config.tasks)
    print_table(f"Best of {store.name}", columns, rows)


def _status_document(store: RunReader, config: Config) -> dict[str, Any]:
    summary = summarise(runs_folder(), store.name)
    champion = find_champion(store, config)
    best = None
    if champion is not None:
        best = {"id": champion.index, "program": champion.program, "score": champion.score}
    return {
        "run": store.name,
        "state": summary.state,
        "best": best,
        "counts": asdict(store.counts()),
        "seconds": store.seconds,
        "reason": summary.reason or None,
        "trained_by": store.trained_by,
        "compiled": store.count_noted(workers.TOO_LARGE),
        "arithmetics": [asdict(each) for each in store.arithmetics],
        "finalists": [asdict(entry) for entry in finalists(store, config)],
        "comparison": [asdict(entry) for entry in comparison(store, config)],
    }


@click.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the runs."""
    summaries = list_runs(runs_folder())
    if as_json:
        print_json([vars(summary) for summary in summaries])
        return
    columns = ["<run", "<state", "candidates", "trained", "best", "<created (UTC)", "<<why it ended"]
    rows = [(s.name, s.state, s.candidates, s.trained, s.best, s.created, s.reason) for s in summaries]
    print_table(f"Runs in {runs_folder()}", columns, rows)


@click.command("status")
@click.argument("run")
@json_option
def status_command(run: str, as_json: bool) -> None:
    """Show the state of a run.

    Its counts, its best program and the comparison with known optimizers.
    """
    summary = summarise(runs_folder(), run)
    with open_to_read(runs_folder(), run) as store:
        config = run_config(store)
        if as_json:
            print_json(_status_document(store, config))
            return
        counted = asdict(store.counts())
        training_seconds = counted.pop("training_seconds")
        counts = ", ".join(f"{count} {name}" for name, count in counted.items())
        reason = f" ({printable(summary.reason)})" if summary.reason else ""
        click.echo(f"run     {run}\nstate   {summary.state}{reason}")
        click.echo(f"counts  {counts}")
        click.echo(f"time    {store.seconds:.1f} s of search, {training_seconds:.1f} s of training by all workers")
        if store.trained_by:
            click.echo(printable(f"engines {store.trained_by['engines']}, on {store.trained_by['device']}"))
            if compiled := store.count_noted(workers.TOO_LARGE):
                click.echo(f"        {compiled} program(s) were too large for the interpreter, and compiled")
            click.echo(printable(f"bits    {', then '.join(map(str, store.arithmetics))}"))
        click.echo()
        _print_result(store, config)


@click.command("top")
@click.argument("run")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many.")
@click.option("--pareto", is_flag=True, help="Only programs that no other beats in score, statements and state slots.")
@json_option
def top_command(run: str, count: int, pareto: bool, as_json: bool) -> None:
    """List a run's best programs by the score of the search."""
    with open_to_read(runs_folder(), run) as store:
        config = run_config(store)
        best = store.pareto()[:count] if pareto else store.best(count)
        if as_json:
            print_json([asdict(candidate(store, config, outcome)) for outcome in best])
            return
        _print_best(store, config, best)


@click.command("dump")
@click.argument("run")
@output_option
@force_option
@json_option
def dump_command(run: str, output: str | None, force: bool, as_json: bool) -> None:
    """Print a run's outcomes as lines of JSON.

    One canonical document per outcome, in order; with --json one list of them.
    """
    if output:
        check_output(output, force)
    with open_to_read(runs_folder(), run) as store:
        if as_json:
            print_json([json.loads(line) for line in dump_lines(store.outcomes())])
            return
        write("".join(f"{line}\n" for line in dump_lines(store.outcomes())), output)
