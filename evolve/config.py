"""The config of a search: YAML in, one frozen, checked record out.

Reading is strict, since a typing slip here costs a whole search: an unknown or doubled setting, and
a value of another type or out of range, are errors, all of them reported at once.
"""

import importlib.resources
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import pydantic

import programs
from evolve import strict_yaml
from evolve.errors import UsageError
from evolve.strict_yaml import Document, Place, shown

SUITE_FILES: Final = (".yaml", ".yml")
"""How the paths of suite files end, which `tasks` may hold beside names."""
FREE_TO_CHANGE: Final = frozenset({"budget", "deadline_seconds", "finalists", "fresh_rng_seeds", "compare"})
"""Settings that may differ when a run is resumed: what was trained in time does not depend on them."""


def _alternatives(name: str, known: Collection[str]) -> str:
    """Say what could have been written instead of `name`."""
    names = sorted(known)
    return f"right would be one of {', '.join(names) or 'none at all'}{programs.did_you_mean(name, names)}"


def _known(kind: str) -> pydantic.AfterValidator:
    """Check a name against the known names of that kind, where the caller gave them."""

    def check(name: str, info: pydantic.ValidationInfo) -> str:
        known = (info.context or {}).get(kind)
        is_file = kind == "tasks" and name.endswith(SUITE_FILES)
        if known is not None and name not in known and not is_file:
            raise ValueError(_alternatives(name, known))
        return name

    return pydantic.AfterValidator(check)


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("right would be every name once")
    return names


def _some_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("right would be at least one name")
    return names


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Task = Annotated[str, _known("tasks")]
_Program = Annotated[str, _known("programs")]
_Listed = pydantic.BeforeValidator(_listed)
_EachOnce = pydantic.AfterValidator(_each_once)
_Some = pydantic.AfterValidator(_some_names)  # `min_length` would also count out wrong names


def _in_turn(rounds: tuple["Round", ...]) -> tuple["Round", ...]:
    if not rounds or rounds[0].start != "initial" or any(each.candidates is None for each in rounds[:-1]):
        raise ValueError(
            "right would be one round or more, the first with start: initial, all but the last with candidates"
        )
    return rounds


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _setting(right: str, default: Any = ..., **limits: Any) -> Any:
    """A setting whose description says what is right and what it is for; errors show it."""
    return pydantic.Field(default, description=right, **limits)


_WEIGHT: Final = "a number from 0 to 1000000: how often this mutation, against the others"


class Mutations(_Settings):
    """How often each kind of mutation is tried, as weights against each other."""

    insert: float = _setting(_WEIGHT, 1.0, ge=0, le=1_000_000)
    delete: float = _setting(_WEIGHT, 1.0, ge=0, le=1_000_000)
    modify: float = _setting(_WEIGHT, 1.0, ge=0, le=1_000_000)
    constants: float = _setting(_WEIGHT, 1.0, ge=0, le=1_000_000)
    add_state: float = _setting(_WEIGHT, 0.0, ge=0, le=1_000_000)
    remove_state: float = _setting(_WEIGHT, 0.0, ge=0, le=1_000_000)
    crossover: float = _setting(_WEIGHT, 0.0, ge=0, le=1_000_000)

    @pydantic.model_validator(mode="after")
    def _some(self) -> "Mutations":
        if sum(self.model_dump().values()) <= 0:
            raise ValueError("right would be at least one weight above 0")
        return self


class Limits(_Settings):
    """What a program may become; a mutation that would pass a limit is not tried."""

    statements: int = _setting("a whole number from 1 to 256: the most statements of a program", 40, ge=1, le=256)
    state: int = _setting("a whole number from 0 to 64: the most state variables of a program", 4, ge=0, le=64)
    constant: float = _setting("a number above 0: the largest size of a number that a mutation makes", 1e6, gt=0)
    functions: Literal["paper", "all"] = _setting(
        "paper or all: the functions that mutations insert, those of the paper's language or the extensions, too",
        "paper",
    )


class Budget(_Settings):
    """When the search ends: at whichever of these comes first."""

    candidates: int | None = _setting(
        "a whole number, 1 or more: programs put forward, known ones included", None, ge=1, le=10**12
    )
    trained: int | None = _setting(
        "a whole number, 1 or more: programs trained, each setting of constants by itself", None, ge=1, le=10**12
    )
    seconds: float | None = _setting("a number above 0: seconds of search, of all sessions together", None, gt=0)
    accelerator_seconds: float | None = _setting(
        "a number above 0: seconds that workers spent with training, of all workers together", None, gt=0
    )
    target_score: float | None = _setting("a number: the score that is good enough", None)

    @pydantic.model_validator(mode="after")
    def _some(self) -> "Budget":
        if all(value is None for value in self.model_dump().values()):
            raise ValueError(f"right would be at least one of {', '.join(Budget.model_fields)}")
        return self


