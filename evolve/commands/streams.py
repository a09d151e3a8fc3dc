"""The standard streams: notes on stderr, and what happens if a stream is closed or its reader goes away."""

import contextlib
import errno
import os
import select
import sys
from collections.abc import Iterator


def note(text: str) -> None:
    """Print a sentence on stderr; that nobody reads it any more is no reason to stop."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def ensure_streams() -> None:
    """Open the null device for stdin, stdout and stderr if they are closed, as after ``>&-``.

    Otherwise the next file that is opened, such as a run's database, would get the number of one of them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)  # else a process started here would have the same trouble
            if name != "stdin":  # a command that reads it says that it is closed
                setattr(sys, name, os.fdopen(number, "w", closefd=False))


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Do what prints on stdout; if its reader goes away meanwhile, leave out the rest without a failure.

    Raises:
        OSError: If another pipe broke.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EPIPE or not _reader_has_left():
            raise
        discard_stdout()


def discard_stdout() -> None:
    """Send to the null device what is printed on stdout from now on, and what has not been written yet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reader_has_left() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
