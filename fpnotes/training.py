"""Training: solve, measure, update, and notice when it goes wrong."""

import warnings
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import trange

from fpnotes._inputs import count, positive
from fpnotes.network import SingularityError
from fpnotes.solvers import ConvergenceError, solve


@dataclass
class History:
    """What happened in a training run, as plain arrays.

    Attributes
    ----------
    loss : (k + 1,) array
        J before training and after each of the k steps that were taken, each on its step's batch.
    W : (N, N) array
        The weights after the last of them.
    recorded : dict of arrays
        What ``train`` was asked to record, each of k + 1 rows.
    diverged_at : int or None
        The number of steps taken when training broke down; None if it did not.
    reason : str
        In what way it broke down.
    interrupted : bool
        Whether the run was stopped by hand.
    """

    loss: np.ndarray
    W: np.ndarray
    recorded: dict[str, np.ndarray] = field(default_factory=dict)
    diverged_at: int | None = None
    reason: str = ""
    interrupted: bool = False


def train(task, rule, lr, steps, *, seed=None, progress=True, record=None, **solver):
    """Train a task's weights by a rule, W ← W + rule(W, point, error, lr).

    Parameters
    ----------
    task : Task
        What to learn; see :mod:`fpnotes.tasks`.
    rule : callable
        ``rule(W, point, error, lr) -> dW``; see :mod:`fpnotes.rules`.
    lr : float
        Learning rate η.
    steps : int
        Number of updates.
    seed : int, optional
        For the order of a task's batches.
    progress : bool
        Show a progress bar.
    record : dict of callables, optional
        ``{"name": function(W, point)}``: what else to keep at every step.
    **solver
        Options of :func:`fpnotes.solvers.solve`, such as tol.

    Returns
    -------
    History
        A run that breaks down (no fixed point, a step onto a singularity, numbers that are not finite) stops
        there: the history holds all that came before and says when and why. So does one that is
        interrupted by hand, with a warning.
    """
    lr, steps = positive("lr", lr), count("steps", steps)
    rng = np.random.default_rng(seed)
    W = task.W0.copy()
    losses, kept = [], {name: [] for name in record or {}}
    history = History(np.empty(0), W)

    def measure(step):
        x, y = task.batch(step, rng)
        point = solve(W, x, task.activation, **solver)
        loss = float(task.loss(point.r, y))
        if not np.isfinite(loss):
            raise FloatingPointError("the loss is not finite")
        losses.append(loss)
        for name, function in (record or {}).items():
            kept[name].append(function(W, point))
        return point, y

    step = 0
    try:
        bar = trange(steps, disable=not progress, leave=False, desc=f"lr {lr:g}")
        for step in bar:
            point, y = measure(step)
            bar.set_postfix(loss=f"{losses[-1]:.3g}", refresh=False)
            dW = rule(W, point, task.error(point.r, y), lr)
            if not np.isfinite(dW).all():
                raise FloatingPointError("the update is not finite")
            W = W + dW
        step = steps
        measure(steps)
    except (ConvergenceError, SingularityError, FloatingPointError) as failure:
        history.diverged_at, history.reason = step, str(failure)
    except KeyboardInterrupt:
        history.interrupted = True
        warnings.warn(f"interrupted after {step} of {steps} steps", RuntimeWarning, stacklevel=2)
    history.W, history.loss = W, np.array(losses)
    history.recorded = {name: np.array(values) for name, values in kept.items()}
    return history
