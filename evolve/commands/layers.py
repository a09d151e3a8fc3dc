"""Transformations in a PROGRAM argument: `lookahead:adamw`, `lookahead,k=10,alpha=0.8:RUN:best`."""

import re
from dataclasses import dataclass

import programs
from evolve.errors import UsageError

_LAYER = re.compile(
    r"(?P<text>(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:,(?P<settings>[^:]*))?)(?::(?P<of>.*))?", re.DOTALL
)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_LONGEST_SHOWN = 80  # letters of a wrong name


@dataclass(frozen=True)
class Layer:
    """A transformation as people write it, with all of its parameters."""

    text: str
    transformation: programs.Transformation
    settings: dict[str, float]

    def __str__(self) -> str:
        """Return the name and all parameters, those with default values too."""
        settings = ", ".join(f"{name} = {value!r}".removesuffix(".0") for name, value in self.settings.items())
        return self.transformation.name + (f" ({settings})" if settings else "")

    def apply(self, program: programs.Program) -> programs.Program:
        """Transform a program.

        Raises:
            ProgramError: If the result is too long.
        """
        return self.transformation.function(program, **self.settings)


def split_layer(reference: str) -> tuple[Layer, str] | None:
    """Split a reference into its outermost transformation and what that transforms.

    Returns:
        Both; None if the reference does not have the form of a transformed program.

    Raises:
        UsageError: If it has that form, but there is no such transformation or setting, or nothing to transform.
    """
    match = _LAYER.fullmatch(reference)
    if match is None:
        return None
    text, name, of = match["text"], match["name"], match["of"]
    transformation = programs.TRANSFORMATIONS.get(name)
    if transformation is None:
        if of is None:
            return None
        raise UsageError(
            f"there is no transformation and no run called '{name[:_LONGEST_SHOWN]}'"
            f"{programs.did_you_mean(name, programs.TRANSFORMATIONS)}; "
            "`pride show --help` lists the transformations, `pride list` the runs"
        )
    if not of:
        raise UsageError(f"'{reference}' names no program to transform; right would be {text}:adamw")
    return Layer(text, transformation, _read_settings(text, transformation, match["settings"])), of


def _read_settings(text: str, transformation: programs.Transformation, given: str | None) -> dict[str, float]:
    parameters = {parameter.name: parameter for parameter in transformation.parameters}
    settings = {name: parameter.default for name, parameter in parameters.items()}
    seen: set[str] = set()
    for setting in [] if given is None else given.split(","):
        name, _, value = setting.partition("=")
        if name not in parameters:
            known = f"its settings are {', '.join(parameters)}" if parameters else "it has no settings"
            hint = programs.did_you_mean(name, parameters)
            raise UsageError(f"{text}: {transformation.name} has no setting '{name}'{hint}; {known}")
        if name in seen:
            raise UsageError(f"{text}: {name} is given twice")
        seen.add(name)
        try:
            settings[name] = parameters[name].check(float(value) if _NUMBER.fullmatch(value) else value)
        except programs.ProgramError as error:
            raise UsageError(f"{text}: {error}") from None
    return settings
