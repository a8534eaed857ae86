"""Every public function refuses bad arguments by name, and takes lists and integers."""

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpnotes as fp
from fpnotes import _inputs
from fpnotes.implicit import resolvent

W = np.array([[0.2, -0.4], [0.3, 0.1]])
x = np.array([[0.5, -1.0], [1.5, 0.2], [0.0, 0.7]])
r = np.zeros_like(x)
network = fp.RateNetwork(W)
point = fp.solve(W, x)
error = np.ones_like(x)

# Each call takes one argument under test, named by the key; all its other arguments are good.
MATRICES = {
    "solve": lambda W: fp.solve(W, x),
    "fixed_point": lambda W: fp.fixed_point(W, x),
    "resolvent": lambda W: resolvent(W, point.gain, error),
    "RateNetwork": lambda W: fp.RateNetwork(W),
    "gradient": lambda W: fp.gradient(W, point, error, 0.1),
    "spectral_abscissa": lambda W: fp.spectral_abscissa(W),
    "distance_to_singularity": lambda W: fp.distance_to_singularity(W),
}
ROWS = {
    ("solve", "x"): lambda v: fp.solve(W, v),
    ("solve", "r0"): lambda v: fp.solve(W, x, r0=v),
    ("fixed_point", "x"): lambda v: fp.fixed_point(W, v),
    ("fixed_point", "r0"): lambda v: fp.fixed_point(W, x, r0=v),
    ("resolvent", "gain"): lambda v: resolvent(W, v, error),
    ("resolvent", "b"): lambda v: resolvent(W, point.gain, v),
    ("drive", "r"): lambda v: network.drive(v, x),
    ("drive", "x"): lambda v: network.drive(r, v),
    ("velocity", "r"): lambda v: network.velocity(v, x),
    ("gain", "x"): lambda v: network.gain(r, v),
    ("jacobian", "r"): lambda v: network.jacobian(v, x),
    ("simulate", "x"): lambda v: network.simulate(v, 1.0),
    ("simulate", "r0"): lambda v: network.simulate(x, 1.0, r0=v),
    ("gradient", "error"): lambda v: fp.gradient(W, point, v, 0.1),
    ("spectral_abscissa", "gain"): lambda v: fp.spectral_abscissa(W, v),
    ("distance_to_singularity", "gain"): lambda v: fp.distance_to_singularity(W, v),
}
POSITIVES = {
    ("solve", "tol"): lambda v: fp.solve(W, x, tol=v),
    ("fixed_point", "tol"): lambda v: fp.fixed_point(W, x, tol=v),
    ("resolvent", "tol"): lambda v: resolvent(W, point.gain, error, tol=v),
    ("RateNetwork", "tau"): lambda v: fp.RateNetwork(W, tau=v),
    ("simulate", "duration"): lambda v: network.simulate(x, v),
    ("simulate", "rtol"): lambda v: network.simulate(x, 1.0, rtol=v),
    ("simulate", "atol"): lambda v: network.simulate(x, 1.0, atol=v),
    ("powerlaw", "p"): lambda v: fp.powerlaw(v),
    ("powerlaw", "k"): lambda v: fp.powerlaw(2.0, v),
    ("gradient", "lr"): lambda v: fp.gradient(W, point, error, v),
}
COUNTS = {
    ("solve", "max_steps"): lambda v: fp.solve(W, x, max_steps=v),
    ("fixed_point", "max_steps"): lambda v: fp.fixed_point(W, x, max_steps=v),
    ("simulate", "samples"): lambda v: network.simulate(x, 1.0, samples=v),
}
ACTIVATIONS = {
    "solve": lambda f: fp.solve(W, x, f),
    "fixed_point": lambda f: fp.fixed_point(W, x, f),
    "RateNetwork": lambda f: fp.RateNetwork(W, f),
}

NOT_FINITE = [np.nan, np.inf, -np.inf]
NOT_REAL = {"complex": 1j, "string": "a", "none": None, "object": object()}


def rate_network(*args: Any):
    """Return a network of lists, names and functions, which its fields' types do not foresee."""
    return fp.RateNetwork(*args)


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "big-endian": lambda a: a.astype(">f8"),
    "unaligned": lambda a: np.frombuffer(b"-" + a.tobytes(), offset=1).reshape(a.shape),
    "lists": lambda a: a.tolist(),
}


def numbers(result):
    """Return a call's result as arrays that can be compared."""
    if isinstance(result, fp.FixedPoint):
        return [result.r, result.gain, result.residual, result.steps]
    if isinstance(result, fp.RateNetwork):
        return [result.W, result.velocity(r, x)]
    return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