class Round(_Settings):
    """A part of a search: islands that begin with one program and evolve apart."""

    islands: int = _setting("a whole number from 1 to 10000: populations that evolve apart", 1, ge=1, le=10_000)
    start: Literal["initial", "best"] = _setting(
        "initial or best: whether it begins with the search's start program or with the best so far", "initial"
    )
    candidates: int | None = _setting(
        "a whole number, 1 or more, or null in the last round: candidates of each island", None, ge=1, le=10**12
    )
    migrate_every: int | None = _setting(
        "a whole number, 1 or more, or null for never: candidates of an island after which another's best comes to it",
        None,
        ge=1,
        le=10**12,
    )

    @pydantic.field_validator("migrate_every")
    @classmethod
    def _from_another(cls, every: int | None, info: pydantic.ValidationInfo) -> int | None:
        if every is not None and info.data.get("islands") == 1:
            raise ValueError("right would be null, since one island alone has nobody to exchange with")
        return every


class Config(_Settings):
    """A search's settings. What each means and may be stands in its description."""

    tasks: Annotated[tuple[_Task, ...], _Listed, _EachOnce, _Some] = _setting(
        "the name or YAML file of a suite, or a list of 1 to 100 names of tasks: what programs are scored on",
        max_length=100,
    )
    budget: Budget = _setting(f"a group with {', '.join(Budget.model_fields)}, any of them: when the search ends")
    rng_seed: int = _setting("a whole number from 0 to 200000: the search's random numbers", 0, ge=0, le=200_000)
    rng_seeds: int = _setting("a whole number from 1 to 1000: trainings per task in each score", 3, ge=1, le=1000)
    start: _Program = _setting("a seed program's name: what fills the first population", "adamw")
    compare: Annotated[tuple[_Program, ...], _Listed, _EachOnce] = _setting(
        "a list of up to 100 names of seed programs: what is shown beside the result",
        ("adamw", "lion", "sgd", "momentum"),
        max_length=100,
    )
    mode: Literal["evolution", "random", "constants"] = _setting(
        "evolution, random or constants: whether children are selected by score, are edits of the start program "
        "whatever the score, or differ in their constants alone",
        "evolution",
    )
    rounds: Annotated[tuple[Round, ...], pydantic.AfterValidator(_in_turn)] = _setting(
        "a list of 1 to 100 groups with islands, start, candidates and migrate_every: parts of the search, in turn",
        (Round(),),
        max_length=100,
    )
    population: int = _setting("a whole number from 2 to 100000: programs alive at a time", 40, ge=2, le=100_000)
    tournament: int = _setting("a whole number from 1 to the population: programs compared to choose a parent", 2, ge=1)
    window: int = _setting(
        "a whole number from 1 to 10000: proposals under way at once (changes what a search finds)",
        8,
        ge=1,
        le=10_000,
    )
    order: Literal["strict", "arrival"] = _setting(
        "strict or arrival: whether outcomes count in the order of the proposals, so that the search can be repeated "
        "to the last bit, or as they come, so that no worker waits for a slow one",
        "strict",
    )
    mutations: Mutations = _setting(
        "a group with insert, delete, modify, constants, add_state, remove_state and crossover: their weights",
        Mutations(),
    )
    adaptive: bool = _setting(
        "true or false: whether mutations that made better programs lately are made more often", False
    )
    settings: int = _setting(
        "a whole number from 1 to 256: settings of its constants that a candidate is trained with; the best is kept",
        1,
        ge=1,
        le=256,
    )
    limits: Limits = _setting(
        "a group with statements, state, constant and functions: what programs may become", Limits()
    )
    hurdle: float | None = _setting(
        "a number, or null for none: the score on a task below which a candidate is not trained on those after it",
        None,
    )
    finalists: int = _setting("a whole number from 1 to 1000: how many of the best are scored again", 5, ge=1, le=1000)
    fresh_rng_seeds: int = _setting(
        "a whole number from 1 to 1000: trainings per task in a finalist's second score", 5, ge=1, le=1000
    )
    deadline_seconds: float = _setting(
        "a number above 0: seconds after which a candidate's training is given up", 60.0, gt=0
    )

    @pydantic.field_validator("tournament")
    @classmethod
    def _fits(cls, tournament: int, info: pydantic.ValidationInfo) -> int:
        population = info.data.get("population")
        if population is not None and tournament > population:
            raise ValueError(f"right would be at most the population, {population}")
        return tournament


