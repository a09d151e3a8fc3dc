"""Tables that say something of every function: checked against the function table as they are loaded."""

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from programs.functions import FUNCTIONS

_Entry = TypeVar("_Entry")


def of_every_function(table: Mapping[str, _Entry], name: str, meaning: str) -> Mapping[str, _Entry]:
    """Return a table by function as it is.

    Args:
        table: The table.
        name: What the table is called, and its file.
        meaning: What an entry says of a function.

    Raises:
        ValueError: If a function has no entry, or an entry is of no function.
    """
    for function in FUNCTIONS:
        if function not in table:
            raise ValueError(f"the function '{function}' has no entry in {name}: right would be {meaning}")
    for function in table:
        if function not in FUNCTIONS:
            raise ValueError(f"{name} has an entry for '{function}', which is no function of programs/functions.py")
    return table


def with_definitions(texts: Mapping[str, str], definitions: Collection[str], name: str) -> Mapping[str, str]:
    """Return the texts of functions as they are.

    Args:
        texts: By function, an expression that may call functions which a module defines, such as ``_clip``.
        definitions: What a module can define, by the name without its underscore.
        name: What the table of definitions is called, and its file.

    Raises:
        ValueError: If the text of a function calls what no entry defines.
    """
    for function, text in texts.items():
        for called in re.findall(r"(?<![\w.])_(\w+)\(", text):
            if called not in definitions:
                raise ValueError(
                    f"the function '{function}' is written as {text}, and {name} does not define _{called}"
                )
    return texts
