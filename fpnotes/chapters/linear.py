"""The linear task: rules with and without a memory, each over a range of learning rates, side by side.

From the command line, ``python -m fpnotes.chapters.linear --out FOLDER`` makes the table
``linear-memory.csv``: for each draw of the task, rule and learning rate, the loss after so many steps.
Every run is kept in the folder as soon as it is finished, so the command can be stopped and started again.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fpnotes.chapters.reproduce import Rates, made, write
from fpnotes.optimizers import Adam, Momentum
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.sweeps import sweep
from fpnotes.tasks import LinearRegression

RATES: Rates = {
    gradient: [0.1, 0.3, 1.0, 2.0, 4.0, 8.0],
    Momentum(gradient, 0.9): [0.01, 0.03, 0.1, 0.3, 1.0],
    Adam(gradient): [0.001, 0.003, 0.01, 0.03, 0.1],
}
RESPONSE_RATES = dict.fromkeys((reparameterized, linearized), [3.0, 10.0, 14.0, 18.0, 24.0])
BUDGETS = [20, 50, 100, 150, 200, 300, 500, 700, 1000]  # steps; the response rules take 300 at most
DRAWS = [2023, *range(5)]


def draw(seed: int, n: int = 100, m: int = 50) -> LinearRegression:
    """Return the regression with the published statistics, drawn anew.

    Parameters
    ----------
    seed : int
    n, m : int
        Neurons and samples; half of the published numbers unless given.

    Returns
    -------
    LinearRegression
    """
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.standard_normal((m, n))
    W_hat, W0 = rng.standard_normal((2, n, n)) / np.sqrt(n) * np.array([[[0.5]], [[0.75]]])
    y = np.linalg.solve(np.eye(n) - W_hat, x.T).T + 0.01 * rng.standard_normal((m, n))
    return LinearRegression(W0, x, y)


def task(seed: int) -> LinearRegression:
    """Return the published regression for its seed, 2023, and :func:`draw` for any other."""
    return LinearRegression.published() if seed == 2023 else draw(seed)


def rows(histories: Mapping[Any, Any], most: int) -> Iterator[dict[str, Any]]:
    """Yield the table's rows: the loss of each run after each number of steps; infinite if it diverged."""
    for (rule, lr, seed), history in histories.items():
        for steps in BUDGETS:
            if steps <= most:
                loss = history.loss[steps] if steps < len(history.loss) else np.inf
                yield {"seed": seed, "rule": rule, "lr": lr, "steps": steps, "loss": float(loss)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and make the table."""
    parser = argparse.ArgumentParser(prog="python -m fpnotes.chapters.linear", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    given = parser.parse_args(arguments)
    table = []
    with ThreadPoolExecutor(2) as executor:
        for rates, most in ((RESPONSE_RATES, 300), (RATES, BUDGETS[-1])):
            histories = sweep(task, rates, most, seeds=DRAWS, folder=given.out, executor=executor)
            if len(histories) < len(DRAWS) * sum(map(len, rates.values())):
                raise SystemExit("Stopped. The same command goes on from what is in the folder.")
            table += rows(histories, most)
    path = Path(__file__).parent / "tables" / "linear-memory.csv"
    write(path, made("fpnotes.chapters.linear"), table)


if __name__ == "__main__":
    # By its own name, so that kept runs are known by the names of their functions, whoever starts them.
    from fpnotes.chapters.linear import main as run

    run()
