"""The results of the programs that were proposed already: about 150 bytes of memory for each, without its text."""

from array import array
from dataclasses import dataclass

import workers

_STATUSES = tuple(workers.Status)
_UNSETTLED = len(_STATUSES)
_PREFIX = 32  # of a key's 64 hexadecimal digits: two of 10^10 keys share them with a chance of 10^-19


@dataclass(frozen=True)
class Known:
    """The result of the first proposal with a key.

    Attributes:
        index: The index of its outcome.
        status: The status of its outcome.
        score: The score of its outcome.
        program: The text of the resulting program, if it may differ from the proposed one; else empty.
    """

    index: int
    status: workers.Status
    score: float
    program: str


class KnownKeys:
    """The keys of all proposals, each with the result of the first proposal that had it."""

    def __init__(self, keep_programs: bool):
        """Begin with no keys.

        Args:
            keep_programs: Whether a resulting program may differ from the proposed one, so that it must be kept.
        """
        self._places: dict[bytes, int] = {}
        self._indexes = array("q")
        self._scores = array("d")
        self._statuses = bytearray()
        self._programs: list[str] | None = [] if keep_programs else None

    def __len__(self) -> int:
        """Return the number of keys, which is that of the proposals that have to be trained."""
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return _prefix(key) in self._places

    def add(self, key: str) -> None:
        """Record a key that was proposed for the first time."""
        self._places[_prefix(key)] = len(self._places)
        self._indexes.append(-1)
        self._scores.append(0.0)
        self._statuses.append(_UNSETTLED)
        if self._programs is not None:
            self._programs.append("")

    def settle(self, key: str, index: int, status: workers.Status, score: float, program: str) -> None:
        """Record the outcome of the first proposal with a key."""
        place = self._places[_prefix(key)]
        self._indexes[place] = index
        self._scores[place] = score
        self._statuses[place] = _STATUSES.index(status)
        if self._programs is not None:
            self._programs[place] = program

    def get(self, key: str) -> Known | None:
        """Return the result for a key that was added; None while its proposal is under way."""
        place = self._places[_prefix(key)]
        if self._statuses[place] == _UNSETTLED:
            return None
        program = "" if self._programs is None else self._programs[place]
        return Known(self._indexes[place], _STATUSES[self._statuses[place]], self._scores[place], program)


def _prefix(key: str) -> bytes:
    return key[:_PREFIX].encode()
