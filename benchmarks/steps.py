"""What does one step of the published linear run cost, and what with the authors' arithmetic?

Three ways are timed in turn, in every round: training with the package, its certificates and records
included; the authors' arithmetic; and the bare arithmetic of the package's step, its products and
factorizations alone. Each number of BLAS threads has a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from made import DATA, made, write
from published import RULES, authors_linear

from fpnotes import LinearRegression, gradient, reparameterized, train
from fpnotes._linear import Factors

OUT = DATA / "speed-steps.csv"


def bare(rule, task, lr=0.1):
    """Return the products and factorizations of our step, without a check, a copy or a certificate."""
    x, y, W, identity = task.x, task.y, task.W0.copy(), np.eye(len(task.W0))

    def step():
        B = identity - W
        factors = Factors.of(W)  # None where BLAS has several threads
        r = np.linalg.solve(B, x.T).T if factors is None else factors.solve(x)
        recurrent = r @ W.T  # for the residual
        error = 2 * (r - y) / len(x)
        if rule is gradient:
            if factors is None:
                return -lr * (np.linalg.solve(B.T, error.T) @ r)
            return -lr * (factors.solve(error, transpose=True).T @ r)
        if rule is reparameterized:
            B_error, x_B = error @ B.T, x @ B
            middle = np.eye(len(x)) - lr * (x_B @ error.T)
            return -lr * (B_error.T @ np.linalg.solve(middle, x_B))
        right = r - recurrent
        return -lr * (error - error @ W.T).T @ (right - right @ W)

    return step


def measure(steps, rounds):
    """Return a row for each rule and way, with the median time of a step."""
    task = LinearRegression.published()

    def times(step):
        return lambda: [step() for _ in range(steps)]

    ways = {
        (rule.__name__, whose): run
        for rule in RULES
        for whose, run in {
            "fpnotes": partial(train, task, rule, 0.1, steps, progress=False),
            "authors": times(authors_linear(rule, task)),
            "bare": times(bare(rule, task)),
        }.items()
    }
    taken = {way: [] for way in ways}
    for _ in range(rounds + 1):  # the first warms up
        for way, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            taken[way].append((time.perf_counter() - wall, time.process_time() - cpu))
    rows = []
    for (rule, whose), seconds in taken.items():
        wall, cpu = np.median(seconds[1:], axis=0) / steps
        rows.append({"rule": rule, "whose": whose, "wall": float(wall), "cpu": float(cpu)})
    return rows


def main():
    """Read the command line, measure in processes of their own, and write results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.steps, given.rounds)))
        return
    rows = []
    for threads in given.threads:
        command = [sys.executable, __file__, "--child"]
        command += ["--steps", str(given.steps), "--rounds", str(given.rounds)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
        sizes = {"threads": threads, "steps": given.steps, "rounds": given.rounds}
        rows += [{**sizes, **row} for row in json.loads(found)]
    write(given.out, made(), rows)


if __name__ == "__main__":
    main()
