"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

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
force_option = click.option("--force", is_flag=True, help="Overwrite a file that Pride did not write.")


def placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where trainings run: fields of Placement."""
    for option in (
        click.option("--address", help="A running Ray cluster to join."),
        click.option("--workers", type=click.IntRange(1, 10_000), help="How many workers; default: one per core."),
        click.option(
            "--pool",
            type=click.Choice(["ray", "serial"]),
            default="ray",
            show_default=True,
            help="Train in processes of Ray, or one after another in this one.",
        ),
    ):
        command = option(command)
    return command
