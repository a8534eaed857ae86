"""What a network is to learn: inputs, targets, a loss, and the weights that training starts from.

A task is anything with the attributes of :class:`TaskLike`. The batches it yields depend on ``rng`` alone,
so that a seed gives them again. The plain :class:`Task` is given its loss as a function and leaves ∂J/∂r to
autograd, so that a new task is one function.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import autograd.numpy as anp
import numpy as np
from autograd import grad
from autograd.tracer import getval

from fpnotes._inputs import check_count, check_rows, check_square_matrix
from fpnotes._text import counted
from fpnotes._types import Array, ArrayLike, FloatArray, IntArray
from fpnotes.activations import Activation, Curve, as_activation, linear, tanh
from fpnotes.digits import load_digits
from fpnotes.solvers import FixedPoint, solve

__all__ = [
    "Digits",
    "LinearRegression",
    "Task",
    "TaskLike",
    "cross_entropy",
    "mean_squared_error",
]


class Loss(Protocol):
    """A function of rates (m, N) and of their targets that returns J, a number."""

    def __call__(self, r: Any, y: Any, /) -> Any:
        """Return J."""
        ...


class TaskLike(Protocol):
    """What :func:`fpnotes.training.train` asks of a task: any object with these attributes is one.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> class Silence:  # answer every input with rates near 0
    ...     W0, activation = np.zeros((2, 2)), "tanh"
    ...     def batches(self, rng):
    ...         while True:
    ...             yield np.eye(2), None
    ...     def loss(self, r, y):
    ...         return (r**2).sum() / len(r)
    ...     def error(self, r, y):
    ...         return 2 * r / len(r)
    >>> history = fp.train(Silence(), fp.linearized, lr=0.1, steps=100, progress=False)
    >>> bool(history.loss[-1] < history.loss[0] / 4)
    True
    """

    @property
    def W0(self) -> ArrayLike:
        """Weights before training, (N, N)."""
        ...

    @property
    def activation(self) -> Curve:
        """The f–I curve, as :func:`fpnotes.activations.as_activation` takes it."""
        ...

    @property
    def loss(self) -> Loss:
        """``loss(r, y)`` returns J, a number, for rates (m, N) and the targets of their batch."""
        ...

    def batches(self, rng: np.random.Generator, /) -> Iterator[tuple[ArrayLike, Any]]:
        """Yield inputs, (m, N), and targets of each training step, without end; random by ``rng`` alone."""
        ...

    def error(self, r: FloatArray, y: Any, /) -> ArrayLike:
        """Return ∂J/∂r, (m, N)."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """Learn W so that the fixed points for inputs x have a small loss.

    A task holds copies of the arrays it is given, and they are read-only. Tasks are compared by identity.

    Parameters
    ----------
    W0 : (N, N) array_like
        Weights before training.
    x : (m, N) array_like
        Inputs, one row per sample, m ≥ 1.
    y : array_like of m rows
        Targets, one row per sample, in whatever form the loss takes.
    loss : callable
        ``loss(r, y)`` returns J for rates r of shape (m, N), written with ``autograd.numpy``.
    activation : str, Activation or callable
        The f–I curve.

    Raises
    ------
    ValueError, TypeError
        When shapes do not match, there are no samples, or W0 or x is not finite.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import fpnotes as fp
    >>> def distance(r, y):
    ...     return np.sum(np.abs(r - y)) / len(r)
    >>> task = fp.Task([[0.0]], [[1.0], [2.0]], [[0.5], [0.5]], distance, "tanh")
    >>> task.error(np.array([[0.8], [0.9]]), task.y)
    array([[0.5],
           [0.5]])
    """

    W0: FloatArray
    x: FloatArray
    y: Array
    loss: Loss
    activation: Activation = tanh

    if TYPE_CHECKING:  # what it takes is wider than what it holds

        def __init__(
            self, W0: ArrayLike, x: ArrayLike, y: ArrayLike, loss: Loss, activation: Curve = tanh
        ) -> None: ...

    def __post_init__(self) -> None:
        """Check what was given."""
        W0 = check_square_matrix("W0", self.W0)
        x = check_rows("x", self.x, len(W0))
        try:
            y = np.asarray(self.y)
        except ValueError as error:
            raise ValueError(f"y must have one row per sample, all of one shape: {error}") from None
        self._set(W0=W0, x=x, y=y, activation=as_activation(self.activation))
        if x.ndim != 2 or y.shape[:1] != x.shape[:1]:
            raise ValueError(
                f"x and y must have one row per sample; their shapes are {x.shape} and {y.shape}"
            )
        if len(x) == 0:
            raise ValueError("x must hold at least one sample, and has none")
        if not callable(self.loss):
            raise TypeError(f"loss must be a function of (r, y), not {self.loss!r}")

    def __repr__(self) -> str:
        """Return one line: how large the network and the data are, and the f–I curve."""
        size = f"{counted(len(self.W0), 'neuron')}, {counted(len(self.x), 'sample')}"
        return f"{type(self).__name__}({size}, {self.activation.name})"

    def _set(self, **fields):
        """Set fields: of arrays, copies that cannot be written to."""
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value = value.copy()
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[FloatArray, Array]]:
        """Yield the inputs and targets of each training step, without end: here all, at every step."""
        while True:
            yield self.x, self.y

    def error(self, r: FloatArray, y: Array) -> FloatArray:
        """Return ∂J/∂r, (m, N), by autograd."""
        return grad(self.loss)(r, y)


def mean_squared_error(r: FloatArray, y: Array) -> float:
    """Return J = (1/m) Σ ‖rʲ − yʲ‖², the mean over samples of the summed squares.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> float(fp.mean_squared_error(np.array([[1.0, 2.0], [0.0, 0.0]]), np.zeros((2, 2))))
    2.5
    """
    return ((r - y) ** 2).sum() / len(r)


@dataclass(frozen=True, eq=False, repr=False)
class LinearRegression(Task):
    """Learn the linear map x ↦ y with a linear recurrent network; [ZR24] section 3.

    Examples
    --------
    >>> import fpnotes as fp
    >>> task = fp.LinearRegression([[0.0]], [[1.0], [2.0]], [[2.0], [4.0]])  # A = 2, so w = 0.5
    >>> fp.train(task, fp.linearized, lr=0.1, steps=50, progress=False).W.round(4)
    array([[0.5]])
    """

    loss: Loss = field(init=False)
    activation: Activation = field(default=linear, init=False)

    if TYPE_CHECKING:

        def __init__(self, W0: ArrayLike, x: ArrayLike, y: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        """Check that targets are rates."""
        self._set(loss=mean_squared_error)
        super().__post_init__()
        self._set(y=check_rows("y", self.y, len(self.W0)))

    def error(self, r: FloatArray, y: Array) -> FloatArray:
        """Return ∂J/∂r = 2(r − y)/m, (m, N)."""
        return 2 * (r - y) / len(r)

    @classmethod
    def published(cls, n: int = 200, m: int = 100) -> Self:
        """Return the regression of [ZR24], drawn in the authors' order from their seed, 2023.

        A network of weights 0.5·randn/√n responds to 0.1·randn inputs, with noise of size 0.01.

        Parameters
        ----------
        n, m : int
            Neurons and samples; 200 and 100 are the published ones.
        """
        n, m = check_count("n", n), check_count("m", m)
        rng = np.random.RandomState(2023)
        X = 0.1 * rng.randn(n, m)
        W_hat = 0.5 * rng.randn(n, n) * np.sqrt(1 / n)
        Y = np.linalg.solve(np.eye(n) - W_hat, X) + 0.01 * rng.randn(n, m)
        W_init = (0.75 / np.sqrt(n)) * rng.randn(n, n)
        return cls(W0=W_init, x=X.T, y=Y.T)

    @classmethod
    def one_neuron(
        cls, w0: float = 0.0, *, w_star: float = -1.0, m: int = 500, seed: int = 0
    ) -> Self:
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
            The paper names none.
        """
        if w_star == 1:
            raise ValueError("w_star must not be 1, where the neuron has no fixed point")
        m, seed = check_count("m", m), check_count("seed", seed, least=0)
        rng = np.random.default_rng(seed)
        x = 0.1 * rng.standard_normal((m, 1))
        y = x / (1 - w_star) + 0.02 * rng.standard_normal((m, 1))
        return cls(W0=np.array([[float(w0)]]), x=x, y=y)


