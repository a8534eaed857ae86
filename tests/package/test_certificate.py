"""The criterion of convergence, clause by clause, on networks of a few neurons."""

import numpy as np
import pytest

from fpnotes import linear, relu, softplus, tanh
from fpnotes._certificate import Certificate, tolerance

EPS = float(np.finfo(float).eps)
TINY = 1e-30  # a tol that only a residual of 0 meets


def holds(certificate, residual, *, x, r, rate=None, gain=None, z=None, early=False):
    """Judge samples of one residual each; by default of a linear network."""
    x, r = np.atleast_2d(x).astype(float), np.atleast_2d(r).astype(float)
    z = r @ certificate.W.T + x if z is None else np.atleast_2d(z).astype(float)
    rate = z if rate is None else np.atleast_2d(rate).astype(float)
    gain = np.ones_like(x) if gain is None else np.atleast_2d(gain).astype(float)
    residual = np.full(len(x), float(residual))
    return certificate.holds(x, r, z, rate, gain, residual, early).tolist()


def one(w, tol=1e-8, f=linear, **options):
    return Certificate(tol, f, np.array([[float(w)]]), **options)


@pytest.mark.parametrize(("early", "share"), [(False, 1.0), (True, 0.9)])
@pytest.mark.parametrize(
    ("w", "x", "r", "least"),
    [(0.5, 1.0, 2.0, 1.0), (-1.0, 1.0, 0.5, 0.5), (0.5, -1e-9, -2e-9, 1e-9)],
)
def test_a_residual_is_compared_with_the_rates_and_the_drive(w, x, r, least, early, share):
    """With the smaller of the two, whatever the unit."""
    for factor, expected in ((0.999, True), (1.001, False)):
        residual = factor * share * 1e-8 * least
        assert holds(one(w), residual, x=x, r=r, early=early) == [expected]


def test_every_sample_is_judged_by_itself():
    W = np.diag([0.5, 0.5])
    x = np.array([[1.0, 0.0], [1e-3, 0.0], [0.0, 5.0]])
    judged = holds(Certificate(1e-8, linear, W), 1e-9, x=x, r=2 * x)
    assert judged == [True, False, True]
    assert holds(Certificate(1e-8, linear, W), np.inf, x=x, r=2 * x) == [False] * 3
    assert holds(Certificate(1e-8, linear, W), np.nan, x=x, r=2 * x) == [False] * 3


