"""The way of a batch to its fixed points: which method when, and what is certified at the end."""

from functools import partial

import numpy as np

from fpnotes._certificate import Certificate
from fpnotes._continuation import continuation
from fpnotes._iterations import Anderson, Newton, Relaxation, iterate
from fpnotes._linear import Factors, solve_direct
from fpnotes._rows import chunks, largest
from fpnotes.activations import compare_gain, evaluate, linear, relu

METHODS = ("auto", "relaxation", "anderson", "newton")
# The evaluations that "auto" gives each of its methods.
RELAX_FIRST = 80
THEN_ANDERSON = 200
NEWTON_STEPS = 60
CONTINUATION_STEPS = 100


class Batch:
    """Samples of one network, rows of x (m, N), and where they stand: r, at first where to start.

    ``factors`` are those of I − W where it was factored for good; the other attributes are a FixedPoint's.
    """

    def __init__(self, W, f, x, r):
        self.W, self.f, self.x, self.r = W, f, x, r
        self.recurrent, self.gain = np.empty_like(x), np.empty_like(x)
        self.residual = np.empty(len(x), x.dtype)
        self.steps = np.zeros(len(x), dtype=int)
        self.converged = np.zeros(len(x), dtype=bool)
        self.factors: Factors | None = None

    @np.errstate(all="ignore")  # what overflows is not certified
    def solve(self, tol, max_steps, method):
        """Move r to where ``method`` gets it, and look how near a fixed point that is.

        Near a singularity single precision leaves too few digits: there the solve is in double precision,
        and the rates are rounded.
        """
        single = self.r.dtype == np.float32
        start = self.r.copy() if single else self.r
        self._solve(tol, max_steps, method)
        hard = np.flatnonzero(~self.converged)
        if single and len(hard):
            W, x, r = (a.astype(np.float64) for a in (self.W, self.x[hard], start[hard]))
            double = Batch(W, self.f, x, r)
            # What the rounding of single weights makes or unmakes is no fixed point of theirs.
            most = 0.5 / float(np.finfo(np.float32).eps)
            double._solve(tol, max_steps, method, most)
            self.steps[hard] += double.steps
            solved = double.converged
            rows = hard[solved]
            self.r[rows] = double.r[solved]
            rounded = Batch(self.W, self.f, self.x[rows], self.r[rows])
            rounded._look(slice(None))
            self.recurrent[rows], self.gain[rows] = rounded.recurrent, rounded.gain
            self.residual[rows], self.converged[rows] = (
                rounded.residual,
                rounded._finite(slice(None)),
            )

    def _solve(self, tol, max_steps, method, amplification=None):
        f, r, x, spread = self.f, self.r, self.x, None
        direct = f is linear and method in ("auto", "newton")
        if direct:
            self.factors = Factors.of(self.W)
            spread = self.factors and self.factors.row_sum
            r[:] = self._linear(x)
        certificate = Certificate(tol, f, self.W, amplification, spread)
        for part in chunks(x):
            if f is linear or f is relu:
                if not direct:
                    # Of degree one, f(cz) = c f(z), they know no unit, and a power of 2 changes no digit.
                    unit = _unit(x[part], r[part])
                    scaled = r[part] / unit
                    self.steps[part] = advance(
                        certificate, x[part] / unit, scaled, max_steps, method
                    )
                    r[part] = scaled * unit
            else:
                self.steps[part] = advance(certificate, x[part], r[part], max_steps, method)
            # What is certified is the r returned, evaluated once more.
            rate = self._certify(certificate, part)
            left = np.flatnonzero(~self.converged[part])
            if direct and len(left):
                # Large weights make large roundings in elimination. Refined once, r is as good as W r + x.
                r[part][left] += self._linear((rate - r[part])[left])
                self._certify(certificate, part)

    def _linear(self, b):
        """Return (I − W)⁻¹b for every row of b."""
        if self.factors is not None:
            return self.factors.solve(b)
        return solve_direct(self.W, np.ones_like(b[:1]), b)

    def _certify(self, certificate, part):
        """Look at r, and note where it has converged; return the rates f(W r + x)."""
        z, rate = self._look(part)
        self.converged[part] = certificate.holds(
            self.x[part], self.r[part], z, rate, self.gain[part], self.residual[part]
        ) & self._finite(part)
        return rate

    def _look(self, part):
        """Evaluate the residual and the gain at r; return W r + x and its rate."""
        z = np.matmul(self.r[part], self.W.T, out=self.recurrent[part]) + self.x[part]
        rate = z if self.f is linear else evaluate(self.f, self.f, z)
        residual = largest(rate - self.r[part])
        self.residual[part] = np.where(np.isnan(residual), np.inf, residual)
        self.gain[part] = 1 if self.f is linear else evaluate(self.f, self.f.gain, z)
        compare_gain(self.f, z, self.gain[part])
        return z, rate

    def _finite(self, part):
        """Return whether the residual and all gains are numbers, (m,)."""
        finite = np.isfinite(self.residual[part])
        return finite if self.f is linear else finite & np.isfinite(self.gain[part]).all(axis=1)


