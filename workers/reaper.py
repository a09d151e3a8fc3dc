"""Cleans up after a driver: ends the processes it left running and removes its private directory.

Run as a script with one argument, the directory; the driver holds the other end of standard input,
so it closes when the driver ends, in whatever way. Ray's own reaper leaves two agents running for a
minute and misses stopped workers. Imports only the standard library, to start fast.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

GRACE_S = 3.0
"""Seconds that processes have to end by themselves before they are killed."""

POLL_S = 0.05


def holders(directory: str) -> list[int]:
    """Return the other processes of this user that have a file open below a directory.

    The driver is left out, which keeps Ray's log open for as long as it lives.

    Every process of a Ray session has a file open there: its log. Names and environments do not
    identify them, as Ray's processes overwrite both. Always empty on systems without /proc.
    """
    spared = (os.getpid(), os.getppid())
    return [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if int(entry.name) not in spared and _holds(entry, directory)
    ]


def _holds(process: Path, directory: str) -> bool:
    try:
        if process.stat().st_uid != os.getuid():
            return False
        return any(os.readlink(file).startswith(directory + "/") for file in process.glob("fd/*"))
    except OSError:  # the process has ended, or may not be inspected
        return False


def main() -> None:
    """Wait for the driver to end, then clean up."""
    directory = sys.argv[1]
    sys.stdin.read()
    deadline = time.monotonic() + GRACE_S
    while (left := holders(directory)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
