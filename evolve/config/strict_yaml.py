"""Strict reading of YAML: text in, plain values out, with the place of each for error messages.

Scalars are read as in YAML 1.2 (`1e-3` is a number, `on` is text). Aliases, anchors, tags, deep
nesting and long files are refused before any work; a key given twice is noted as a problem.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from evolve.errors import UsageError

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 8

Place = tuple[str | int, ...]
"""Keys and indexes from the top of a document down to a value."""


@dataclass
class Document:
    """What was read: the values, where each came from, and what was wrong.

    Attributes:
        value: Dicts, tuples and scalars; None if nothing is written.
        origins: The line of each value, from 1, or the name of the option that set it.
        problems: A line for each key that is given twice or is not a scalar.
    """

    value: Any = None
    origins: dict[Place, int | str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def where(self, place: Place) -> str:
        """Return the name of a place for people: `budget.seconds (line 7)` or `--set budget.seconds`."""
        while place and isinstance(place[-1], int) and place not in self.origins:
            place = place[:-1]
        above = (place[:length] for length in range(len(place), 0, -1))
        origin = next((self.origins[p] for p in above if p in self.origins), None)
        if isinstance(origin, str):
            return f"{origin} {_dotted(place)}"
        return f"{_dotted(place)} (line {origin})" if origin else _dotted(place)

    def put(self, place: tuple[str, ...], text: str, option: str) -> None:
        """Set a value of a document that is a group, as an option on the command line does.

        Args:
            place: The place of the value; missing groups are made.
            text: The value, in YAML.
            option: The option that sets it, such as `--set`.

        Raises:
            UsageError: If the text is not YAML, or uses YAML that is not supported.
        """
        node = _compose(text, f"{option} {_dotted(place)}")
        values = self.value
        for depth, group in enumerate(place[:-1], 1):
            if not isinstance(values.get(group), dict):
                values[group] = {}
                self.origins[place[:depth]] = option
            values = values[group]
        for old in [old for old in self.origins if old[: len(place)] == place]:
            del self.origins[old]
        self.origins[place] = option
        values[place[-1]] = None if node is None else self._plain(node, place, option)

    def _plain(self, node: yaml.Node, place: Place, option: str | None = None) -> Any:
        self.origins[place] = option or node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return _READ.get(node.tag, str)(node.value)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._plain(part, (*place, index), option) for index, part in enumerate(node.value))
        assert isinstance(node, yaml.MappingNode)
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(f"line {line}: got a list or a group; right would be a setting's name")
            elif key.value in values:
                again, first = _dotted((*place, key.value)), self.where((*place, key.value))
                self.problems.append(f"{again} (line {line}): got it again, after {first}; right would be once")
            else:
                values[key.value] = self._plain(value, (*place, key.value), option)
                self.origins[(*place, key.value)] = option or line
        return values


def read_text(path: str) -> str:
    """Return the text of a file of bounded size.

    Raises:
        UsageError: If the file cannot be read, is larger than `MAX_BYTES`, or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path} (line {line}): this is not UTF-8 text") from None


def parse(text: str, name: str) -> Document:
    """Read one YAML document.

    Args:
        text: The YAML.
        name: What people call its source, such as the file's path.

    Raises:
        UsageError: If the text is not YAML, or uses YAML that is not supported.
    """
    document = Document()
    node = _compose(text, name)
    if node is not None:
        document.value = document._plain(node, ())
    return document


def dump(values: Mapping[str, Any]) -> str:
    """Return YAML that `parse` reads back as these values; keys stay in order."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False)


def shown(value: Any) -> str:
    """Return a value as an error message shows it: on one line, and not too long."""
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Loader(yaml.SafeLoader):
    """A loader that composes YAML 1.2's scalars, and refuses aliases, anchors, tags and deep nesting."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 - PyYAML's own protocol
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse("aliases and anchors are not supported; write the value out", event)
        if getattr(event, "tag", None) is not None:
            self._refuse("tags (`!name`) are not supported; write the value alone", event)
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
    """A dumper that quotes exactly the text that `_Loader` would read as something else."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def _dotted(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".").encode("ascii", "backslashreplace").decode()


def _compose(text: str, name: str) -> yaml.Node | None:
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
        raise UsageError(f"{name} (line {line}): a character that YAML does not allow") from None