def _unit(x, r):
    """Return a power of 2 of the size of each row of x and r, (m, 1); 1 where they are 0."""
    size = np.maximum(largest(x), largest(r))
    power = np.ldexp(np.ones_like(size), np.frexp(size)[1] - 1)
    return np.where(size > 0, power, 1)[:, None]


def advance(certificate, x, r, max_steps, method):
    """Move each row of r by ``method``, in place, until it has converged; return each one's steps."""
    W, f, m = certificate.W, certificate.f, len(x)
    steps = np.zeros(m, dtype=int)
    arrived, vanished = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
    input_size, first_size = largest(x), largest(r)
    net_input = np.empty_like(x)  # one array for every step: new memory is slow at first touch

    def drive(rows, at):
        z = net_input[: len(at)]
        if at.any():
            np.matmul(at, W.T, out=z)
        else:  # at rest no product is needed
            z[:] = 0
        z += x if len(rows) == m else x[rows]
        return z

    def phi(rows, at):
        return evaluate(f, f, drive(rows, at))

    def newton_step(rows, at, residual, diagonal):
        gain = evaluate(f, f.gain, drive(rows, at))
        return solve_direct(W, gain, residual, diagonal=diagonal)

    def limit(rows, at):
        size = largest(at)
        fading = size < certificate.tol * first_size[rows]
        return np.where(fading, np.inf, certificate.limit(size, input_size[rows]))

    def confirm(rows, at, residual, within):
        z = net_input[: len(rows)][within]  # where φ has just left it
        rows, at, residual = rows[within], at[within], residual[within]
        rate, gain = at + residual, evaluate(f, f.gain, z)
        size = largest(residual)
        good = certificate.holds(x[rows], at, z, rate, gain, size, early=True)
        fading = np.flatnonzero(largest(at) < certificate.tol * first_size[rows])
        if len(fading):
            # Rates that have shrunk to tol of what they were go on to 0, if that is a fixed point and the
            # network is linear from there to here.
            chosen = [a[fading] for a in (x[rows], z, rate, gain)]
            fading = fading[certificate.drive(*chosen)[0] <= certificate.tol * size[fading]]
            fading = fading[largest(evaluate(f, f, x[rows[fading]])) == 0]
            vanished[rows[fading]] = good[fading] = True
        arrived[rows[good]] = True
        return good

    def run(method, rows, max_steps):
        """Advance some rows by one method and return those that have still not converged."""
        _, taken = iterate(phi, r, method, rows, limit, max_steps, confirm)
        steps[rows] += taken
        return rows[~arrived[rows]]

    todo = np.arange(m)
    if method == "relaxation":
        run(Relaxation(m), todo, max_steps)
    elif method == "anderson":
        run(Anderson(m), todo, max_steps)
    elif method == "newton":
        run(Newton(m, newton_step), todo, max_steps)
    else:
        todo = run(Relaxation(m), todo, min(max_steps, RELAX_FIRST))
        settled = r.copy()
        todo = run(Anderson(len(todo)), todo, min(max_steps, THEN_ANDERSON))
        r[todo] = settled[todo]
        todo = run(Newton(len(todo), newton_step), todo, min(max_steps, NEWTON_STEPS))
        if len(todo):
            curve, gain = partial(evaluate, f, f), partial(evaluate, f, f.gain)
            rounds = min(max_steps, CONTINUATION_STEPS)
            r[todo], steps_taken = continuation(curve, gain, W, x[todo], rounds)
            steps[todo] += steps_taken
            todo = run(Newton(len(todo), newton_step, np.inf), todo, min(max_steps, NEWTON_STEPS))
        r[todo] = settled[todo]
    r[vanished] = 0
    return steps