def assert_layouts_are_alike(call, value):
    expected = numbers(call(value))
    for name, layout in LAYOUTS.items():
        given, before = layout(value), layout(value)
        if isinstance(given, np.ndarray):
            given.flags.writeable = False
        for a, b in zip(numbers(call(given)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)
        np.testing.assert_array_equal(given, before)


def fill(shape, bad):
    """Return an array of some shape with one bad entry, of whatever dtype that takes."""
    value: Any = np.zeros(shape).tolist()
    row = value
    while isinstance(row[0], list):
        row = row[-1]
    row[0] = bad
    return value


@pytest.mark.parametrize("call", MATRICES.values(), ids=MATRICES)
class TestMatrix:
    @pytest.mark.parametrize("shape", [(), (2,), (2, 3), (1, 2, 2), (0, 0)])
    def test_wrong_shape(self, call, shape):
        with pytest.raises(ValueError, match=r"^W must be a square \(N, N\) matrix, not of shape"):
            call(np.zeros(shape))

    @pytest.mark.parametrize("bad", NOT_FINITE)
    def test_not_finite(self, call, bad):
        with pytest.raises(ValueError, match=r"^W must be finite.* 1 of its 4 .*index \(1, 0\)"):
            call(fill((2, 2), bad))

    @pytest.mark.parametrize("bad", NOT_REAL.values(), ids=NOT_REAL)
    def test_not_real(self, call, bad):
        with pytest.raises(TypeError, match="^W must be real numbers"):
            call(fill((2, 2), bad))

    def test_ragged(self, call):
        with pytest.raises(ValueError, match="^W must be a rectangular array"):
            call([[1.0, 2.0], [3.0]])

    def test_any_layout_read_only(self, call):
        assert_layouts_are_alike(call, W)


@pytest.mark.parametrize(
    ("name", "call"), [(k[1], v) for k, v in ROWS.items()], ids=[" ".join(k) for k in ROWS]
)
class TestRows:
    @pytest.mark.parametrize("shape", [(), (3,), (3, 1), (2, 3)])
    def test_wrong_number_of_neurons(self, name, call, shape):
        with pytest.raises(ValueError, match=rf"^{name} must have shape \(\.\.\., 2\)"):
            call(np.zeros(shape))

    @pytest.mark.parametrize("bad", NOT_FINITE)
    def test_not_finite(self, name, call, bad):
        with pytest.raises(ValueError, match=rf"^{name} must be finite.* 1 of its 6 .*\(2, 0\)"):
            call(fill((3, 2), bad))

    @pytest.mark.parametrize("bad", NOT_REAL.values(), ids=NOT_REAL)
    def test_not_real(self, name, call, bad):
        with pytest.raises(TypeError, match=f"^{name} must be real numbers"):
            call(fill((3, 2), bad))

    def test_any_layout_read_only(self, name, call):
        assert_layouts_are_alike(call, np.array([[0.5, 0.25], [0.1, 0.75], [1.0, 0.125]]))


@pytest.mark.parametrize(
    "call",
    [
        lambda none: fp.solve(W, none).r,
        lambda none: fp.fixed_point(W, none),
        lambda none: resolvent(W, none, none),
        lambda none: network.drive(none, none),
        lambda none: network.velocity(none, none),
        lambda none: network.gain(none, none),
        lambda none: network.jacobian(none, none).sum(axis=-1),
        lambda none: network.simulate(none, 1.0)[1][0],
        lambda none: np.stack([fp.spectral_abscissa(W, none)] * 2, axis=-1),
        lambda none: np.stack([fp.distance_to_singularity(W, none)] * 2, axis=-1),
        lambda none: network.stable(none, none)[..., None] & np.ones(2, bool),
    ],
    ids="solve fixed_point resolvent drive velocity gain jacobian simulate abscissa distance stable".split(),
)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_samples_give_as_many_results(call, shape):
    assert call(np.zeros((*shape, 2))).shape == (*shape, 2)


@pytest.mark.parametrize(
    ("name", "call"),
    [(k[1], v) for k, v in POSITIVES.items()],
    ids=[" ".join(k) for k in POSITIVES],
)
class TestPositive:
    @pytest.mark.parametrize("bad", [0, -1e-3, np.nan, np.inf])
    def test_not_positive(self, name, call, bad):
        with pytest.raises(ValueError, match=f"^{name} must be positive and finite"):
            call(bad)

    @pytest.mark.parametrize(
        "bad", [True, np.True_, "1", b"1", 1j, np.complex64(1), [1.0], [1, [2]]]
    )
    def test_not_a_number(self, name, call, bad):
        with pytest.raises(TypeError, match=f"^{name} must be a positive number"):
            call(bad)


@pytest.mark.parametrize(
    ("name", "call"), [(k[1], v) for k, v in COUNTS.items()], ids=[" ".join(k) for k in COUNTS]
)
class TestCount:
    @pytest.mark.parametrize("bad", [0, -3])
    def test_too_few(self, name, call, bad):
        with pytest.raises(ValueError, match=f"^{name} must be at least"):
            call(bad)

    @pytest.mark.parametrize("bad", [True, 10.0, "10", None, [10]])
    def test_not_a_whole_number(self, name, call, bad):
        with pytest.raises(TypeError, match=f"^{name} must be a whole number"):
            call(bad)


@pytest.mark.parametrize("call", ACTIVATIONS.values(), ids=ACTIVATIONS)
class TestActivation:
    def test_unknown_name(self, call):
        with pytest.raises(
            ValueError, match="^activation must be one of linear, tanh, .* not 'relux'"
        ):
            call("relux")

    @pytest.mark.parametrize("bad", [None, 3, ["tanh"]])
    def test_not_a_curve(self, call, bad):
        with pytest.raises(TypeError, match="^activation must be a name"):
            call(bad)


@pytest.mark.parametrize("method", ["fast", "Newton", None, 3])
@pytest.mark.parametrize("call", [fp.solve, fp.fixed_point])
def test_unknown_method(call, method):
    with pytest.raises(ValueError, match="^method must be one of auto, relaxation"):
        call(W, x, method=method)


@pytest.mark.parametrize("action", ["silent", None, True])
def test_unknown_on_failure(action):
    with pytest.raises(ValueError, match="^on_failure must be raise, warn or ignore"):
        fp.solve(W, x, on_failure=action)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fp.solve(W, x, r0=np.zeros((4, 2))),
        lambda: fp.solve(W, x[0], r0=np.zeros((4, 2))),
        lambda: network.drive(np.zeros((4, 2)), x),
        lambda: network.velocity(np.zeros((4, 2)), x),
        lambda: network.simulate(x, 1.0, r0=np.zeros((4, 2))),
    ],
    ids=["solve", "solve one", "drive", "velocity", "simulate"],
)
def test_arrays_that_do_not_broadcast(call):
    with pytest.raises(ValueError, match=r"^r0? of shape \(4, 2\) .*broadcast"):
        call()


