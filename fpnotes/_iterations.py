"""Three ways to a fixed point of a map, on a whole batch at once.

A fixed point of φ is an r with φ(r) = r; the *residual* F(r) = φ(r) − r says how far off r is. Every
method here proposes a next r from the current r and its residual:

- :class:`Relaxation` moves along F. It is what the network itself does, in
  Euler steps of a whole τ, which may carry it over to another attractor.
- :class:`Anderson` combines the last few steps so that the residual predicted by a linear model is smallest.
- :class:`Newton` solves the exact linear model, cautiously while far away.

:func:`iterate` drives any of them. It works on rows: a sample leaves the batch when it has converged, so
that the easy ones cost nothing while the hard ones are still at work.
"""

import numpy as np

from fpnotes._linear import solve_stack
from fpnotes._rows import largest


class Relaxation:
    """r ← r + αF, with one damping α per sample, halved whenever that sample's residual stops falling.

    Undamped, the iteration diverges along an eigenvalue of GW below −1 although the network is stable; with
    α small enough it converges from near any stable fixed point (book: thm-damped). Where a residual rises
    for a while before it falls, halvings follow each other and the way is slow: ``"auto"`` then goes on by
    another.
    """

    patience = 6

    def __init__(self, m):
        self.alpha = np.ones(m)
        self.best = np.full(m, np.inf)
        self.waited = np.zeros(m, dtype=int)

    def propose(self, rows, r, residual, size):
        """Return the next r, in place of residual; ``size`` is each sample's largest ``|residual|``."""
        better = size < self.best
        self.best = np.where(better, size, self.best)
        self.waited = np.where(better, 0, self.waited + 1)
        stalled = self.waited >= self.patience
        self.alpha = np.where(stalled, self.alpha / 2, self.alpha)
        # After damping, a sample is judged from where it now stands.
        self.best = np.where(stalled, size, self.best)
        self.waited = np.where(stalled, 0, self.waited)
        if not (self.alpha == 1).all():
            residual *= self.alpha.astype(r.dtype)[:, None]
        residual += r
        return residual

    def keep(self, mask):
        """Forget the samples that left the batch."""
        self.alpha, self.best, self.waited = self.alpha[mask], self.best[mask], self.waited[mask]


class Anderson:
    """Anderson acceleration (Anderson 1965; Walker & Ni 2011, doi:10.1137/10078356X).

    The last ``memory`` changes of r and of F make a linear model of F around r; the step is to where
    that model's residual is smallest, plus what remains of it.
    """

    memory = 8

    def __init__(self, m):
        self.dr = self.dF = np.empty((m, 0, 0))  # allocated by the first call, which knows N
        self.last: tuple[np.ndarray, np.ndarray] | None = None
        self.calls = 0

    def propose(self, rows, r, residual, size):
        """Return the next r, shape (m, N)."""
        if self.last is None:
            self.dr = np.zeros((len(r), self.memory, r.shape[1]), r.dtype)
            self.dF = np.zeros_like(self.dr)
            step = residual
        else:
            slot = self.calls % self.memory
            self.dr[:, slot], self.dF[:, slot] = r - self.last[0], residual - self.last[1]
            self.calls += 1
            step = residual - self._correction(residual)
        self.last = (r, residual)
        return r + step

    def _correction(self, residual):
        """Return γ·(dr + dF), with γ the least-squares solution of γ·dF = F, for each sample."""
        gram = self.dF @ np.swapaxes(self.dF, 1, 2)
        # Scaled to unit diagonal (an unused slot is 0), then a ridge of a few roundings: nearly parallel
        # changes would otherwise make the normal equations singular.
        scale = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
        scale = np.where(scale > 0, scale, 1)[..., None]
        gram /= scale * np.swapaxes(scale, 1, 2)
        gram += 10 * np.finfo(gram.dtype).eps * np.eye(self.memory, dtype=gram.dtype)
        gamma = solve_stack(gram, self.dF @ residual[..., None] / scale) / scale
        gamma = gamma[:, None, :, 0]
        return (gamma @ self.dr + gamma @ self.dF)[:, 0]

    def keep(self, mask):
        """Forget the samples that left the batch."""
        if self.last is not None:
            self.dr, self.dF = self.dr[mask], self.dF[mask]
            self.last = (self.last[0][mask], self.last[1][mask])


