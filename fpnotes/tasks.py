"""What a network is to learn: inputs, targets, a loss, and the weights that training starts from.

A task is anything with ``W0``, ``activation``, ``batch(step, rng)``, ``loss(r, y)`` and
``error(r, y)``. The plain :class:`Task` is given its loss as a function and leaves ∂J/∂r to autograd,
so that a new task is one function.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from autograd import grad

from fpnotes._inputs import rows_of, square_matrix
from fpnotes.activations import Activation, as_activation


@dataclass(frozen=True)
class Task:
    """Learn W so that the fixed points for inputs x have a small loss.

    Parameters
    ----------
    W0 : (N, N) array_like
        Weights before training.
    x : (m, N) array_like
        Inputs, a row a sample.
    y : array_like of m rows
        Targets, in whatever form the loss takes.
    loss : callable
        ``loss(r, y)`` returns J for rates r of shape (m, N), written with ``autograd.numpy``.
    activation : str, Activation or callable
        The f–I curve.

    Raises
    ------
    ValueError, TypeError
        When shapes do not match, or a value is not finite.
    """

    W0: np.ndarray
    x: np.ndarray
    y: np.ndarray
    loss: Callable
    activation: Activation | str | Callable = "tanh"

    def __post_init__(self):
        """Check what was given."""
        object.__setattr__(self, "W0", square_matrix("W0", self.W0))
        object.__setattr__(self, "x", rows_of("x", self.x, len(self.W0)))
        object.__setattr__(self, "y", np.asarray(self.y))
        object.__setattr__(self, "activation", as_activation(self.activation))
        if self.x.ndim != 2 or self.y.shape[:1] != self.x.shape[:1]:
            raise ValueError(
                f"x and y must have one row a sample; their shapes are {self.x.shape} and "
                f"{self.y.shape}"
            )

    def batch(self, step, rng):
        """Return the inputs and targets of a training step: here all of them, at every step."""
        return self.x, self.y

    def error(self, r, y):
        """Return ∂J/∂r, (m, N), by autograd."""
        return grad(self.loss)(r, y)


def mean_squared_error(r, y):
    """Return J = (1/m) Σ ‖rʲ − yʲ‖², the mean over samples of the summed squares."""
    return ((r - y) ** 2).sum() / len(r)


@dataclass(frozen=True)
class LinearRegression(Task):
    """Learn the linear map x ↦ y with a linear recurrent network; [ZR24] section 3."""

    loss: Callable = field(init=False, repr=False)
    activation: Activation | str | Callable = field(default="linear", init=False)

    def __post_init__(self):
        """Check that targets are rates."""
        object.__setattr__(self, "loss", mean_squared_error)
        super().__post_init__()
        object.__setattr__(self, "y", rows_of("y", self.y, len(self.W0)))

    def error(self, r, y):
        """Return ∂J/∂r = 2(r − y)/m, (m, N)."""
        return 2 * (r - y) / len(r)

    @classmethod
    def published(cls, n=200, m=100):
        """Return the regression of [ZR24], drawn in the authors' order from their seed, 2023.

        A network of weights 0.5·randn/√n responds to 0.1·randn inputs, with noise of size 0.01.

        Parameters
        ----------
        n, m : int
            Neurons and samples; 200 and 100 are the published ones.
        """
        rng = np.random.RandomState(2023)
        X = 0.1 * rng.randn(n, m)
        W_hat = 0.5 * rng.randn(n, n) * np.sqrt(1 / n)
        Y = np.linalg.solve(np.eye(n) - W_hat, X) + 0.01 * rng.randn(n, m)
        W_init = (0.75 / np.sqrt(n)) * rng.randn(n, n)
        return cls(W0=W_init, x=X.T, y=Y.T)

    @classmethod
    def one_neuron(cls, w0=0.0, *, w_star=-1.0, m=500, seed=2023):
        """Return the regression of [ZR24] for one neuron: y = x/(1 − w*) plus noise of size 0.02.

        Parameters
        ----------
        w0 : float
            The weight before training; the paper starts from −2 and from 0.
        w_star : float
            The weight that generates the data.
        m : int
            Samples, x ~ 0.1·randn.
        seed : int
            Of NumPy's legacy generator.
        """
        rng = np.random.RandomState(seed)
        x = 0.1 * rng.randn(m, 1)
        y = x / (1 - w_star) + 0.02 * rng.randn(m, 1)
        return cls(W0=np.array([[float(w0)]]), x=x, y=y)
