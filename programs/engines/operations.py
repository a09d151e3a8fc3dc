"""The operations of the interpreter's machine: one table, derived from the function table.

The machine holds two sorts of values: tensors, each a row of registers with one number for every weight, and small
values, each a slot of a bank with one number for every weight array (a scalar is the same number for each of them). An
operation is a function of the language for given sorts of operands, so that no operand need ever be broadcast.
"""

from typing import NamedTuple

from programs.functions import FUNCTIONS
from programs.kinds import Function, Kind

MAX_OPERANDS = 3


class Operation(NamedTuple):
    """One operation of the machine.

    Attributes:
        function: A name in FUNCTIONS, or "spread" for a small value made a tensor.
        operands: The sort of each operand: "T" a tensor; "S" a small value, number by number; "P" a small value whose
            numbers belong together, as those of a per-array value do in a sum over all arrays.
        tensor: Whether the result is a tensor; else it is a small value.
    """

    function: str
    operands: str
    tensor: bool


def _operations(row: Function) -> list[Operation]:
    whole = row.leafwise and not row.elementwise
    if row.arity > MAX_OPERANDS or (whole and row.arity > 1):
        most = 1 if whole else MAX_OPERANDS
        raise ValueError(
            f"the function '{row.name}' has {row.arity} parameters, but the machine of programs/engines/operations.py "
            f"takes at most {most}{' of a function that looks at each weight array as a whole' if whole else ''}"
        )
    if not row.arity or row.name == "interp":  # a constant is a number in the bank; interp is a sum of scaled operands
        return []
    if not row.leafwise:
        forms = ["".join("S" if i in row.scalar_places else sort for i in range(row.arity)) for sort in "TPS"]
        return [Operation(row.name, form, form[0] == "T" and row.largest is Kind.TENSOR) for form in forms]
    if not row.elementwise:
        return [Operation(row.name, sort, sort == "T" and row.largest is Kind.TENSOR) for sort in "TS"]
    forms = [format(mask, f"0{row.arity}b").replace("1", "T").replace("0", "S") for mask in range(2**row.arity)]
    return [Operation(row.name, form, "T" in form) for form in forms if not (row.commutative and form == "ST")]


_ALL = [Operation("spread", "S", tensor=True), *(op for row in FUNCTIONS.values() for op in _operations(row))]

OPERATIONS = (*(op for op in _ALL if op.tensor), *(op for op in _ALL if not op.tensor))
"""All operations, those whose result is a tensor first; an operation's code is its place here."""

TENSOR_OPERATIONS = sum(op.tensor for op in OPERATIONS)
"""The number of operations whose result is a tensor."""

CODES = {(op.function, op.operands): code for code, op in enumerate(OPERATIONS)}
"""The code of each operation by its function and the sorts of its operands."""
