"""Right answers to problem set 4 with einsum, masks and small functions. None may lose a point."""

from itertools import islice

import numpy as np

from fpnotes import ConvergenceError, SingularityError, solve, train

STEPS, RULES, TASKS = 30, {}, {}  # the notebook has its own


def run(task, rule, lr, steps, seed):
    W, losses = np.copy(task.W0), np.full(steps, np.nan)

    def update(W, x, y):
        point = solve(W, x, task.activation)
        return task.loss(point.r, y), W + rule(W, point, task.error(point.r, y), lr)

    for k, (x, y) in enumerate(islice(task.batches(np.random.default_rng(seed)), steps)):
        try:
            loss, after = update(W, x, y)
        except (ConvergenceError, SingularityError):
            try:  # the rule may have raised, when the loss is known
                loss, after = task.loss(solve(W, x, task.activation).r, y), np.inf
            except (ConvergenceError, SingularityError):
                break
        if not np.isfinite(loss):
            break
        losses[k] = loss
        if not np.isfinite(after).all():
            break
        W = after
    return W, losses


def angle(U, V):
    products = np.einsum("aij,bij->ab", np.stack([U, V]), np.stack([U, V]))
    cosine = products[0, 1] / np.sqrt(np.prod(np.diagonal(products)))
    return np.rad2deg(np.arccos(np.minimum(1, np.maximum(-1, cosine))))


def summarize(final):
    finished = ~np.isnan(final)
    n = np.count_nonzero(finished)
    return np.nanmean(final), np.nanstd(final, ddof=1) * n**-0.5, np.sum(~finished)


def best_rate(rates, final):
    means = np.where(np.isnan(final).any(axis=1), np.inf, np.mean(final, axis=1))
    best = rates[np.argmin(means)]
    return best, bool(np.isin(best, [rates[0], rates[-1]]))


def paired(a, b):
    d = np.subtract(a, b)
    return np.mean(d), np.sqrt(np.var(d, ddof=1) / d.size)


def one_run(name, lr, seed):
    loss = train(TASKS[seed], RULES[name], lr, STEPS, seed=seed, progress=False).loss[:STEPS]
    return np.concatenate([loss, np.repeat(np.nan, STEPS - len(loss))])
