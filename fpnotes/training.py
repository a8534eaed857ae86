"""Training: solve, measure, update, and notice when it goes wrong."""

import copy
import os
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm, trange

from fpnotes._inputs import count, positive, stable_name, stable_repr
from fpnotes.network import SingularityError
from fpnotes.optimizers import FromRule
from fpnotes.solvers import ConvergenceError, solve

__all__ = ["History", "sweep", "train"]


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
            told.insert(1, f"loss {self.loss[0]:.4g} → {self.loss[-1]:.4g}")
        if self.recorded:
            told.append(f"recorded {', '.join(self.recorded)}")
        if self.diverged_at is not None:
            told.append(f"diverged at {self.diverged_at}: {self.reason}")
        if self.interrupted:
            told.append("interrupted")
        return f"History({', '.join(told)})"

    def save(self, path, settings=""):
        """Write to an .npz file, whole or not at all; ``settings`` is a line to find again in it."""
        path = Path(path)
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
        with np.load(path, allow_pickle=False) as file:
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


def sweep(
    task,
    rates,
    steps,
    *,
    seeds=(None,),
    folder=None,
    executor=None,
    progress=True,
    settings="",
    **options,
):
    """Train once for every rule, learning rate and seed, on as many cores or machines as there are.

    Every run uses one BLAS thread, so that runs can share cores, and so that its numbers are the same
    whoever runs it.

    Parameters
    ----------
    task : Task or callable
        What to learn, or ``task(seed)`` that returns it.
    rates : dict
        ``{rule: [lr, ...]}``: the learning rates of each rule. Rules are told apart by ``__name__``, and
        partial functions by what was filled in.
    steps : int
        Updates a run.
    seeds : iterable of int or None
        Each is passed to ``train``, and to ``task`` where that is callable.
    folder : path, optional
        Where each run is kept as soon as it is finished. Runs found there are not repeated: a sweep that
        was stopped or killed goes on when it is called again.
    executor : concurrent.futures.Executor, optional
        What runs them: a pool of the standard library, Dask's ``Client.get_executor()``, mpi4py's
        ``MPIPoolExecutor``. By default they run here, one after the other. A pool of processes needs
        functions that can be pickled, so no lambdas. The caller shuts it down.
    progress : bool
        Show a progress bar over runs.
    settings : str
        What a run depends on besides steps and options, such as the task's data. Kept in the folder's
        files with those; a file with other settings raises instead of being taken for this run.
    **options
        Of :func:`train`.

    Returns
    -------
    dict
        ``{(rule's name, lr, seed): History}``. If it is interrupted by hand, the runs that had
        finished, with a warning.

    Raises
    ------
    ValueError
        When a file in ``folder`` was made with other settings, or two rules share a name.
    TypeError
        When a rule, or with a folder an option, has neither a name nor a repr by which another process could
        know it again.
    """
    names = {rule: stable_name("rates", rule) for rule in rates}
    if len(set(names.values())) < len(names):
        raise ValueError(
            f"rates must hold rules with different names, not {sorted(names.values())}"
        )
    count("steps", steps)
    jobs = {
        (names[rule], positive("rates", lr), seed): rule
        for seed in seeds
        for rule, lrs in rates.items()
        for lr in lrs
    }
    paths, made_with = dict.fromkeys(jobs), dict.fromkeys(jobs, "")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        paths = {key: Path(folder) / _file(*key) for key in jobs}
        told = [f"{name}={_told(name, value)}" for name, value in sorted(options.items())]
        made_with = {
            key: "; ".join([f"{steps} steps", *_made(rule), *told, settings])
            for key, rule in jobs.items()
        }
    done = {
        key: _find(path, made_with[key]) for key, path in paths.items() if path and path.exists()
    }
    todo = {
        key: (task, rule, *key[1:], steps, paths[key], made_with[key], options)
        for key, rule in jobs.items()
        if key not in done
    }
    bar = tqdm(total=len(jobs), initial=len(done), disable=not progress, desc="runs")
    futures = {}
    try:
        if executor is None:
            for key, arguments in todo.items():
                history = _run(*arguments)
                if history.interrupted:
                    raise KeyboardInterrupt
                done[key] = history
                bar.update()
        else:
            futures = {executor.submit(_run, *arguments): key for key, arguments in todo.items()}
            for future in as_completed(futures):
                history = future.result()
                if history.interrupted:
                    raise KeyboardInterrupt
                done[futures[future]] = history
                bar.update()
    except (KeyboardInterrupt, CancelledError):
        warnings.warn(
            f"interrupted after {len(done)} of {len(jobs)} runs", RuntimeWarning, stacklevel=2
        )
    finally:
        for future in futures:
            future.cancel()
        bar.close()
    return {key: done[key] for key in jobs if key in done}


def _told(name, value):
    """Name what a mapping holds, or any other option."""
    return f"({', '.join(sorted(value))})" if isinstance(value, dict) else stable_name(name, value)


def _made(rule):
    """Return how a rule made from a rule was made, which its name does not say; nothing for others."""
    return [f"rule={stable_repr('rates', rule)}"] if isinstance(rule, FromRule) else []


def _file(rule, lr, seed):
    """Name a run's file: the learning rate in few digits where these are all that it has."""
    short = f"{lr:g}"
    return f"{rule}-lr{short if float(short) == lr else repr(lr)}-seed{seed}.npz"


def _find(path, settings):
    history, made_with = History.load(path)
    if made_with != settings:
        raise ValueError(
            f"folder holds {path.name} from a sweep with other settings ({made_with!r}, not "
            f"{settings!r}): choose another folder, or delete it"
        )
    return history


def _run(task, rule, lr, seed, steps, path, settings, options):
    """Train once, and keep the finished run."""
    with threadpool_limits(1):
        history = train(
            task(seed) if callable(task) else task,
            rule,
            lr,
            steps,
            seed=seed,
            progress=False,
            **options,
        )
    if path and not history.interrupted:
        history.save(path, settings)
    return history
