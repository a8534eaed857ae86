"""Every rule at its best on handwritten digits: all 60,000 images, 354 steps, exact fixed points.

From the command line: ``python -m fpnotes.chapters.best --out results/``.

A rule's learning rate is chosen with one seed, on 5,000 training images that it did not learn from, among
rates a factor of 2 apart, as many as it takes for the best to lie between two worse. Then it learns from all
60,000 with three seeds, and the test set is used once. Every run is kept as soon as it is finished, so the
command can be stopped and started again.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fpnotes import implicit
from fpnotes._inputs import check_positive
from fpnotes._paths import check_folder, check_path
from fpnotes._types import FloatArray
from fpnotes.chapters.reproduce import (
    STEPS,
    add_out_and_workers,
    curve,
    made,
    settling_times,
    until_stopped,
    write,
)
from fpnotes.network import spectral_abscissa
from fpnotes.optimizers import Adam, FromRule, Momentum
from fpnotes.rules import (
    Rule,
    gradient,
    linearized,
    linearized_without_gains,
    without_transport,
)
from fpnotes.solvers import ConvergenceError, FixedPoint, solve
from fpnotes.sweeps import sweep
from fpnotes.tasks import Digits

HELD_OUT = 5000  # the last training images; the rates are chosen on them
SEEDS = range(3)
CHOSEN_WITH = SEEDS[:1]  # a run takes minutes
EVERY = 59  # six measurements after the first
MEASURED = 512  # training images on which products are counted
SIMULATED = 20  # of them, those whose settling is simulated


class AbscissaPenalty(FromRule):
    """A rule that also pays for slow networks: it descends J + (c/2) max(0, μ_max(W) − bound)².

    μ_max(W), the largest real part of an eigenvalue of W, changes by Re(uᴴ dW v/uᴴv), with u and v its left
    and right eigenvectors. The penalty's own step, in the Euclidean metric, is added to the rule's.

    Parameters
    ----------
    rule : callable
        The rule to follow.
    strength : float
        c > 0.
    bound : float
        The abscissa up to which nothing is paid.
    """

    parameters: tuple[str, ...] = ("strength", "bound")

    def __init__(self, rule: Rule, strength: float = 1.0, bound: float = 0.8):
        super().__init__(rule, "+penalty")
        self.strength: float = check_positive("strength", strength)
        self.bound: float = check_positive("bound", bound)

    def __call__(
        self, W: FloatArray, point: FixedPoint, error: FloatArray, lr: float
    ) -> FloatArray:
        """Return dW, (N, N)."""
        dW = self.rule(W, point, error, lr)
        excess = spectral_abscissa(W) - self.bound
        if excess <= 0:
            return dW
        return dW - (lr * self.strength * excess * abscissa_gradient(W)).astype(dW.dtype)


def abscissa_gradient(W: FloatArray) -> FloatArray:
    """Return the derivative of W's spectral abscissa in W, (N, N), where its eigenvalue is simple."""
    from scipy.linalg import eig  # slow to load, and needed nowhere else

    found: Any = eig(W, left=True)  # whose type depends on what it is asked for
    values, left, right = found
    rightmost = values.real.argmax()
    u, v = left[:, rightmost], right[:, rightmost]
    return (np.outer(u.conj(), v) / (u.conj() @ v)).real


# Where the search for each rule's best rate begins.
RATES: dict[Rule, list[float]] = {
    gradient: [0.05, 0.1, 0.2],
    linearized: [0.5, 1.0, 2.0],
    linearized_without_gains: [0.1, 0.2, 0.4],
    without_transport: [0.1, 0.2, 0.4],
    Momentum(gradient): [0.01, 0.02, 0.04],
    Momentum(linearized): [0.05, 0.1, 0.2],
    Adam(gradient): [0.0005, 0.001, 0.002],
    Adam(linearized): [0.0005, 0.001, 0.002],
    AbscissaPenalty(gradient): [0.05, 0.1, 0.2],
}


def held_out(seed: int, **data: Any) -> Digits:
    """Return the task of a seed with its last training images for testing, and without the test set."""
    task = Digits.published(seed, **data)
    return replace(
        task,
        x=task.x[:-HELD_OUT],
        y=task.y[:-HELD_OUT],
        test_x=task.x[-HELD_OUT:],
        test_y=task.y[-HELD_OUT:],
    )


def watch(task: Digits, W: FloatArray, point: FixedPoint) -> dict[str, Any]:
    """Measure a network by training images alone.

    Returns
    -------
    dict
        Products of W with all samples, as many as solve takes for a batch and as the adjoint equation
        does; the largest real parts of the eigenvalues of W and, over some samples, of GW; the share of
        simulated samples that settle within 200τ, and their median settling time.
    """
    x, y = task.x[:MEASURED], task.y[:MEASURED]
    point = solve(W, x, task.activation, on_failure="ignore")
    rows = np.linspace(0, len(x) - 1, SIMULATED).astype(int)
    times = settling_times(W, point[rows], task.activation)
    return {
        "forward": point.steps.mean(),
        "adjoint": adjoint_products(W, point, task.error(point.r, y)),
        "abscissa_W": spectral_abscissa(W),
        "abscissa_GW": spectral_abscissa(W, point.gain[rows]).max(),
        "settled": np.mean(np.isfinite(times)),
        "settling_time": np.median(times),
    }


def adjoint_products(W: FloatArray, point: FixedPoint, error: FloatArray) -> float:
    """Return how many products with W the adjoint equation takes, on average over samples; NaN if refused.

    A factorization, of (2/3)N³ operations, counts as N/3 products.
    """
    with _counted() as count:
        try:
            implicit.resolvent(W, point.gain, error, transpose=True)
        except ConvergenceError:
            return np.nan
    return sum(count) / len(error)


