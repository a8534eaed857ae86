"""Right answers to problem set 4 with vectors and masks, as in other languages. None may lose a point."""

import numpy as np
from numpy import isfinite, isnan, nan, pi, sqrt

from fpnotes import ConvergenceError, SingularityError, solve

STEPS, RULES, TASKS = 30, {}, {}  # the notebook has its own


def run(task, rule, lr, steps, seed):
    W = task.W0 + 0
    losses = nan * np.ones(steps)
    draw = task.batches(np.random.default_rng(seed))
    k, fine = 0, True
    while fine and k < steps:
        x, y = next(draw)
        try:
            p = solve(W, x, task.activation)
            J = task.loss(p.r, y)
            fine = bool(isfinite(J))
            if fine:
                losses[k] = J
                V = W + rule(W, p, task.error(p.r, y), lr)
                fine = bool(isfinite(V).all())
                W = V if fine else W
        except (ConvergenceError, SingularityError):
            fine = False
        k = k + 1
    return W, losses


def angle(U, V):
    u, v = U.reshape(-1), V.reshape(-1)
    u, v = u / sqrt(u @ u), v / sqrt(v @ v)
    return np.arctan2(np.linalg.norm(u - (u @ v) * v), u @ v) * 180 / pi


def summarize(final):
    good = final[final == final]
    n = good.size
    mean = good.sum() / n
    return mean, sqrt(((good - mean) ** 2).sum() / (n * (n - 1))), final.size - n


def best_rate(rates, final):
    ok = isnan(final).sum(1) == 0
    mean = final[ok].mean(1)
    rate = rates[ok][mean.argmin()]
    return rate, rate == rates.min() or rate == rates.max()


def paired(a, b):
    d = a - b
    return np.array([d.mean(), d.std(ddof=1) / sqrt(d.size)])


def one_run(name, lr, seed):
    W, losses = run(TASKS[seed], RULES[name], lr, STEPS, seed)
    return losses
