"""The training scripts in tests/examples, run as a user runs them: a folder with the script and an exported module."""

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_cases import Commands

EXAMPLES = Path(__file__).parent / "examples"
CHECKPOINTS = {"train_equinox": "kept.eqx", "train_jax": "kept.npz"}
"""The scripts, and a name of a checkpoint for each."""

PEAKS = {"adamw": 0.02, "lamb": 0.1, "lion": 0.004, "novograd": 0.05}
"""The highest learning rate with which each program trains both models well in `STEPS` batches."""

STEPS = 80

pytestmark = pytest.mark.slow


class Script:
    """One of the scripts, in a separate folder with a program's exported module."""

    def __init__(self, commands: Commands, folder: Path, script: str, program: str):
        self.name, self.peak, self._commands = script, PEAKS[program], commands
        self.folder = folder / script
        self.folder.mkdir()
        shutil.copy(EXAMPLES / f"{script}.py", self.folder)
        module = str(self.folder / "found.py")
        done = commands.run("export", program, "--to", "optax", "--name", "found", "-o", module)
        assert done.returncode == 0, done.stderr

    def run(self, checkpoint: str, *arguments: str, devices: int = 4, **variables: str) -> "Said":
        """Train on `devices` devices, with warnings as errors, and save the end under the name `checkpoint`."""
        kept = self.folder / checkpoint / CHECKPOINTS[self.name]
        kept.parent.mkdir(exist_ok=True)
        options = ["--steps", str(STEPS), "--learning-rate", str(self.peak), "--checkpoint", str(kept), *arguments]
        flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"  # compiles fast
        done = subprocess.run(
            [sys.executable, "-W", "error", f"{self.name}.py", *options],
            cwd=self.folder,
            env=self._commands.variables(XLA_FLAGS=flags, **variables),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return Said(done.stdout, done.stderr)

    def arrays(self, checkpoint: str) -> list[np.ndarray]:
        """Read the weights and the optimizer's state at the end of a training."""
        kept = self.folder / checkpoint / CHECKPOINTS[self.name]
        if kept.suffix == ".npz":
            with np.load(kept) as saved:
                return list(saved.values())
        return list(saved_one_after_another(kept))


class Said:
    """What a script printed."""

    def __init__(self, printed: str, logged: str):
        self.printed, self.logged = printed, logged
        self.whole = [float(loss) for loss in re.findall(r"loss (\S+) on all images", printed)]
        """The loss on all images, before and after."""
        rates = re.findall(r"batch (\d+): loss \S+, learning rate (\S+)", printed)
        self.rates = {int(batch): float(rate) for batch, rate in rates}
        """The learning rate of the latest update, by the number of batches done."""


def saved_one_after_another(path: Path) -> Iterator[np.ndarray]:
    """Yield the arrays that were saved to a file one after another."""
    with path.open("rb") as file:
        while file.tell() < path.stat().st_size:
            yield np.load(file)


def scheduled(update: int, peak: float) -> float:
    """Return an update's learning rate, counted from 0: linear from a tenth of the peak, then half a cosine to 0."""
    warm, end = STEPS // 10, STEPS // 2
    if update < warm:
        return peak * (0.1 + 0.9 * update / warm)
    return peak * (1.0 + math.cos(math.pi * (update - warm) / (end - warm))) / 2.0


@pytest.mark.parametrize("program", PEAKS)
@pytest.mark.parametrize("script", CHECKPOINTS)
def test_four_devices_train_as_one_does(commands: Commands, tmp_path: Path, script: str, program: str):
    """In 64 bits, in which 80 batches differ by less than 1e-14: `sign` turns small differences into large ones."""
    example = Script(commands, tmp_path, script, program)
    four = example.run("four", JAX_ENABLE_X64="1", JAX_LOG_COMPILES="1")
    one = example.run("one", devices=1, JAX_ENABLE_X64="1")

    before, after = four.whole
    assert after < 0.6 * before
    assert set(four.rates) == set(range(10, STEPS + 1, 10))
    for batch, rate in four.rates.items():
        assert rate == pytest.approx(scheduled(batch // 2 - 1, example.peak), rel=1e-5)
    assert four.logged.count("Compiling jit(step)") == 1
    assert four.printed.startswith("4 devices")

    assert one.printed.startswith("1 devices")
    assert one.rates == four.rates
    apart, whole = example.arrays("four"), example.arrays("one")
    assert len(apart) == len(whole)
    for x, y in zip(apart, whole, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-9 * np.abs(y).max())


@pytest.mark.parametrize("script", CHECKPOINTS)
def test_a_training_that_was_stopped_ends_as_an_unbroken_one(commands: Commands, tmp_path: Path, script: str):
    """A training stopped between the two batches of an update, with gradients saved, ends with the same bits."""
    example = Script(commands, tmp_path, script, "novograd")
    unbroken = example.run("unbroken")
    stopped = example.run("broken", "--stop-after", "35")
    resumed = example.run("broken")

    assert stopped.whole[0] == unbroken.whole[0]
    assert resumed.whole == [stopped.whole[1], unbroken.whole[1]]
    assert stopped.rates | resumed.rates == unbroken.rates
    assert unbroken.logged == stopped.logged == resumed.logged == ""
    for x, y in zip(example.arrays("broken"), example.arrays("unbroken"), strict=True):
        np.testing.assert_array_equal(x, y, strict=True)


def test_a_state_is_split_as_the_weights_are(commands: Commands, tmp_path: Path):
    said = Script(commands, tmp_path, "train_jax", "adamw").run("split", "--stop-after", "1")
    held, whole = map(int, re.findall(r"(\d+) of the state's (\d+) numbers", said.printed)[0])
    assert held < 0.6 * whole
