"""Options that several commands share, and writing the files that they name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from evolve.errors import UsageError

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
reuse_option = click.option(
    "--reuse", multiple=True, metavar="RUN", help="An earlier run whose scores are reused if they fit."
)
other_arithmetic_option = click.option(
    "--other-arithmetic",
    is_flag=True,
    help="Accept scores of a processor that computes other bits than those here; the run notes both.",
)
output_option = click.option("-o", "output", type=click.Path(dir_okay=False), help="Write to this file.")


def placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where trainings run: fields of Placement."""
    for option in (
        click.option("--address", help="A running Ray cluster to join."),
        click.option("--workers", type=click.IntRange(1, 10_000), help="How many workers; default: one per core."),
        click.option("--pool", type=click.Choice(["ray", "serial"]), default="ray", show_default=True),
    ):
        command = option(command)
    return command


def check_folder(output: str) -> None:
    """Raise if the folder of a file to write does not exist, before the work whose result goes there.

    Raises:
        UsageError: If there is no such folder.
    """
    if not (folder := Path(output).parent).is_dir():
        raise UsageError(f"cannot write {output}: there is no folder {folder}")


def write(text: str, output: str | None) -> None:
    """Write to the file that was named, or to stdout if none was.

    Raises:
        UsageError: If the file cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
