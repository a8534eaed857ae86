"""Rules with a memory, and rules under a constraint, made from the rules without.

Each takes a rule and is one: it is called as ``rule(W, point, error, lr) -> dW`` and can be given to
:func:`fpnotes.training.train`, which starts its memory anew in every run. They nest, from the inside out:
``Dale(Momentum(linearized), signs)`` clips what momentum proposes.

A memory holds earlier steps, and steps taken at different W are compared in some coordinates. In W's own,
``Momentum(linearized)`` and ``Adam(linearized)`` apply to linear and nonlinear networks alike. In those
of a linear network's response matrix A, give :func:`response_step` a memory and see the result in W:
``InResponse(Momentum(response_step))`` is the heavy ball on A, and ``InResponse(Adam(response_step))`` is
Adam on the entries of A. The metric of :class:`fpnotes.geometry.Reparameterized` is flat in A, so that the
first is the heavy ball of that metric, whatever coordinates it is computed in. Adam has no such meaning
in any metric: it divides entry by entry, and entries belong to coordinates.
"""

from functools import partial

import numpy as np

from fpnotes._identity import readable
from fpnotes._inputs import check_positive, check_real_array
from fpnotes._state import rule_name
from fpnotes._steps import check_step, linear_response, solve_unless_singular
from fpnotes._types import ArrayLike, FloatArray, IntArray, Real
from fpnotes.network import SingularityError
from fpnotes.rules import Rule
from fpnotes.solvers import FixedPoint

__all__ = ["Adam", "Dale", "InResponse", "Momentum", "response_step"]


def proportional_to_lr(rule: Rule) -> bool:
    """Return whether a rule's step is η times something that does not depend on η.

    A rule whose step is not says so by an attribute ``proportional_to_lr = False``. It is looked up
    through partial functions and through rules made from a rule. A function that says nothing is trusted.
    """
    while isinstance(rule, partial):
        rule = rule.func
    return bool(getattr(rule, "proportional_to_lr", True))


class FromRule:
    """What rules made from a rule have in common: a name, by which sweep tells them apart."""

    rule: Rule
    parameters: tuple[str, ...] = ()
    keeps_proportion: bool = True  # of the step to lr, where the rule inside has it

    @property
    def proportional_to_lr(self) -> bool:
        """Whether the step is η times something that does not depend on η."""
        return self.keeps_proportion and proportional_to_lr(self.rule)

    def __init__(self, rule: Rule, suffix: str):
        if not callable(rule):
            raise TypeError(f"rule must be a function of (W, point, error, lr), not {rule!r}")
        self.rule = rule
        self.__name__: str = readable(rule) + suffix

    def __repr__(self) -> str:
        """Return how it was made; what it remembers is left out."""
        rule = repr(self.rule) if isinstance(self.rule, FromRule) else readable(self.rule)
        parameters = [f"{name}={readable(getattr(self, name))}" for name in self.parameters]
        return f"{type(self).__name__}({', '.join([rule, *parameters])})"


class Momentum(FromRule):
    """The heavy ball: the step taken is the rule's step plus a part β of the step before.

    V ← βV + rule(W), dW = V, in the entries of W. Source: Polyak 1964; book: eq-momentum.

    Parameters
    ----------
    rule : callable
        The rule to follow.
    beta : float
        The part of the last step that is kept, 0 ≤ β < 1.

    Raises
    ------
    ValueError, TypeError
        When β is out of range, or the rule cannot be called.

    Examples
    --------
    >>> import fpnotes as fp
    >>> rule = fp.Momentum(fp.linearized, beta=0.5)
    >>> rule
    Momentum(linearized, beta=0.5)
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")
    >>> for _ in range(3):
    ...     print(rule(point.W, point, [[1.0]], 1.0))
    [[-0.25]]
    [[-0.375]]
    [[-0.4375]]
    """

    parameters: tuple[str, ...] = ("beta",)

    def __init__(self, rule: Rule, beta: Real = 0.9):
        super().__init__(rule, "+momentum")
        self.beta: float = _check_fraction("beta", beta)
        self.step: FloatArray | None = None

    def __call__(
        self, W: FloatArray, point: FixedPoint, error: FloatArray, lr: float
    ) -> FloatArray:
        """Return dW, (N, N), and remember it."""
        dW = self.rule(W, point, error, lr)
        # Copies: the rule may use its array again, and the caller this one.
        self.step = np.array(dW) if self.step is None else self.beta * self.step + dW
        return self.step.copy()


