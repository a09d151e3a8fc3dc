"""Options that several commands share, and writing what they name."""

from pathlib import Path

import click

from evolve.errors import UsageError

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
output_option = click.option("-o", "output", type=click.Path(dir_okay=False), help="Write to this file.")


def write(text: str, output: str | None) -> None:
    """Write to the file that was named, or to stdout where none was.

    Raises:
        UsageError: where the file cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
