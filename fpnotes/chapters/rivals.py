"""Other ways to learn the same fixed points, and the comparison of all of them.

From the command line: ``python -m fpnotes.chapters.rivals --out DIR``. Every run is kept as soon as it is
finished, so the command can be stopped and started again. It writes two tables: ``rivals-runs.csv``, one row
per method, learning rate and draw, and ``rivals-curves.csv``, the loss of each method at its best rate
against what it has spent.

The unit of the budget is a *product*: one of (m, N) by (N, N). An evaluation of f(W r + x) for the batch is
one, a product of (N, m) by (m, N) is one, and factorizing an (N, N) matrix for every sample is N/3.
"""

import argparse
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy.optimize import brentq

from fpnotes._batch import RELAX_FIRST, THEN_ANDERSON
from fpnotes._paths import check_folder
from fpnotes._steps import check_step
from fpnotes._types import FloatArray, Real
from fpnotes.chapters.best import bracketed
from fpnotes.chapters.reproduce import (
    add_out_and_workers,
    made,
    settling_times,
    until_stopped,
    write,
)
from fpnotes.rules import (
    gradient,
    jacobian_free,
    linearized,
    linearized_without_gains,
    truncated,
    without_transport,
)
from fpnotes.solvers import FixedPoint, solve
from fpnotes.sweeps import sweep
from fpnotes.tasks import Task, mean_squared_error
from fpnotes.training import History, train

N, M = 40, 60
SEEDS = range(5)
BUDGET = 2000  # products
PARTS = np.linspace(0, BUDGET, 21)[1:]
STARTS = (0.5, 0.95)  # spectral abscissa at the start
TEACHER = 0.5  # and at the teacher's weights
LEAST = 17  # about the evaluations of f that the quickest solve takes
NUDGE = 0.01
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
FIRST_RATES = (0.25, 0.5, 1.0)


# ---- Rules ----


def nudge(point: FixedPoint, error: FloatArray, nu: float, **solver: Any) -> FixedPoint:
    """Return the fixed points r_ν of a network whose mean squared error pulls at its rates.

    They solve r = f(W r + x − ν ∇L(r)) with L = |r − y|², which is the network of weights W − 2νI and
    inputs x + 2νy. Nothing but the error at the free fixed points is needed: 2y = 2r − m e.

    Parameters
    ----------
    point : FixedPoint
        The free fixed points of tanh neurons, (m, N).
    error : (m, N) array
        2(r − y)/m there.
    nu : float
        Strength ν of the nudge; negative ones push the rates away from the targets.
    **solver
        Options of :func:`fpnotes.solvers.solve`.

    Returns
    -------
    FixedPoint

    Raises
    ------
    ConvergenceError
        When a nudged network has no fixed point that is found.
    """
    W = point.W - 2 * nu * np.eye(len(point.W))
    x = point.x + nu * (2 * point.r - len(point.r) * error)
    return solve(W, x, "tanh", r0=point.r, **solver)


def equilibrium_propagation(
    W: FloatArray, point: FixedPoint, error: FloatArray, lr: Real, *, nu: float = NUDGE
) -> FloatArray:
    """Return η/(4νm) Σ (r₊r₊ᵀ − r₋r₋ᵀ), with r₊ and r₋ the fixed points nudged by ν and −ν.

    For symmetric W it is −η times the gradient on symmetric matrices, up to O(ν²). Sources: Scellier & Bengio
    2017, and Laborieux et al. 2021 for the nudge to both sides; book: eq-nudged, thm-nudged.
    """
    W, error, lr = check_step(W, point, error, lr)
    toward, away = (nudge(point, error, sign * nu).r for sign in (1, -1))
    return lr / (4 * nu * len(point.r)) * (toward.T @ toward - away.T @ away)


def nudged_forward(
    W: FloatArray, point: FixedPoint, error: FloatArray, lr: Real, *, nu: float = NUDGE
) -> FloatArray:
    """Return η/(2νm) Σ (r₊ − r₋) rᵀ, equilibrium propagation for weights that are not symmetric.

    It tends to −η Σ (Ae) rᵀ, where the gradient has Aᵀe. Source: Scellier et al. 2018; book: eq-asymmetric.
    """
    W, error, lr = check_step(W, point, error, lr)
    toward, away = (nudge(point, error, sign * nu).r for sign in (1, -1))
    return lr / (2 * nu * len(point.r)) * (toward - away).T @ point.r


