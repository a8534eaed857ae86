"""Right answers to problem set 4 in plain Python, one entry at a time. None may lose a point."""

import math

import numpy as np

from fpnotes import ConvergenceError, SingularityError, solve, train

STEPS, RULES, TASKS = 30, {}, {}  # the notebook has its own


def finite(values):
    for value in values:
        if math.isnan(value) or math.isinf(value):
            return False
    return True


def run(task, rule, lr, steps, seed):
    weights = task.W0.copy()
    losses = [math.nan for _ in range(steps)]
    batches = iter(task.batches(np.random.default_rng(seed)))
    for k in range(steps):
        x, y = next(batches)
        try:
            point = solve(weights, x, task.activation)
            loss = float(task.loss(point.r, y))
            if math.isnan(loss) or math.isinf(loss):
                return weights, losses
            losses[k] = loss
            change = rule(weights, point, task.error(point.r, y), lr)
        except ConvergenceError:
            return weights, losses
        except SingularityError:
            return weights, losses
        new = weights + change
        if not finite(new.ravel().tolist()):
            return weights, losses
        weights = new
    return weights, losses


def angle(U, V):
    dot = uu = vv = 0.0
    for a, b in zip(U, V):
        for u, v in zip(a, b):
            dot, uu, vv = dot + u * v, uu + u * u, vv + v * v
    cosine = dot / math.sqrt(uu) / math.sqrt(vv)
    return math.acos(max(-1.0, min(1.0, cosine))) / math.pi * 180


def summarize(final):
    total, square, n, failures = 0.0, 0.0, 0, 0
    for value in final:
        if value != value:  # only nan is not itself
            failures += 1
        else:
            total += value
            n += 1
    mean = total / n
    for value in final:
        if value == value:
            square += (value - mean) * (value - mean)
    return mean, math.sqrt(square / (n - 1) / n), failures


def best_rate(rates, final):
    best = None
    for k in range(len(rates)):
        losses = list(final[k])
        if any(math.isnan(loss) for loss in losses):
            continue
        mean = sum(losses) / len(losses)
        if best is None or mean < best[0]:
            best = mean, k
    position = best[1]
    return rates[position], position == 0 or position == len(rates) - 1


def paired(a, b):
    n = len(a)
    differences = [a[s] - b[s] for s in range(n)]
    mean = sum(differences) / n
    variance = 0.0
    for d in differences:
        variance += (d - mean) ** 2 / (n - 1)
    return mean, math.sqrt(variance) / math.sqrt(n)


def one_run(name, lr, seed):
    history = train(TASKS[seed], RULES[name], lr, STEPS, seed=seed, progress=False)
    losses = list(history.loss)[:STEPS]
    while len(losses) < STEPS:
        losses.append(math.nan)
    return losses
