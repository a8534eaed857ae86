"""Fixed points of recurrent neural networks, and rules that learn them.

The companion package of the book *Learning Fixed Points*. Read the modules in this order, each
leaning only on those before it: ``activations``, ``network``, ``iterations``, ``continuation``,
``solvers``, ``implicit``, ``rules``, ``optimizers``, ``geometry``, ``digits``, ``tasks``, ``training``,
``reproduce``; then ``checks``, ``figures`` and ``interactive``, which the book's chapters use.

Samples are rows throughout: inputs x and rates r have shape (..., N).
"""

from fpnotes.activations import Activation, linear, powerlaw, relu, softplus, tanh
from fpnotes.geometry import Euclidean, Reparameterized, angle
from fpnotes.implicit import fixed_point
from fpnotes.network import (
    RateNetwork,
    SingularityError,
    distance_to_singularity,
    spectral_abscissa,
)
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.solvers import ConvergenceError, FixedPoint, solve
from fpnotes.tasks import Digits, LinearRegression, Task
from fpnotes.training import History, sweep, train

__all__ = [
    "Activation",
    "ConvergenceError",
    "Digits",
    "Euclidean",
    "FixedPoint",
    "History",
    "LinearRegression",
    "RateNetwork",
    "Reparameterized",
    "SingularityError",
    "Task",
    "angle",
    "distance_to_singularity",
    "fixed_point",
    "gradient",
    "linear",
    "linearized",
    "powerlaw",
    "relu",
    "reparameterized",
    "softplus",
    "solve",
    "spectral_abscissa",
    "sweep",
    "tanh",
    "train",
]
