"""Fixed points of recurrent neural networks, and rules that learn them.

The companion package of the book *Learning Fixed Points*. Read the modules in this order, each
leaning only on those before it: ``activations``, ``network``, ``solvers``, ``implicit``, ``rules``,
``optimizers``, ``geometry``, ``digits``, ``tasks``, ``training``, ``sweeps``. What they offer can all be
imported from here, and is the public interface. ``fpnotes.chapters`` holds what only the book uses.

Samples are rows throughout: inputs x and rates r have shape (..., N).
"""

from fpnotes.activations import Activation, as_activation, linear, powerlaw, relu, softplus, tanh
from fpnotes.digits import DigitImages, load_digits
from fpnotes.geometry import Euclidean, Reparameterized, angle, riemann_tensor
from fpnotes.implicit import fixed_point, resolvent
from fpnotes.network import (
    RateNetwork,
    SingularityError,
    distance_to_singularity,
    spectral_abscissa,
)
from fpnotes.optimizers import Adam, Dale, InResponse, Momentum, response_step
from fpnotes.rules import (
    Rule,
    gradient,
    jacobian_free,
    linearized,
    linearized_without_gains,
    natural,
    reparameterized,
    truncated,
    without_transport,
)
from fpnotes.solvers import ConvergenceError, FixedPoint, solve
from fpnotes.sweeps import SweepError, sweep
from fpnotes.tasks import (
    Digits,
    LinearRegression,
    Task,
    TaskLike,
    cross_entropy,
    mean_squared_error,
)
from fpnotes.training import History, keep_memory, train

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Adam",
    "ConvergenceError",
    "Dale",
    "DigitImages",
    "Digits",
    "Euclidean",
    "FixedPoint",
    "History",
    "InResponse",
    "LinearRegression",
    "Momentum",
    "RateNetwork",
    "Reparameterized",
    "Rule",
    "SingularityError",
    "SweepError",
    "Task",
    "TaskLike",
    "angle",
    "as_activation",
    "cross_entropy",
    "distance_to_singularity",
    "fixed_point",
    "gradient",
    "jacobian_free",
    "keep_memory",
    "linear",
    "linearized",
    "linearized_without_gains",
    "load_digits",
    "mean_squared_error",
    "natural",
    "powerlaw",
    "relu",
    "reparameterized",
    "resolvent",
    "response_step",
    "riemann_tensor",
    "softplus",
    "solve",
    "spectral_abscissa",
    "sweep",
    "tanh",
    "train",
    "truncated",
    "without_transport",
]
