"""How long does the standard job take, here and with others' software? ``make bench`` runs this.

Every peer runs in a process of its own, on the cores it is given, and waits while another runs. In each
round all run once, so that whatever else the machine does falls on all of them. Every peer stops as early as
its result allows: at the loosest tolerance, of four a decade, that meets the standard.
"""

import argparse
import os
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from job import GRADIENT_ERROR, RESIDUAL, Job
from made import DATA, made, write
from peers import PEERS
from threadpoolctl import threadpool_limits
from worker import serve

EXACT = ("authors' method", "matrix products alone")  # those that no tolerance belongs to
OUT = DATA / "speed-standard.csv"


class Peer:
    """A process that runs one peer."""

    def __init__(self, name, dtype, cores):
        context = get_context("spawn")
        os.environ["OMP_NUM_THREADS"] = str(cores)  # what the new process starts with
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, dtype, cores), daemon=True)
        self.process.start()

    def ask(self, request):
        """Return the answer to a request."""
        self.pipe.send(request)
        answer = self.pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"{self.name} failed:\n{answer}")
        return answer

    def stop(self):
        """End the process."""
        self.pipe.send(None)
        self.process.join()


def prepare(peer, job, reference, verbose):
    """Find the loosest tolerance that serves; return it with the residual and the gradient's error.

    None if the peer fails at every tolerance.
    """

    def attempt(tol):
        result = peer.ask(tol)
        if result is None:  # matrix products have no result to judge
            return True, None, None
        r, dW = result
        assert r.dtype == dW.dtype == job.W.dtype
        residual = job.residual(r)
        error = float(np.linalg.norm(dW - reference) / np.linalg.norm(reference))
        if verbose:
            print(
                f"{peer.name}, tol {tol:g}: residual {residual:.2g}, error {error:.2g}", flush=True
            )
        # In single precision a residual evaluated in double has a rounding more.
        allowed = RESIDUAL * (1.2 if job.W.dtype == np.float32 else 1)
        return residual <= allowed and error <= GRADIENT_ERROR, residual, error

    if peer.name in EXACT:
        return None, *attempt(0)[1:]
    # Finer than rounding, an iteration without a limit would never end.
    finest = -8.1 if job.W.dtype == np.float64 else -6.6
    found = None
    for exponent in np.arange(-4, finest, -0.25):
        tol = float(f"{10**exponent:.2g}")
        try:
            good, residual, error = attempt(tol)
        except RuntimeError as failure:  # some solvers fail near rounding
            if verbose:
                print(f"{peer.name}, tol {tol:g}: {failure}", flush=True)
            continue
        found = tol, residual, error
        if good:
            return found
    if found:
        attempt(found[0])  # the best it can do, which the table shows
    return found


def measure(dtype, cores, rounds, names, verbose=False):
    """Return a row for every peer."""
    job = Job.draw(dtype)
    with threadpool_limits(1):
        _, reference = job.reference()
        forward, backward = job.products()
    peers = [Peer(name, dtype, cores) for name in names]
    prepared = {peer: prepare(peer, job, reference, verbose) for peer in peers}
    peers = [peer for peer in peers if prepared[peer]]  # one that fails has no row
    rows, times = [], {peer.name: [] for peer in peers}
    for peer in peers:
        tol, residual, error = prepared[peer]
        rows.append(
            {"peer": peer.name, "dtype": dtype, "cores": cores, "tol": tol}
            | {"residual": residual, "gradient_error": error}
            | {"forward": forward, "backward": backward}
        )
    for _ in range(rounds):
        for peer in peers:
            time.sleep(0.2)  # the threads of the peer before wait for more work, and do so busily
            times[peer.name].append(peer.ask("run")[:2])
    for peer in prepared:
        peer.stop()
    for row in rows:
        wall, cpu = np.median(times[row["peer"]], axis=0)
        row |= {"wall": float(wall), "cpu": float(cpu), "rounds": rounds}
    ours = next(row for row in rows if row["peer"] == "fpnotes")
    for row in rows:
        row |= {f"{clock}_ratio": row[clock] / ours[clock] for clock in ("wall", "cpu")}
    return rows


def main():
    """Read the command line, measure, and write results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtypes", nargs="+", default=["float64", "float32"])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    rows = []
    for cores in given.cores:
        for dtype in given.dtypes:
            rows += measure(dtype, cores, given.rounds, given.peers, given.verbose)
    write(given.out, made(peers=True), rows)


if __name__ == "__main__":
    main()
