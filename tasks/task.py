"""What a task is, and how a held-out loss becomes a score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax

Params: TypeAlias = Any
"""The weights: any pytree of float32 arrays."""

Batch: TypeAlias = Any
"""The index of the training examples that a step sees.

int32 (batch_size,) in [0, training_examples), or `slice(None)` for a full batch, which costs no gather.
"""

LEAST_GAIN = 1e-3
"""The smallest gain over an uninformed guess that counts as learning, in nats; less is rounding."""


class TaskError(ValueError):
    """Raised if a task or suite does not exist, or if nothing is to be evaluated."""


@dataclass(frozen=True, eq=False)
class Task:
    """A model, its data and a training budget: everything in a training but the optimizer.

    The last layer of every model begins at zero, so the first held-out loss is `worst` up to
    rounding, and stays there under any update that does not read the gradient: such an update
    treats all logits alike.
    """

    name: str  # as in TASKS
    description: str  # one sentence for people
    steps: int  # updates in one training
    batch_size: int  # training examples in one step; all of them make the task full-batch
    training_examples: int  # a batch holds indices in [0, training_examples)
    held_out_examples: int  # predictions that the held-out loss and accuracy are means over
    worst: float  # held-out loss of an uninformed guess, nats; also the loss of a diverged training
    reference: float  # held-out loss of AdamW with its constants as given, nats; see tasks.suites
    init: Callable[[jax.Array], Params]  # rng key -> initial weights
    loss: Callable[[Params, Batch], jax.Array]  # weights, batch -> f32 (), nats
    held_out: Callable[[Params], tuple[jax.Array, jax.Array]]  # weights -> f32 () nats, accuracy

    @property
    def full_batch(self) -> bool:
        """Whether every step sees all training examples: the batch is then `slice(None)`."""
        return self.batch_size == self.training_examples


def score(task: Task, loss: float) -> float:
    """Return a score that places a held-out loss relative to an uninformed guess and to AdamW.

    Args:
        task: The task that was trained.
        loss: Held-out loss in nats; `task.worst` for a training that diverged.

    Returns:
        0 for an uninformed guess or worse and for NaN, 1 for AdamW with its constants as given;
        higher is better, with no upper limit but the score of a loss of zero.
    """
    gain = task.worst - loss
    return gain / (task.worst - task.reference) if gain > LEAST_GAIN else 0.0
