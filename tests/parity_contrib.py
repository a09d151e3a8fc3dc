"""Seed programs compared with optax.contrib."""

from optax import contrib
from parity_cases import ParityCase

CASES = (
    ParityCase("acprop", "optax.contrib.acprop(0.001)", lambda: contrib.acprop(0.001)),
    ParityCase("ademamix", "optax.contrib.ademamix(0.001)", lambda: contrib.ademamix(0.001)),
    ParityCase("adopt", "optax.contrib.adopt(0.001)", lambda: contrib.adopt(0.001)),
    ParityCase("cocob", "optax.contrib.cocob()", contrib.cocob),
    ParityCase("dadapt_adamw", "optax.contrib.dadapt_adamw()", contrib.dadapt_adamw),
    ParityCase("dog", "optax.contrib.dog()", contrib.dog),
    ParityCase("dowg", "optax.contrib.dowg()", contrib.dowg),
    ParityCase("madgrad", "optax.contrib.madgrad(0.01)", lambda: contrib.madgrad(0.01)),
    ParityCase("prodigy", "optax.contrib.prodigy()", contrib.prodigy),
    ParityCase("schedule_free_adamw", "optax.contrib.schedule_free_adamw()", contrib.schedule_free_adamw),
    ParityCase("schedule_free_sgd", "optax.contrib.schedule_free_sgd()", contrib.schedule_free_sgd),
    ParityCase(
        "simplified_ademamix",
        "optax.contrib.simplified_ademamix(0.00001, alpha=100.0)",
        lambda: contrib.simplified_ademamix(0.00001, alpha=100.0),
    ),
)
