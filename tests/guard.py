"""Run a command, and see how long what it started outlives it. A script: guard.py SECONDS COMMAND...

It adopts every process whose parent ends (PR_SET_CHILD_SUBREAPER), so that none is lost sight of. Prints a JSON line
with the command's process id at once, and in the end one with its exit code (minus the signal that ended it) and the
command lines of all processes that were left so many seconds later, which it then ends.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def _alarm(*_: object) -> None:
    raise TimeoutError


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return [int(process) for process in text.split()]


def _wait(command: int, seconds: int) -> tuple[int, list[str]]:
    code = 0
    try:
        while True:
            process, status = os.wait()
            if process == command:
                code = os.waitstatus_to_exitcode(status)
                signal.alarm(seconds)
    except ChildProcessError:
        return code, []
    except TimeoutError:
        left = []
        while children := _children():  # each that ends may leave others
            left += [Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8", errors="replace") for child in children]
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        return code, left


def main() -> None:
    assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    signal.signal(signal.SIGALRM, _alarm)
    seconds, *command = sys.argv[1:]
    to_stderr = [(os.POSIX_SPAWN_DUP2, 2, 1)]
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=to_stderr)
    print(json.dumps(process), flush=True)
    print(json.dumps(_wait(process, int(seconds))), flush=True)


if __name__ == "__main__":
    main()