def test_one_sample_time_is_no_simulation():
    with pytest.raises(ValueError, match="^samples must be at least 2"):
        network.simulate(x, 1.0, samples=1)


def test_resolvent_wants_a_gain_for_every_right_hand_side():
    with pytest.raises(ValueError, match=r"gain and b must have one shape.*\(3, 2\) and \(2,\)"):
        resolvent(W, point.gain, error[0])


def test_lists_and_integers_are_float64():
    for values in ([[0, -1], [1, 0]], np.array([[0, -1], [1, 0]], np.int8)):
        point = fp.solve(values, [3, 0], "tanh", r0=[0, 0])
        assert point.r.dtype == point.gain.dtype == point.residual.dtype == np.float64
        np.testing.assert_array_equal(point.r, fp.solve(np.array(values, float), [3.0, 0.0]).r)
    assert rate_network([[1]]).W.dtype == np.float64
    assert rate_network([[0, 0], [0, 0]], "linear").velocity([1, 0], [2, 2]).tolist() == [1, 2]
    assert fp.spectral_abscissa([[2]], [3]) == 6
    assert fp.distance_to_singularity([[0]], [2]) == 0.5
    assert fp.gradient([[0]], fp.solve([[0]], [2], "linear"), [1], 1).tolist() == [[-2]]


def test_half_and_extended_precision_become_float64():
    for dtype in (np.float16, np.longdouble, np.dtype(">f8")):
        assert _inputs.check_real_array("x", np.ones(2, dtype)).dtype == np.dtype(float)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_]),
        hnp.array_shapes(max_dims=4, max_side=4),
        # Finite entries of the float types; integers and Booleans are always finite.
    )
)
def test_real_array_keeps_values_or_names_what_is_wrong(values):
    if np.isfinite(values).all():
        array = _inputs.check_real_array("q", values)
        assert array.dtype == (np.float32 if values.dtype == np.float32 else np.float64)
        np.testing.assert_array_equal(array, values)
    else:
        with pytest.raises(ValueError, match="^q must be finite"):
            _inputs.check_real_array("q", values)


@given(st.one_of(st.integers(-5, 5), st.floats(), st.booleans(), st.text(), st.none()))
def test_positive_returns_a_positive_float_or_names_the_argument(value):
    try:
        number = _inputs.check_positive("q", value)
    except (TypeError, ValueError) as failure:
        assert str(failure).startswith("q must be")
    else:
        assert type(number) is float
        assert 0 < number < np.inf
        assert number == value
