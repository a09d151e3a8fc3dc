"""What is known of the programs that were proposed already: a few bytes for each, however many there are."""

from array import array
from dataclasses import dataclass

import workers

_STATUSES = tuple(workers.Status)
_UNSETTLED = len(_STATUSES)
_PREFIX = 32  # hexadecimal digits of a key's 64: two of 10^10 keys are alike with a chance of 10^-19


@dataclass(frozen=True)
class Known:
    """What came of the first proposal with a key.

    Attributes:
        index: Its outcome's.
        status: Its outcome's.
        score: Its outcome's.
        program: The text that came out, where that may differ from what was proposed; else empty.
    """

    index: int
    status: workers.Status
    score: float
    program: str


class KnownKeys:
    """The keys of all proposals, each with what came of the first that had it."""

    def __init__(self, keep_programs: bool):
        """Begin with none.

        Args:
            keep_programs: Whether what comes out may differ from what was proposed, so that it must be kept.
        """
        self._places: dict[bytes, int] = {}
        self._indexes = array("q")
        self._scores = array("d")
        self._statuses = bytearray()
        self._programs: list[str] | None = [] if keep_programs else None

    def __len__(self) -> int:
        """The number of keys: of the proposals that have to be trained."""
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return _prefix(key) in self._places

    def add(self, key: str) -> None:
        """Take note of a key that was proposed for the first time."""
        self._places[_prefix(key)] = len(self._places)
        self._indexes.append(-1)
        self._scores.append(0.0)
        self._statuses.append(_UNSETTLED)
        if self._programs is not None:
            self._programs.append("")

    def settle(self, key: str, index: int, status: workers.Status, score: float, program: str) -> None:
        """Take note of what came of it."""
        place = self._places[_prefix(key)]
        self._indexes[place] = index
        self._scores[place] = score
        self._statuses[place] = _STATUSES.index(status)
        if self._programs is not None:
            self._programs[place] = program

    def get(self, key: str) -> Known | None:
        """Give what came of a key that was added; None while it is under way."""
        place = self._places[_prefix(key)]
        if self._statuses[place] == _UNSETTLED:
            return None
        program = "" if self._programs is None else self._programs[place]
        return Known(self._indexes[place], _STATUSES[self._statuses[place]], self._scores[place], program)


def _prefix(key: str) -> bytes:
    return key[:_PREFIX].encode()
