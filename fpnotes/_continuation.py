"""A fixed point by following one from a network without recurrence to the network in question.

At t = 0 the network r = f(tWr + x) has just one fixed point, f(x). As t grows to 1 that point moves
along a curve in (r, t), which may turn back at folds, where a solver that only raises t is lost.
*Pseudo-arclength continuation* (Keller 1977) measures progress along the curve instead, and goes round
them. When f is bounded, so are all fixed points, and the curve has nowhere to go but to t = 1: for
almost every x this finds a fixed point where every local method may fail (Chow, Mallet-Paret &
Yorke 1978, doi:10.1090/S0025-5718-1978-0492046-9).
"""

import numpy as np

from fpnotes._linear import solve_stack, stacks

LENGTH = 0.5  # the first step along the curve
SHORTEST = 1e-5  # of a step; below it the curve is given up
CLOSE = 1e-3  # the residual, relative to r, with which the curve is followed
CORRECTIONS = 4


def continuation(curve, gain, W, x, rounds):
    """Follow the fixed point of f(tWr + x) from t = 0 to t = 1, for every sample.

    Parameters
    ----------
    curve, gain : callable
        f and f′, elementwise on (k, N) arrays.
    W : (N, N) array
    x : (m, N) array
    rounds : int
        Steps along the curve that may be tried.

    Returns
    -------
    r : (m, N) array
        Close to a fixed point of f(Wr + x), residual about 1e-3, where t = 1 was reached; elsewhere
        the last point that was reached on the curve.
    steps : (m,) int array
        Evaluations of f(tWr + x) that each sample took.
    """
    m, n = x.shape
    with np.errstate(all="ignore"):
        start = curve(x)
    at = np.concatenate([start, np.zeros((m, 1), x.dtype)], axis=1)  # (r, t), one row per sample
    direction = np.zeros_like(at)
    direction[:, n] = 1
    length = np.full(m, LENGTH)
    arrived, steps = np.zeros(m, dtype=bool), np.ones(m, dtype=int)

    def bordered(k, at, row, right):
        """Solve with the Jacobian of (r, t) → f(tWr + x) − r, bordered below by a row."""
        recurrent = at[:, :n] @ W.T
        slope = gain(at[:, n:] * recurrent + x[k])
        B = np.empty((len(at), n + 1, n + 1), x.dtype)
        B[:, :n, :n] = (at[:, n:] * slope)[:, :, None] * W - np.eye(n, dtype=x.dtype)
        B[:, :n, n] = slope * recurrent
        B[:, n] = row
        return solve_stack(B, right[..., None])[..., 0]

    def correct(k, at, row):
        """Return the point of the curve near ``at`` across ``row``, and the corrections it took.

        Where there is none nearby, that number is CORRECTIONS.
        """
        taken = np.full(len(at), CORRECTIONS)
        todo = np.arange(len(at))
        for count in range(CORRECTIONS):
            now, samples = at[todo], k[todo]
            steps[samples] += 1
            miss = curve(now[:, n:] * (now[:, :n] @ W.T) + x[samples]) - now[:, :n]
            size = np.abs(now[:, :n]).max(axis=1)
            done = np.abs(miss).max(axis=1) <= CLOSE * np.maximum(1, size)
            taken[todo[done]] = count
            todo, now, miss = todo[~done], now[~done], miss[~done]
            if not len(todo) or count == CORRECTIONS - 1:
                break
            right = np.concatenate([-miss, np.zeros((len(todo), 1), x.dtype)], axis=1)
            at[todo] = now + bordered(k[todo], now, row[todo], right)
        return at, taken

    def advance(k):
        """Take one step along the curve for the samples k."""
        onward = np.zeros((len(k), n + 1), x.dtype)
        onward[:, n] = 1
        tangent = bordered(k, at[k], direction[k], onward)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        reach = np.where(tangent[:, n] > 0, (1 - at[k, n]) / np.abs(tangent[:, n]), np.inf)
        last = reach <= length[k]
        step = np.where(last, reach, length[k]).astype(x.dtype)[:, None]
        # The last step ends at t = 1, and is corrected without leaving it.
        row = np.where(last[:, None], onward, tangent)
        ahead, taken = correct(k, at[k] + step * tangent, row)
        good = taken < CORRECTIONS
        at[k[good]], direction[k[good]] = ahead[good], tangent[good]
        arrived[k[good & last]] = True
        factor = np.select([~good, taken <= 1, taken == 2], [0.4, 1.6, 1.0], default=0.8)
        length[k] = np.where(last, step[:, 0], length[k]) * factor

    with np.errstate(all="ignore"):
        for _ in range(rounds):
            live = np.flatnonzero(~arrived & (length > SHORTEST))
            for part in stacks(len(live), n + 1):
                advance(live[part])
    return at[:, :n], steps