@contextmanager
def _counted():
    """Yield a list to which every solve of a linear system adds its products, summed over samples."""
    count = []
    iterate, solve_bounded = implicit.iterate, implicit.solve_bounded

    def counted_iterate(*args):
        size, steps = iterate(*args)
        count.append(steps.sum())
        return size, steps

    def counted_solve(W, gain, *args):
        count.append(len(gain) * len(W) / 3)
        return solve_bounded(W, gain, *args)

    with (
        mock.patch.object(implicit, "iterate", counted_iterate),
        mock.patch.object(implicit, "solve_bounded", counted_solve),
    ):
        yield count


def bracketed(losses: dict[float, float]) -> tuple[float, float | None]:
    """Return the best of some rates, and the next to try, None where the best lies between two worse.

    Parameters
    ----------
    losses : dict
        ``{lr: loss}``, of rates a factor of 2 apart; infinite where a run diverged.
    """
    best = min(losses, key=losses.__getitem__)
    if best == min(losses):
        return best, best / 2
    if best == max(losses):
        return best, 2 * best
    return best, None


def best(
    out: str | os.PathLike[str],
    *,
    full: bool = True,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> None:
    """Find every rule's best rate, train at it, and write three tables.

    Parameters
    ----------
    out : path
        The folder for ``best-rates.csv``, ``best-runs.csv`` and ``best-curves.csv``, and for the runs.
    full : bool
        Learn from all 60,000 images, or from the 10,000 that are shipped.
    executor : concurrent.futures.Executor, optional
        What runs them; by default they run here, one after the other.
    cache : path, optional
        Where the images are kept; see :func:`fpnotes.digits.load_digits`.
    progress : bool
        Show progress bars.

    Raises
    ------
    OSError
        When ``out`` cannot be written, before anything is computed.
    KeyboardInterrupt
        When it is stopped by hand: finished runs are kept, and no table is written.
    """
    out = check_folder("out", out)
    data = {"full": full, "cache": None if cache is None else check_path("cache", cache)}
    common = {
        "executor": executor,
        "progress": progress,
        "settings": "all images" if full else "shipped images",
    }
    chosen, tried = _choose(partial(held_out, **data), folder=out / "rates", **common)
    runs, curves = [], []
    task = partial(Digits.published, **data)
    watched = {"folder": out / "runs", "record": watch, "every": EVERY}
    for rule, lr in chosen.items():
        histories = sweep(task, {rule: [lr]}, STEPS, seeds=SEEDS, **watched, **common)
        for key, history in _all(histories, len(SEEDS)).items():
            measured = list(curve(history))
            tested = _tested(task(int(key[2] or 0)), history, "test")
            runs.append(_row(key, history) | tested | measured[-1])
            curves += [_row(key, history) | row for row in measured]
    lines = made("fpnotes.chapters.best")
    write(out / "best-rates.csv", lines, sorted(tried, key=lambda row: (row["rule"], row["lr"])))
    write(out / "best-runs.csv", lines, runs)
    write(out / "best-curves.csv", lines, curves)


def _choose(task, **options):
    """Return every rule's best rate on the images held out, and a row for each run that it took."""
    tests, chosen, tried = {seed: task(seed) for seed in CHOSEN_WITH}, {}, []
    for rule, rates in RATES.items():
        losses, wanted = {}, list(rates)
        while wanted:
            histories = sweep(
                task, {rule: wanted}, STEPS, seeds=CHOSEN_WITH, every=STEPS, **options
            )
            for key, history in _all(histories, len(wanted) * len(CHOSEN_WITH)).items():
                row = _row(key, history) | _tested(tests[key[2] or 0], history, "held_out")
                tried.append(row)
                # A run that diverged is no network that can be handed over.
                loss = np.inf if row["diverged"] else row["held_out_loss"]
                losses.setdefault(key[1], []).append(loss)
            chosen[rule], more = bracketed({lr: np.mean(of) for lr, of in losses.items()})
            wanted = [] if more is None else [more]
    return chosen, tried


def _row(key, history):
    names = dict(zip(("rule", "lr", "seed"), key, strict=True))
    return {**names, "diverged": history.diverged_at is not None}


def _tested(task, history, name):
    """Return loss and accuracy on the task's test images, and how many of them have a fixed point."""
    point, loss, accuracy = task.test(history.W, on_failure="ignore")
    return {f"{name}_loss": loss, f"{name}_accuracy": accuracy, "converged": point.converged.mean()}


def _all(histories, count):
    """Return the runs of a sweep, so many; raise where it was stopped by hand before the last."""
    if len(histories) < count:
        raise KeyboardInterrupt
    return histories


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    from concurrent.futures import ProcessPoolExecutor  # not in a browser, where tables can be read
    from multiprocessing import get_context

    parser = argparse.ArgumentParser(prog="python -m fpnotes.chapters.best", description=__doc__)
    add_out_and_workers(parser)
    parser.add_argument("--cache", type=Path, help="folder of the four files of MNIST")
    parser.add_argument(
        "--shipped", action="store_true", help="learn from the 10,000 images that are shipped"
    )
    given = parser.parse_args(arguments)
    options = {"full": not given.shipped, "cache": given.cache}
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as executor:
        until_stopped(best, given.out, executor=executor, **options)


if __name__ == "__main__":
    # By its own name, so that kept runs are known by the names of their functions, whoever starts them.
    from fpnotes.chapters.best import main as run

    run()
