"""Fixed points of recurrent neural networks, and rules that learn them.

The companion package of the book *Learning Fixed Points*. Read the modules in this order, each
leaning only on those before it: ``activations``, ``network``, ``iterations``, ``continuation``,
``solvers``, ``implicit``, ``rules``; then ``checks`` and ``figures``, which the book's chapters use.

Samples are rows throughout: inputs x and rates r have shape (..., N).
"""

from fpnotes.activations import Activation, linear, powerlaw, relu, softplus, tanh
from fpnotes.implicit import fixed_point
from fpnotes.network import RateNetwork, distance_to_singularity, spectral_abscissa
from fpnotes.rules import gradient
from fpnotes.solvers import ConvergenceError, FixedPoint, solve

__all__ = [
    "Activation",
    "ConvergenceError",
    "FixedPoint",
    "RateNetwork",
    "distance_to_singularity",
    "fixed_point",
    "gradient",
    "linear",
    "powerlaw",
    "relu",
    "softplus",
    "solve",
    "spectral_abscissa",
    "tanh",
]
