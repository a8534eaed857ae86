"""Sweeps: a training run for every rule, learning rate and seed, each kept as soon as it is finished."""

import os
import pickle
import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Executor, as_completed
from contextlib import closing
from typing import Any

from fpnotes._blas import one_blas_thread
from fpnotes._identity import readable
from fpnotes._inputs import check_count, check_positive
from fpnotes._paths import check_folder
from fpnotes._progress import progress_bar
from fpnotes._runs import address, describe, file_name, find_files, load_run
from fpnotes.tasks import TaskLike
from fpnotes.training import History, train

__all__ = ["SweepError", "sweep"]

# A rule's name, the learning rate (of a function of the step its name), the seed.
Key = tuple[str, float | str, int | None]


class SweepError(RuntimeError):
    """Some runs of a sweep raised; the others were finished first.

    Attributes
    ----------
    runs : dict
        ``{(rule's name, lr, seed): History}`` of the finished ones.
    failures : dict
        ``{(rule's name, lr, seed): exception}`` of the others. Each exception has a note that names its run.

    Examples
    --------
    >>> import fpnotes as fp
    >>> def broken(W, point, error, lr):
    ...     raise ZeroDivisionError
    >>> task, rates = fp.LinearRegression.one_neuron(), {fp.linearized: [1.0], broken: [1.0]}
    >>> try:
    ...     fp.sweep(task, rates, steps=5, progress=False)
    ... except fp.SweepError as error:
    ...     print(list(error.runs), list(error.failures))
    [('linearized', 1.0, None)] [('broken', 1.0, None)]
    """

    def __init__(
        self,
        message: str,
        runs: dict[Key, History] | None = None,
        failures: dict[Key, Exception] | None = None,
    ):
        super().__init__(message)
        self.runs: dict[Key, History] = runs or {}
        self.failures: dict[Key, Exception] = failures or {}


