"""Run a command, and find the processes that outlive it. A script: guard.py SECONDS COMMAND...

It adopts every process whose parent ends (PR_SET_CHILD_SUBREAPER), so that it loses none. Prints JSON lines:
the command's process id at once; "stopped" whenever a signal stops the command; and finally its exit code (minus
the signal that ended it) and the names of all processes that are left SECONDS later, which it then ends.
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
            process, status = os.waitpid(-1, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                if process == command:
                    print(json.dumps("stopped"), flush=True)
            elif process == command:
                code = os.waitstatus_to_exitcode(status)
                signal.alarm(seconds)
    except ChildProcessError:
        return code, []
    except TimeoutError:
        left = []
        while children := _children():  # a child that ends may leave others
            left += [Path(f"/proc/{child}/comm").read_text(encoding="utf-8", errors="replace") for child in children]
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
