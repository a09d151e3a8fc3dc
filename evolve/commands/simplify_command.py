"""The command ``pride simplify``: from a raw program to a clean one, and checks of recorded derivations."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import tasks
import workers
from evolve.commands.interrupts import Interrupted, hear_signals
from evolve.commands.options import force_option, json_option, placed
from evolve.commands.outputs import check_output, write
from evolve.commands.printing import json_text, print_json, printable
from evolve.commands.provenance import comments, provenance
from evolve.commands.references import NamedProgram, read_program, read_suite
from evolve.commands.running import Placement, check_placement, make_pool
from evolve.commands.streams import note, reader_may_leave
from evolve.errors import BadProgramOrData, StoppedEarly, UsageError
from evolve.simplify import derivation_text
from evolve.simplify.by_training import Simplified, simplify_by_rules, simplify_by_training
from evolve.simplify.meter import Meter
from evolve.simplify.page import derivation_page
from evolve.simplify.replay import replay

_SUITE = "simplify"
_FIRST_RNG_SEED = 2_000  # neither those of searches nor those of `pride evaluate`
_DEADLINE_S = 600.0  # for one program on one task
_LINE_S = 10.0  # between two plain lines


@click.command("simplify")
@click.argument("program", required=False)
@click.option("--tasks", "suite", default=_SUITE, show_default=True, help="The suite whose scores must not fall.")
@click.option(
    "--rng-seeds", type=click.IntRange(3, 1_000), default=8, show_default=True, help="Trainings per task and program."
)
@click.option("--rules", "rules_only", is_flag=True, help="Use rules alone and train nothing.")
@click.option(
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="Write the program to this file, or the derivation if it ends in .txt, .json or .html. May be repeated.",
)
@force_option
@click.option("--replay", "recorded", metavar="FILE", help="Check the steps of a derivation that was written as JSON.")
@placed
@json_option
def simplify_command(
    program: str | None,
    suite: str,
    rng_seeds: int,
    rules_only: bool,
    outputs: tuple[str, ...],
    force: bool,
    recorded: str | None,
    as_json: bool,
    **placement: Any,
) -> int:
    """Simplify a program, and show each step as it is found.

    Rules come first: dead statements, algebra, state that is equal or idle. Then single values are left out or replaced
    and numbers rounded, the smallest program first, as long as the suite's scores stay within their noise.
    """
    if (program is None) == (recorded is None):
        raise UsageError("right would be a PROGRAM, or --replay and the JSON file of a derivation")
    placed_at = Placement(**placement)
    check_placement(placed_at)
    for output in outputs:
        check_output(output, force)
    if recorded is not None:
        try:
            return _replay(recorded, rules_only, placed_at, as_json)
        except Interrupted as interrupted:
            note("interrupted")
            return 128 + interrupted.signal
    named = read_program(program or "")
    printer = _Printer(named, show=not as_json, needed=bool(outputs))
    if rules_only:
        simplified = simplify_by_rules(named.program)
        for number in range(len(simplified.steps)):
            printer.step(simplified.upto(number + 1))
    else:
        simplified = _train(named, read_suite(suite), rng_seeds, placed_at, printer)
    with reader_may_leave():
        _report(named, simplified, outputs, as_json, bool(printer.signal))
        sys.stdout.flush()
    return 128 + printer.signal if printer.signal else 0


class _Printer:
    """Prints steps as they are found; if files are needed, a reader that goes away does not end the work."""

    def __init__(self, named: NamedProgram, show: bool, needed: bool):
        self._named, self._show, self._needed = named, show, needed
        self.latest: Simplified | None = None
        self.signal = 0  # the signal that ended it early; 0 if none

    def step(self, simplified: Simplified) -> None:
        """Print the newest step, and before the first one what the derivation starts from."""
        self.latest = simplified
        if not self._show:
            return
        with reader_may_leave() if self._needed else nullcontext():
            if len(simplified.steps) == 1:
                click.echo("\n".join([*derivation_text.first_lines(self._named.name, simplified), ""]))
            click.echo(derivation_text.step_line(simplified, len(simplified.steps)))


def _train(
    named: NamedProgram, tasks: tuple[str, ...], rng_seeds: int, placement: Placement, printer: _Printer
) -> Simplified:
    """Simplify by training; return what was found so far if a signal comes."""
    seeds = range(_FIRST_RNG_SEED, _FIRST_RNG_SEED + rng_seeds)
    try:
        with _meter(placement, tasks, seeds) as meter:
            simplified = simplify_by_training(named.program, tasks, meter, printer.step)
    except Interrupted as interrupted:
        printer.signal = interrupted.signal
        note("interrupted; this is what was found so far")
        return printer.latest or simplify_by_rules(named.program)
    if unlearnt := ", ".join(task for task in tasks if task not in simplified.yardstick.start):
        note(f"{named.name} does not learn {unlearnt} with every rng seed: not used")
    return simplified


@contextmanager
def _meter(placement: Placement, tasks: tuple[str, ...], rng_seeds: Sequence[int]) -> Iterator[Meter]:
    """Yield a meter with a pool of its own, whose progress is shown on stderr."""
    console = Console(stderr=True)
    last_line_s = time.monotonic()

    def say(text: str) -> None:
        if console.is_terminal:
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            note(text)

    columns = (TextColumn("training {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    try:
        with ExitStack() as stack:
            signals = stack.enter_context(hear_signals(say))
            with signals.raised():
                pool = make_pool(placement, tasks, _DEADLINE_S, say)
            stack.enter_context(pool)
            stack.enter_context(progress)
            bar = progress.add_task("", total=1)

            def show(task: str, done: int, total: int) -> None:
                nonlocal last_line_s
                if signals.received:
                    raise Interrupted(signals.received[0])
                progress.update(bar, description=task, completed=done, total=total)
                if not console.is_terminal and time.monotonic() - last_line_s >= _LINE_S:
                    last_line_s = time.monotonic()
                    say(f"training {task}: {done} of {total} jobs are done")

            yield Meter(pool, rng_seeds, show)
    except workers.PoolError as error:
        raise (UsageError if placement.address else StoppedEarly)(str(error)) from error


def _report(
    named: NamedProgram, simplified: Simplified, outputs: tuple[str, ...], as_json: bool, interrupted: bool
) -> None:
    for output in outputs:
        write(_as_file(named, simplified, output), output)
    if as_json:
        print_json(derivation_text.as_document(named.name, simplified))
        return
    click.echo(f"{'' if simplified.steps or interrupted else 'nothing to simplify'}\n{simplified.program}")
    if last := derivation_text.last_lines(simplified):
        click.echo("\n".join(last))


def _as_file(named: NamedProgram, simplified: Simplified, path: str) -> str:
    """Return the text that the ending of a file's name asks for."""
    match Path(path).suffix.lower():
        case ".json":
            return json_text(derivation_text.as_document(named.name, simplified)) + "\n"
        case ".html" | ".htm":
            return derivation_page(named.name, simplified)
        case ".txt":
            return derivation_text.as_text(named.name, simplified)
    return comments([f"name: {Path(named.name).name}, simplified", *provenance(named)], "#") + str(simplified.program)


