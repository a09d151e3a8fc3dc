"""Showing the progress of a search: a live line on a terminal, plain lines elsewhere, always on stderr."""

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from evolve.commands.streams import note
from evolve.search.driver import Progress

_LINE_SECONDS = 10.0  # between two plain lines
_STAGES = {
    "search": "searching",
    "confirm": "scoring the best on fresh rng seeds",
    "report": "comparing with known optimizers",
}


class ProgressDisplay:
    """A display of a search's progress; a context manager, so that the terminal is always restored."""

    def __init__(self, run: str):
        """Make a display for the run of this name."""
        self._run = run
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, transient=True, refresh_per_second=4)
        self._last_line = -_LINE_SECONDS
        self._stage = ""
        self._already = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def note(self, text: str) -> None:
        """Print a sentence that stays on the screen."""
        if self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            note(text)

    def show(self, progress: Progress) -> None:
        """Show the current state of the search."""
        if not self._stage:
            self._already = progress.counts.generated
        changed, self._stage = progress.stage != self._stage, progress.stage
        if self._console.is_terminal:
            self._live.update(self._table(progress))
        elif changed or time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self.note(f"{self._run}: {self._sentence(progress)}")

    def _table(self, progress: Progress) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_row(self._run, ProgressBar(total=1.0, completed=progress.share, width=30), _STAGES[progress.stage])
        lines = Table.grid()
        lines.add_row(table)
        lines.add_row(self._sentence(progress))
        return lines

    def _sentence(self, progress: Progress) -> str:
        counts = progress.counts
        ended = f"{counts.hopeless} hopeless, " if counts.hopeless else ""
        best = "no score yet" if progress.best is None else f"best {progress.best:.4f}"
        text = (
            f"{counts.generated} generated, {counts.trained} trained, {counts.known} known, "
            f"{ended}{counts.diverged} diverged, {best}"
        )
        if counts.failed:
            text += f", {counts.failed} failed"
        if progress.stage != "search":
            return f"{_STAGES[progress.stage]}; {text}"
        if progress.seconds > 0.0:
            text += f", {(counts.generated - self._already) / progress.seconds:.1f} candidates/s"
        if 0.02 < progress.share < 1.0 and not self._already:
            text += f", about {progress.seconds * (1.0 / progress.share - 1.0):.0f} s left"
        return text