def sweep(
    task: TaskLike | Callable[[Any], TaskLike],
    rates: Mapping[Any, Iterable[float | Callable[[int], float]]],
    steps: int,
    *,
    seeds: Iterable[int | None] = (None,),
    folder: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
    settings: str = "",
    **options: Any,
) -> dict[Key, History]:
    """Train once for every rule, learning rate and seed, on as many cores or machines as there are.

    Every run uses one BLAS thread, so that runs can share cores, and so that its numbers are the same
    whoever runs it.

    Parameters
    ----------
    task : Task or callable
        What to learn, or ``task(seed)`` that returns it.
    rates : dict
        ``{rule: [lr, ...]}``: the learning rates of each rule, as :func:`fpnotes.training.train` takes them.
        A rule's name is its ``__name__``; a partial function's says what was filled in. Rules of one name are
        named by their repr where that tells them apart, as ``Momentum(gradient, beta=0.5)`` does, and refused
        where it does not. A learning rate that is a function of the step is named in the same way.
    steps : int
        Number of updates in each run.
    seeds : iterable of int or None
        Each is passed to ``train``, and to ``task`` where that is callable.
    folder : path, optional
        Where each run is kept as soon as it is finished. Runs found there are not repeated: a sweep that
        was stopped or killed goes on when it is called again. See the notes.
    executor : concurrent.futures.Executor, optional
        What runs them: a pool of the standard library, Dask's ``Client.get_executor()``, mpi4py's
        ``MPIPoolExecutor``. By default they run here, one after the other. A pool of processes needs
        functions that can be pickled, so no lambdas. The caller shuts it down.
    progress : bool
        Show a progress bar over runs.
    settings : str
        Anything else that a run in a folder depends on and that its arguments do not show, such as what a
        rule reads from a file. Runs with other settings are other runs.
    **options
        Of :func:`fpnotes.training.train`.

    Returns
    -------
    dict
        ``{(rule's name, lr, seed): History}``. If it is interrupted by hand, the runs that had
        finished, with a warning.

    Raises
    ------
    SweepError
        After all runs, when some of them raised or their worker died. Its ``runs`` are the others.
    ValueError, TypeError
        Before the first run, when an argument is wrong; and with a folder, when a piece of the task, a rule
        or an option cannot be read, such as an open file. The message names it.
    OSError
        Before the first run, when the folder cannot be made or a file in it cannot be read.

    Notes
    -----
    A run in a folder is known by all that decides it: what the task holds, for each seed if it is a
    function; the code of the rule, of the options' functions and of all functions that these use; the values
    that they refer to; the learning rate, the seed, the number of steps, the other options and
    ``settings``. Comments do not count. A fingerprint of all this ends the file's name, so that sweeps of
    several tasks can share a folder.

    Functions of an installed package are known by their name and the package's version, those of fpnotes and
    of Python by their name alone: a run of another version of fpnotes is taken, and its file says which
    version that was. The code of functions of your own is what Python has compiled, which the next Python, as
    3.12 after 3.11, does in another way: their runs are repeated then.

    A file that is damaged is renamed to end in ``.damaged`` and its run repeated, with a warning. A run that
    cannot be written is returned all the same, with a warning.

    Examples
    --------
    >>> import fpnotes as fp
    >>> task = fp.LinearRegression.one_neuron()
    >>> runs = fp.sweep(task, {fp.gradient: [0.1], fp.linearized: [1.0, 10.0]}, steps=20, progress=False)
    >>> list(runs)
    [('gradient', 0.1, None), ('linearized', 1.0, None), ('linearized', 10.0, None)]
    """
    if not callable(task) and not hasattr(task, "batches"):
        raise TypeError(f"task must be a Task or a function of the seed, not {task!r}")
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
    if not isinstance(settings, str):
        raise TypeError(f"settings must be text, not {settings!r}")
    steps, jobs = check_count("steps", steps), _jobs(rates, seeds)
    done, failures, unsaved = {}, {}, {}
    paths, lines = dict.fromkeys(jobs), dict.fromkeys(jobs, "")
    if folder is not None:
        folder = check_folder("folder", folder)
        lines, failures = describe(task, jobs, steps, settings, options)
        paths = {key: folder / file_name(key, line) for key, line in lines.items()}
        for key, path in find_files(folder, lines).items():
            history = load_run(path, lines[key])
            if history is not None:
                done[key] = history
    todo = {
        key: (task, rule, lr, key[2], steps, paths[key], lines[key], options)
        for key, (rule, lr) in jobs.items()
        if key not in done and key not in failures
    }
    try:
        with (
            progress_bar(progress, total=len(jobs), initial=len(done), desc="runs") as bar,
            closing(_results(todo, executor)) as results,
        ):
            for key, result in results:
                try:
                    history, problem = result()
                except CancelledError:
                    raise
                except Exception as error:
                    failures[key] = error
                else:
                    if history.interrupted:
                        raise KeyboardInterrupt
                    done[key] = history
                    if problem:
                        unsaved[key] = problem
                bar.update()
    except (KeyboardInterrupt, CancelledError):
        failed = f", and {len(failures)} that failed" if failures else ""
        _warn(f"interrupted after {len(done)} of {len(jobs)} runs{failed}")
        failures = {}
    if unsaved:
        key, problem = next(iter(unsaved.items()))
        _warn(
            f"{len(unsaved)} of {len(jobs)} runs could not be written to folder: they are returned, but "
            f"another sweep would repeat them. The first, {address(key)}: {problem}"
        )
    runs = {key: done[key] for key in jobs if key in done}
    if failures:
        raise _failed(jobs, runs, failures)
    return runs


def _warn(message):
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def _jobs(rates, seeds) -> dict[Key, tuple]:
    """Return ``{(rule's name, lr, seed): (rule, lr)}``, or raise where two could not be told apart."""
    if not isinstance(rates, Mapping):
        raise TypeError(f"rates must be a dict {{rule: [lr, ...]}}, not {rates!r}")
    if not rates:
        raise ValueError("rates must hold one rule or more, as in {gradient: [0.1]}")
    lists = {}
    for rule, lrs in rates.items():
        if not callable(rule):
            raise TypeError(f"rates must be a dict of rules, which are functions, not {rule!r}")
        lrs = _check_list("rates", lrs, "{rule: [lr, ...]}")
        lrs = [lr if callable(lr) else check_positive("rates", lr) for lr in lrs]
        _check_distinct("rates", [lr for lr in lrs if not callable(lr)])
        names = zip(lrs, _names(lrs), strict=True)
        lists[rule] = [(lr, name if callable(lr) else lr) for lr, name in names]
    seeds = _check_list("seeds", seeds, "[0, 1]")
    seeds = [seed if seed is None else check_count("seeds", seed, least=0) for seed in seeds]
    _check_distinct("seeds", seeds)
    return {
        (name, shown, seed): (rule, lr)
        for seed in seeds
        for (rule, lrs), name in zip(lists.items(), _names(list(lists)), strict=True)
        for lr, shown in lrs
    }


