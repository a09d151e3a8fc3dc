"""Configs as files: YAML in, a checked record out, and back.

Reading is strict, since a typo here costs a whole search: an unknown or repeated setting, and
a value of another type or out of range, are errors, all of them reported at once.
"""

import importlib.resources
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, get_args, get_origin

import pydantic

import programs
from evolve.config import strict_yaml
from evolve.config.settings import Budget, Config, alternatives
from evolve.config.strict_yaml import Document, Place, shown
from evolve.errors import UsageError


def presets() -> tuple[str, ...]:
    """Return the names of the configs that come with Pride."""
    files = importlib.resources.files("evolve.config").joinpath("presets").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def config_text(source: str) -> str:
    """Return the text of a config as given.

    Args:
        source: The path of a YAML file or, if there is no such file, a preset's name.

    Raises:
        UsageError: If there is no such file or preset, or the file cannot be read as text.
    """
    if source in presets() and not os.path.isfile(source):
        preset = importlib.resources.files("evolve.config").joinpath("presets", f"{source}.yaml")
        return preset.read_text(encoding="utf-8")
    if not os.path.exists(source):
        known = presets()
        raise UsageError(
            f"{shown(source)} is neither a config file nor a preset{programs.did_you_mean(source, known)}; "
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
    """Read a config and check all of it.

    Args:
        source: The path of a YAML file or, if there is no such file, a preset's name.
        overrides: Settings such as `budget.candidates=100`, read as YAML; of several with one name the last holds.
        known_tasks: Names that `tasks` may hold, of tasks and suites; None to check no names.
        known_programs: Names that `start` and `compare` may hold; None to check no names.

    Raises:
        UsageError: If anything is wrong, with one line for each fault in the file and in the overrides.
    """
    document = strict_yaml.parse(config_text(source), source)
    if not isinstance(document.value, dict):
        fault = "is empty" if document.value is None else "is not a group of settings"
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
    """Set `name.of.setting=value` in the document that was read from the file."""
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
    """Return one line for one of pydantic's errors: the place, what was got, and what would be right."""
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
    """Return the class of the group at `place`, whose fields are its settings."""
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
    """Return a hint: the settings of the group, or the setting of this name in another group."""
    name = str(place[-1])
    elsewhere = [n for n, _ in _leaves(_EXAMPLE.model_dump()) if n.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return alternatives(name, list(_group(place[:-1]).model_fields))


def to_yaml(config: Config) -> str:
    """Return the config as YAML with every setting written out; reading it back gives an equal config."""
    return strict_yaml.dump(config.model_dump(mode="json"))


def difference(old: Config, new: Config, ignoring: Collection[str] = ()) -> list[str]:
    """Return one line for each setting that differs, such as `population: 40, now 50`.

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
