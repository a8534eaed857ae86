"""f–I curves: values, slopes, derivatives of slopes, and what a user may supply."""

import pickle

import autograd.numpy as np
import hypothesis.extra.numpy as hnp
import numpy as onp
import pytest
from autograd import elementwise_grad
from autograd.test_util import check_grads
from hypothesis import given
from hypothesis import strategies as st

import fpnotes as fp
from fpnotes.activations import NAMED, as_activation, evaluate


def swish(z):
    """Return a curve that a user might write."""
    return z / (1 + np.exp(-z))


CURVES = {**NAMED, "powerlaw 1": fp.powerlaw(1), "powerlaw 3.5, 0.2": fp.powerlaw(3.5, 0.2)}
CURVES["swish"] = as_activation(swish)
SMOOTH = {name: f for name, f in CURVES.items() if name not in ("relu", "powerlaw 1")}
LADDER = onp.linspace(0.5, 2, 20, dtype=onp.float32)  # of slopes, one for each neuron
z = onp.concatenate([onp.linspace(-4, 4, 30), [-1e-3, 1e-3]])  # 0, a kink of some, lies between


def small(scale, dtype):
    """Return the weights of a network of 20 neurons and 70 inputs of size ``scale``."""
    rng = onp.random.default_rng(0)
    W, x = rng.standard_normal((20, 20)) / 12, scale * rng.standard_normal((70, 20))
    return W.astype(dtype), x.astype(dtype)


@pytest.mark.parametrize("f", CURVES.values(), ids=CURVES)
class TestEveryCurve:
    def test_gain_is_the_slope(self, f):
        h = 1e-6
        slope = (f(z + h) - f(z - h)) / (2 * h)
        onp.testing.assert_allclose(f.gain(z), slope, rtol=1e-7, atol=1e-8)

    def test_autograd_agrees_with_the_gain(self, f):
        onp.testing.assert_allclose(elementwise_grad(f)(z), f.gain(z), rtol=1e-12, atol=1e-15)

    def test_derivatives_to_third_order(self, f):
        check_grads(f, modes=["fwd", "rev"], order=3)(z)

    def test_pickled_it_is_the_same_curve(self, f):
        again = pickle.loads(pickle.dumps(f))
        assert onp.array_equal(again(z), f(z)) and onp.array_equal(again.gain(z), f.gain(z))
        assert (again.name, again._fresh) == (f.name, f._fresh)
        if f is fp.linear:  # solve looks for this very object
            assert again is f

    def test_float32_stays_float32(self, f):
        single = z.astype(onp.float32)
        for curve in (f, f.gain):
            assert curve(single).dtype == onp.float32
            onp.testing.assert_allclose(curve(single), curve(z), rtol=2e-5, atol=2e-6)

    def test_any_shape(self, f):
        for shape in [(), (0,), (0, 3), (2, 1, 3)]:
            at = onp.full(shape, 0.7)
            assert f(at).shape == f.gain(at).shape == shape

    def test_input_is_not_written_to_nor_returned(self, f):
        at = z.copy()
        at.flags.writeable = False
        assert not onp.shares_memory(f(at), at)
        f.gain(at)


@given(z=hnp.arrays(float, 5, elements=st.floats(-1e300, 1e300)))
def test_curves_have_no_nan_and_warn_of_nothing_but_overflow(z):
    for name, f in NAMED.items():
        with onp.errstate(over="ignore" if name == "powerlaw" else "raise"):
            value, gain = f(z), f.gain(z)
        assert not onp.isnan(value).any()
        assert not onp.isnan(gain).any()
        assert (gain >= 0).all(), f"{name} is not increasing"


def test_values():
    at = onp.array([-2.0, 0.0, 3.0])
    expected = {
        "linear": at,
        "tanh": onp.tanh(at),
        "relu": [0, 0, 3],
        "softplus": onp.log(1 + onp.exp(at)),
        "powerlaw": [0, 0, 9],
    }
    assert set(expected) == set(NAMED)
    for name, value in expected.items():
        onp.testing.assert_allclose(as_activation(name)(at), value, rtol=1e-15)
    onp.testing.assert_allclose(fp.powerlaw(3, 0.5)(at), [0, 0, 13.5], rtol=1e-15)


def test_slope_at_the_kink_is_that_of_the_left():
    zero = onp.zeros(1)
    for f in (fp.relu, fp.powerlaw(1), fp.powerlaw(1.5)):
        assert f.gain(zero) == 0
        assert elementwise_grad(f)(zero) == 0


