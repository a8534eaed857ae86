"""How long do the published figures take, and how long do they with the authors' arithmetic?

Ours are runs: of the linear figure some steps, of digits whole runs. The authors' arithmetic, written afresh,
is timed for a step and multiplied: its cost does not depend on how far training has come. Ours does, as
samples need more evaluations when the network has learned to settle slowly.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import scipy.linalg  # noqa: F401  # its BLAS must be there to be limited to one thread
from made import DATA, made, write
from threadpoolctl import threadpool_limits

from fpnotes import Digits, LinearRegression, gradient, linearized, reparameterized, train

OUT = DATA / "speed-published.csv"
RULES = (gradient, reparameterized, linearized)
LINEAR_STEPS, LINEAR_RATES = 3500, 5
TIMED = 200  # so many that how a run begins and ends hardly counts
MNIST_STEPS, MNIST_RATES = 354, 5
MNIST = {gradient: 0.01, linearized: 0.1}


def authors_linear(rule, task, lr=0.1):
    """Return a step of the authors' arithmetic in a linear network: whole inverses, samples as columns."""
    X, Y, W, identity = task.x.T, task.y.T, task.W0.copy(), np.eye(len(task.W0))

    def step():
        A = np.linalg.inv(identity - W)
        R = A @ X
        error = 2 * (R - Y) / X.shape[1]
        if rule is gradient:
            dW = -lr * A.T @ error @ R.T
        elif rule is reparameterized:
            dW = identity - W - np.linalg.inv(A - lr * error @ X.T)
        else:
            dW = -lr * (identity - W) @ (error @ X.T) @ (identity - W)
        return W + dW, np.sum((R - Y) ** 2)

    return step


def authors_digits(rule, task):
    """Return the authors' arithmetic on digits, in PyTorch, in two parts, and how often a step does each.

    Both parts cost in proportion to what they do. So 50 of the 500 Euler steps of a batch are timed, and for
    ΔW₁ the inverses of 64 of its 512 samples.
    """
    import torch

    torch.set_num_threads(1)
    W, x, C = (torch.from_numpy(a) for a in (task.W0, task.x[:512], task.readout))
    y, identity = torch.from_numpy(task.y[:512]), torch.eye(len(task.W0))

    @torch.no_grad()
    def euler():
        r = torch.zeros_like(x)
        for _ in range(50):
            r = r + 0.01 * (torch.tanh(r @ W.T + x) - r)
        return r

    some = 64 if rule is gradient else len(x)
    r, x_some, y = euler()[:some], x[:some], y[:some]

    @torch.no_grad()
    def update():
        gain = 1 - torch.tanh(r @ W.T + x_some) ** 2
        p = torch.softmax(r @ C.T, dim=1)
        p[torch.arange(len(y)), y] -= 1
        error = p @ C / len(y)
        if rule is gradient:
            inverses = torch.linalg.inv(identity - gain[:, :, None] * W)
            return (gain * torch.einsum("kji,kj->ki", inverses, error)).T @ r
        left = gain * error
        left = left - (gain * left) @ W.T
        right = r - gain * (r @ W.T)
        return left.T @ (right - (gain * right) @ W)

    return (euler, 10), (update, len(x) // some)


def clock(run, rounds):
    """Return the median wall and processor time of a call."""
    run()
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return np.median(times, axis=0)


def main():
    """Read the command line, measure, and write results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=MNIST_STEPS, help="of a run on digits")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    rows = []

    def add(figure, rule, whose, seconds, timed, steps, runs, rounds=given.rounds):
        wall, cpu = (float(second) * steps / timed for second in seconds)
        row = {"figure": figure, "rule": rule.__name__, "whose": whose, "timed_steps": timed}
        rows.append(row | {"rounds": rounds, "runs": runs, "run_wall": wall, "run_cpu": cpu})

    with threadpool_limits(1):
        linear = LinearRegression.published()
        for rule in RULES:
            ours = clock(partial(train, linear, rule, 0.1, TIMED, progress=False), given.rounds)
            theirs = clock(authors_linear(rule, linear), given.rounds)
            add("linear", rule, "fpnotes", ours, TIMED, LINEAR_STEPS, LINEAR_RATES)
            add("linear", rule, "authors", theirs, 1, LINEAR_STEPS, LINEAR_RATES)
        digits = Digits.published()
        for rule, lr in MNIST.items():
            wall, cpu = time.perf_counter(), time.process_time()
            history = train(digits, rule, lr, given.steps, seed=0, progress=False)
            ours = time.perf_counter() - wall, time.process_time() - cpu
            assert history.diverged_at is None
            theirs = sum(
                times * clock(part, given.rounds) for part, times in authors_digits(rule, digits)
            )
            add("digits", rule, "fpnotes", ours, given.steps, MNIST_STEPS, MNIST_RATES, 1)
            add("digits", rule, "authors", theirs, 1, MNIST_STEPS, MNIST_RATES)
    write(given.out, made(peers=True), rows)


if __name__ == "__main__":
    main()
