"""The settings of a config as a table for the pages: `python -m evolve.config.table` prints it."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pydantic
from pydantic_core import PydanticUndefined

from evolve.config.settings import Config


def setting_rows() -> Iterator[tuple[str, str, str]]:
    """Yield every setting of a config: its name, as in `--set`, its default, and what it may be and is for."""
    yield from _rows(Config, "")


def config_reference() -> str:
    """Return the settings as a Markdown table, one per line."""
    lines = ["| setting | default | what it may be: what it is for |", "|---|---|---|"]
    return "\n".join(
        [*lines, *(f"| `{name}` | {default} | {sentence} |" for name, default, sentence in setting_rows())]
    )


def _rows(group: type[pydantic.BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in group.model_fields.items():
        below = _group_of(field.annotation)
        default = "" if below else _shown(field.default)
        yield prefix + name, default, field.description or ""
        if below:
            yield from _rows(below, f"{prefix}{name}.")


def _group_of(annotation: Any) -> type[pydantic.BaseModel] | None:
    """Return the group of settings that a setting holds, alone or in a list; None for a plain value."""
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    return inner if isinstance(inner, type) and issubclass(inner, pydantic.BaseModel) else None


def _shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "must be given"
    if default is None:
        return "`null`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    print(config_reference())
