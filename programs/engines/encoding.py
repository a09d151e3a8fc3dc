"""Programs as data: encoding a program as the arrays that the interpreter's machine runs.

Encoding does once what would otherwise cost time at every step of a training: dead statements are left out, literals
get slots in a bank of small values, a product of a tensor and a scalar becomes a factor in the operations that read it,
and registers are shared by values that are not needed at the same time. Results change by rounding only: operands are
multiplied by their factors before the operation.
"""

import functools
import heapq
import math
import operator
from typing import NamedTuple

import numpy as np

from programs.checking import check, live_statements
from programs.engines.operations import CODES, MAX_OPERANDS, TENSOR_OPERATIONS
from programs.functions import FUNCTIONS
from programs.kinds import PER_ARRAY, SCALAR, TENSOR, Function, Kind
from programs.program import Argument, Program

WEIGHTS, GRADIENT = 0, 1
"""The registers of the weights and the gradient; those of the state follow."""

ONE, RATE, STEP = 0, 1, 2
"""The slots of the number 1, of ``lr`` and of ``t``; those of the state follow."""


class Capacity(NamedTuple):
    """How large the programs of one compiled machine may be."""

    instructions: int
    registers: int  # tensors at a time; the last register takes values that are discarded
    slots: int  # small values: literals, scalars and per-array values; the last slot takes values that are discarded

    def __str__(self) -> str:
        """Return the capacity as people write it."""
        return f"{self.instructions} instructions, {self.registers} registers, {self.slots} slots"


CAPACITIES = (Capacity(64, 16, 96), Capacity(256, 64, 384))
"""The machines, smallest first: each is compiled once per task; a program too large for the last is compiled itself."""


class MachineCode(NamedTuple):
    """A program for the machine, as arrays; codes of equal capacity can be stacked.

    Attributes:
        instructions: The operation, three operands, the slots of their three factors and the target of each, int32
            (instructions, 8). Tensors are given by registers, small values by slots.
        length: The number of instructions in use, int32 ().
        bank: The small values at the start, float32 (slots,); zero if not known yet.
        update: The register of the update, int32 ().
        factor: The slot of the update's factor, int32 ().
    """

    instructions: np.ndarray
    length: np.ndarray
    bank: np.ndarray
    update: np.ndarray
    factor: np.ndarray

    @classmethod
    @functools.cache
    def empty(cls, capacity: Capacity) -> "MachineCode":
        """Return a code of the machine's size that does nothing; always the same arrays."""
        nothing = [CODES["copy", "S"], *[ONE] * (2 * MAX_OPERANDS), capacity.slots - 1]
        instructions = np.empty((capacity.instructions, len(nothing)), np.int32)
        instructions[:] = nothing
        return cls(instructions, _number(0), np.zeros(capacity.slots, np.float32), _number(0), _number(ONE))


def _number(value: int) -> np.ndarray:
    return np.array(value, np.int32)


class _Value(NamedTuple):
    """A value during encoding: its place, and the slot of a factor by which it is still to be multiplied."""

    kind: Kind
    place: int  # a tensor's number, from 0, in order of appearance; a small value's slot
    factor: int = ONE


_kind = operator.attrgetter("kind")


class _Instruction(NamedTuple):
    operation: int
    operands: tuple[_Value, ...]
    target: int


def encode(program: Program) -> tuple[Capacity, MachineCode] | None:
    """Encode a program for the smallest machine that it fits.

    Args:
        program: Any program; only its live statements are encoded.

    Returns:
        The machine's capacity and the code; None if the program fits no machine.

    Raises:
        ProgramError: If the program is not well formed.
    """
    encoder = _Encoder(program)
    registers = _allocate(encoder)
    used = Capacity(len(encoder.instructions), max(registers) + 2, len(encoder.bank) + 1)
    for capacity in CAPACITIES:
        if all(need <= limit for need, limit in zip(used, capacity, strict=True)):
            return capacity, _pack(encoder, registers, capacity)
    return None


