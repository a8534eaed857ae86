r"""The numbers of one's own that a class gets, in the text of its problem sets.

A master is a Jinja template. ``<<gain>>`` is a number, ``<<gain.times>>`` the same as a factor in code, and
``<<gain.tex>>`` as a factor in a formula: nothing for 1. What stands between ``<% if own %>`` and
``<% endif %>`` is for classes with a seed. Without one, every number is the book's.

Two seeds whose difference is no multiple of 11 differ in every question that has numbers of a class.
"""

import math
import random
from collections.abc import Callable
from types import SimpleNamespace

import jinja2


class Number(float):
    """A number, and how it is written as a factor."""

    def __mul__(self, other):
        """Return a multiple, written as short."""
        return Number(float(self) * other)

    def __rsub__(self, other):
        """Return a difference, written as short."""
        return Number(other - float(self))

    __rmul__ = __mul__

    def __str__(self):
        """Return it as short as it can be."""
        return f"{float(self):.10g}"

    @property
    def times(self):
        """As a factor in front of what follows, in code."""
        return "" if self == 1 else f"{self} * "

    @property
    def tex(self):
        """As a factor in front of what follows, in a formula."""
        return "" if self == 1 else rf"{self}\,"


# The book's value, and those of classes.
NUMBERS = {
    # r = gain f(W r + x), in sets 1 and 2
    "gain": (1, (0.4, 0.5, 0.6, 0.7, 0.8, 1.25, 1.4, 1.5, 1.6, 1.8, 2)),
    # r = A x with (leak I - W) A = I, in set 3
    "leak": (1, (0.4, 0.5, 0.6, 0.7, 0.8, 1.25, 1.4, 1.5, 1.6, 1.8, 2)),
    # J = loss / m times a sum over samples, in sets 2 and 3
    "loss": (1, (0.25, 0.4, 0.75, 1.5, 2.5, 3, 4, 5, 6, 8, 10)),
    # Finite differences look this many h to either side; a step of gradient descent decays this much.
    "reach": (1, (0.25, 0.5, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8)),
    "decay": (0, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2)),
    # In set 4 a full turn counts so much, and an interval is this many standard errors to either side.
    "turn": (360, (1, 2, 4, 6, 12, 24, 60, 64, 100, 400, 1000)),
    "errors": (1, (1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.1, 2.2, 2.5)),
    # Answers in words
    "weight": (-2, (-1.5, -1.6, -1.7, -1.8, -2.1, -2.2, -2.3, -2.4, -2.5, -2.6, -2.8)),
    "alpha": (0.01, (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25)),
    "chi": (0.999, (0.99, 0.992, 0.994, 0.995, 0.996, 0.998, 0.9985, 0.9992, 0.9995, 0.9996, 0.9998)),
    "exits": ((1, 3, 1), (
        (1, 4, 1), (1, 5, 1), (2, 4, 1), (2, 5, 1), (2, 5, 2), (2, 6, 2), (3, 5, 1), (3, 5, 2), (3, 6, 3),
        (4, 6, 2), (4, 7, 3),
    )),
    "noise": ((1, 1), (
        (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (2, 4), (3, 1), (3, 2), (3, 4), (4, 3),
    )),
    "target": (0.5, (0.2, 0.25, 0.3, 0.4, 0.6, 0.7, 0.75, 0.8, 1.25, 1.5, 2)),
    "units": (None, (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 20)),
    "cost": ((1000, 100), (
        (800, 40), (900, 90), (1200, 60), (1500, 100), (2000, 100), (2000, 200), (2500, 100), (3000, 200),
        (3000, 300), (4000, 200), (5000, 250),
    )),
}  # fmt: skip


def drawn(seed):
    """Return the numbers of a class, {name: value}; those of the book for no seed."""
    found = {}
    for name, (book, values) in NUMBERS.items():
        order = random.Random(name).sample(values, len(values))
        value = book if seed is None else order[seed % len(order)]
        found[name] = Number(value) if isinstance(value, (int, float)) else value
    return found


# ---- What answers in words compute from them ----
def power(value, digits=2):
    """Return a number rounded to some digits, for a formula: 0.3, or 3.2 times a power of ten."""
    rounded = float(f"{value:.{digits}g}")
    exponent = math.floor(math.log10(abs(rounded)))
    if -3 < exponent < 4:
        return f"{rounded:g}"
    ten = f"10^{exponent}" if 0 <= exponent < 10 else f"10^{{{exponent}}}"
    first = f"{rounded / 10.0**exponent:.{digits}g}"
    return ten if float(first) == 1 else rf"{float(first):g} \cdot {ten}"


def exits(inhibition, large, small):
    """Return where the two networks of set 1 lose stability, and their other numbers."""
    product = large**2 - inhibition * (2 + inhibition)  # of the eigenvalues at the complex exit
    singular = 1 + small**2 / (1 + inhibition)
    assert small < 1 + inhibition < large
    return SimpleNamespace(
        d=inhibition, large=large, small=small, complex=2 + inhibition, product=product,
        root=product - 1, real=Number(round(singular, 4)), other=Number(round(singular - inhibition - 1, 4)),
    )  # fmt: skip


def far(target):
    """Return the numbers of a step of set 2 that ends far away: from a = 10, to w near -1000."""
    slope = 2 * (10 - target) * 100
    digits = 1 if target == NUMBERS["target"][0] else 2  # of a rough count; the book's rate has two
    rate = round((0.9 + 1000) / slope, 1 + digits)
    return SimpleNamespace(
        rate=Number(rate), loss=Number(round(target**2, 4)), slope=power(2 * target * 1e-6),
        minimum=Number(round(1 - 1 / target, 2)), steps=power(1e9 / (6 * target), digits),
        pull=Number(2 * target), threefold=Number(round(6 * target, 2)),
    )  # fmt: skip


def cost(n, m):
    """Return the counts of multiplications of set 3, for m samples of n neurons, and for 10 n."""
    gradient, inverses = m * n**2, 2 * n**3
    woodbury = 3 * m * n**2 + 2 * m**2 * n + m**3 / 3
    many = 10 * n
    return SimpleNamespace(
        n=n, m=m, many=many, gradient=power(gradient), inverses=power(inverses),
        definition=power(gradient + inverses), products=power(3 * gradient),
        middle=power(2 * m**2 * n + m**3 / 3), woodbury=power(woodbury),
        factor=power((gradient + inverses) / (3 * gradient)),
        percent=f"{100 * (1 - 3 * gradient / woodbury):.0f}",
        many_gradient=power(many * n**2), many_definition=power(many * n**2 + inverses),
        many_woodbury=power(many**3 / 3, 1),
    )  # fmt: skip


def resting(weight, x=0.2):
    """Return the rate at which r = tanh(weight r + x) rests."""
    low, high = -1.0, 1.0
    while high - low > 1e-12:
        r = (low + high) / 2
        low, high = (low, r) if r > math.tanh(weight * r + x) else (r, high)
    return Number(round(low, 2))


HELPERS: dict[str, Callable] = {
    "power": power, "exits_of": exits, "far_from": far, "cost_of": cost, "resting": resting, "Number": Number,
}  # fmt: skip


def rendered(text, seed=None):
    """Return the text of a master, or a piece of it, with the numbers of a class, or of the book."""
    environment = jinja2.Environment(
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
        comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False,
    )  # fmt: skip
    return environment.from_string(text).render(drawn(seed) | HELPERS, own=seed is not None)
