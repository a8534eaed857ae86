"""The first ten steps of one run of each kind that the stored tables hold, as they were and as they are.

From the command line: ``python -m fpnotes.chapters.first_steps`` repeats them in a minute or two, and fails
where a loss is not that of the table ``first-steps.csv``. With ``--write FILE`` it makes such a table. Runs
on all images of MNIST are repeated on those that come with the package.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fpnotes._identity import readable
from fpnotes._types import FloatArray
from fpnotes.chapters import best, cortex, linear, opening, reproduce, rivals
from fpnotes.chapters.reproduce import made, results, write
from fpnotes.optimizers import Adam, Momentum
from fpnotes.rules import Rule, gradient, linearized, linearized_without_gains, reparameterized
from fpnotes.tasks import Digits, TaskLike
from fpnotes.training import train

STEPS = 10
TOLERANCE = 1e-6  # of a loss, relative


def losses(task: Callable[[], TaskLike], rule: Rule, lr: float, **options: Any) -> FloatArray:
    """Return the losses of a run's first steps, (STEPS + 1,).

    Parameters
    ----------
    task : callable
        Returns the task.
    rule, lr, **options
        As in :func:`fpnotes.training.train`.
    """
    return train(task(), rule, lr, STEPS, seed=0, progress=False, **options).loss


def path(rule: str, lr: float) -> FloatArray:
    """Return the summed losses of the opening's sixteen starts along their paths, (STEPS + 1,)."""
    drawn = opening.Map(0)
    points = drawn.path(rule, lr, STEPS)
    return np.array([drawn.loss(drawn.weights(*t.T)).sum() for t in points])


def runs() -> dict[tuple[str, str], Callable[[], FloatArray]]:
    """Return {(table, rule): what repeats the run's first steps}."""
    found: dict[tuple[str, str], Callable[[], FloatArray]] = {}

    def add(table, task, rates, **options):
        for rule, lr in rates.items():
            found[table, readable(rule)] = partial(losses, task, rule, lr, **options)

    digits = partial(Digits.published, 0, full=False)
    by_rule = {gradient: 0.025, linearized: 0.1, linearized_without_gains: 0.05}
    add("mnist-exact", digits, by_rule)
    for protocol, rule in (("euler", gradient), ("unrolled", reproduce.unrolled)):
        simulation = reproduce.PROTOCOLS[protocol][1]["solve"]
        add(f"mnist-{protocol}", digits, {rule: 0.025}, solve=simulation)
    add("best", digits, {rule: rates[1] for rule, rates in best.RATES.items()})
    add(
        "linear-memory",
        partial(linear.task, 2023),
        {gradient: 1.0, reparameterized: 3.0, Adam(gradient): 0.01, Momentum(gradient, 0.9): 0.1},
    )
    circuit = {rule: rates[1] for rule, rates in cortex.RATES.items()}
    add("cortex", partial(cortex.student, 0), circuit, tol=1e-6)
    imitation = partial(rivals.imitation, 0, rivals.STARTS[0], False)
    for name, (rule, _) in rivals.methods(False).items():
        found["rivals", name] = partial(losses, imitation, rule, 0.1)
    for rule in opening.RATES:
        found["opening", rule] = partial(path, rule, 0.01)
    return found


def rows() -> Iterator[dict[str, Any]]:
    """Yield a row for each loss of each run."""
    for (table, rule), repeat in runs().items():
        for step, loss in enumerate(repeat().tolist()):
            yield {"table": table, "rule": rule, "step": step, "loss": f"{loss:.10g}"}


def stored() -> dict[tuple[str, str], FloatArray]:
    """Return {(table, rule): losses} of the table that comes with the package; needs pandas."""
    runs: Any = results("first-steps").groupby(["table", "rule"], sort=False)
    return {key: run.loss.to_numpy() for key, run in runs}


def differences() -> dict[tuple[str, str], float]:
    """Repeat every run's first steps; return how far from the table each is: the largest share of a loss.

    Infinite where the table has no such run, or the run has fewer steps than its losses.
    """
    kept = stored()
    found = {}
    for key, repeat in runs().items():
        now, then = repeat(), kept.get(key, np.empty(0))
        found[key] = float(np.abs(now / then - 1).max()) if len(then) == len(now) else np.inf
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and compare or write."""
    parser = argparse.ArgumentParser(
        prog="python -m fpnotes.chapters.first_steps", description=__doc__
    )
    parser.add_argument("--write", type=Path, help="make the table in this file")
    given = parser.parse_args(arguments)
    if given.write:
        write(given.write, made("fpnotes.chapters.first_steps"), list(rows()))
        return
    found = differences()
    for (table, rule), difference in found.items():
        print(f"{table:14} {rule:32} {difference:.1e}")
    if not all(difference <= TOLERANCE for difference in found.values()):  # nor NaN
        sys.exit(f"Some runs no longer begin as the tables' did, to {TOLERANCE:g} of a loss.")


if __name__ == "__main__":
    main()