def test_the_drive_is_that_of_the_network_linearized_there():
    rng = np.random.default_rng(0)
    W, x, r = rng.standard_normal((3, 3)), *rng.standard_normal((2, 4, 3))
    z = r @ W.T + x
    rate, gain = tanh.f(z), tanh.gain(z)
    drive, arrives = Certificate(1e-8, tanh, W).drive(x, z, rate, gain)
    b = rate - gain * (r @ W.T)
    np.testing.assert_allclose(drive, np.abs(b).max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(arrives, np.abs(gain * x).max(axis=1), rtol=1e-12)


@pytest.mark.parametrize(("early", "roundings"), [(False, 2), (True, 1)])
def test_two_roundings_of_the_sum_are_enough(early, roundings):
    """The sum is 2 = 0.5·2 + 1, and its terms are rounded to EPS of their sizes, 2 + 1 + 1."""
    for factor, expected in ((0.999, True), (1.001, False)):
        residual = factor * roundings * 4 * EPS
        assert holds(one(0.5, TINY), residual, x=1, r=2, early=early) == [expected]


def test_a_rounding_is_that_of_the_moduli_not_of_their_sum():
    """Neuron 0 receives 3·1 − 3·2 + 1 = −2; whatever these cancel to, each was rounded."""
    W = np.array([[3.0, -3.0], [0.0, 0.5]])
    certificate = Certificate(TINY, linear, W)
    for factor, expected in ((0.999, True), (1.001, False)):
        residual = factor * 2 * EPS * (2 + 9 + 1)  # |rate| + |W||r| + |x|
        assert holds(certificate, residual, x=[1, 1], r=[1, 2]) == [expected]


def test_a_rounding_must_leave_three_digits():
    """One of 1e13 is 2e-3 large, and two of them are no excuse for a residual beside rates of 1."""
    for w, expected in ((1e12, True), (1e13, False)):
        W = np.array([[w, -w], [0.0, 0.0]])
        certificate = Certificate(TINY, linear, W, amplification=np.inf)
        assert holds(certificate, EPS, x=[1, 1], r=[1, 1]) == [expected]


@pytest.mark.parametrize("size", [0.5, 2.0**-10])
def test_an_input_that_the_curve_forgets_must_leave_three_digits(size):
    """As a sine does, whose value at 1e13 knows nothing of a change by 1e-3."""
    for x, expected in ((4e12, True), (5e12, False)):  # a rounding is below 1e-3, or above
        certificate = one(0, tol=1e-8, f=tanh)
        judged = holds(certificate, 0, x=x, r=size, rate=size, gain=1, z=x)
        assert judged == [expected]


def test_bounds_decide_where_they_can_without_a_product():
    certificate = one(0.5)
    z = np.array([[2.0]])
    vars(certificate)["W"] = None  # a product would fail
    judged = certificate.holds(z / 2, z, z, z, np.ones((1, 1)), np.zeros(1))
    assert judged.tolist() == [True]


def test_rates_must_not_drown_the_input():
    """Here |r| + |W||r| = 2 + 1; by bounds it is 2(1 + 1), and b is 1 large."""
    W = np.array([[0.5, 0.5], [0.0, 0.0]])
    for amplification, expected in ((4.1, True), (3.9, True), (3.1, True), (2.9, False)):
        certificate = Certificate(1e-8, linear, W, amplification)
        assert holds(certificate, 0, x=[1, 0], r=[2, 0]) == [expected]


def test_gains_amplify_what_is_recurrent():
    """With a gain of 4 the recurrent input of a rate 1 is 4, and b is 1 − 4."""
    for amplification, expected in ((1.7, True), (1.6, False)):  # (1 + 4)/3 lies between
        certificate = one(1, f=tanh, amplification=amplification)
        assert holds(certificate, 0, x=1, r=1, z=2, rate=1, gain=4) == [expected]


@pytest.mark.parametrize(("dtype", "most"), [(np.float64, 1e-3 / EPS), (np.float32, 1e-3 / 2**-23)])
def test_by_default_the_input_keeps_three_digits_more_than_it_loses(dtype, most):
    assert Certificate(1e-5, linear, np.eye(1, dtype=dtype)).amplification == pytest.approx(most)


@pytest.mark.parametrize(("f", "expected"), [(relu, True), (softplus, False)])
def test_only_a_network_without_input_has_none_to_lose(f, expected):
    """r = f(r) holds at r = 1 if f is r there; b is 0, and the input is f(0) if x is 0."""
    assert holds(one(1, f=f), 0, x=0, r=1, rate=1, gain=1, z=1) == [expected]
    assert holds(one(1, f=f), 0, x=1e-20, r=1, rate=1, gain=1, z=1) == [False]


def test_rates_that_sustain_themselves_may_be_off_by_roundings():
    r = 0.9575040240772687  # tanh(2r) = r
    gain = 1 - np.tanh(2 * r) ** 2
    for residual, expected in ((EPS, True), (10 * EPS, False)):
        certificate = one(2, TINY, tanh)
        judged = holds(certificate, residual, x=0, r=r, z=2 * r, rate=r, gain=gain)
        assert judged == [expected]


def test_samples_without_input_beside_others():
    x, r = np.array([[0.0], [1e-20], [0.0]]), np.ones((3, 1))
    assert holds(one(1), 0, x=x, r=r, z=r) == [True, False, True]


def test_the_limit_known_without_gains():
    certificate = Certificate(1e-8, tanh, np.array([[0.5, -1.5], [0.2, 0.1]]))
    size, input_size = np.array([2.0, 0.0]), np.array([1.0, 3.0])
    limit = certificate.limit(size, input_size)
    np.testing.assert_allclose(limit, [0.9e-8 * 2, EPS * 3], rtol=1e-12)
    certificate.tol = TINY
    limit = certificate.limit(size, input_size)
    np.testing.assert_allclose(limit, [EPS * (2 * 3 + 1), EPS * 3], rtol=1e-12)


def test_default_tolerances():
    assert tolerance(None, np.dtype(np.float64)) == 1e-8
    assert tolerance(None, np.dtype(np.float32)) == 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tolerance_of_a_few_roundings_is_the_finest(dtype):
    least = 4 * float(np.finfo(dtype).eps)
    assert tolerance(least, np.dtype(dtype)) == least
    with pytest.raises(ValueError, match=f"finer than {np.dtype(dtype)} arithmetic can certify"):
        tolerance(0.999 * least, np.dtype(dtype))