def _replay(path: str, rules_only: bool, placement: Placement, as_json: bool) -> int:
    """Check a recorded derivation, and raise if a step does not hold."""
    name, simplified = derivation_text.read_derivation(path)
    if rules_only or not simplified.yardstick.start:
        checks = list(replay(simplified, None))
    else:
        names = tuple(simplified.yardstick.start)
        if unknown := ", ".join(name for name in names if name not in tasks.TASKS):
            raise BadProgramOrData(f"{path}: got scores on {unknown}; right would be tasks that `pride tasks` lists")
        with _meter(placement, names, simplified.rng_seeds) as meter:
            checks = list(replay(simplified, meter))
    with reader_may_leave():
        if as_json:
            rows = [(check.step.reason, check.step.proof.value, check.holds, check.found) for check in checks]
            print_json([dict(zip(("reason", "proof", "holds", "found"), row, strict=True)) for row in rows])
        else:
            for number, check in enumerate(checks, start=1):
                verdict = f"{'holds' if check.holds else 'FAILS'}: {check.found}"
                click.echo(printable(f"{number:3}. {check.step.proof:<8}  {check.step.reason:<60}  {verdict}"))
        sys.stdout.flush()
    failed = [str(number) for number, check in enumerate(checks, start=1) if not check.holds]
    if failed:
        raise BadProgramOrData(f"{path}: step(s) {', '.join(failed)} of {len(checks)} do not hold for {name}")
    return 0
