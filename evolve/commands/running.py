"""Starting and resuming a search from the command line: config, run folder, pool, signals, progress."""

import datetime
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import programs
import workers
from evolve.commands.progress import ProgressDisplay
from evolve.commands.references import read_suite
from evolve.config.files import config_text, difference, load_config, to_yaml
from evolve.config.settings import FREE_TO_CHANGE, Config
from evolve.errors import RunConflict, StoppedEarly, UsageError
from evolve.search.driver import Watcher, search, trained_by, wait_for_arithmetic
from evolve.search.ray_islands import open_islands
from evolve.search.reuse import ReusingPool
from evolve.store.folders import check_new, create, environment, open_to_read, open_to_write, runs_folder
from evolve.store.run_configs import made_config, run_config
from evolve.store.writer import RunStore
from workers import faults


@dataclass(frozen=True)
class Placement:
    """Where a search's trainings run, which does not change what is found.

    Attributes:
        pool: ``ray`` or ``serial``.
        workers: The number of workers; None for one per core.
        address: The address of a running Ray cluster; None to start Ray here.
        reuse: Names of runs whose scores are reused if a training would give the same ones.
        other_arithmetic: Whether a run that is resumed or reused may come from another arithmetic.
    """

    pool: str
    workers: int | None
    address: str | None
    reuse: tuple[str, ...] = ()
    other_arithmetic: bool = False


@dataclass(frozen=True)
class Ended:
    """How a session of a search ended.

    Attributes:
        name: The run's name.
        reason: Why it ended.
        signal: The number of the signal that interrupted it; None if the search is done.
    """

    name: str
    reason: str
    signal: int | None


def start(source: str, name: str | None, overrides: tuple[str, ...], placement: Placement) -> Ended:
    """Make a run from a config or preset and search until it ends."""
    given = config_text(source)
    config = _load_config(source, overrides)
    name = name or default_name(source)
    check_placement(placement)
    check_new(runs_folder(), name)
    with (
        _stage(name, config, placement) as stage,
        create(runs_folder(), name, given, to_yaml(config), environment()) as store,
    ):
        stage.display.note(f"run {name}: results go to {store.folder}")
        return stage.search(store, config)


def resume(name: str, overrides: tuple[str, ...], placement: Placement) -> Ended:
    """Resume a run from the outcomes that it holds.

    Raises:
        RunConflict: If an override would change what was computed, or if versions or the arithmetic differ from those
            that made the run.
    """
    check_placement(placement)
    with open_to_read(runs_folder(), name) as store:  # so that a refusal changes nothing
        old = run_config(store)
        config = _load_config(str(store.folder / "resolved.yaml"), overrides)
        changed = difference(made_config(store), config, ignoring=FREE_TO_CHANGE)
        if changed:
            raise RunConflict(f"run {name} was made with other settings; start a new run for these:", changed)
        now, then = environment(), store.environment
        other = [f"{key}: {then.get(key)} then, {now.get(key)} now" for key in now if now[key] != then.get(key)]
        if other:
            raise RunConflict(f"run {name} was made elsewhere, and its scores may differ here:", other)
        wanted = store.arithmetics[-1] if store.arithmetics and not placement.other_arithmetic else None
    with open_to_write(runs_folder(), name) as store, _stage(name, config, placement, wanted) as stage:
        stage.check_arithmetic(store)  # so that this refusal changes nothing, too
        if config != old:
            store.change_config(to_yaml(config))
        return stage.search(store, config)