def presets() -> tuple[str, ...]:
    """The names of the configs that come with Pride."""
    files = importlib.resources.files("evolve").joinpath("presets").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def config_text(source: str) -> str:
    """The text of a config as given.

    Args:
        source: A path of a YAML file, or, where no such file is, a preset's name.

    Raises:
        UsageError: There is no such file or preset, or the file cannot be read as text.
    """
    if source in presets() and not os.path.isfile(source):
        preset = importlib.resources.files("evolve").joinpath("presets", f"{source}.yaml")
        return preset.read_text(encoding="utf-8")
    if not os.path.exists(source):
        known = presets()
        raise UsageError(
            f"{shown(source)} is no config file and no preset{programs.did_you_mean(source, known)}; "
            f"right would be one of {', '.join(known)}, or the path of a YAML file"
        )
    return strict_yaml.read_text(source)


def load_config(
    source: str,
    overrides: Sequence[str] = (),
    *,
    known_tasks: Collection[str] | None = None,
    known_programs: Collection[str] | None = None,
) -> Config:
    """Read a config and checks all of it.

    Args:
        source: A path of a YAML file, or, where no such file is, a preset's name.
        overrides: Settings such as `budget.candidates=100`, read as YAML; the last of a name holds.
        known_tasks: Names that `tasks` may hold, of tasks and suites; None checks no names.
        known_programs: Names that `start` and `compare` may hold; None checks no names.

    Raises:
        UsageError: With one line for each thing that is wrong, in the file and in the overrides.
    """
    document = strict_yaml.parse(config_text(source), source)
    if not isinstance(document.value, dict):
        fault = "is empty" if document.value is None else "is no group of settings"
        raise UsageError(f"the config {source} {fault}; right would be lines such as `tasks: smoke`")
    for override in overrides:
        _override(document, override)
    context = {"tasks": known_tasks, "programs": known_programs}
    config = None
    try:
        config = Config.model_validate(document.value, context=context)
    except pydantic.ValidationError as invalid:
        document.problems.extend(_problem(dict(error), document) for error in invalid.errors())
    if config is None or document.problems:
        count = len(document.problems)
        are = "settings are" if count > 1 else "setting is"
        raise UsageError(f"{count} {are} wrong in {source}:", document.problems)
    return config


def _override(document: Document, override: str) -> None:
    """Put `name.of.setting=value` into what was read from the file."""
    dotted, equals, text = override.partition("=")
    place = tuple(dotted.split("."))
    if not equals or not all(place) or len(place) > strict_yaml.MAX_DEPTH or len(text) > strict_yaml.MAX_BYTES:
        document.problems.append(f"--set {shown(override)}: right would be name=value, such as population=50")
        return
    try:
        document.put(place, text, "--set")
    except UsageError as error:
        document.problems.append(error.sentence)


def _problem(error: dict[str, Any], document: Document) -> str:
    """One line for one of pydantic's errors: where; what was got; what would be right."""
    place: Place = error["loc"]
    where = document.where(place)
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such setting; {_settings_like(place)}"
    if error["type"] == "missing":
        return f"{where}: got nothing; right would be {_description(place)}"
    right = f"right would be {_description(place)}"
    if error["type"] == "value_error":
        right = str(error["ctx"]["error"])
    return f"{where}: got {shown(error['input'])}; {right}"


def _group(place: Place) -> type[pydantic.BaseModel]:
    """The settings that the group at `place` holds."""
    group: Any = Config
    for part in place:
        if isinstance(part, str):
            group = group.model_fields[part].annotation
            group = get_args(group)[0] if get_origin(group) is tuple else group  # a list of groups
    return group


def _description(place: Place) -> str:
    names = [part for part in place if isinstance(part, str)]
    return _group(tuple(names[:-1])).model_fields[names[-1]].description or ""


def _settings_like(place: Place) -> str:
    """Name the settings of the group, or the one of this name in another group."""
    name = str(place[-1])
    elsewhere = [n for n, _ in _leaves(_EXAMPLE.model_dump()) if n.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return _alternatives(name, list(_group(place[:-1]).model_fields))


def to_yaml(config: Config) -> str:
    """The config with every setting written out; reading it back gives an equal config."""
    return strict_yaml.dump(config.model_dump(mode="json"))


def difference(old: Config, new: Config, ignoring: Collection[str] = ()) -> list[str]:
    """One line for each setting that differs, such as `population: 40, now 50`.

    Args:
        old: The config that the run was made with.
        new: The config asked for now.
        ignoring: Top-level settings that may differ, such as `FREE_TO_CHANGE`.
    """
    pairs = zip(_leaves(old.model_dump()), _leaves(new.model_dump()), strict=True)
    return [
        f"{name}: {shown(before)}, now {shown(after)}"
        for (name, before), (_, after) in pairs
        if before != after and name.partition(".")[0] not in ignoring
    ]


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


_EXAMPLE: Final = Config(tasks=("any",), budget=Budget(candidates=1))
