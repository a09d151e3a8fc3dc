"""Tables with an entry for every function, which are checked against the function table when they are loaded."""

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from programs.functions import FUNCTIONS

_Entry = TypeVar("_Entry")


def of_every_function(table: Mapping[str, _Entry], name: str, meaning: str) -> Mapping[str, _Entry]:
    """Return a table unchanged after checking that it has exactly the functions of the language.

    Args:
        table: The table, by function.
        name: The name of the table, and its file.
        meaning: What an entry of the table is, such as "a Sign".

    Raises:
        ValueError: If a function has no entry, or an entry has no function.
    """
    for function in FUNCTIONS:
        if function not in table:
            raise ValueError(f"the function '{function}' has no entry in {name}: right would be {meaning}")
    for function in table:
        if function not in FUNCTIONS:
            raise ValueError(f"{name} has an entry for '{function}', which is not a function of programs/functions.py")
    return table


def with_definitions(texts: Mapping[str, str], definitions: Collection[str], name: str) -> Mapping[str, str]:
    """Return the texts of functions unchanged after checking that every function they call is defined.

    Args:
        texts: By function, an expression that may call functions that a module defines, such as ``_clip``.
        definitions: The functions that a module can define, by name without the underscore.
        name: The name of the table of definitions, and its file.

    Raises:
        ValueError: If the text of a function calls a function that no entry defines.
    """
    for function, text in texts.items():
        for called in re.findall(r"(?<![\w.])_(\w+)\(", text):
            if called not in definitions:
                raise ValueError(
                    f"the function '{function}' is written as {text}, but {name} does not define _{called}"
                )
    return texts
