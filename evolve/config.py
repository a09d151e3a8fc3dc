"""The config of a search: YAML in, one frozen, checked record out.

Reading is strict, since a typing slip here costs a whole search: an unknown or doubled setting, and
a value of another type or out of range, are errors, all of them reported at once. YAML is read as
YAML 1.2 has it (`1e-3` is a number, `on` is text), and without aliases, anchors and tags.
"""

import difflib
import importlib.resources
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import pydantic
import yaml

from evolve.errors import UsageError

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 8
FREE_TO_CHANGE: Final = frozenset({"budget", "deadline_seconds", "finalists", "fresh_rng_seeds", "compare"})
"""Settings that may differ when a run is resumed: no committed outcome depends on them."""

_Path = tuple[str | int, ...]


def _alternatives(name: str, known: Collection[str]) -> str:
    """Says what could have been written instead of `name`."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    return f"right would be one of {', '.join(sorted(known)) or 'none at all'}{hint}"


def _known(kind: str) -> pydantic.AfterValidator:
    """Checks a name against the known names of that kind, where the caller gave them."""

    def check(name: str, info: pydantic.ValidationInfo) -> str:
        known = (info.context or {}).get(kind)
        if known is not None and name not in known and not name.endswith((".yaml", ".yml")):
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

    @pydantic.model_validator(mode="after")
    def _some(self) -> "Mutations":
        if self.insert + self.delete + self.modify + self.constants <= 0:
            raise ValueError("right would be at least one weight above 0")
        return self


class Limits(_Settings):
    """How large a program may grow; a mutation that would pass a limit is not tried."""

    statements: int = _setting("a whole number from 1 to 256: the most statements of a program", 40, ge=1, le=256)


class Budget(_Settings):
    """When the search ends: at whichever of these comes first."""

    candidates: int | None = _setting(
        "a whole number, 1 or more: programs put forward, known ones included",
        None,
        ge=1,
        le=10**12,
    )
    trained: int | None = _setting("a whole number, 1 or more: programs trained", None, ge=1, le=10**12)
    seconds: float | None = _setting("a number above 0: seconds of search", None, gt=0)

    @pydantic.model_validator(mode="after")
    def _some(self) -> "Budget":
        if self.candidates is None and self.trained is None and self.seconds is None:
            raise ValueError("right would be at least one of candidates, trained and seconds")
        return self


class Config(_Settings):
    """A search's settings. What each means and may be stands in its description."""

    tasks: Annotated[tuple[_Task, ...], _Listed, _EachOnce, _Some] = _setting(
        "the name of a suite, or a list of 1 to 100 names of tasks: what programs are scored on",
        max_length=100,
    )
    budget: Budget = _setting("a group with candidates, trained or seconds: when the search ends")
    rng_seed: int = _setting("a whole number from 0 to 4294967295: the search's random numbers", 0, ge=0, le=2**32 - 1)
    rng_seeds: int = _setting("a whole number from 1 to 1000: trainings per task in each score", 3, ge=1, le=1000)
    start: _Program = _setting("a seed program's name: what fills the first population", "adamw")
    compare: Annotated[tuple[_Program, ...], _Listed, _EachOnce] = _setting(
        "a list of up to 100 names of seed programs: what is shown beside the result",
        ("adamw", "lion", "sgd", "momentum"),
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
    mutations: Mutations = _setting("a group with insert, delete, modify and constants: their weights", Mutations())
    limits: Limits = _setting("a group with statements: how large programs may be", Limits())
    finalists: int = _setting("a whole number from 1 to 1000: how many of the best are scored again", 5, ge=1, le=1000)
    fresh_rng_seeds: int = _setting(
        "a whole number from 1 to 1000: trainings per task in a finalist's second score",
        5,
        ge=1,
        le=1000,
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


class _Loader(yaml.SafeLoader):
    """Composes YAML 1.2's scalars, and refuses aliases, anchors, tags and deep nesting."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 - PyYAML's own protocol
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse("aliases and anchors are not taken; write the value out", event)
        if getattr(event, "tag", None) is not None:
            self._refuse("tags (`!name`) are not taken; write the value alone", event)
        if self.depth >= MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, problem: str, event: Any) -> None:
        raise yaml.MarkedYAMLError(None, None, problem, event.start_mark)


_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_SCALARS: Final = (
    ("tag:yaml.org,2002:null", r"^(~|null|Null|NULL|)$", lambda text: None),
    (
        "tag:yaml.org,2002:bool",
        r"^(true|True|TRUE|false|False|FALSE)$",
        lambda text: text in ("true", "True", "TRUE"),
    ),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]{1,18}$", int),
    (
        "tag:yaml.org,2002:float",
        rf"^({_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        lambda text: float(re.sub(r"\.(?=[iInN])", "", text)),
    ),
)
_READ: Final = {tag: read for tag, _, read in _SCALARS}
for _tag, _pattern, _ in _SCALARS:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), None)


class _Dumper(yaml.SafeDumper):
    """Quotes exactly the text that `_Loader` would read as something else."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


@dataclass
class _Reading:
    """What has been read so far: where each value came from, and what was wrong with it."""

    origins: dict[_Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def where(self, path: _Path) -> str:
        """Names a place for people: `budget.seconds (line 7)` or `--set budget.seconds`."""
        while path and isinstance(path[-1], int) and path not in self.origins:
            path = path[:-1]
        dotted = _dotted(path)
        above = (path[:length] for length in range(len(path), 0, -1))
        origin = next((self.origins[p] for p in above if p in self.origins), None)
        if origin == "--set":
            return f"--set {dotted}"
        return f"{dotted} ({origin})" if origin else dotted

    def plain(self, node: yaml.Node, path: _Path, origin: str | None = None) -> Any:
        """Turns a node into dicts, tuples and scalars; `origin` stands in for line numbers."""
        self.origins[path] = origin or f"line {node.start_mark.line + 1}"
        if isinstance(node, yaml.ScalarNode):
            return _READ.get(node.tag, str)(node.value)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.plain(n, (*path, i), origin) for i, n in enumerate(node.value))
        assert isinstance(node, yaml.MappingNode)
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = f"line {key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(f"{line}: got a list or a group; right would be a setting's name")
            elif key.value in values:
                first = self.where((*path, key.value))
                dotted = _dotted((*path, key.value))
                self.problems.append(f"{dotted} ({line}): got it again, after {first}; right would be once")
            else:
                values[key.value] = self.plain(value, (*path, key.value), origin)
                self.origins[(*path, key.value)] = origin or line
        return values


def _dotted(path: _Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".").encode("ascii", "backslashreplace").decode()


def _compose(text: str, name: str) -> yaml.Node | None:
    """Composes one YAML document.

    Raises:
        UsageError: The text is no YAML, or YAML of a sort that a config does not need.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise UsageError(f"{name}{line}: {said}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{name} (line {line}): a character that YAML does not take") from None


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
        raise UsageError(
            f"{_shown(source)} is no config file and no preset; "
            f"{_alternatives(source, presets())}, or the path of a YAML file"
        )
    try:
        with open(source, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the config {source}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"the config {source} is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{source} (line {line}): this is not UTF-8 text") from None


def load_config(
    source: str,
    overrides: Sequence[str] = (),
    *,
    known_tasks: Collection[str] | None = None,
    known_programs: Collection[str] | None = None,
) -> Config:
    """Reads a config and checks all of it.

    Args:
        source: A path of a YAML file, or, where no such file is, a preset's name.
        overrides: Settings such as `budget.candidates=100`, read as YAML; the last of a name holds.
        known_tasks: Names that `tasks` may hold, of tasks and suites; None checks no names.
        known_programs: Names that `start` and `compare` may hold; None checks no names.

    Raises:
        UsageError: With one line for each thing that is wrong, in the file and in the overrides.
    """
    reading = _Reading()
    node = _compose(config_text(source), source)
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"the config {source} {'is no group of settings' if node else 'is empty'}")
    values = reading.plain(node, ())
    for override in overrides:
        _override(values, override, reading)
    context = {"tasks": known_tasks, "programs": known_programs}
    config = None
    try:
        config = Config.model_validate(values, context=context)
    except pydantic.ValidationError as invalid:
        reading.problems.extend(_problem(dict(error), reading) for error in invalid.errors())
    if config is None or reading.problems:
        count = len(reading.problems)
        raise UsageError(
            f"{count} {'settings are' if count > 1 else 'setting is'} wrong in {source}:",
            reading.problems,
        )
    return config


def _override(values: dict[str, Any], override: str, reading: _Reading) -> None:
    """Puts `name.of.setting=value` into the values read from the file."""
    dotted, equals, text = override.partition("=")
    *groups, name = path = tuple(dotted.split("."))
    if not equals or not all(path) or len(path) > MAX_DEPTH or len(text) > MAX_BYTES:
        reading.problems.append(f"--set {_shown(override)}: right would be name=value, such as population=50")
        return
    try:
        node = _compose(text, f"--set {dotted}")
    except UsageError as error:
        reading.problems.append(error.sentence)
        return
    for depth, group in enumerate(groups, 1):
        if not isinstance(values.get(group), dict):
            values[group] = {}
            reading.origins[path[:depth]] = "--set"
        values = values[group]
    for old in [old for old in reading.origins if old[: len(path)] == path]:
        del reading.origins[old]
    reading.origins[path] = "--set"
    values[name] = None if node is None else reading.plain(node, path, "--set")


def _problem(error: dict[str, Any], reading: _Reading) -> str:
    """One line for one of pydantic's errors: where; what was got; what would be right."""
    path: _Path = error["loc"]
    where = reading.where(path)
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such setting; {_settings_like(path)}"
    if error["type"] == "missing":
        return f"{where}: got nothing; right would be {_description(path)}"
    right = f"right would be {_description(path)}"
    if error["type"] == "value_error":
        right = str(error["ctx"]["error"])
    return f"{where}: got {_shown(error['input'])}; {right}"


def _group(path: _Path) -> type[pydantic.BaseModel]:
    """The settings that the group at `path` holds."""
    group: Any = Config
    for part in path:
        group = group.model_fields[part].annotation
    return group


def _description(path: _Path) -> str:
    names = [part for part in path if isinstance(part, str)]
    return _group(tuple(names[:-1])).model_fields[names[-1]].description or ""


def _settings_like(path: _Path) -> str:
    """Names the settings of the group, or the one of this name in another group."""
    name = str(path[-1])
    elsewhere = [n for n, _ in _leaves(_EXAMPLE.model_dump()) if n.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return _alternatives(name, list(_group(path[:-1]).model_fields))


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def to_yaml(config: Config) -> str:
    """The config with every setting written out; reading it back gives an equal config."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False)


def difference(old: Config, new: Config, ignoring: Collection[str] = ()) -> list[str]:
    """One line for each setting that differs, such as `population: 40, now 50`.

    Args:
        old: The config that the run was made with.
        new: The config asked for now.
        ignoring: Top-level settings that may differ, such as `FREE_TO_CHANGE`.
    """
    pairs = zip(_leaves(old.model_dump()), _leaves(new.model_dump()), strict=True)
    return [
        f"{name}: {_shown(before)}, now {_shown(after)}"
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
