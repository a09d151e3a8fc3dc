"""The config of a search: one frozen, checked record. Each setting's description says what it means and may be."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import pydantic

import programs

SUITE_FILES: Final = (".yaml", ".yml")
"""The endings of suite files, whose paths `tasks` may hold beside names."""
FREE_TO_CHANGE: Final = frozenset({"budget", "deadline_seconds", "finalists", "fresh_rng_seeds", "compare"})
"""Settings that may differ when a run is resumed: trainings that ended in time do not depend on them."""


def alternatives(name: str, known: Collection[str]) -> str:
    """Return what could have been written instead of `name`, for an error message."""
    names = sorted(known)
    return f"right would be one of {', '.join(names) or 'none at all'}{programs.did_you_mean(name, names)}"


def _known(kind: str) -> pydantic.AfterValidator:
    """Return a validator that checks a name against the known names of a kind, if the caller gave them."""

    def check(name: str, info: pydantic.ValidationInfo) -> str:
        known = (info.context or {}).get(kind)
        is_file = kind == "tasks" and name.endswith(SUITE_FILES)
        if known is not None and name not in known and not is_file:
            raise ValueError(alternatives(name, known))
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
_Some = pydantic.AfterValidator(_some_names)  # `min_length` would not count wrong names


def _in_turn(rounds: tuple["Round", ...]) -> tuple["Round", ...]:
    if not rounds or rounds[0].start != "initial" or any(each.candidates is None for each in rounds[:-1]):
        raise ValueError(
            "right would be one round or more, the first with start: initial, all but the last with candidates"
        )
    return rounds


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _setting(right: str, default: Any = ..., **limits: Any) -> Any:
    """Return a setting whose description, which errors show, says what is right and what the setting is for."""
    return pydantic.Field(default, description=right, **limits)


CROSSOVER: Final = "crossover"
"""The one mutation that has two parents, and so is no edit of one program."""

MUTATIONS: Final[Mapping[str, str]] = {
    **{name: edit.summary for name, edit in programs.EDITS.items()},
    CROSSOVER: "join the beginning of one parent to the end of another",
}
"""Every mutation by name, with what it does."""

_USUAL_MUTATIONS: Final = ("insert", "delete", "modify", "constants")


class _Weights(_Settings):
    @pydantic.model_validator(mode="after")
    def _some(self) -> "_Weights":
        if sum(self.model_dump().values()) <= 0:
            raise ValueError("right would be at least one weight above 0")
        return self


if TYPE_CHECKING:

    class Mutations(_Weights):
        """How often each mutation is made, as weights relative to each other."""

        def __init__(self, **weights: float) -> None: ...

else:
    Mutations = pydantic.create_model(
        "Mutations",
        __base__=_Weights,
        __doc__="How often each mutation is made, as weights relative to each other.",
        **{
            name: (
                float,
                _setting(
                    f"a number from 0 to 1000000: how often, relative to the others, to {summary}",
                    1.0 if name in _USUAL_MUTATIONS else 0.0,
                    ge=0,
                    le=1_000_000,
                ),
            )
            for name, summary in MUTATIONS.items()
        },
    )


class ProgramLimits(_Settings):
    """What a program may become; a mutation that would exceed a limit is not tried."""

    statements: int = _setting("a whole number from 1 to 256: the most statements of a program", 40, ge=1, le=256)
    state: int = _setting("a whole number from 0 to 64: the most state variables of a program", 4, ge=0, le=64)
    constant: float = _setting("a number above 0: the largest magnitude of a number that a mutation makes", 1e6, gt=0)
    functions: Literal["paper", "all"] = _setting(
        "paper or all: whether mutations insert only functions of the paper's language, or the extensions too",
        "paper",
    )


class Budget(_Settings):
    """When the search ends: at whichever of these comes first."""

    candidates: int | None = _setting(
        "a whole number, 1 or more: programs put forward, known ones included", None, ge=1, le=10**12
    )
    trained: int | None = _setting(
        "a whole number, 1 or more: programs trained, each setting of constants counted", None, ge=1, le=10**12
    )
    seconds: float | None = _setting("a number above 0: seconds of search, summed over all sessions", None, gt=0)
    accelerator_seconds: float | None = _setting(
        "a number above 0: seconds of training, summed over all workers", None, gt=0
    )
    target_score: float | None = _setting("a number: the score that is good enough", None)

    @pydantic.model_validator(mode="after")
    def _some(self) -> "Budget":
        if all(value is None for value in self.model_dump().values()):
            raise ValueError(f"right would be at least one of {', '.join(Budget.model_fields)}")
        return self


class Round(_Settings):
    """A part of a search: islands that begin with one program and evolve separately."""

    islands: int = _setting("a whole number from 1 to 10000: populations that evolve separately", 1, ge=1, le=10_000)
    start: Literal["initial", "best"] = _setting(
        "initial or best: whether islands begin with the search's start program or with the best so far", "initial"
    )
    candidates: int | None = _setting(
        "a whole number, 1 or more, or null in the last round: candidates per island", None, ge=1, le=10**12
    )
    migrate_every: int | None = _setting(
        "a whole number, 1 or more, or null for never: candidates of an island between two migrants to it",
        None,
        ge=1,
        le=10**12,
    )

    @pydantic.field_validator("migrate_every")
    @classmethod
    def _from_another(cls, every: int | None, info: pydantic.ValidationInfo) -> int | None:
        if every is not None and info.data.get("islands") == 1:
            raise ValueError("right would be null, since a single island has no other to exchange with")
        return every


class Config(_Settings):
    """A search's settings. Each setting's description says what it means and may be."""

    tasks: Annotated[tuple[_Task, ...], _Listed, _EachOnce, _Some] = _setting(
        "the name or YAML file of a suite, or a list of 1 to 100 names of tasks: what programs are scored on",
        max_length=100,
    )
    budget: Budget = _setting(f"a group with any of {', '.join(Budget.model_fields)}: when the search ends")
    rng_seed: int = _setting("a whole number from 0 to 200000: the search's random numbers", 0, ge=0, le=200_000)
    rng_seeds: int = _setting("a whole number from 1 to 1000: trainings per task in each score", 3, ge=1, le=1000)
    start: _Program = _setting("a seed program's name: what fills the first population", "adamw")
    compare: Annotated[tuple[_Program, ...], _Listed, _EachOnce] = _setting(
        "a list of up to 100 names of seed programs: what is shown beside the result",
        ("adamw", "lion", "sgd", "momentum"),
        max_length=100,
    )
    mode: Literal["evolution", "random", "constants"] = _setting(
        "evolution, random or constants: whether parents are selected by score, are the start program whatever the "
        "score, or are selected by score while only constants are edited",
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
        "bit for bit, or as they arrive, so that no worker waits for a slow one",
        "strict",
    )
    mutations: Mutations = _setting(
        f"a group with {', '.join(MUTATIONS)}, any of them: their weights",
        Mutations(),
    )
    adaptive: bool = _setting(
        "true or false: whether mutations that made better programs recently are tried more often", False
    )
    settings: int = _setting(
        "a whole number from 1 to 256: settings of the constants that each candidate is trained with; the best is kept",
        1,
        ge=1,
        le=256,
    )
    limits: ProgramLimits = _setting(
        "a group with statements, state, constant and functions: what programs may become", ProgramLimits()
    )
    hurdle: float | None = _setting(
        "a number, or null for none: the score on a task below which a candidate is not trained on the tasks after it",
        None,
    )
    finalists: int = _setting("a whole number from 1 to 1000: how many of the best are scored again", 5, ge=1, le=1000)
    fresh_rng_seeds: int = _setting(
        "a whole number from 1 to 1000: trainings per task in a finalist's second score", 5, ge=1, le=1000
    )
    deadline_seconds: float = _setting(
        "a number above 0: seconds after which a candidate's training is given up; --pool serial, which cannot stop "
        "it, lets it end and then drops its result",
        60.0,
        gt=0,
    )

    @pydantic.field_validator("tournament")
    @classmethod
    def _fits(cls, tournament: int, info: pydantic.ValidationInfo) -> int:
        population = info.data.get("population")
        if population is not None and tournament > population:
            raise ValueError(f"right would be at most the population, {population}")
        return tournament