def penalized(
    W: FloatArray, point: FixedPoint, error: FloatArray, lr: Real, *, strength: float
) -> FloatArray:
    """Return −η times the gradient of J + (γ/m) Σ ‖GW‖_F², for tanh neurons.

    The gains move with the rates, which acts as a further error; the weights decay. Source of the penalty:
    Bai et al. 2021; book: eq-penalty-gradient.
    """
    W, error, lr = check_step(W, point, error, lr)
    m, r, g = len(point.r), point.r, point.gain
    # f″ = −2rg where f = tanh.
    pull = 2 / m * (-2 * r * g) * (W**2).sum(axis=1)
    decay = 2 * (g**2).mean(axis=0)[:, None] * W
    return gradient(W, point, error + strength * pull, lr) - lr * strength * decay


def symmetrized(
    W: FloatArray,
    point: FixedPoint,
    error: FloatArray,
    lr: Real,
    *,
    rule: Callable[..., FloatArray],
) -> FloatArray:
    """Return a rule's step projected on the symmetric matrices."""
    step = rule(W, point, error, lr)
    return (step + step.T) / 2


# ---- The two arenas ----


@lru_cache(maxsize=64)
def imitation(seed: int, start: float, symmetric: bool) -> Task:
    """Return the task of a student that learns to answer as a teacher does.

    Weights of both are Gaussian, symmetric or not, and scaled so that the largest spectral abscissa of GW
    over the samples is ``start`` for the student and ``TEACHER`` for the teacher.
    """
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((2, N, N)) / np.sqrt(N)
    if symmetric:
        weights = (weights + np.swapaxes(weights, 1, 2)) / np.sqrt(2)
    x = 0.5 * rng.standard_normal((M, N))
    teacher, student = (
        scaled(W, x, abscissa) for W, abscissa in zip(weights, (TEACHER, start), strict=True)
    )
    return Task(student, x, solve(teacher, x).r, mean_squared_error, "tanh")


def scaled(W: FloatArray, x: FloatArray, abscissa: float) -> FloatArray:
    """Return W times the number that gives the network of tanh neurons this largest spectral abscissa."""

    def excess(scale):
        return solve(scale * W, x).spectral_abscissa.max() - abscissa

    most = next(scale for scale in 0.5 * 1.5 ** np.arange(8) if excess(scale) > 0)
    found: Any = brentq(excess, 0.1, most, xtol=1e-3)
    return found * W


def methods(symmetric: bool) -> dict[str, Any]:
    """Return {name: (rule, products of a step beyond the solve)} of an arena."""
    adjoint = N / 3 + 1  # factorize, and substitute twice
    rules = {
        "gradient": (gradient, adjoint + 1),
        **{
            f"penalty {strength:g}": (partial(penalized, strength=strength), adjoint + 1)
            for strength in STRENGTHS
        },
        "jacobian_free": (jacobian_free, 1),
        "truncated": (partial(truncated, k=3), 4),
        "without_transport": (without_transport, 2),
        "linearized": (linearized, 3),
        "linearized_without_gains": (linearized_without_gains, 4),
    }
    if symmetric:
        rules = {
            name: (partial(symmetrized, rule=rule), own) for name, (rule, own) in rules.items()
        }
        return {**rules, "nudged": (equilibrium_propagation, 2)}
    return {**rules, "nudged": (nudged_forward, 1)}


def products(task: Task, W: FloatArray, point: FixedPoint, *, nudged: bool) -> Any:
    """Return the products that a step's solves take, as ``train`` records them."""
    points = [point]
    if nudged:
        error = task.error(point.r, task.y)
        points += [nudge(point, error, sign * NUDGE) for sign in (1, -1)]
    # From rest the first evaluation takes no product, and the last, which certifies, is not counted in steps.
    return {"products": sum(evaluations(p.steps).mean() for p in points) + len(points) - 1}


def evaluations(steps: Any) -> Any:
    """Return the products that ``solve`` takes for so many steps: one each, until it turns to Newton's."""
    newton = np.maximum(steps - RELAX_FIRST - THEN_ANDERSON, 0)
    return steps + newton * N / 3


# ---- The comparison ----


