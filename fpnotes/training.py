"""Training: solve, measure, update, and notice when it goes wrong."""

import copy
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import trange

from fpnotes._inputs import count, positive
from fpnotes._paths import full_path
from fpnotes.network import SingularityError
from fpnotes.solvers import ConvergenceError, solve

__all__ = ["History", "train"]


@dataclass(repr=False)
class History:
    """What happened in a training run, as plain arrays.

    Attributes
    ----------
    loss : (k + 1,) array
        J before training and after each of the k steps that were taken, each on its step's batch.
    W : (N, N) array
        The weights after the last of them.
    recorded : dict of arrays
        What ``train`` was asked to record, a row a recording; ``"step"`` says after how many steps.
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

    def __repr__(self):
        """Return one line: how far the run got, and how it ended."""
        told = [f"{max(len(self.loss) - 1, 0)} steps", f"{len(self.W)} neurons"]
        if len(self.loss):
            told.insert(1, f"loss {self.loss[0]:.4g} -> {self.loss[-1]:.4g}")
        if self.recorded:
            told.append(f"recorded {', '.join(self.recorded)}")
        if self.diverged_at is not None:
            told.append(f"diverged at {self.diverged_at}: {self.reason}")
        if self.interrupted:
            told.append("interrupted")
        return f"History({', '.join(told)})"

    def save(self, path, settings=""):
        """Write to an .npz file, whole or not at all; ``settings`` is a line to find again in it."""
        path = full_path("path", path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with open(part, "wb") as file:
            np.savez_compressed(
                file,
                loss=self.loss,
                W=self.W,
                diverged_at=np.array([] if self.diverged_at is None else [self.diverged_at], int),
                reason=np.array(self.reason),
                interrupted=np.array(self.interrupted),
                settings=np.array(settings),
                allow_pickle=False,
                **{f"recorded.{name}": values for name, values in self.recorded.items()},
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)

    @classmethod
    def load(cls, path):
        """Return the history that :meth:`save` wrote, and its settings."""
        with np.load(full_path("path", path), allow_pickle=False) as file:
            recorded = {
                name.removeprefix("recorded."): file[name]
                for name in file.files
                if name.startswith("recorded.")
            }
            history = cls(
                file["loss"],
                file["W"],
                recorded,
                next(iter(file["diverged_at"].tolist()), None),
                str(file["reason"]),
                bool(file["interrupted"]),
            )
            return history, str(file["settings"])


def train(
    task,
    rule,
    lr,
    steps,
    *,
    seed=None,
    progress=True,
    record: Callable | dict | None = None,
    every=1,
    solve=solve,
    **solver,
):
    """Train a task's weights by a rule, W ← W + rule(W, point, error, lr).

    Parameters
    ----------
    task : Task
        What to learn; see :mod:`fpnotes.tasks`.
    rule : callable
        ``rule(W, point, error, lr) -> dW``; see :mod:`fpnotes.rules`. A rule with a state, such as
        momentum, starts as it was given and is left as it was.
    lr : float
        Learning rate η.
    steps : int
        Number of updates.
    seed : int, optional
        For the order of a task's batches.
    progress : bool
        Show a progress bar.
    record : dict of callables, or callable, optional
        What else to keep: ``{"name": function(W, point)}``, or one ``function(task, W, point)`` that
        returns the values by name.
    every : int
        Record before the first step, then after every so many steps, and after the last.
    solve : callable
        How fixed points are found; called as :func:`fpnotes.solvers.solve`.
    **solver
        Its options, such as tol.

    Returns
    -------
    History
        A run that breaks down (no fixed point, a step onto a singularity, numbers that are not finite) stops
        there: the history holds all that came before and says when and why. So does one that is
        interrupted by hand, with a warning.

    Raises
    ------
    ValueError, TypeError
        When an argument has the wrong value or type; the message names it.
    """
    lr, steps, every = positive("lr", lr), count("steps", steps), count("every", every)
    rule = copy.deepcopy(rule)
    batches = task.batches(np.random.default_rng(seed))
    W = task.W0.copy()
    losses, kept = [], {}
    history = History(np.empty(0), W)

    def measured(W, point) -> dict:
        if callable(record):
            return record(task, W, point)
        return {name: function(W, point) for name, function in (record or {}).items()}

    def measure(step):
        x, y = next(batches)
        point = solve(W, x, task.activation, **solver)
        loss = float(task.loss(point.r, y))
        if not np.isfinite(loss):
            raise FloatingPointError("the loss is not finite")
        losses.append(loss)
        if record is not None and (step % every == 0 or step == steps):
            values = measured(W, point)
            if "step" in values:
                raise ValueError("record cannot give the name 'step', under which train counts")
            for name, value in {"step": step, **values}.items():
                kept.setdefault(name, []).append(value)
        return point, y

    step = 0
    try:
        bar = trange(
            steps, disable=not progress or sys.stderr is None, leave=False, desc=f"lr {lr:g}"
        )
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