class Newton:
    """r ← r + ((1 + 1/δ)I − φ′(r))⁻¹F: an implicit Euler step of length δ, in units of τ.

    Short steps follow the dynamics; as δ → ∞ they become Newton's. δ grows as the residual falls, which keeps
    Newton's quadratic end and, far from a fixed point, its caution (pseudo-transient continuation:
    Kelley & Keyes 1998, doi:10.1137/S0036142996304796). It also grows where the linear model proves right.

    Parameters
    ----------
    m : int
        Number of samples.
    solve : callable
        ``solve(rows, r, F, d)`` returns (diag(d) − φ′(r))⁻¹F, shape (m, N), for d of shape (m,).
    delta : float
        The first δ is this divided by the residual where that is below 1; ``np.inf`` makes every
        step Newton's.
    """

    least = 1e-9  # so that 1/δ stays far from overflow

    def __init__(self, m, solve, delta=1.0):
        self.solve = solve
        self.delta = np.full(m, delta)
        self.size = np.full(m, np.nan)
        self.expected: np.ndarray | None = None

    def propose(self, rows, r, residual, size):
        """Return the next r, shape (m, N)."""
        # At first by how near the start is: from beside a fixed point, even an unstable one, the first
        # step is already Newton's.
        first = np.isnan(self.size)
        growth = np.where(first, 1 / np.minimum(size, 1), np.clip(self.size / size, 0.1, 10))
        if self.expected is not None:
            # Where the linear model foretold the residual, it may be trusted farther.
            growth[largest(residual - self.expected) <= 0.1 * size] = 10
        self.delta = np.maximum(self.delta * growth, self.least)
        self.size = size
        step = self.solve(rows, r, residual, 1 + 1 / self.delta)
        singular = ~np.isfinite(step).all(axis=1)
        if singular.any():
            # By chance, perhaps: a shorter step has another matrix.
            shorter = np.where(np.isinf(self.delta), 1, self.delta / 2)[singular]
            self.delta[singular] = shorter
            step[singular] = self.solve(
                rows[singular], r[singular], residual[singular], 1 + 1 / shorter
            )
        self.expected = step / self.delta.astype(step.dtype)[:, None]
        return r + step

    def keep(self, mask):
        """Forget the samples that left the batch."""
        self.delta, self.size = self.delta[mask], self.size[mask]
        if self.expected is not None:
            self.expected = self.expected[mask]


def iterate(phi, r, method, rows, limit, max_steps, confirm=None):
    """Run a method on some rows of a batch until each has a residual within its limit.

    Parameters
    ----------
    phi : callable
        ``phi(rows, r)`` applies the map to the samples named by the index array ``rows``: (k, N) → (k, N),
        a new array.
    r : (m, N) array
        Where to start; overwritten, on the given rows, by where the method ended.
    method : Relaxation, Anderson or Newton
        Made for ``len(rows)`` samples.
    rows : (k,) int array
        The samples to work on.
    limit : callable
        ``limit(rows, r)`` returns the largest ``|residual|`` with which each sample may count as
        converged: (k,).
    max_steps : int
        How many times φ may be applied after its first evaluation.
    confirm : callable, optional
        ``confirm(rows, r, residual, within)`` returns which of the samples marked by the mask ``within``,
        whose residual is within its limit, have converged; by default all of them. It is called just
        after φ, with the same rows.

    Returns
    -------
    size : (k,) array
        The largest ``|φ(r) − r|`` of each sample, at the r left in place; infinite where r ran to infinity.
    steps : (k,) int array
        Applications of φ that each sample took.
    """
    size = np.full(len(rows), np.inf)
    steps = np.zeros(len(rows), dtype=int)
    live = np.arange(len(rows))
    at = r[rows]
    for count in range(max_steps + 1):
        if not len(live):
            break
        with np.errstate(all="ignore"):
            residual = phi(rows[live], at)
            residual -= at
            now = largest(residual)
        lost = ~np.isfinite(now)
        size[live], steps[live] = np.where(lost, np.inf, now), count + 1
        done = now <= limit(rows[live], at)
        if confirm is not None and done.any():
            done[done] = confirm(rows[live], at, residual, done)
        ended = done | lost
        r[rows[live[done]]] = at[done]
        if ended.any():
            keep = ~ended
            live, at, residual, now = live[keep], at[keep], residual[keep], now[keep]
            method.keep(keep)
        if count < max_steps and len(live):
            with np.errstate(all="ignore"):
                at = method.propose(rows[live], at, residual, now)
    r[rows[live]] = at
    return size, steps
