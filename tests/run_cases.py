"""What tests of runs share: an outcome, a folder's files, and a process that writes a run."""

import os
import subprocess
import sys

from evolve.store.records import Outcome

PROGRAM = "def train(w, g, lr):\n    update = g * lr\n    return update\n"


def outcome(index, **changes):
    fields = {
        "index": index,
        "key": f"key{index}",
        "program": PROGRAM,
        "parents": (index - 1,) if index else (),
        "mutation": "insert" if index else "seed",
        "status": "ok",
        "score": -0.1 * index,
        "statements": 1,
        "state_slots": 0,
        "losses": ((0.1, 0.2 + index), (1 / 3, 5e-324)),
        "seconds": 0.5,
    }
    return Outcome(**{**fields, **changes})


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def writer(root, code):
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
