"""Right answers to problem set 4 with classes and helpers of one's own. None may lose a point."""

from dataclasses import dataclass, field
from statistics import fmean, stdev, variance

import numpy as np

import fpnotes

STEPS, RULES, TASKS = 30, {}, {}  # the notebook has its own


class Diverged(Exception):
    pass


@dataclass
class Run:
    W: np.ndarray
    losses: list = field(default_factory=list)

    def step(self, task, rule, lr, x, y):
        try:
            point = fpnotes.solve(self.W, x, task.activation)
            loss = task.loss(point.r, y)
            if not np.isfinite(loss):
                raise Diverged
            self.losses.append(float(loss))
            W = self.W + rule(self.W, point, task.error(point.r, y), lr)
        except (fpnotes.ConvergenceError, fpnotes.SingularityError) as error:
            raise Diverged from error
        if np.isnan(W).any() or np.isinf(W).any():
            raise Diverged
        self.W = W

    def padded(self, steps):
        return np.array(self.losses + (steps - len(self.losses)) * [np.nan])


def run(task, rule, lr, steps, seed):
    state = Run(task.W0 * 1.0)
    batches = task.batches(np.random.default_rng(seed))
    try:
        for _ in range(steps):
            x, y = next(batches)
            state.step(task, rule, lr, x, y)
    except Diverged:
        pass
    return state.W, state.padded(steps)


def angle(U, V):
    u, v = (np.ravel(M) / np.linalg.norm(M) for M in (U, V))
    cosine = np.dot(u, v)
    if abs(cosine) >= 1:
        return 0.0 if cosine > 0 else 180.0
    return float(np.degrees(np.arccos(cosine)))


@dataclass
class Summary:
    mean: float
    error: float
    failures: int


def summarize(final):
    finished = [float(v) for v in final if np.isfinite(v)]
    s = Summary(fmean(finished), stdev(finished) / len(finished) ** 0.5, len(final) - len(finished))
    return s.mean, s.error, s.failures


def best_rate(rates, final):
    candidates = {
        position: fmean(losses)
        for position, losses in enumerate(final)
        if not np.isnan(losses).any()
    }
    winner = min(candidates, key=candidates.get)
    return float(rates[winner]), winner in {0, len(rates) - 1}


def paired(a, b):
    d = (np.asarray(a) - np.asarray(b)).tolist()
    return fmean(d), (variance(d) / len(d)) ** 0.5


def one_run(name, lr, seed):
    history = fpnotes.train(TASKS[seed], RULES[name], lr=lr, steps=STEPS, seed=seed, progress=False)
    return Run(history.W, [float(v) for v in history.loss[:STEPS]]).padded(STEPS)
