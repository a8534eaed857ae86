"""The published runs on handwritten digits, over several seeds.

From the command line: ``python -m fpnotes.chapters.reproduce mnist``.

Every run is kept as soon as it is finished, so the command can be stopped and started again. Its
results are two tables for each way to a fixed point, one row per run and one row per measurement during a
run; those that come with the package are read by :func:`results`.
"""

import argparse
import csv
import datetime
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpnotes._extras import needs
from fpnotes._inputs import check_count, check_positive, check_rows, check_square_matrix
from fpnotes._paths import check_folder, check_path
from fpnotes._types import ArrayLike, FloatArray
from fpnotes.activations import Curve, as_activation, evaluate, tanh
from fpnotes.network import RateNetwork, spectral_abscissa
from fpnotes.rules import gradient, linearized, linearized_without_gains
from fpnotes.solvers import FixedPoint, solve
from fpnotes.sweeps import sweep
from fpnotes.tasks import Digits
from fpnotes.training import History

if TYPE_CHECKING:
    import pandas as pd

Rates = dict[Callable[..., FloatArray], list[float]]

STEPS = 354  # three epochs of 60,000 images in batches of 512
EVERY = 20
RATES: Rates = {
    gradient: [0.001, 0.0025, 0.005, 0.01, 0.025],
    linearized: [0.01, 0.025, 0.05, 0.1, 0.25],
    linearized_without_gains: [0.005, 0.01, 0.02, 0.05, 0.1],
}
TESTED = 1000  # test images looked at during a run; after it, all of them
SIMULATED = 20  # samples whose settling is simulated
PATIENCE = 200  # for so many time constants


def gain_of_rate(r: FloatArray) -> FloatArray:
    """Return 1 − r², the gain of a tanh neuron of rate r at rest; [ZR24]'s scripts take it anywhere."""
    return 1 - r**2


def euler(
    W: ArrayLike,
    x: ArrayLike,
    activation: Curve = "tanh",
    *,
    steps: int = 500,
    dt: float = 0.01,
    tol: float = np.inf,
    gain: Callable[[FloatArray], FloatArray] | None = None,
    keep: bool = False,
) -> FixedPoint:
    """Return where the dynamics are after some Euler steps from rest; [ZR24]'s way to a fixed point.

    Parameters
    ----------
    W, x, activation
        As in :func:`fpnotes.solvers.solve`.
    steps : int
        How many steps; by default 500.
    dt : float
        Length of a step in time constants; by default 0.01, so that the simulation ends at 5τ.
    tol : float
        A sample whose largest ``|f(Wr + x) − r|`` exceeds it is marked as not converged. By default
        all are accepted, as in [ZR24]; ``residual`` says how far from a fixed point each is.
    gain : callable, optional
        ``gain(r)`` returns the gains from the rates reached, as :func:`gain_of_rate` does. By default they
        are f′(Wr + x). The two agree only at a fixed point.
    keep : bool
        Keep f(Wr + x) of every step with the result, so that :func:`unrolled` need not simulate again.
        That takes ``steps`` times the memory of ``x``.

    Returns
    -------
    FixedPoint
    """
    # Copies: the caller may go on with these arrays, and an activation with what it returned.
    W = check_square_matrix("W", W).copy()
    x, f = check_rows("x", x, len(W)).copy(), as_activation(activation)
    steps, dt = check_count("steps", steps), check_positive("dt", dt)
    r, kept = np.zeros_like(x), np.empty((steps * keep, *x.shape), x.dtype)
    for k in range(steps):
        rate = evaluate(f, f.f, r @ W.T + x)
        r += dt * (rate - r)
        if keep:
            kept[k] = rate
    recurrent = r @ W.T
    z = recurrent + x
    residual = np.abs(evaluate(f, f.f, z) - r).max(axis=-1)
    gains = evaluate(f, f.gain, z).copy() if gain is None else np.array(gain(r), r.dtype)
    if gains.shape != r.shape:
        raise ValueError(f"gain must return one gain per rate, {r.shape}, not {gains.shape}")
    taken = np.full(residual.shape, steps)
    point = FixedPoint(r, gains, x, recurrent, W, residual, residual <= tol, taken)
    if keep:
        vars(point)["_kept"] = kept
    return point


scripts_euler: Callable[..., FixedPoint] = partial(
    euler, gain=gain_of_rate
)  # a simulation with the gains of [ZR24]'s scripts


