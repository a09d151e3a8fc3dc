"""What a task is, and how a held-out loss becomes a score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax

Params: TypeAlias = Any
"""The weights: any pytree of float32 arrays."""

Batch: TypeAlias = Any
"""Which training examples a step sees; data are indexed by it.

int32 (batch_size,) in [0, training_examples), or of a full batch `slice(None)`, which costs no gather.
"""

LEAST_GAIN = 1e-3
"""Nats below an uninformed guess that count as learning; less is rounding."""


class TaskError(ValueError):
    """A task or suite that does not exist, or an evaluation of none."""


@dataclass(frozen=True, eq=False)
class Task:
    """A model, its data and a training budget; the optimizer is what is left open.

    The last layer of every model begins at zero, so that the first held-out loss is `worst` to
    rounding, and stays there under any update that does not read the gradient: such an update
    treats all logits alike.
    """

    name: str  # as in TASKS
    description: str  # one sentence for people
    steps: int  # updates in one training
    batch_size: int  # training examples in one step; all of them make the task full-batch
    training_examples: int  # a batch holds indices in [0, training_examples)
    held_out_examples: int  # predictions that the held-out loss and accuracy are means of
    worst: float  # held-out loss of an uninformed guess, nats; a diverged training gets it
    reference: float  # held-out loss of AdamW with its constants as given, nats; see tasks.suites
    init: Callable[[jax.Array], Params]  # rng key -> initial weights
    loss: Callable[[Params, Batch], jax.Array]  # weights, batch -> f32 (), nats
    held_out: Callable[[Params], tuple[jax.Array, jax.Array]]  # weights -> f32 () nats, accuracy

    @property
    def full_batch(self) -> bool:
        """Whether every step sees all training examples: the batch is then `slice(None)`."""
        return self.batch_size == self.training_examples


def score(task: Task, loss: float) -> float:
    """Place a held-out loss between an uninformed guess and AdamW.

    Args:
        task: The task that was trained.
        loss: Held-out loss in nats; `task.worst` for a training that diverged.

    Returns:
        0 for an uninformed guess or worse and for anything not a number, 1 for AdamW as given;
        higher is better, with no upper limit but that of a loss of zero.
    """
    gain = task.worst - loss
    return gain / (task.worst - task.reference) if gain > LEAST_GAIN else 0.0