def test_softplus_neither_overflows_nor_loses_small_rates():
    onp.testing.assert_allclose(
        fp.softplus(onp.array([1000.0, -700.0])), [1000.0, onp.exp(-700.0)], rtol=1e-12
    )


def test_powerlaw_wants_a_finite_gain_at_threshold():
    with pytest.raises(ValueError, match="p must be at least 1, not 0.5"):
        fp.powerlaw(0.5)


def test_a_function_is_named_after_itself_and_gets_its_gain_from_autograd():
    f = as_activation(swish)
    s = 1 / (1 + onp.exp(-z))
    assert f.name == "swish"
    onp.testing.assert_allclose(f.gain(z), s + z * s * (1 - s), rtol=1e-12)


def test_an_activation_is_taken_as_it_is():
    assert as_activation(fp.relu) is fp.relu


def test_an_activation_wants_two_functions():
    with pytest.raises(TypeError, match="gain must be an elementwise function, not 2"):
        fp.Activation("bad", np.tanh, 2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="f must be an elementwise function"):
        fp.Activation("bad", None, np.tanh)  # pyright: ignore[reportArgumentType]


class TestWhatAUsersFunctionReturns:
    def test_wrong_shape(self):
        f = as_activation(np.sum)
        with pytest.raises(
            ValueError, match=r"activation 'sum' must be elementwise.*shape \(3,\).*\(\)"
        ):
            evaluate(f, f, onp.ones(3))

    def test_complex(self):
        f = as_activation(lambda z: z + 1j)
        with pytest.raises(TypeError, match="must return real numbers, not dtype complex128"):
            evaluate(f, f, onp.ones(3))

    def test_an_error_of_its_own_comes_through_with_a_note(self):
        def broken(z):
            raise KeyError("mine")

        f = as_activation(broken)
        with pytest.raises(KeyError, match="mine") as caught:
            evaluate(f, f, onp.ones(3))
        assert caught.value.__notes__ == [
            "raised by activation 'broken' given an array of shape (3,)"
        ]

    def test_wider_numbers_are_brought_back_to_float32(self):
        f = as_activation(lambda z: z * onp.float64(2))
        assert evaluate(f, f, onp.ones(3, onp.float32)).dtype == onp.float32


@pytest.mark.parametrize("dtype", [float, onp.float32])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e3])
@pytest.mark.parametrize(
    ("f", "gain"),
    [
        (lambda z: np.tanh(2 * z) / 2, lambda z: 1 - np.tanh(2 * z) ** 2),
        (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
        (lambda z: np.maximum(z, 0), lambda z: (z >= 0).astype(z.dtype)),  # 1 at the kink
        (lambda z: np.tanh(LADDER * z), lambda z: LADDER * (1 - np.tanh(LADDER * z) ** 2)),
    ],
    ids=["steep", "rational", "kinked", "one per neuron"],
)
def test_a_right_gain_is_taken_in_any_unit(f, gain, scale, dtype):
    W, x = small(scale, dtype)
    assert fp.solve(W, x, fp.Activation("mine", f, gain)).converged.all()


@pytest.mark.parametrize(
    ("f", "gain"),
    [
        (np.tanh, lambda z: 1 - z**2),  # of r, not of z
        (lambda z: np.tanh(2 * z), lambda z: 1 - np.tanh(2 * z) ** 2),  # without the factor 2
        (lambda z: np.maximum(z, 0), lambda z: 1 / (1 + np.exp(-z))),  # of another curve
        (np.sin, lambda z: -np.cos(z)),
    ],
    ids=["of the rate", "a factor", "another curve", "a sign"],
)
def test_a_gain_that_is_not_the_slope_is_refused(f, gain):
    with pytest.raises(
        ValueError, match="^gain of activation 'mine' must be the slope of f, which is"
    ):
        fp.solve(*small(1, float), fp.Activation("mine", f, gain))


def test_a_curve_and_its_gain_are_compared_once():
    calls = []

    def f(z):
        calls.append(z)
        return np.tanh(z)

    curve = fp.Activation("mine", f, lambda z: 1 - np.tanh(z) ** 2)
    counts = []
    for _ in range(3):
        calls.clear()
        fp.solve(*small(1, float), curve)
        counts.append(len(calls))
    assert counts[0] > counts[1] == counts[2]


def test_a_solve_in_which_nothing_could_be_judged_is_no_comparison():
    curve = fp.Activation("mine", np.tanh, lambda z: 1 - z**2)
    W, x = small(1, float)
    assert fp.solve(W, 0 * x, curve).converged.all()
    with pytest.raises(ValueError, match="^gain of activation 'mine' must be the slope of f"):
        fp.solve(W, x, curve)
