"""Sweeps: a training run for every rule, learning rate and seed, each kept as soon as it is finished."""

import sys
import warnings
from concurrent.futures import CancelledError, as_completed

from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from fpnotes._inputs import count, positive, stable_name, stable_repr
from fpnotes._paths import writable_folder
from fpnotes.optimizers import FromRule
from fpnotes.training import History, train

__all__ = ["sweep"]


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
        Of :func:`fpnotes.training.train`.

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
        folder = writable_folder("folder", folder)
        paths = {key: folder / _file(*key) for key in jobs}
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
    bar = tqdm(
        total=len(jobs), initial=len(done), disable=not progress or sys.stderr is None, desc="runs"
    )
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
