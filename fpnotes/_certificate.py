"""When a sample has converged.

Near r the network is a linear one, s = GW s + b, whose input is b = f(z) − GW r: all that drives r but the
rates themselves. (In a linear network b is x.) Its fixed point is r where the residual is 0, and near r
where the residual is small against b. So a sample has converged when its largest ``|residual|`` is

1. at most tol times the largest ``|r|``, and at most tol times the largest ``|b|``. Rates that run away,
   as those of r = [r + 1]₊ do, make the first easy and leave the second as hard as it was. No rate counts
   as found because it is small: the same input in other units is answered as well.
2. Or, where the sums are rounded more coarsely than that, at most two roundings, if a rounding is below a
   thousandth of what is left: of r, of b, or of Gx where the curve brings that to 0 (as a sine does).

In both cases a rounding of the input that arrives must be as small, and one of the recurrent input below a
thousandth of b: otherwise the sum f(W r + x) has lost the input, and any residual is small. Only a network
without input has none to lose.
"""

import numpy as np

from fpnotes._inputs import check_positive
from fpnotes._rows import largest
from fpnotes.activations import evaluate, linear

ROUNDINGS = 2
DIGITS = 1e-3


def tolerance(tol, dtype):
    """Return tol, or the dtype's default for None; raise where rounding forbids what is asked."""
    if tol is None:
        return 1e-8 if dtype == np.float64 else 1e-5
    tol, least = check_positive("tol", tol), 4 * float(np.finfo(dtype).eps)
    if tol < least:
        raise ValueError(
            f"tol={tol:g} is finer than {dtype} arithmetic can certify; use at least {least:.1g}"
        )
    return tol


class Certificate:
    """The criterion above, for one network and tol.

    ``amplification`` is how many times as large as b the recurrent input may be; by default as many as leave
    b a thousand roundings. ``spread`` is the largest sum of a row of ``|W|``, where it is known.
    """

    def __init__(self, tol, f, W, amplification=None, spread=None):
        self.tol, self.f, self.W = tol, f, W
        self.eps = float(np.finfo(W.dtype).eps)
        self.amplification = amplification or DIGITS / self.eps
        self.spread = np.abs(W).sum(axis=1).max() if spread is None else spread

    def limit(self, size, input_size):
        """Return a residual that a row of r must not exceed, known without gains where they are at most 1.

        ``size`` and ``input_size`` are the largest ``|r|`` and ``|x|`` of each row.
        """
        rounding = self.eps * (size * (1 + self.spread) + input_size)
        return np.maximum(0.9 * self.tol * size, rounding)

    def drive(self, x, z, rate, gain):
        """Return the largest ``|b|`` and the largest ``|Gx|`` of each row."""
        if self.f is linear:
            size = largest(x)
            return size, size
        b = gain * z
        np.subtract(rate, b, out=b)
        external = gain * x
        b += external
        return largest(b), largest(external)

    def holds(self, x, r, z, rate, gain, residual, early=False):
        """Return whether each row of r has converged, (m,).

        Parameters
        ----------
        x, r, z, rate, gain : (m, N) arrays
            With z = W r + x, rate = f(z) and gain = f′(z).
        residual : (m,) array
            The largest ``|f(z) − r|`` of each row.
        early : bool
            Ask for a little more: the same residual, computed on another batch, differs by a few roundings.
        """
        within, roundings = (0.9, ROUNDINGS / 2) if early else (1, ROUNDINGS)
        size, (drive, arrives) = largest(r), self.drive(x, z, rate, gain)
        small = within * self.tol * np.minimum(size, drive)
        most = size * (1 + self.spread * (1 if self.f is linear else largest(gain)))
        good = (residual <= small) & (most <= self.amplification * drive)
        left = DIGITS * np.maximum(np.maximum(size, drive), np.minimum(1, arrives))
        good &= self.eps * arrives <= left
        if good.all():
            return good

        # What a bound cannot decide, roundings as they are can.
        rows = np.flatnonzero(~good & np.isfinite(residual))
        if len(rows):
            x, r, rate, gain = (np.abs(a[rows]) for a in (x, r, rate, gain))
            drive, left, small, residual = drive[rows], left[rows], small[rows], residual[rows]
            recurrent, external = gain * (r @ np.abs(self.W).T), gain * x
            driven = arrives[rows] > 0
            if not driven.all():
                rest = np.zeros_like(x[~driven])
                driven[~driven] = largest(evaluate(self.f, self.f, rest)) > 0
            survives = largest(r + recurrent) <= self.amplification * drive
            rounding = self.eps * largest(rate + recurrent + external)
            few = (residual <= small) | (residual <= roundings * rounding)
            good[rows] = few & (rounding <= left) & (survives | ~driven)
        return good
