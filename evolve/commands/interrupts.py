"""Hearing SIGINT and SIGTERM: the first asks for an end, the second ends the process."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_AGAIN_S: Final = 0.05  # until an exception is raised again that Python ignored, as it does in callbacks


class Interrupted(KeyboardInterrupt):
    """A signal ended what would have been long and is not worth finishing.

    Attributes:
        signal: The signal's number.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.signal = number


class Signals:
    """The signals that came, heard as long as `hear_signals` lasts.

    Attributes:
        received: Their numbers, in the order in which they came.
    """

    def __init__(self, note: Callable[[str], None]):
        """Begin with none.

        Args:
            note: Shows a sentence to the user.
        """
        self.received: list[int] = []
        self._note = note
        self._raises = False

    @property
    def reason(self) -> str | None:
        """What the first signal is called, such as "Interrupt"; None if there is none yet."""
        return signal.strsignal(self.received[0]) if self.received else None

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Have a signal raise `Interrupted` at once, as long as there is nothing to finish."""
        alarm, hook = signal.signal(signal.SIGALRM, self._raise), sys.unraisablehook

        def try_again(unraisable: Any) -> None:
            if isinstance(unraisable.exc_value, Interrupted):
                signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            else:
                hook(unraisable)

        self._raises, sys.unraisablehook = True, try_again
        try:
            if self.received:
                self._raise(0, None)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, alarm)
            self._raises, sys.unraisablehook = False, hook

    def _raise(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted(self.received[0])

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal, as Python's `signal` calls it."""
        if self.received:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received.append(number)
        if self._raises:
            self._note("stopping")
            self._raise(number, frame)
        self._note("finishing what is under way; interrupt again to stop at once (what is done so far is kept)")


@contextmanager
def hear_signals(note: Callable[[str], None]) -> Iterator[Signals]:
    """Hear signals in place of what they would do: the first lets work under way finish, the second ends the process.

    Args:
        note: Shows a sentence to the user.
    """
    signals = Signals(note)
    before = {number: signal.signal(number, signals.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
