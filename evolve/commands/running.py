"""Starting and resuming a search from the command line: config, run folder, pool, signals, progress."""

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

import programs
import workers
from evolve.commands.interrupts import Interrupted, Signals, hear_signals
from evolve.commands.progress import ProgressDisplay
from evolve.commands.references import read_suite
from evolve.config.files import config_text, difference, load_config, to_yaml
from evolve.config.settings import FREE_TO_CHANGE, Config
from evolve.errors import RunConflict, StoppedEarly, UsageError, UserError
from evolve.search.driver import Stop, Watcher, nothing_to_search, search, trained_by
from evolve.search.ray_islands import open_islands
from evolve.search.reuse import ReusingPool
from evolve.store.finals import PURPOSES, missing_finals
from evolve.store.folders import (
    check_new,
    check_unlocked,
    create,
    environment,
    open_to_read,
    open_to_write,
    runs_folder,
)
from evolve.store.reader import RunReader
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
        _stage(name) as stage,
        create(runs_folder(), name, given, to_yaml(config), environment()) as store,
        _reason_kept(store, new=True),
    ):
        stage.display.note(f"run {name}: results go to {store.folder}")
        return stage.search(store, config, placement)


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
        _check_unchanged(store, config)
        wanted = store.arithmetics[-1] if store.arithmetics and not placement.other_arithmetic else None
        finished = store.stop_reason
        if finished is not None and config.budget != old.budget and (used := nothing_to_search(store, config)):
            click.echo(f"the new budget is used up already ({used}), so that it changes nothing", err=True)
            config = config.model_copy(update={"budget": old.budget})
        settled = config.budget == old.budget and not any(missing_finals(store, config, each) for each in PURPOSES)
    if finished is not None and settled:
        check_unlocked(runs_folder(), name)
        if config != old:
            with open_to_write(runs_folder(), name) as store:
                store.change_config(to_yaml(config))
        click.echo(f"run {name} is finished ({finished}): nothing is left to do", err=True)
        return Ended(name, finished, None)
    with _stage(name) as stage, open_to_write(runs_folder(), name) as store, _reason_kept(store):
        return stage.search(store, config, placement, wanted, to_yaml(config) if config != old else None)


def _check_unchanged(store: RunReader, config: Config) -> None:
    """Raise if a run's outcomes could not have come from this config, or not from these versions.

    Raises:
        RunConflict: If they could not.
    """
    changed = difference(made_config(store), config, ignoring=FREE_TO_CHANGE)
    if changed:
        raise RunConflict(f"run {store.name} was made with other settings; start a new run for these:", changed)
    now, then = environment(), store.environment
    other = [f"{key}: {then.get(key)} then, {now.get(key)} now" for key in now if now[key] != then.get(key)]
    if other:
        raise RunConflict(f"run {store.name} was made elsewhere, and its scores may differ here:", other)


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
    """What a search needs besides its run and a pool: a display, and an ear for signals."""

    display: ProgressDisplay
    signals: Signals

    def search(
        self,
        store: RunStore,
        config: Config,
        placement: Placement,
        arithmetic: workers.Arithmetic | None = None,
        resolved: str | None = None,
    ) -> Ended:
        """Open a pool and search until the end.

        Args:
            store: The run, open for writing.
            config: Its settings.
            placement: Where it trains.
            arithmetic: The arithmetic that the workers must have; None for any.
            resolved: The config as text, to replace the run's once nothing is refused; None to keep that.
        """
        watcher = Watcher(self.display.show, lambda: self.signals.reason, self.display.note)
        try:
            with self.signals.raised():
                pool = _open_pool(config, placement, arithmetic, self.display.note)
            with pool:
                borrowed = pool.borrowed if isinstance(pool, ReusingPool) else ()
                stop = search(
                    store,
                    config,
                    pool,
                    watcher,
                    open_islands,
                    borrowed=borrowed,
                    other_arithmetic=placement.other_arithmetic,
                    resolved=resolved,
                )
            if isinstance(pool, ReusingPool):
                self.display.note(f"{pool.reused} score(s) came from {', '.join(placement.reuse)}")
        except Interrupted:
            stop = Stop(self.signals.reason or "", interrupted=True)
        except workers.PoolError as error:
            raise StoppedEarly(f"{error}. What was committed is kept: pride resume {store.name}") from error
        if stop.interrupted:
            store.interrupt(stop.reason)
        return Ended(store.name, stop.reason, self.signals.received[0] if stop.interrupted else None)


@contextmanager
def _stage(name: str) -> Iterator[_Stage]:
    """Show the progress of the run of this name, and hear signals."""
    with ProgressDisplay(name) as display, hear_signals(display.note) as signals:
        yield _Stage(display, signals)


@contextmanager
def _reason_kept(store: RunStore, new: bool = False) -> Iterator[None]:
    """Have a run record why its session failed; a refusal leaves a run as it was, and of a new one nothing."""
    try:
        yield
    except (UsageError, RunConflict, workers.DeviceError):
        if new:
            store.discard()
        raise
    except UserError as error:
        with suppress(UserError):  # the disk may be full
            store.interrupt(error.sentence)
        raise


def _open_pool(
    config: Config, placement: Placement, arithmetic: workers.Arithmetic | None, note: Callable[[str], None]
) -> workers.Pool | ReusingPool:
    """Open the pool for a search, which answers what earlier runs know, if the placement names some."""
    lazy = config.rounds[0].islands > 1  # islands may have workers of their own
    try:
        pool = make_pool(placement, config.tasks, config.deadline_seconds, note, lazy, arithmetic)
    except workers.PoolError as error:
        raise (UsageError if placement.address else StoppedEarly)(str(error)) from error
    if not placement.reuse:
        return pool
    try:
        measured = None if placement.other_arithmetic else pool.arithmetic()
        return ReusingPool(pool, runs_folder(), placement.reuse, config, trained_by(config, pool), measured)
    except BaseException:
        pool.close()
        raise


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
        return workers.SerialPool(deadline_s=deadline_seconds, on_event=on_event)
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