class _Encoder:
    """Encodes one program."""

    def __init__(self, program: Program):
        facts = check(program)
        self.instructions: list[_Instruction] = []
        self.bank: list[float] = [1.0, 0.0, 0.0]
        self.slots: dict[tuple[float, float], int] = {(1.0, 1.0): ONE}  # of literals, by number and sign
        self.spreads: dict[_Value, _Value] = {}  # tensors made of small values
        self.tensors = 2  # the number of tensors so far
        self.homes: dict[int, int] = {}  # final value of a state variable -> its home, both as tensor numbers
        known = {
            "w": _Value(TENSOR, WEIGHTS),
            "g": _Value(TENSOR, GRADIENT),
            "lr": _Value(SCALAR, RATE),
            "t": _Value(SCALAR, STEP),
        }
        homes = {name: self._new(facts.state_kinds[name]) for name in facts.live_state}
        self.fixed = self.tensors  # tensors up to here have registers of their own
        known |= homes
        for statement, row, _, kind in live_statements(program):
            arguments = [self._argument(x, known) for x in statement.arguments]
            known[statement.target] = self._call(row, kind, arguments, statement.arguments)
        self.update = self._tensor(known[program.update])
        self._keep_state([(home, known[name]) for name, home in homes.items()])

    def _new(self, kind: Kind) -> _Value:
        if kind is TENSOR:
            self.tensors += 1
            return _Value(kind, self.tensors - 1)
        self.bank.append(0.0)
        return _Value(kind, len(self.bank) - 1)

    def _literal(self, number: float) -> _Value:
        key = (number, math.copysign(1.0, number))  # 0.0 equals -0.0
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = len(self.bank)
            self.bank.append(number)
        return _Value(SCALAR, slot)

    def _argument(self, argument: Argument, known: dict[str, _Value]) -> _Value:
        return known[argument] if isinstance(argument, str) else self._literal(argument)

    def _emit(self, function: str, kind: Kind, operands: list[_Value], sorts: str) -> _Value:
        target = self._new(kind)
        self.instructions.append(_Instruction(CODES[function, sorts], tuple(operands), target.place))
        return target

    def _call(self, row: Function, kind: Kind, arguments: list[_Value], written: tuple[Argument, ...]) -> _Value:
        function = row.name
        if not row.arity:
            return self._literal(row.body(np))
        if function == "interp":
            return self._interpolate(kind, arguments, written[2])
        if function == "copy":
            return arguments[0]
        if function == "negative" and kind is TENSOR and arguments[0].factor == ONE:
            return _Value(kind, arguments[0].place, self._literal(-1.0).place)
        if function == "multiply" and kind is TENSOR:
            small, tensor = sorted(arguments, key=_kind)
            if small.kind is SCALAR and tensor.factor == ONE:
                return _Value(kind, tensor.place, small.place)
        if not row.leafwise:
            places = [place for place in range(row.arity) if place not in row.scalar_places]
            joined = max(arguments[place].kind for place in places)
            arguments = [self._tensor(x) if joined is TENSOR and i in places else x for i, x in enumerate(arguments)]
            sorts = "".join("SPT"[joined] if i in places else "S" for i in range(row.arity))
            return self._emit(function, kind, arguments, sorts)
        kinds = [value.kind for value in arguments]
        if TENSOR in kinds and PER_ARRAY in kinds:
            arguments = [self._tensor(value) if value.kind is PER_ARRAY else value for value in arguments]
        sorts = "".join(["T" if value.kind is TENSOR else "S" for value in arguments])
        if row.commutative and sorts == "ST":
            arguments, sorts = arguments[::-1], "TS"
        return self._emit(function, kind, arguments, sorts)

    def _interpolate(self, kind: Kind, arguments: list[_Value], written: Argument) -> _Value:
        """Encode (1 - a) x + a y as a sum of operands with factors; if a is a literal, 1 - a is computed in float64."""
        x, y, a = arguments
        if isinstance(written, str):
            rest = self._emit("subtract", SCALAR, [self._literal(1.0), a], "SS")
        else:
            rest = self._literal(1.0 - written)
        terms = [_Value(value.kind, self._plain(value).place, part.place) for value, part in ((x, rest), (y, a))]
        return self._call(FUNCTIONS["add"], kind, terms, ())

    def _plain(self, value: _Value) -> _Value:
        """Multiply a value by its factor, if it has one."""
        return value if value.factor == ONE else self._emit("copy", value.kind, [value], "T")

    def _tensor(self, value: _Value) -> _Value:
        if value.kind is TENSOR:
            return value
        if value not in self.spreads:
            self.spreads[value] = self._emit("spread", TENSOR, [value], "S")
        return self.spreads[value]

    def _keep_state(self, finals: list[tuple[_Value, _Value]]) -> None:
        """Move the final value of every state variable to its home: written there directly if possible, else copied."""
        homes = {(home.kind is TENSOR, home.place) for home, _ in finals}
        # A home that the update or another variable still reads is copied before it is overwritten.
        if (True, self.update.place) in homes:
            self.update = self._emit("copy", TENSOR, [self.update], "T")
        if (False, self.update.factor) in homes:
            factor = self._emit("copy", SCALAR, [_Value(SCALAR, self.update.factor)], "S")
            self.update = self.update._replace(factor=factor.place)
        moves = []
        for home, final in sorted(finals, key=lambda pair: -pair[0].kind):  # tensors first: they may have factors
            sort = "T" if home.kind is TENSOR else "S"
            value = self._tensor(final) if sort == "T" else final
            if value.place != home.place and (sort == "T", value.place) in homes:
                value = self._emit("copy", value.kind, [value], sort)
            if value != home:
                moves.append((home.place, value, sort))
        read, made = self.last_reads(), {}
        for index, instruction in enumerate(self.instructions):
            if instruction.operation < TENSOR_OPERATIONS:
                made[instruction.target] = index
        for home, value, sort in moves:
            movable = sort == "T" and value.factor == ONE and value.place in made and value.place not in self.homes
            if movable and read.get(home, -1) <= made[value.place]:
                self.homes[value.place] = home
            else:
                self.instructions.append(_Instruction(CODES["copy", sort], (value,), home))

    def last_reads(self) -> dict[int, int]:
        """Return the index of the last instruction that reads each tensor."""
        return {
            value.place: index
            for index, instruction in enumerate(self.instructions)
            for value in instruction.operands
            if value.kind is TENSOR
        }