def default_name(source: str) -> str:
    """Make a run's name from its config's name and the time."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", Path(source).stem)[:40].lstrip(".-_") or "run"
    return f"{stem}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def _load_config(source: str, overrides: tuple[str, ...]) -> Config:
    """Return a config in which suites are replaced by the names of their tasks."""
    import tasks  # imports JAX

    config = load_config(
        source,
        overrides,
        known_tasks={*tasks.TASKS, *tasks.SUITES},
        known_programs=programs.seed_programs(),
    )
    start = programs.load(config.start)
    sizes = {"statements": len(start.statements), "state": len(start.state)}
    for name, size in sizes.items():
        if size > (limit := getattr(config.limits, name)):
            raise UsageError(f"limits.{name}: got {limit}; right would be at least {size}, which {config.start} has")
    names = [task for name in config.tasks for task in read_suite(name)]
    return config.model_copy(update={"tasks": tuple(dict.fromkeys(names))})


def check_placement(placement: Placement) -> None:
    """Check that the settings of a placement fit together, before anything is started.

    Raises:
        UsageError: If pool, workers and address do not fit together, or a run to reuse does not exist.
    """
    try:
        faults.check_plan()
    except ValueError as error:
        raise UsageError(str(error)) from None
    if placement.pool == "serial" and (placement.address or (placement.workers or 1) > 1):
        raise UsageError("--pool serial is one process here; right would be --pool ray for --workers and --address")
    for name in placement.reuse:  # before anything is started
        open_to_read(runs_folder(), name).close()


@dataclass(frozen=True)
class _Stage:
    """What a search needs besides its run: workers, a display, and the signals received."""

    pool: workers.Pool
    display: ProgressDisplay
    received: list[int]  # signals, in the order they came
    other_arithmetic: bool

    @property
    def watcher(self) -> Watcher:
        return Watcher(self.display.show, lambda: signal.strsignal(self.received[0]) if self.received else None)

    def check_arithmetic(self, store: RunStore) -> None:
        """Refuse to go on with a run of another arithmetic, unless that is wanted."""
        arithmetic = wait_for_arithmetic(self.pool, self.watcher)
        if not self.other_arithmetic and isinstance(arithmetic, workers.Arithmetic):
            store.check_arithmetic(arithmetic)

    def search(self, store: RunStore, config: Config) -> Ended:
        borrowed = self.pool.borrowed if isinstance(self.pool, ReusingPool) else ()
        stop = search(
            store,
            config,
            self.pool,
            self.watcher,
            open_islands,
            borrowed=borrowed,
            other_arithmetic=self.other_arithmetic,
        )
        return Ended(store.name, stop.reason, self.received[0] if stop.interrupted else None)


@contextmanager
def _stage(
    name: str, config: Config, placement: Placement, arithmetic: workers.Arithmetic | None = None
) -> Iterator[_Stage]:
    """Open all that a search needs.

    Args:
        name: the run's.
        config: its settings.
        placement: where it trains.
        arithmetic: which its workers must have; None for any.
    """
    with ProgressDisplay(name) as display, hear_signals(display.note) as received:
        try:
            lazy = config.rounds[0].islands > 1  # islands may have workers of their own
            pool = make_pool(placement, config.tasks, config.deadline_seconds, display.note, lazy, arithmetic)
        except workers.PoolError as error:
            raise (UsageError if placement.address else StoppedEarly)(str(error)) from error
        try:
            if placement.reuse:
                pool = _reusing(pool, config, placement)
            with pool:
                yield _Stage(pool, display, received, placement.other_arithmetic)
            if isinstance(pool, ReusingPool):
                display.note(f"{pool.reused} score(s) came from {', '.join(placement.reuse)}")
        except workers.PoolError as error:
            raise StoppedEarly(f"{error}. What was committed is kept: pride resume {name}") from error


def _reusing(pool: workers.Pool, config: Config, placement: Placement) -> ReusingPool:
    """Have a pool answer what earlier runs know; it is closed if that is refused."""
    try:
        arithmetic = None if placement.other_arithmetic else pool.arithmetic()
    except BaseException:
        pool.close()
        raise
    return ReusingPool(pool, runs_folder(), placement.reuse, config, trained_by(config, pool), arithmetic)


def make_pool(
    placement: Placement,
    tasks: Sequence[str],
    deadline_seconds: float,
    on_event: Callable[[str], None],
    lazy: bool = False,
    arithmetic: workers.Arithmetic | None = None,
) -> workers.Pool:
    """Open the pool that a placement names, for trainings of these tasks.

    Raises:
        DeviceError: If it is to train in this process, and JAX cannot start its device.
        PoolError: If Ray does not start, or cannot be joined.
    """
    if placement.pool == "serial":
        workers.device_here()
        return workers.SerialPool(on_event=on_event)
    on_event("starting workers on Ray")
    return workers.RayPool(
        placement.workers,
        placement.address,
        deadline_s=deadline_seconds,
        warm=tuple(tasks),
        lazy=lazy,
        arithmetic=arithmetic,
        on_event=on_event,
    )


@contextmanager
def hear_signals(note: Callable[[str], None]) -> Iterator[list[int]]:
    """Yield a list of received interrupts: the first lets work under way be finished, the second ends the process."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        received.append(number)
        note("finishing what is under way; interrupt again to stop at once (what is done so far is kept)")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