def _check_list(name, values, example):
    """Return ``values`` as a list that is not empty, or raise; a generator is walked here, once."""
    scalar = isinstance(values, (str, bytes)) or getattr(values, "ndim", 1) == 0
    if scalar or not isinstance(values, Iterable):
        raise TypeError(f"{name} must hold a list, such as {example}, not {values!r}")
    values = list(values)
    if not values:
        raise ValueError(f"{name} must hold one value or more, such as {example}")
    return values


def _check_distinct(name, values):
    if len(set(values)) < len(values):
        raise ValueError(f"{name} must differ from one another, not {values}")


def _names(values):
    """Return a name for each rule or learning rate: short ones, or for those of one name their repr."""
    short = [readable(value) for value in values]
    names = [
        name if short.count(name) == 1 else repr(value)
        for name, value in zip(short, values, strict=True)
    ]
    for name, value in zip(short, names, strict=True):
        if names.count(value) > 1 or re.search(" at 0x[0-9a-fA-F]+", value) and value != name:
            raise ValueError(
                f"rates must have different names, and {short.count(name)} are named {name!r}: give each a "
                "name, as in rule.__name__ = 'clipped at 1', or fill in a function with functools.partial"
            )
    return names


def _results(todo, executor):
    """Yield each run's key and a function that returns what :func:`_run` does, or raises."""
    if executor is None:
        for key, arguments in todo.items():
            yield key, lambda arguments=arguments: _run(*arguments)
        return
    futures = {}
    try:
        for key, arguments in todo.items():
            try:
                futures[executor.submit(_run_in_pool, *arguments)] = key
            except Exception as error:  # the pool has failed, or was shut down
                yield key, lambda error=error: _raise(error)
        for future in as_completed(futures):
            yield futures[future], future.result
    finally:
        for future in futures:
            future.cancel()


def _raise(error):
    raise error


def _run(task: Any, rule, lr, seed, steps, path, line, options):
    """Train once; return the finished run, and why it could not be kept in its file, or None."""
    with one_blas_thread():
        task = task(seed) if callable(task) else task
        history = train(task, rule, lr, steps, seed=seed, progress=False, **options)
    problem = None
    if path and not history.interrupted:
        try:
            history.save(path, line)
        except Exception as error:  # a full disk must not cost a finished run
            problem = f"{type(error).__name__}: {error}"
    return history, problem


def _run_in_pool(*arguments):
    """Do the same where an error may have to come back from another process."""
    try:
        return _run(*arguments)
    except Exception as error:
        failure = _portable(error)
    raise failure  # here, where it takes no other error along


def _portable(error):
    """Return an error that can be pickled: one that cannot would break a pool of processes."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        portable = RuntimeError(f"{type(error).__name__}: {error}")
        portable.add_note("".join(traceback.format_exception(error)))
        return portable
    return error


def _failed(jobs, runs, failures):
    """Return the error that names the runs which raised, each of whose own errors gets a note that does."""
    # A pool that fails gives one error to all that were waiting: it gets one note.
    for key, error in {id(error): (key, error) for key, error in failures.items()}.values():
        error.add_note(f"raised in the run {address(key)}")
    lines = [f"{address(key)}: {type(e).__name__}: {e}" for key, e in failures.items()]
    lines[5:] = [f"and {len(lines) - 5} more"] * (len(lines) > 5)
    error = SweepError(
        f"{len(failures)} of {len(jobs)} runs failed; the others are in runs, an attribute of this error.\n"
        + "\n".join(lines),
        runs,
        failures,
    )
    error.__cause__ = next(iter(failures.values()))
    return error
