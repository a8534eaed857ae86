"""f–I curves: how a neuron's rate depends on its net input.

An f–I curve f turns net input z into a rate f(z). Its slope g = f′(z) is the neuron's *gain*. All the
mathematics of this package needs from a nonlinearity is that pair, so that is what an
:class:`Activation` is. The curves are written with ``autograd.numpy``: they take plain arrays at
NumPy's speed, and can also be differentiated, any number of times.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import autograd.numpy as np
import numpy as onp
from autograd import elementwise_grad
from autograd.extend import defjvp, defvjp, primitive

from fpnotes._inputs import check_positive
from fpnotes._rows import largest
from fpnotes._types import FloatArray, Real

__all__ = ["Activation", "as_activation", "linear", "powerlaw", "relu", "softplus", "tanh"]


@dataclass(frozen=True)
class Activation:
    """An f–I curve and its slope.

    Parameters
    ----------
    name : str
        What error messages and figures call it.
    f : callable
        Elementwise map from net input z, any shape, to rate.
    gain : callable
        Its derivative f′, elementwise. The first solve compares them, and raises ``ValueError`` where
        gain is not the slope of f.
    made_by : tuple or str, optional
        How to find the curve again where f and gain cannot be pickled: ``(function, arguments)`` that
        make it, or its name in this module.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> cubic = fp.Activation("cubic", lambda z: z**3, lambda z: 3 * z**2)
    >>> cubic(np.array([1.0, 2.0]))
    array([1., 8.])
    >>> cubic.gain(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """

    name: str
    f: Callable[[Any], Any] = field(repr=False)
    gain: Callable[[Any], Any] = field(repr=False)
    made_by: tuple[Any, ...] | str = field(default=(), repr=False, compare=False, kw_only=True)
    # Whether f and gain return a new array at every call and leave z alone, as the curves below do.
    _fresh: bool = field(default=False, init=False, repr=False, compare=False)
    # Whether gain has been compared with f, or was derived from it.
    _compared: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that both curves can be called."""
        for name, curve in (("f", self.f), ("gain", self.gain)):
            if not callable(curve):
                raise TypeError(f"{name} must be an elementwise function, not {curve!r}")

    def __call__(self, z: Any) -> Any:
        """Return the rate f(z), of z's shape."""
        return self.f(z)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle how to find the curve, so that ``linear`` is ``linear`` in another process."""
        return self.made_by or (Activation, (self.name, self.f, self.gain))


def evaluate(activation: Activation, curve: Callable[[Any], Any], z: FloatArray) -> FloatArray:
    """Evaluate ``activation.f`` or ``activation.gain`` at an array z, and check what comes back.

    The value is a new array: a function of the user's may work in place on what it is given, keep it, or
    return the same array every time.

    Raises
    ------
    ValueError, TypeError
        If the value is not a real array of z's shape. An error raised by a user's own function comes
        through as it is, with a note that names the activation.
    """
    try:
        # A rate too small for a float is 0, which is right, whatever NumPy has been asked to raise.
        with onp.errstate(under="ignore"):
            value = onp.asarray(curve(z if activation._fresh else z.copy()))
    except Exception as error:
        error.add_note(
            f"raised by activation {activation.name!r} given an array of shape {z.shape}"
        )
        raise
    if value.shape != z.shape:
        raise ValueError(
            f"activation {activation.name!r} must be elementwise: given net input of shape {z.shape} "
            f"it returned shape {value.shape}"
        )
    if value.dtype.kind not in "biuf":
        raise TypeError(
            f"activation {activation.name!r} must return real numbers, not dtype {value.dtype}"
        )
    return value.astype(z.dtype, copy=not activation._fresh)


def compare_gain(activation: Activation, z: FloatArray, gain: FloatArray) -> None:
    """Refuse a gain that is not the slope of f, as differences at some rows of the net input z tell it.

    They tell it in double precision where f rises or falls evenly over their length; kinks, jumps and flat
    stretches go unjudged. Once something could be judged, an activation is not compared again.

    Parameters
    ----------
    activation : Activation
        The f–I curve.
    z, gain : array, (m, N)
        Net input, and the gains that ``activation.gain`` returned for it.

    Raises
    ------
    ValueError
        If a gain is off by more than a tenth.
    """
    if activation._compared or not z.size or z.dtype != float:
        return
    # Of whole rows, for a curve may have a parameter for each neuron; about 1000 numbers suffice.
    every = -(-z.size // 1000)
    z, gain = z[::every], gain[::every]
    step = 1e-4 * largest(z)[:, None]
    with onp.errstate(all="ignore"):  # a neighbour of z may lie where f has no value
        rate = evaluate(activation, activation, z)
        slopes = [
            (evaluate(activation, activation, z + k * step) - rate) / (k * step)
            for k in (-10, -1, 1, 10)
        ]
        slope, spread = onp.mean(slopes, axis=0), onp.ptp(slopes, axis=0)
        even = (spread < 0.1 * abs(slope)) & (abs(slope) * step > 1e-13 * abs(rate))
        wrong = even & onp.isfinite(gain) & (abs(gain - slope) > 0.1 * abs(slope))
    if wrong.any():
        i = tuple(onp.argwhere(wrong)[0])
        raise ValueError(
            f"gain of activation {activation.name!r} must be the slope of f, which is about {slope[i]:.3g} "
            f"at z = {z[i]:.3g}, not {gain[i]:.3g}"
        )
    if even.any():
        object.__setattr__(activation, "_compared", True)


def _curve(name, f, gain, made_by=None):
    """Pair f with its derivative, and teach autograd that this is its derivative.

    Autograd would find the same gain by tracing f. Stating it avoids the trace's weak spots: NaN where
    an intermediate power overflows, and ½ at the kink of relu.
    """
    f = primitive(f)
    defvjp(f, lambda ans, z: lambda cotangent: cotangent * gain(z))
    defjvp(f, lambda tangent, ans, z: tangent * gain(z))
    curve = Activation(name, f, gain, made_by=made_by or name)
    object.__setattr__(curve, "_fresh", True)
    object.__setattr__(curve, "_compared", True)
    return curve


def powerlaw(p: Real = 2.0, k: Real = 1.0) -> Activation:
    """Return the power-law curve f(z) = k [z]₊^p, supralinear for p > 1.

    Parameters
    ----------
    p : float, at least 1
        Exponent; measured f–I curves of cortical neurons give 2 to 5 (Hansel & van Vreeswijk 2002).
    k : float, positive
        Scale, in rate per net input to the power p.

    Raises
    ------
    ValueError
        If p < 1, where the gain at threshold is infinite, or k ≤ 0.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> f = fp.powerlaw(p=2, k=0.5)
    >>> f(np.array([-1.0, 2.0])), f.gain(np.array([-1.0, 2.0]))
    (array([0., 2.]), array([0., 2.]))
    """
    p, k = check_positive("p", p), check_positive("k", k)
    if p < 1:
        raise ValueError(f"p must be at least 1, not {p}: below that the gain at z = 0 is infinite")

    def power(z, scale, exponent):
        above = z > 0
        # The inner where keeps the unused branch differentiable: 0 to a negative power is not.
        return np.where(above, scale * np.where(above, z, 1.0) ** exponent, 0.0)

    return _curve(
        "powerlaw",
        lambda z: power(z, k, p),
        lambda z: power(z, k * p, p - 1),
        made_by=(powerlaw, (p, k)),
    )


# What a function with an argument ``activation`` takes: see as_activation.
Curve = str | Activation | Callable[[Any], Any]

#: f(z) = z.
linear: Activation = _curve("linear", lambda z: 1.0 * z, lambda z: np.ones_like(z))
#: f(z) = tanh z, with gain 1 − f².
tanh: Activation = _curve("tanh", np.tanh, lambda z: 1 - tanh.f(z) ** 2)
#: f(z) = max(z, 0), with gain 0 at its kink.
relu: Activation = _curve(
    "relu", lambda z: np.maximum(z, 0.0), lambda z: np.where(z > 0, np.ones_like(z), 0.0)
)
#: f(z) = log(1 + eᶻ).
softplus: Activation = _curve(
    "softplus", lambda z: np.logaddexp(z, 0.0), lambda z: 0.5 * (1 + np.tanh(z / 2))
)

NAMED = {curve.name: curve for curve in (linear, tanh, relu, softplus, powerlaw())}


def as_activation(activation: Curve) -> Activation:
    """Return an :class:`Activation` for a name, an ``Activation``, or a function of z.

    A function must be elementwise and written with ``autograd.numpy``: autograd supplies its gain.

    Raises
    ------
    ValueError
        If a name is not one of the curves above.
    TypeError
        If it is neither a name nor callable.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import fpnotes as fp
    >>> fp.as_activation("relu")
    Activation(name='relu')
    >>> squash = fp.as_activation(lambda z: z / (1 + np.abs(z)))
    >>> squash.gain(np.array([0.0, 1.0]))
    array([1.  , 0.25])
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        if activation not in NAMED:
            raise ValueError(f"activation must be one of {', '.join(NAMED)}, not {activation!r}")
        return NAMED[activation]
    if callable(activation):
        name = getattr(activation, "__name__", "activation")
        gain, made_by = elementwise_grad(activation), (as_activation, (activation,))
        curve = Activation(name, activation, gain, made_by=made_by)
        object.__setattr__(curve, "_compared", True)
        return curve
    raise TypeError(
        "activation must be a name, an Activation, or an elementwise function written with "
        f"autograd.numpy, not {activation!r}"
    )