def unrolled(
    W: FloatArray,
    point: FixedPoint,
    error: FloatArray,
    lr: float,
    *,
    activation: Curve = "tanh",
    steps: int = 500,
    dt: float = 0.01,
) -> FloatArray:
    """Return −η∇J of the loss where :func:`euler` ends, by going back through all its steps.

    Where the network has not settled, this is the descent of what was computed, and
    :func:`fpnotes.rules.gradient` is not. With r₊ = (1 − h)r + hf(Wr + x), a cotangent q₊ of r₊ gives
    q = (1 − h)q₊ + hWᵀ(f′q₊), and ∇J = h Σ (f′q₊) rᵀ over steps and samples.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`fpnotes.rules.gradient`; the point is :func:`euler`'s.
    activation, steps, dt
        Those that the point was found with.

    Returns
    -------
    dW : (N, N) array
    """
    f, n = as_activation(activation), len(W)
    if "_kept" not in vars(point):
        point = euler(W, point.x, f, steps=steps, dt=dt, keep=True)
    kept = vars(point)["_kept"]
    steps, kept = len(kept), kept.reshape(len(kept), -1, n)
    inputs, errors = point.x.reshape(-1, n), np.asarray(error, W.dtype).reshape(-1, n)
    nabla = np.zeros_like(W)
    for start in range(0, len(inputs), 64):  # few samples: their states stay near the processor
        part = slice(start, start + 64)
        x, q, rates = inputs[part], errors[part], kept[:, part]
        states = np.zeros_like(rates)  # before each step
        for k in range(1, steps):
            states[k] = states[k - 1] + dt * (rates[k - 1] - states[k - 1])
        # The gain of tanh follows from the rate, which spares a second evaluation.
        gains = gain_of_rate(rates) if f is tanh else evaluate(f, f.gain, states @ W.T + x)
        for k in reversed(range(steps)):
            gains[k] *= dt * q
            q = (1 - dt) * q + gains[k] @ W
        nabla += gains.reshape(-1, n).T @ states.reshape(-1, n)
    return -lr * nabla


def settling_times(
    W: ArrayLike, point: FixedPoint, activation: Curve, duration: float = PATIENCE
) -> FloatArray:
    """Return the time, in τ, after which each sample of a batch stays within 1 % of its fixed point.

    The network starts at rest. Infinite where it has not settled by the end: its fixed point is
    unstable, or too slow, or not the one that it goes to from rest.

    Parameters
    ----------
    W : (N, N) array
    point : FixedPoint
        Of m samples.
    activation : Activation
    duration : float
        How long the network is watched, in τ; its state is looked at every quarter of τ or oftener.

    Returns
    -------
    times : (m,) array
    """
    duration = check_positive("duration", duration)
    samples = math.ceil(4 * duration) + 1
    network = RateNetwork(W, activation)
    t, r = network.simulate(point.x, duration, samples=samples, rtol=1e-4, atol=1e-6)
    far = np.linalg.norm(r - point.r, axis=-1) > 0.01 * np.linalg.norm(point.r, axis=-1)
    last = len(t) - 1 - far[::-1].argmax(axis=0)  # the last time at which it was far
    after = np.append(t[1:], np.inf)[last]
    return np.where(far.any(axis=0), after, 0.0)


def watch(task: Digits, W: FloatArray, point: FixedPoint) -> dict[str, Any]:
    """Measure a network that is trained with exact fixed points.

    Returns
    -------
    dict
        Loss and accuracy on some test images; the share of the batch that meets solve's tolerance, and
        the largest number of evaluations a sample took; the largest real parts of the eigenvalues of W
        and, over some samples, of GW; the shares of simulated samples that settle within 20τ and 200τ,
        and their median settling time.
    """
    return _watch(task, W, point, on_failure="ignore")


def watch_euler(task: Digits, W: FloatArray, point: FixedPoint) -> dict[str, Any]:
    """Measure a network that is trained, and so tested, with 500 Euler steps."""
    return _watch(task, W, point, solve=scripts_euler)


