"""What both modules ask of their arguments, and the words with which they refuse."""

from contextlib import contextmanager

import numpy as np

from fpnotes._certificate import tolerance
from fpnotes._inputs import check_count
from fpnotes.activations import NAMED, Activation
from fpnotes.rules import FACTORS
from fpnotes.solvers import ConvergenceError, FixedPoint, failure

RULES = ("gradient", *FACTORS)


def check_rule(rule):
    """Raise unless ``rule`` names a rule whose direction a backward pass can hand on."""
    if rule == "reparameterized":
        raise ValueError(
            "rule='reparameterized' has no direction that a backward pass could return: its update is not η "
            "times one, and η is chosen later, by the optimizer. To first order in η it is 'linearized'; for "
            "the rule itself use fpnotes.train"
        )
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")


def check_shapes(W, x, r0):
    """Raise unless W is (N, N) and x (..., N), and r0, if any, broadcasts to the shape of x."""
    shape = tuple(W.shape)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"W must be a square (N, N) matrix, not of shape {shape}")
    n = shape[0]
    for name, array in [("x", x)] + [("r0", r0)] * (r0 is not None):
        if not len(array.shape) or array.shape[-1] != n:
            raise ValueError(
                f"{name} must have shape (..., {n}), one row per sample, to match W of shape {shape}; "
                f"it has shape {tuple(array.shape)}"
            )
    if r0 is not None:
        try:
            fits = np.broadcast_shapes(r0.shape, x.shape) == tuple(x.shape)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"r0 of shape {tuple(r0.shape)} must broadcast to the shape of x, {tuple(x.shape)}"
            )


def check_activation(activation, arrays):
    """Raise unless it is a name or a function; ``arrays`` says of what."""
    if isinstance(activation, str):
        if activation not in NAMED:
            raise ValueError(f"activation must be one of {', '.join(NAMED)}, not {activation!r}")
    elif isinstance(activation, Activation) or not callable(activation):
        raise TypeError(
            f"activation must be a name or an elementwise function of {arrays}, not {activation!r}"
        )


@contextmanager
def raised_by_curve(arrays, library):
    """Note, on an error raised in this context, that it is of an f–I curve, and what that must be."""
    try:
        yield
    except Exception as error:
        error.add_note(
            f"raised by activation, which must be an elementwise function of {arrays} that {library} can "
            "differentiate"
        )
        raise


def check_options(tol, max_steps, dtype):
    """Return tol and max_steps, checked; dtype is a name, such as "float32"."""
    return tolerance(tol, np.dtype(dtype)), check_count("max_steps", max_steps)


def check_elementwise(z, rate):
    """Raise unless an f–I curve returned an array like the z that it was given."""
    if tuple(rate.shape) != tuple(z.shape):
        raise ValueError(
            f"activation must be elementwise: given net input of shape {tuple(z.shape)} it returned shape "
            f"{tuple(rate.shape)}"
        )
    if rate.dtype != z.dtype:
        raise TypeError(
            f"activation must return the dtype it is given, {z.dtype}, not {rate.dtype}"
        )


def not_converged(W, x, f, gain, point, tol):
    """Return the error that :func:`fpnotes.solve` would raise, given NumPy's arrays, and f and f′ of them."""
    samples = x.shape[:-1]
    found = FixedPoint(
        W=W,
        x=x,
        **{name: getattr(point, name).reshape(x.shape) for name in ("r", "gain", "recurrent")},
        residual=point.residual.reshape(samples)[()],
        converged=point.converged.reshape(samples)[()],
        steps=point.steps.astype(int).reshape(samples)[()],
    )
    return ConvergenceError(failure(found, tol, Activation("f", f, gain)), found)


def not_solvable(left, m):
    """Return the error of an adjoint equation that lost its digits in ``left`` of m samples."""
    return ConvergenceError(
        f"the adjoint equation (I − GW)ᵀλ = c cannot be solved to three digits for {left} of {m} "
        "samples: I − GW is singular, or nearly so, there, and r has no derivative"
    )
