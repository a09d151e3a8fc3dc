"""The language: what a program is, what it means, and what it can be turned into. Nothing here depends on training.

JAX is imported when ``to_optax`` or ``interpret`` is first used, so that reading and listing programs stays quick.
"""

from typing import TYPE_CHECKING, Any

from programs.algebra.derivation import Derivation, Gap, Proof, Step
from programs.algebra.keys import fingerprint, key
from programs.algebra.probes import TOLERANCES, gaps, largest_difference
from programs.algebra.reductions import Reduction, reductions, roundings, size
from programs.algebra.simplification import proved, simplify
from programs.checking import Facts, check, is_elementwise, live_within_step
from programs.edits import EDITS, Edit, Limits
from programs.engines.encoding import CAPACITIES, Capacity, MachineCode, encode
from programs.exports.keras_module import export_keras
from programs.exports.latex import to_latex
from programs.exports.optax_module import export_optax
from programs.exports.torch_module import export_torch
from programs.functions import FUNCTIONS, PAPER_FUNCTIONS
from programs.generation import crossover, random_program
from programs.kinds import Function, Kind
from programs.library import load, seed_programs, source_text
from programs.parameters import Transformation
from programs.parsing import decode, did_you_mean, parse
from programs.program import Program, ProgramError, Statement
from programs.transformations import (
    TRANSFORMATIONS,
    bias_correction,
    clip_by_global_norm,
    clip_by_value,
    l2,
    lookahead,
    weight_decay,
)
from programs.understanding.behaviour import Measured, Neighbour, measure, nearest_seeds
from programs.understanding.effective import Effective, effective
from programs.understanding.recognition import Feature, recognise
from programs.understanding.relatives import Relatives, seed_relatives

if TYPE_CHECKING:
    from programs.engines.compiler import ProgramState, to_optax
    from programs.engines.interpreter import interpret

__all__ = [
    "CAPACITIES",
    "EDITS",
    "FUNCTIONS",
    "PAPER_FUNCTIONS",
    "TOLERANCES",
    "TRANSFORMATIONS",
    "Capacity",
    "Derivation",
    "Edit",
    "Effective",
    "Facts",
    "Feature",
    "Function",
    "Gap",
    "Kind",
    "Limits",
    "MachineCode",
    "Measured",
    "Neighbour",
    "Program",
    "ProgramError",
    "ProgramState",
    "Proof",
    "Reduction",
    "Relatives",
    "Statement",
    "Step",
    "Transformation",
    "bias_correction",
    "check",
    "clip_by_global_norm",
    "clip_by_value",
    "crossover",
    "decode",
    "did_you_mean",
    "effective",
    "encode",
    "export_keras",
    "export_optax",
    "export_torch",
    "fingerprint",
    "gaps",
    "interpret",
    "is_elementwise",
    "key",
    "l2",
    "largest_difference",
    "live_within_step",
    "load",
    "lookahead",
    "measure",
    "nearest_seeds",
    "parse",
    "proved",
    "random_program",
    "recognise",
    "reductions",
    "roundings",
    "seed_programs",
    "seed_relatives",
    "simplify",
    "size",
    "source_text",
    "to_latex",
    "to_optax",
    "weight_decay",
]


def __getattr__(name: str) -> Any:
    if name in ("to_optax", "ProgramState"):
        from programs.engines import compiler

        return getattr(compiler, name)
    if name == "interpret":
        from programs.engines.interpreter import interpret

        return interpret
    raise AttributeError(f"module 'programs' has no attribute '{name}'")
