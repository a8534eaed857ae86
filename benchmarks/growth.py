"""How do time and memory grow with neurons, samples and the spectral abscissa? ``make bench`` runs this.

One size changes at a time. Times are medians over rounds in which every size is measured once. Memory is
the most that NumPy held at once, less the inputs and, for solve, the arrays of its result.
"""

import argparse
import time
import tracemalloc
from pathlib import Path

import numpy as np
from made import DATA, made, write
from threadpoolctl import threadpool_limits

from fpnotes import gradient, linearized, solve

OUT = DATA / "speed-growth.csv"
SIZES = {
    "neurons": [50, 100, 200, 400, 800, 1400, 2000],
    "samples": [1, 10, 100, 1000, 10_000, 100_000],
    "abscissa": [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99],
}


def problem(what, size, seed=0):
    """Return W and x of a size: W = 0.5·randn/√N and unit inputs, except for the abscissa.

    There, one direction u has W u = abscissa·u and the others decay faster, as when training has brought
    one mode near a singularity; inputs are so small that every gain is nearly 1.
    """
    rng = np.random.default_rng(seed)
    n, m = {"neurons": (size, 32), "samples": (50, size), "abscissa": (100, 32)}[what]
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    x = rng.standard_normal((m, n))
    if what == "abscissa":
        u = rng.standard_normal(n)
        u /= np.linalg.norm(u)
        others = np.eye(n) - np.outer(u, u)
        return 0.8 * others @ W @ others + size * np.outer(u, u), 1e-3 * x
    return W, x


def jobs(W, x, what):
    """Return what is timed: functions without arguments."""
    point = solve(W, x)
    error = np.ones_like(x) / len(x)
    found = {
        "solve": lambda: solve(W, x),
        "gradient": lambda: gradient(W, point, error, 1.0),
        "linearized": lambda: linearized(W, point, error, 1.0),
    }
    if what == "abscissa":
        del found["linearized"]
        found["relaxation"] = lambda: solve(
            W, x, method="relaxation", max_steps=10_000, on_failure="ignore"
        )
    return found


def extra_memory(name, run):
    """Return the bytes a call needs at its peak beyond its inputs and a solve's result."""
    tracemalloc.start()
    result = run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = (result.r, result.gain, result.x, result.recurrent) if name in STAGES else (result,)
    return peak - sum(array.nbytes for array in kept)


STAGES = ("solve", "relaxation")


def measure(what, rounds, verbose=False):
    """Return a row for every size and job."""
    todo = []
    for size in SIZES[what]:
        W, x = problem(what, size)
        for name, run in jobs(W, x, what).items():
            row = {"against": what, "size": size, "job": name}
            row["memory"] = int(extra_memory(name, run))
            if name in STAGES:
                point = run()
                row |= {"steps": int(point.steps.max()), "converged": float(point.converged.mean())}
            if verbose:
                print(row, flush=True)
            todo.append((row, run, [], []))
    for _ in range(rounds):
        for _, run, wall, cpu in todo:
            w, c = time.perf_counter(), time.process_time()
            run()
            wall.append(time.perf_counter() - w)
            cpu.append(time.process_time() - c)
    for row, _, wall, cpu in todo:
        row |= {"wall": float(np.median(wall)), "cpu": float(np.median(cpu)), "rounds": rounds}
    return [{"steps": None, "converged": None} | row for row, *_ in todo]


def main():
    """Read the command line, measure, and write results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    with threadpool_limits(given.threads):
        rows = [row for what in SIZES for row in measure(what, given.rounds, given.verbose)]
    write(given.out, made(), rows)


if __name__ == "__main__":
    main()