class Adam(FromRule):
    """Adam: every entry's mean step, divided by the root mean square of its steps.

    With D the rule's step for η = 1: m ← β₁m + (1 − β₁)D, v ← β₂v + (1 − β₂)D², entry by entry, and after k
    steps dW = η m̂/(√v̂ + ε), where m̂ = m/(1 − β₁ᵏ) and v̂ = v/(1 − β₂ᵏ). Source: Kingma & Ba 2015;
    book: eq-adam.

    Given :func:`~fpnotes.rules.gradient` it is the usual Adam. Given
    :func:`~fpnotes.rules.linearized` it is Adam of the Riemannian gradient, divided in the entries of W.

    Parameters
    ----------
    rule : callable
        The rule to follow. Its step must be proportional to its lr.
    beta1, beta2 : float
        What is kept of both means, 0 ≤ β < 1.
    epsilon : float
        The smallest divisor, ε > 0.

    Raises
    ------
    ValueError, TypeError
        When a number is out of range, the rule cannot be called, or its step is not proportional to lr: it
        is :func:`~fpnotes.rules.reparameterized`, an :class:`InResponse`, a :class:`Dale`, a rule made
        from one of them, or one of yours with an attribute ``proportional_to_lr = False``.

    Examples
    --------
    >>> import fpnotes as fp
    >>> rule = fp.Adam(fp.linearized)
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")
    >>> rule(point.W, point, [[1.0]], 0.1).round(6)  # η, whatever the size of ΔW₃
    array([[-0.1]])
    """

    parameters: tuple[str, ...] = ("beta1", "beta2", "epsilon")

    def __init__(self, rule: Rule, beta1: Real = 0.9, beta2: Real = 0.999, epsilon: Real = 1e-8):
        super().__init__(rule, "+adam")
        if not proportional_to_lr(rule):
            name = repr(rule) if isinstance(rule, FromRule) else rule_name(rule)
            raise ValueError(
                f"rule must give steps proportional to lr, and those of {name} are not: "
                "use Adam(linearized), or put Adam inside, as in InResponse(Adam(response_step)) or "
                "Dale(Adam(linearized), signs)"
            )
        self.beta1: float = _check_fraction("beta1", beta1)
        self.beta2: float = _check_fraction("beta2", beta2)
        self.epsilon: float = check_positive("epsilon", epsilon)
        self.mean: float | FloatArray = 0.0
        self.square: float | FloatArray = 0.0
        self.taken: int = 0

    def __call__(
        self, W: FloatArray, point: FixedPoint, error: FloatArray, lr: float
    ) -> FloatArray:
        """Return dW, (N, N), and remember both means."""
        lr = check_positive("lr", lr)
        step = self.rule(W, point, error, 1.0)
        self.taken += 1
        self.mean = self.beta1 * self.mean + (1 - self.beta1) * step
        self.square = self.beta2 * self.square + (1 - self.beta2) * step**2
        mean = self.mean / (1 - self.beta1**self.taken)
        square = self.square / (1 - self.beta2**self.taken)
        return lr * mean / (np.sqrt(square) + self.epsilon)


def response_step(W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real) -> FloatArray:
    """Return the step of gradient descent in A, −η ∇_A J = −η Σ e xᵀ, (N, N): a change of A, not of W.

    Book: eq-gradient-A. :class:`InResponse` carries it to W.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`fpnotes.rules.reparameterized`: the network must be linear.

    Raises
    ------
    ConvergenceError, ValueError, TypeError
        As :func:`fpnotes.rules.reparameterized`.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")
    >>> fp.response_step(point.W, point, error=[[1.0]], lr=0.1)
    array([[-0.1]])
    """
    W, error, lr = check_step(W, point, error, lr)
    _, error, x = linear_response(W, point, error)
    return -lr * error.T @ x


