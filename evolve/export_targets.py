"""What `pride export` can write."""

from collections.abc import Callable, Mapping, Sequence

import programs

Export = Callable[[programs.Program, str, Sequence[str]], str]
"""Takes a program, a name, and lines on where the program comes from; gives the text."""

TARGETS: Mapping[str, Export] = {
    "optax": programs.export_optax,
    "torch": programs.export_torch,
    "keras": programs.export_keras,
}