def _watch(task, W, point, **how):
    _, loss, accuracy = task.test(W, TESTED, **how)
    rows = np.linspace(0, len(point.r) - 1, SIMULATED).astype(int)
    exact = solve(W, point.x[rows], task.activation, on_failure="ignore")
    times = settling_times(W, exact, task.activation)
    return {
        "test_loss": loss,
        "test_accuracy": accuracy,
        "converged": np.mean(point.residual <= 1e-5),
        "evaluations": point.steps.max(),
        "abscissa_W": spectral_abscissa(W),
        "abscissa_GW": spectral_abscissa(W, exact.gain[:4]).max(),
        "settled_20": np.mean(times <= 20),
        "settled": np.mean(np.isfinite(times)),
        "settling_time": np.median(times),
    }


PROTOCOLS: dict[str, tuple[Rates, dict[str, Any]]] = {
    "exact": (RATES, {"record": watch}),
    "euler": (RATES, {"record": watch_euler, "solve": scripts_euler}),
    "unrolled": (
        {unrolled: RATES[gradient]},
        {"record": watch_euler, "solve": partial(scripts_euler, keep=True)},
    ),
}


def mnist(
    out: str | os.PathLike[str],
    *,
    seeds: Iterable[int] = range(3),
    full: bool = True,
    protocols: Iterable[str] | None = None,
    workers: int = 2,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> None:
    """Run what the chapter on handwritten digits shows, and write its tables, two for each protocol.

    Parameters
    ----------
    out : path
        The folder for ``mnist-PROTOCOL-runs.csv`` and ``mnist-PROTOCOL-curves.csv``, and for the runs
        themselves.
    seeds : iterable of int
        Different ones, one or more. A seed draws the weights, and the order of the batches.
    full : bool
        Train on all 60,000 images, or on the 10,000 that are shipped.
    protocols : iterable of str
        Ways to a fixed point: ``"exact"``; ``"euler"``, the scripts' 500 Euler steps; ``"unrolled"``, the
        same steps, with the gradient that goes back through them. By default all.
    workers : int
        Processes.
    cache : path, optional
        Where the images are kept; see :func:`fpnotes.digits.load_digits`.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError, TypeError
        When ``seeds``, ``protocols`` or ``workers`` is not what it should be, before anything is made.
    OSError
        When ``out`` cannot be written, before anything is computed.
    KeyboardInterrupt
        When it is stopped by hand: finished runs are kept, and no table is written.
    """
    from concurrent.futures import ProcessPoolExecutor  # not in a browser, where tables can be read
    from multiprocessing import get_context

    seeds = [check_count("seeds", seed, least=0) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more different whole numbers, not {seeds}")
    protocols = list(PROTOCOLS if protocols is None else protocols)
    if not protocols or not set(protocols) <= set(PROTOCOLS):
        raise ValueError(f"protocols must be some of {', '.join(PROTOCOLS)}, not {protocols}")
    workers = check_count("workers", workers)
    if cache is not None:
        cache = check_path("cache", cache)
    out = check_folder("out", out)
    task = partial(Digits.published, full=full, cache=cache)
    data = "all images" if full else "shipped images"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        for protocol in protocols:
            rates, options = PROTOCOLS[protocol]
            histories = sweep(
                task,
                rates,
                STEPS,
                seeds=seeds,
                folder=out / protocol,
                executor=executor,
                progress=progress,
                settings=data,
                every=EVERY,
                **options,
            )
            if len(histories) < len(seeds) * sum(map(len, rates.values())):
                raise KeyboardInterrupt
            # Ten thousand images are too many to keep each step of.
            find = scripts_euler if "solve" in options else solve
            weights = [history.W for history in histories.values()]
            by_seed = [seed for _, _, seed in histories]
            tests = executor.map(partial(_final_test, task, find), by_seed, weights)
            runs, curves = [], []
            for (key, history), test in zip(histories.items(), tests, strict=True):
                name = dict(zip(("protocol", "rule", "lr", "seed"), (protocol, *key), strict=True))
                runs.append({**name, **_summary(history), **test})
                curves += [{**name, **row} for row in curve(history)]
            write(out / f"mnist-{protocol}-runs.csv", made(), runs)
            write(out / f"mnist-{protocol}-curves.csv", made(), curves)


def _final_test(task, find, seed, W):
    """Test on all test images, by the fixed points of training and, whatever those were, exactly."""
    task = task(seed)
    exact = partial(solve, on_failure="ignore")
    point, *tested = task.test(W, solve=exact)
    result = dict(zip(("exact_test_loss", "exact_test_accuracy"), tested, strict=True))
    if find is not solve:
        tested = task.test(W, solve=find)[1:]
    result |= dict(zip(("test_loss", "test_accuracy"), tested, strict=True))
    return {**result, "exact_converged": np.mean(point.converged)}


def _summary(history):
    """Return how a run ended."""
    last = {name: values[-1] for name, values in history.recorded.items()}
    names = ("abscissa_W", "abscissa_GW", "settled_20", "settled", "settling_time")
    return {
        "steps": len(history.loss) - 1,
        "diverged": history.diverged_at is not None,
        "train_loss": history.loss[-20:].mean(),
        "worst_convergence": history.recorded["converged"].min(),
        **{name: last[name] for name in names},
    }


def curve(history: History) -> Iterator[dict[str, Any]]:
    """Yield what was measured during a run, the training loss averaged over up to twenty steps before."""
    for i, step in enumerate(history.recorded["step"]):
        batches = history.loss[max(0, step - 19) : step + 1]
        yield {
            "train_loss": batches.mean(),
            **{name: values[i] for name, values in history.recorded.items()},
        }


def made(module: str = "fpnotes.chapters.reproduce") -> list[str]:
    """Return the lines that say how, when and with what a module made a table."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    return [
        shlex.join(["python", "-m", module, *sys.argv[1:]]),
        f"{datetime.date.today()}, fpnotes {version('fpnotes')}{_commit()}, "
        f"Python {platform.python_version()}, {packages}",
    ]


def _commit():
    """Return the commit of the checkout that this package lies in, in words; empty outside of one."""
    git = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--exclude=*",
    ]
    try:
        found = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    name, _, dirty = found.stdout.strip().partition("-")
    return f" at commit {name}{' with changes' * bool(dirty)}"


def write(
    path: str | os.PathLike[str], lines: Iterable[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Write a table of dicts as CSV, whole or not at all, after the lines that say how it was made."""
    path = check_path("path", path)
    part = path.with_suffix(".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {line}\n" for line in lines)
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    os.replace(part, path)


def results(name: str) -> "pd.DataFrame":
    """Return a table that comes with the package as a DataFrame; needs pandas.

    The tables, and what made each of them, are listed in the folder's README. The DataFrame's
    ``attrs["made"]`` holds the lines that say how it was made.
    """
    with needs("figures", "fpnotes.chapters.reproduce.results"):
        import pandas as pd

    folder = files("fpnotes.chapters").joinpath("tables")
    path = folder.joinpath(f"{name}.csv")
    if not path.is_file():
        names = sorted(p.name[:-4] for p in folder.iterdir() if p.name.endswith(".csv"))
        raise ValueError(f"name must be one of {', '.join(names)}, not {name!r}")
    with path.open(encoding="utf-8") as file:
        lines = [line[2:].strip() for line in file if line.startswith("#")]
    with path.open(encoding="utf-8") as file:
        table = pd.read_csv(file, comment="#")
    table.attrs["made"] = lines
    return table


def at_least_one(text: str) -> int:
    """Return the whole number that an option of the command line gives."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text}")
    return number


def add_out_and_workers(parser: argparse.ArgumentParser) -> None:
    """Add to a command's options the folder and the processes that all of them take."""
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and tables")
    parser.add_argument(
        "--workers", type=at_least_one, default=2, help="how many processes (default: 2)"
    )


def until_stopped(run: Callable[..., None], out: Path, **options: Any) -> None:
    """Run, and where it is stopped by hand, say how to go on."""
    try:
        run(out, **options)
    except KeyboardInterrupt:
        sys.exit(f"Stopped. The same command goes on from what is in {out}.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m fpnotes.chapters.reproduce", description=__doc__
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("mnist", help="train on handwritten digits: hours")
    add_out_and_workers(command)
    command.add_argument(
        "--seeds", type=at_least_one, default=3, help="how many seeds, from 0 on (default: 3)"
    )
    command.add_argument(
        "--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS), help="(default: all)"
    )
    command.add_argument("--cache", type=Path, help="folder of the four files of MNIST")
    command.add_argument(
        "--shipped", action="store_true", help="train on the 10,000 images that are shipped"
    )
    given = parser.parse_args(arguments)
    until_stopped(
        mnist,
        given.out,
        seeds=range(given.seeds),
        full=not given.shipped,
        protocols=given.protocols,
        workers=given.workers,
        cache=given.cache,
    )


if __name__ == "__main__":
    # By its own name, so that kept runs are known by the names of their functions, whoever starts them.
    from fpnotes.chapters.reproduce import main as run

    run()