def cross_entropy(scores: FloatArray, labels: Array) -> float:
    """Return the mean over samples of −log softmax(scores)[label]; shapes (m, K) and (m,).

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> labels = np.array([1])
    >>> float(fp.cross_entropy(np.array([[0.0, 0.0]]), labels).round(6))  # log 2
    0.693147
    """
    # Softmax does not change when a number is taken from all scores of a sample; below 0 none overflows.
    scores = scores - getval(scores).max(axis=1, keepdims=True)
    chosen = scores[np.arange(len(labels)), labels]
    return anp.mean(anp.log(anp.sum(anp.exp(scores), axis=1)) - chosen)


@dataclass(frozen=True, eq=False, repr=False)
class Digits(Task):
    """Learn to recognize handwritten digits by the fixed points of a network; [ZR24] section 4.

    The input of a neuron is a fixed random sum of an image's pixels, and a fixed random readout of the
    rates gives a score for each of the ten digits. Only the recurrent weights learn.

    Parameters
    ----------
    W0, x, y, activation
        As in :class:`Task`; y holds the labels, (m,) whole numbers.
    readout : (K, N) array_like
        Weights from the neurons to the scores of the K classes.
    test_x, test_y : (k, N) and (k,) array_like
        Inputs and labels kept for testing.
    batch_size : int
        Samples of a training step. An epoch deals the training set out once, in random order.

    Examples
    --------
    >>> import fpnotes as fp
    >>> task = fp.Digits.published(n=20)
    >>> point, loss, accuracy = task.test(task.W0, limit=100)
    >>> len(task.x), task.readout.shape, len(point.r)
    (10000, (10, 20), 100)
    """

    loss: Loss = field(init=False)
    readout: FloatArray = field(kw_only=True)
    test_x: FloatArray = field(kw_only=True)
    test_y: IntArray = field(kw_only=True)
    batch_size: int = field(default=512, kw_only=True)

    if TYPE_CHECKING:

        def __init__(
            self,
            W0: ArrayLike,
            x: ArrayLike,
            y: ArrayLike,
            activation: Curve = tanh,
            *,
            readout: ArrayLike,
            test_x: ArrayLike,
            test_y: ArrayLike,
            batch_size: int = 512,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Check readout, labels and test set."""
        self._set(loss=self._loss)
        super().__post_init__()
        n = len(self.W0)
        try:
            test_y = np.asarray(self.test_y)
        except ValueError as error:
            raise ValueError(f"test_y must be whole numbers, one per sample: {error}") from None
        self._set(
            readout=check_rows("readout", self.readout, n),
            test_x=check_rows("test_x", self.test_x, n),
            test_y=test_y,
            batch_size=check_count("batch_size", self.batch_size),
        )
        if self.readout.ndim != 2 or len(self.readout) == 0:
            raise ValueError(
                f"readout must be a (K, {n}) matrix, not of shape {self.readout.shape}"
            )
        for name, x, y in (("y", self.x, self.y), ("test_y", self.test_x, self.test_y)):
            if y.dtype.kind not in "iu" or y.shape != x.shape[:1]:
                raise ValueError(f"{name} must be one label per sample, {len(x)} whole numbers")
            if y.size and not (0 <= y.min() and y.max() < len(self.readout)):
                raise ValueError(f"{name} must hold labels from 0 to {len(self.readout) - 1}")

    def _loss(self, r, y):
        return cross_entropy(anp.dot(r, self.readout.T), y)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[FloatArray, Array]]:
        """Yield batches of inputs and labels; the last of an epoch holds what is left."""
        while True:
            order = rng.permutation(len(self.x))
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                yield self.x[rows], self.y[rows]

    def error(self, r: FloatArray, y: Array) -> FloatArray:
        """Return ∂J/∂r = (softmax(scores) − one-hot(y)) readout / m, (m, N)."""
        scores = r @ self.readout.T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        return p @ self.readout / len(y)

    def accuracy(self, r: FloatArray, y: Array) -> float:
        """Return the fraction of samples whose own label scores highest."""
        return float(np.mean((r @ self.readout.T).argmax(axis=1) == y))

    def test(
        self,
        W: ArrayLike,
        limit: int | None = None,
        *,
        solve: Callable[..., FixedPoint] = solve,
        **solver: Any,
    ) -> tuple[FixedPoint, float, float]:
        """Return ``(point, loss, accuracy)`` on the test set, at weights W.

        Parameters
        ----------
        W : (N, N) array_like
            Recurrent weights.
        limit : int, optional
            Use only the first so many test samples.
        solve, **solver
            How fixed points are found: :func:`fpnotes.solvers.solve` and its options.
        """
        limit = None if limit is None else check_count("limit", limit)
        x, y = self.test_x[:limit], self.test_y[:limit]
        if len(x) == 0:
            raise ValueError("test_x must hold at least one sample to test on, and has none")
        point = solve(W, x, self.activation, **solver)
        return point, float(self.loss(point.r, y)), self.accuracy(point.r, y)

    @classmethod
    def published(
        cls,
        seed: int = 0,
        *,
        full: bool = False,
        n: int = 300,
        dtype: type[np.floating[Any]] = np.float32,
        **data: Any,
    ) -> Self:
        """Return the task of [ZR24]: n tanh neurons, pixels between 0 and 1, batches of 512.

        W0 is 0.5·randn/√n; input weights are randn/√784 and the readout is randn/√n. The paper gives no
        seed.

        Parameters
        ----------
        seed : int
            Of all three matrices.
        full : bool
            Train on all 60,000 images, which are fetched once, instead of the 10,000 that are shipped.
        n : int
            Neurons.
        dtype : dtype
            float32, as in the paper, or float64.
        **data
            Further options of :func:`fpnotes.digits.load_digits`, such as cache.
        """
        n, seed = check_count("n", n), check_count("seed", seed, least=0)
        images = load_digits(full, **data)
        rng = np.random.default_rng(seed)
        W0 = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
        pixels = images.train_images.shape[1]
        W_in = (rng.standard_normal((n, pixels)) / np.sqrt(pixels)).astype(dtype)
        readout = rng.standard_normal((10, n)) / np.sqrt(n)
        return cls(
            W0.astype(dtype),
            (images.train_images / dtype(255)) @ W_in.T,
            images.train_labels.astype(int),
            "tanh",
            readout=readout.astype(dtype),
            test_x=(images.test_images / dtype(255)) @ W_in.T,
            test_y=images.test_labels.astype(int),
        )
