"""Errors that a user can meet: one exception per kind, each with the exit code of `pride`."""

from collections.abc import Sequence
from typing import ClassVar


class UserError(Exception):
    """An error that a user can fix. Shown as plain sentences, never as a traceback.

    Attributes:
        exit_code: The exit code of the command `pride`.
        sentence: What went wrong, and what to do about it.
        problems: The individual faults, if the sentence sums up several; may be empty.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, sentence: str, problems: Sequence[str] = ()):
        super().__init__(sentence, tuple(problems))
        self.sentence = sentence
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n  ".join((self.sentence, *self.problems))


class UsageError(UserError):
    """A wrong command line, an unknown name, or a wrong config."""

    exit_code = 2


class StoppedEarly(UserError):  # noqa: N818 - it says what happened, as the others do
    """The work could not continue, for example because the disk is full. What was committed is kept: resume."""

    exit_code = 3


class BadProgramOrData(UserError):  # noqa: N818
    """Program text, data, or a run folder that cannot be used."""

    exit_code = 4


class RunConflict(UserError):  # noqa: N818
    """The run exists already, is being written by another process, or is incompatible with this Pride or config."""

    exit_code = 5