def _allocate(encoder: _Encoder) -> list[int]:
    """Assign a register to every tensor: its home's if it has one, else one that is free while it is needed."""
    registers = list(range(encoder.fixed)) + [-1] * (encoder.tensors - encoder.fixed)
    for tensor, home in encoder.homes.items():
        registers[tensor] = home
    ends = encoder.last_reads() | {encoder.update.place: len(encoder.instructions)}
    free: list[int] = []
    top = encoder.fixed
    for index, instruction in enumerate(encoder.instructions):
        for place in {value.place for value in instruction.operands if value.kind is TENSOR}:
            if ends[place] == index and place >= encoder.fixed and place not in encoder.homes:
                heapq.heappush(free, registers[place])
        if instruction.operation < TENSOR_OPERATIONS and registers[instruction.target] < 0:
            if not free:
                heapq.heappush(free, top)
                top += 1
            registers[instruction.target] = heapq.heappop(free)
    return registers


def _pack(encoder: _Encoder, registers: list[int], capacity: Capacity) -> MachineCode:
    """Write the instructions into arrays of the machine's size."""
    rows = []
    for operation, operands, target in encoder.instructions:
        places, factors = [0] * MAX_OPERANDS, [ONE] * MAX_OPERANDS
        for i, (kind, place, factor) in enumerate(operands):
            places[i], factors[i] = registers[place] if kind is TENSOR else place, factor
        rows.append((operation, *places, *factors, registers[target] if operation < TENSOR_OPERATIONS else target))
    empty = MachineCode.empty(capacity)
    instructions, bank = empty.instructions.copy(), empty.bank.copy()
    if rows:
        instructions[: len(rows)] = rows
    with np.errstate(over="ignore"):  # a number too large for 32 bits becomes infinite, as elsewhere
        bank[: len(encoder.bank)] = encoder.bank
    update = encoder.update
    return MachineCode(instructions, _number(len(rows)), bank, _number(registers[update.place]), _number(update.factor))