@dataclass(frozen=True)
class Contestant:
    """A method in one arena, at one start; ``own`` are the products of its step beyond the solves."""

    symmetric: bool
    start: float
    method: str
    rule: Callable
    own: float

    @property
    def row(self) -> dict[str, Any]:
        """What its rows of the tables begin with."""
        return {"symmetric": self.symmetric, "start": self.start, "method": self.method}

    def task(self, seed: int) -> Task:
        """Return what is learned in a draw."""
        return imitation(seed, self.start, self.symmetric)

    def train(self, rates: Any, folder: Any, executor: Any) -> dict[float, Any]:
        """Return {rate: runs, one for each draw}."""
        phases = 3 if self.method == "nudged" else 1
        found = sweep(
            partial(operator.getitem, [self.task(seed) for seed in SEEDS]),
            {self.rule: rates},
            math.ceil(BUDGET / (LEAST * phases + self.own)),
            seeds=SEEDS,
            folder=folder,
            executor=executor,
            progress=False,
            record=partial(products, nudged=phases > 1),
        )
        if len(found) < len(SEEDS) * len(rates):
            raise KeyboardInterrupt
        return {rate: [run for (_, lr, _), run in found.items() if lr == rate] for rate in rates}

    def spent(self, history: History) -> FloatArray:
        """Return the products spent when each loss of a run was measured."""
        solves = history.recorded["products"]
        return np.cumsum(solves) + self.own * np.arange(len(solves))

    def within(self, history: History) -> int:
        """Return the step at which a run's last loss within the budget was measured."""
        return int(np.flatnonzero(self.spent(history) <= BUDGET)[-1])

    def loss(self, history: History) -> float:
        """Return the loss that a run reaches within the budget, over that at the start; ∞ if it diverges."""
        last = self.within(history)
        if history.diverged_at is not None and last == len(self.spent(history)) - 1:
            return np.inf
        return history.loss[last] / history.loss[0]

    def curve(self, history: History) -> FloatArray:
        """Return the last loss measured within each of the parts of the budget, over that at the start."""
        last = np.searchsorted(self.spent(history), PARTS, side="right") - 1
        return history.loss[np.maximum(last, 0)] / history.loss[0]


def best_rate(losses: Any) -> Any:
    """Return {rate: losses, one for each draw} for every rate tried, and the best, which lies inside.

    ``losses(rates)`` returns such a dict; the median decides. Rates go on by factors of 2, to either side,
    until the best is neither the smallest nor the largest.
    """
    tried = losses(FIRST_RATES)
    while True:
        best, more = bracketed({rate: float(np.median(tried[rate])) for rate in sorted(tried)})
        if more is None:
            return tried, best
        tried |= losses([more])


def compare(out: Any, *, workers: int = 2) -> None:
    """Run the comparison and write its two tables to the folder ``out``, where the runs are kept as well."""
    out = check_folder("out", out)
    runs, curves = [], []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        for contestant in contestants():
            histories = {}

            def losses(rates, contestant=contestant, histories=histories):
                histories |= contestant.train(rates, out / "runs", executor)
                return {rate: [contestant.loss(run) for run in histories[rate]] for rate in rates}

            tried, best = best_rate(losses)
            ends = executor.map(partial(at_end, contestant, best), SEEDS, histories[best])
            ends = {(best, seed): end for seed, end in zip(SEEDS, ends, strict=True)}
            unmeasured = {"settling": np.nan, "abscissa": np.nan}
            for rate, seed in itertools.product(sorted(tried), SEEDS):
                row = {**contestant.row, "seed": seed, "rate": rate, "best": rate == best}
                end = ends.get((rate, seed), unmeasured)
                runs.append({**row, "loss": tried[rate][seed], **end})
            ways = np.array([contestant.curve(history) for history in histories[best]])
            low, median, high = ways.min(axis=0), np.median(ways, axis=0), ways.max(axis=0)
            curves += [
                {**contestant.row, "products": p, "low": a, "median": b, "high": c}
                for p, a, b, c in zip(PARTS, low, median, high, strict=True)
            ]
    write(out / "rivals-runs.csv", made("fpnotes.chapters.rivals"), runs)
    write(out / "rivals-curves.csv", made("fpnotes.chapters.rivals"), curves)


def contestants() -> list[Any]:
    """Return every method in both arenas, at both starts."""
    return [
        Contestant(symmetric, start, name, *rule)
        for symmetric, start in itertools.product((True, False), STARTS)
        for name, rule in methods(symmetric).items()
    ]


def at_end(contestant: Contestant, lr: float, seed: int, history: History) -> Any:
    """Return how long a run's network takes to settle, and its largest spectral abscissa.

    The network is that of the last loss within the budget, which the same steps lead to again. The first is
    the median over every third sample of the time, in τ, after which it stays within 1 % of its fixed point,
    infinite where none is found; the second is taken over the fixed points that are found.
    """
    task, last = contestant.task(seed), contestant.within(history)
    again = train(task, contestant.rule, lr, last, progress=False)
    if not np.isclose(again.loss[last], history.loss[last], rtol=1e-6):
        raise RuntimeError(f"{contestant.row} took other steps when they were taken again")
    point = solve(again.W, task.x, on_failure="ignore")
    some = point[::3]
    times = np.where(some.converged, settling_times(again.W, some, task.activation), np.inf)
    abscissa = point.spectral_abscissa[point.converged].max(initial=-np.inf)
    return {"settling": np.median(times), "abscissa": abscissa}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m fpnotes.chapters.rivals", description=__doc__)
    add_out_and_workers(parser)
    given = parser.parse_args(arguments)
    until_stopped(compare, given.out, workers=given.workers)


if __name__ == "__main__":
    # By its own name, so that rules are known in kept runs by theirs, whoever asks for them.
    from fpnotes.chapters.rivals import main as run

    run()
