"""The command ``pride``: the commands together, and the exit codes of the contract."""

import contextlib
import errno
import importlib
import io
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

import programs
import workers
from evolve.commands.printing import printable
from evolve.commands.streams import discard_stdout, ensure_streams, note, reader_may_leave
from evolve.errors import BadProgramOrData, StoppedEarly, UsageError, UserError

_COMMANDS = {
    "search": "evolve.commands.run_commands:search_command",
    "resume": "evolve.commands.run_commands:resume_command",
    "list": "evolve.commands.run_commands:list_command",
    "status": "evolve.commands.run_commands:status_command",
    "top": "evolve.commands.run_commands:top_command",
    "dump": "evolve.commands.run_commands:dump_command",
    "show": "evolve.commands.program_commands:show_command",
    "evaluate": "evolve.commands.program_commands:evaluate_command",
    "simplify": "evolve.commands.simplify_command:simplify_command",
    "export": "evolve.commands.program_commands:export_command",
    "tasks": "evolve.commands.program_commands:tasks_command",
    "functions": "evolve.commands.program_commands:functions_command",
    "bench": "evolve.commands.bench_command:bench_command",
    "doctor": "evolve.commands.doctor:doctor_command",
}
"""Where each command is: imported when it is used, so that no command needs the packages of another."""


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Do what prints, and end without a failure if nobody reads that any more.

    Raises:
        RuntimeError: If another pipe broke, for which click itself would exit without a word.
    """
    left = True
    try:
        with reader_may_leave():
            yield
            left = False
    except BrokenPipeError as error:
        raise RuntimeError("a pipe broke that is not the output") from error
    if left:
        raise click.exceptions.Exit(0)


class _Group(click.Group):
    """A group that imports a command when it is used, and suggests a command for a mistyped name."""

    def make_context(self, *given: Any, **more: Any) -> click.Context:
        with _output():
            return super().make_context(*given, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with _output():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            hint = programs.did_you_mean(args[0], _COMMANDS)
            there = ", ".join(sorted(_COMMANDS))
            raise click.UsageError(f"no command is called '{args[0]}'{hint}; there are {there}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="pride")
def cli() -> None:
    """Discover optimizers: search, inspect what was found, simplify it, export it to Optax.

    PROGRAM is a seed program's name (adamw, lion, ...), a path to an .opt file, RUN:ID, RUN:best, - for stdin, or
    one of these transformed, such as lookahead:adamw (see pride show --help). RUN is a run's name, which pride list
    shows.
    """


def _exit(code: int, message: str = "") -> NoReturn:
    if message:
        note(printable(message))
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command, and end the process with the contract's exit code."""
    ensure_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ± is no reason to fail
    try:
        code = _run(arguments)
    except UserError as error:
        _exit(error.exit_code, f"pride: {error}")
    except workers.DeviceError as error:
        _exit(UsageError.exit_code, f"pride: {error}")
    except programs.ProgramError as error:
        _exit(BadProgramOrData.exit_code, f"pride: {error}")
    except click.ClickException as error:
        with contextlib.suppress(BrokenPipeError):
            error.show()
        _exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit(130, "pride: interrupted")
    except Exception:
        traceback.print_exc()
        _exit(1, "pride: this is a bug in Pride; please report it with the lines above")
    _exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command and return its exit code; a reader of the output that has gone away is not a failure."""
    code = 0
    try:
        with reader_may_leave():
            code = cli.main(arguments, prog_name="pride", standalone_mode=False) or 0
            sys.stdout.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            discard_stdout()
            raise StoppedEarly(f"the output cannot be written: {error.strerror}") from error
        raise
    return code


if __name__ == "__main__":
    main()