class InResponse(FromRule):
    """A step D taken in the response matrix A, seen in W: dW = B − (A + D)⁻¹, with B = A⁻¹.

    ``InResponse(response_step)`` is :func:`~fpnotes.rules.reparameterized`, by another formula:
    dW = (I + BD)⁻¹BDB. Book: eq-seen-in-weights.

    Parameters
    ----------
    step : callable
        ``step(W, point, error, lr) -> D``, such as :func:`response_step`, or that with a memory.

    Notes
    -----
    A call raises :class:`~fpnotes.network.SingularityError` where A + D is singular, or so near it that
    half of the digits would be lost.

    Examples
    --------
    >>> import fpnotes as fp
    >>> rule = fp.InResponse(fp.response_step)
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")
    >>> rule(point.W, point, [[1.0]], 1.0)  # what reparameterized returns
    array([[-0.5]])
    """

    keeps_proportion: bool = False

    def __init__(self, step: Rule):
        super().__init__(step, "")

    def __call__(
        self, W: FloatArray, point: FixedPoint, error: FloatArray, lr: float
    ) -> FloatArray:
        """Return dW, (N, N)."""
        W, error, lr = check_step(W, point, error, lr)
        B = linear_response(W, point, error)[0]
        BD = B @ self.rule(W.copy(), point, error, lr)
        dW = solve_unless_singular(np.eye(len(W), dtype=W.dtype) + BD, BD @ B)
        if dW is None:
            raise SingularityError(f"a step of lr={lr:g} lands on a singular A, which no W has")
        return dW


class Dale(FromRule):
    """Dale's law: all weights from one neuron keep its sign; a step that would change one ends at 0.

    The new weights are the nearest to those the rule proposes, of all that obey the law, in the Euclidean
    metric, where every entry can be projected by itself: W′ᵢⱼ = sⱼ max(0, sⱼ(W + dW)ᵢⱼ) (book: eq-dale).
    In another metric another matrix would be nearest. Put it outermost: a memory outside would step over 0.

    Parameters
    ----------
    rule : callable
        The rule to follow.
    signs : (N,) array_like
        s, +1 for a neuron that excites and −1 for one that inhibits, one per column of W.

    Notes
    -----
    A call raises ValueError when W does not obey the law to begin with.

    Examples
    --------
    >>> import fpnotes as fp
    >>> rule = fp.Dale(fp.gradient, signs=[1])
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")
    >>> rule(point.W, point, [[1.0]], 0.1)  # the gradient's step of −0.4 leaves the weight positive
    array([[-0.4]])
    >>> rule(point.W, point, [[1.0]], 1.0)  # its step of −4 would not: the weight becomes 0
    array([[-0.5]])
    """

    parameters: tuple[str, ...] = ("signs",)
    keeps_proportion: bool = False  # a step is cut off where a weight would change its sign

    def __init__(self, rule: Rule, signs: ArrayLike):
        super().__init__(rule, "+dale")
        signs = check_real_array("signs", signs)
        if signs.ndim != 1 or not (np.abs(signs) == 1).all():
            raise ValueError("signs must be an (N,) array of +1 and −1, one for each neuron")
        self.signs: IntArray = signs.astype(np.int8)

    def __call__(
        self, W: FloatArray, point: FixedPoint, error: FloatArray, lr: float
    ) -> FloatArray:
        """Return dW, (N, N), such that W + dW obeys the law exactly."""
        W = check_real_array("W", W)
        if W.ndim != 2 or W.shape[1] != len(self.signs):
            raise ValueError(
                f"W must have {len(self.signs)} columns, one for each of signs, not shape {W.shape}"
            )
        broken = int((self.signs * W < 0).sum())
        if broken:
            raise ValueError(
                f"{broken} weights of W do not have the sign of their neuron: W must obey the law"
            )
        dW = self.rule(W.copy(), point, error, lr)
        return np.where(self.signs * (W + dW) < 0, -W, dW)


def _check_fraction(name, value):
    """Return ``value`` as a float with 0 ≤ value < 1, or raise."""
    number = value if value == 0 else check_positive(name, value)
    if not number < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {value!r}")
    return float(number)
