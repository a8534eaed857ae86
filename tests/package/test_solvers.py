"""solve: that it finds fixed points, and that it says honestly where it did not."""

import copy
import pickle
import warnings
from contextlib import nullcontext
from dataclasses import replace

import autograd.numpy as anp
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

import fpnotes as fp
from fpnotes._blas import one_blas_thread
from fpnotes.activations import NAMED, Curve, as_activation


def pickled(value):
    return pickle.loads(pickle.dumps(value))


METHODS = ["auto", "relaxation", "anderson", "newton"]


def network(seed, scale, n=300, m=16, dtype: DTypeLike = float):
    rng = np.random.default_rng(seed)
    W = scale * rng.standard_normal((n, n)) / np.sqrt(n)
    return W.astype(dtype), rng.standard_normal((m, n)).astype(dtype)


def residual(point, activation: Curve = "tanh"):
    f = as_activation(activation)
    r, x = point.r.reshape(-1, len(point.W)), point.x.reshape(-1, len(point.W))
    return np.abs(f(r @ point.W.T + x) - r).max(axis=1).reshape(point.r.shape[:-1])


def assert_solved(point, tol=1e-8, activation: Curve = "tanh"):
    assert np.all(point.converged)
    size = np.abs(point.r).max(axis=-1)
    assert np.all(residual(point, activation) <= tol * np.maximum(1, size))


class TestHardNetworks:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("scale", [0.5, 1.5, 2.0])
    def test_300_neurons_at_every_scale(self, scale, seed):
        W, x = network(seed, scale, m=24)
        assert_solved(fp.solve(W, x))

    def test_an_eigenvalue_of_minus_5(self):
        """The ODE settles, the plain iteration r ← f(Wr + x) does not, solve does."""
        W, x = np.array([[-5.0]]), np.array([[0.5]])
        r = np.zeros((1, 1))
        for _ in range(1000):
            r = np.tanh(r @ W.T + x)
        assert np.abs(np.tanh(r @ W.T + x) - r).max() > 0.5
        point = fp.solve(W, x)
        assert_solved(point)
        assert point.stable.all()
        _, settled = fp.RateNetwork(W).simulate(x, 20.0)
        np.testing.assert_allclose(point.r, settled[-1], atol=1e-5)

    def test_an_eigenvalue_of_minus_5_among_300(self):
        W, x = network(1, 0.5)
        direction = np.ones(300) / np.sqrt(300)
        W -= (5 + direction @ W @ direction) * np.outer(direction, direction)
        x *= 0.1  # so that gains stay near 1 and −5 stays the effective eigenvalue
        r = np.zeros_like(x)
        for _ in range(500):
            r = np.tanh(r @ W.T + x)
        assert (np.abs(np.tanh(r @ W.T + x) - r).max(axis=1) > 0.01).all()
        for method in ("auto", "relaxation"):
            point = fp.solve(W, x, method=method)
            assert_solved(point)
            assert point.stable.all()

    def test_bistable_network_from_two_starts(self):
        W, x = 2.0 * np.eye(1), np.zeros(1)
        up, down = fp.solve(W, x, r0=[1.0]), fp.solve(W, x, r0=[-1.0])
        assert_solved(up)
        assert_solved(down)
        assert up.r[0] == pytest.approx(0.9575040240772687, abs=1e-7)  # root of r = tanh(2r)
        np.testing.assert_allclose(down.r, -up.r, atol=1e-7)
        assert up.stable
        assert down.stable

    def test_bistable_network_from_two_starts_in_one_batch(self):
        W = 2.0 * np.eye(2)
        point = fp.solve(W, np.zeros((4, 2)), r0=[[1, 1], [1, -1], [-1, 1], [-1, -1]])
        assert_solved(point)
        np.testing.assert_array_equal(np.sign(point.r), [[1, 1], [1, -1], [-1, 1], [-1, -1]])
        assert point.stable.all()

    def test_the_center_of_a_bistable_network_is_found_by_newton_and_known_unstable(self):
        point = fp.solve([[2.0]], [[0.0], [0.0]], r0=[[1e-3], [1.0]], method="newton")
        assert_solved(point)
        assert abs(point.r[0, 0]) < 1e-7
        np.testing.assert_array_equal(point.stable, [False, True])
        np.testing.assert_allclose(point.spectral_abscissa[0], 2.0)

    def test_bounded_rates_of_a_chaotic_network(self):
        """Where local methods fail, continuation need not; its solutions are certified like any other."""
        W, x = network(3, 2.5, n=80, m=12)
        assert_solved(fp.solve(W, x))


class TestBatchWithFailures:
    bad = np.array([17, 300, 511])

    def batch(self, bad_x=1.0):
        """N = 2: neuron 0 is r = relu(2r + x), without solution for x > 0; neuron 1 is harmless."""
        x = np.random.default_rng(0).uniform(-1, -0.1, (512, 2))
        x[:, 1] *= -1
        x[self.bad, 0] = bad_x
        return np.array([[2.0, 0.0], [0.0, 0.5]]), x

    def test_exactly_the_three_are_flagged_and_the_others_are_as_if_alone(self):
        W, x = self.batch()
        point = fp.solve(W, x, "relu", on_failure="ignore")
        np.testing.assert_array_equal(np.flatnonzero(~point.converged), self.bad)
        good = np.delete(np.arange(512), self.bad)
        assert (
            point.residual[good] <= 1e-8 * np.maximum(1, np.abs(point.r[good]).max(axis=1))
        ).all()
        assert (point.residual[self.bad] > 0.1).all()
        np.testing.assert_array_equal(point.residual, residual(point, "relu"))
        without = fp.solve(W, x[good], "relu")
        np.testing.assert_array_equal(point.r[good], without.r)
        np.testing.assert_array_equal(point.steps[good], without.steps)
        for i in (0, 255, 510):
            np.testing.assert_allclose(point.r[i], fp.solve(W, x[i], "relu").r, rtol=1e-14)
        assert not point.stable[self.bad].any()
        assert point.stable[good].all()

    def test_the_error_says_how_many_how_badly_and_where_and_holds_the_result(self):
        W, x = self.batch()
        with pytest.raises(fp.ConvergenceError) as caught:
            fp.solve(W, x, "relu")
        point = caught.value.point
        assert isinstance(point, fp.FixedPoint)
        worst = int(np.argmax(np.where(point.converged, 0, point.residual)))
        assert worst in self.bad
        message = str(caught.value)
        assert message.startswith("3 of 512 samples did not converge to tol=1e-08.")
        assert f"sample {worst}, with residual {point.residual[worst]:.3g}" in message
        abscissa = fp.spectral_abscissa(W, point.gain[worst])
        assert f"spectral abscissa of GW {abscissa:.3g} there" in message
        assert abscissa == 2

    def test_the_error_says_what_the_residual_is_compared_with(self):
        W, x = network(3, 0.9, n=10, m=4)
        with pytest.raises(fp.ConvergenceError) as caught:
            fp.solve(W, x, max_steps=1, method="relaxation")
        point = caught.value.point
        assert isinstance(point, fp.FixedPoint)
        worst = int(np.argmax(np.where(point.converged, 0, point.residual)))
        r, recurrent = point.r[worst], point.recurrent[worst]
        b = np.tanh(recurrent + x[worst]) - point.gain[worst] * recurrent
        for name, value in (("r", r), ("b", b)):
            assert f"the largest |{name}|, here {np.abs(value).max():.3g}" in str(caught.value)

    def test_warn_warns_once_with_the_same_words(self):
        W, x = self.batch()
        with pytest.warns(RuntimeWarning, match=r"^3 of 512 samples did not converge") as caught:
            point = fp.solve(W, x, "relu", on_failure="warn")
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert np.sum(~point.converged) == 3

    def test_ignore_is_silent(self):
        W, x = self.batch()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.sum(~fp.solve(W, x, "relu", on_failure="ignore").converged) == 3

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_flags_the_three_even_where_rates_explode(self, method):
        W, x = self.batch()
        point = fp.solve(W, x, fp.powerlaw(3, 5.0), on_failure="ignore", method=method)
        assert not point.converged[self.bad].any()
        assert np.isfinite(point.r).all()
        np.testing.assert_array_equal(
            point.residual[self.bad], residual(point, fp.powerlaw(3, 5.0))[self.bad]
        )

    def test_a_linear_network_without_fixed_point(self):
        with pytest.raises(fp.ConvergenceError, match="2 of 2 samples"):
            fp.solve(np.eye(3), np.ones((2, 3)), "linear")


class TestCertificate:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("activation", NAMED)
    def test_residual_is_that_of_the_r_returned(self, activation, dtype):
        W, x = network(2, 0.4, n=40, m=20, dtype=dtype)
        W, x = np.abs(W) * 0.2, 0.2 * x
        point = fp.solve(W, x, activation)
        tol = 1e-8 if dtype == np.float64 else 1e-5
        np.testing.assert_array_equal(point.residual, residual(point, activation))
        assert (point.residual <= tol * np.maximum(1, np.abs(point.r).max(axis=1))).all()
        f = as_activation(activation)
        np.testing.assert_array_equal(point.gain, f.gain(point.r @ W.T + x))

    @pytest.mark.parametrize("method", METHODS)
    def test_too_few_steps_is_a_failure_with_its_true_residual(self, method):
        W, x = network(3, 0.9, n=30)
        point = fp.solve(W, x, max_steps=1, method=method, on_failure="ignore")
        assert not point.converged.any()
        np.testing.assert_array_equal(point.residual, residual(point))
        assert (point.residual > 1e-8).all()

    @pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-10, 1e-13])
    def test_tol_is_what_is_met(self, tol):
        W, x = network(4, 0.8, n=50)
        assert_solved(fp.solve(W, x, tol=tol), tol)

    def test_tol_is_relative_to_large_rates(self):
        point = fp.solve([[0.5]], [[1e6]], "relu", tol=1e-8)
        assert point.converged.all()
        assert point.r[0, 0] == pytest.approx(2e6, rel=1e-7)

    def test_steps_are_the_evaluations_it_took(self):
        rows = []

        def counted(z):
            value = anp.tanh(z)
            rows.append(len(z))
            return value

        W, x = network(5, 0.6, n=20, m=6)
        f = fp.Activation("counted", counted, fp.tanh.gain)
        fp.solve(W, x, f)  # the first also compares f and its gain
        rows.clear()
        point = fp.solve(W, x, f)
        # One more evaluation of the whole batch certifies what is returned.
        assert sum(rows) == point.steps.sum() + len(x)
        assert min(rows) < len(x), "converged samples leave the batch"

    @pytest.mark.parametrize(
        ("W", "activation", "x", "stable"),
        [
            ([[0.5]], "linear", [1.0], True),
            ([[1.5]], "linear", [1.0], False),
            ([[-5.0]], "linear", [1.0], True),
            ([[0.0, -3.0], [3.0, 0.0]], "linear", [1.0, 0.0], True),
            ([[1.5, -3.0], [3.0, 1.5]], "linear", [1.0, 0.0], False),
            ([[1.0, -4.0], [4.0, 0.5]], "tanh", [0.0, 0.0], True),
        ],
    )
    def test_stable_agrees_with_simulation(self, W, activation, x, stable):
        point = fp.solve(W, x, activation)
        assert point.stable == stable
        net = fp.RateNetwork(W, activation)
        _, r = net.simulate(x, 30.0, point.r + 1e-5, rtol=1e-8, atol=1e-12)
        assert (np.abs(r[-1] - point.r).max() < 1e-5) == stable


class TestShapesAndTypes:
    def test_one_unbatched_sample(self):
        W, x = network(6, 0.7, n=12)
        point, batch = fp.solve(W, x[0]), fp.solve(W, x[:1])
        assert point.r.shape == point.gain.shape == point.x.shape == (12,)
        for name in ("residual", "converged", "steps", "spectral_abscissa", "stable"):
            assert np.ndim(getattr(point, name)) == 0
            assert getattr(point, name) == getattr(batch, name)[0]
        np.testing.assert_array_equal(point.r, batch.r[0])

    def test_arguments_have_names_and_options_nothing_else(self):
        W, x = network(6, 0.7, n=12)
        point = fp.solve(activation="tanh", x=x, W=W)
        np.testing.assert_array_equal(point.r, fp.solve(W, x).r)
        with pytest.raises(TypeError, match="positional"):
            fp.solve(W, x, "tanh", point.r)  # pyright: ignore[reportCallIssue]

    def test_one_neuron(self):
        point = fp.solve([[0.5]], [[1.0], [2.0]], "linear")
        np.testing.assert_allclose(point.r, [[2.0], [4.0]])

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
    @pytest.mark.parametrize("method", METHODS)
    def test_no_samples(self, shape, method):
        point = fp.solve(np.eye(4) / 2, np.zeros((*shape, 4)), method=method)
        assert point.r.shape == point.gain.shape == (*shape, 4)
        for name in ("residual", "converged", "steps", "spectral_abscissa", "stable"):
            assert getattr(point, name).shape == shape

    def test_more_leading_dimensions(self):
        W, x = network(7, 1.2, n=10, m=24)
        deep, flat = fp.solve(W, x.reshape(2, 3, 4, 10)), fp.solve(W, x)
        for name in (
            "r",
            "gain",
            "x",
            "residual",
            "converged",
            "steps",
            "spectral_abscissa",
            "stable",
        ):
            value = getattr(deep, name)
            assert value.shape[:3] == (2, 3, 4)
            np.testing.assert_array_equal(
                value.reshape(getattr(flat, name).shape), getattr(flat, name)
            )

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("activation", NAMED)
    def test_float32_in_float32_out(self, activation, method):
        W, x = network(8, 0.3, n=30, dtype=np.float32)
        seen = set()
        f = as_activation(activation)

        def watched(curve):
            def evaluate(z):
                seen.add(z.dtype)
                return curve(z)

            return evaluate

        point = fp.solve(
            np.abs(W) * np.float32(0.2),
            0.2 * x,
            fp.Activation("watched", watched(f.f), watched(f.gain)),
            method=method,
            r0=np.full(30, 0.1),  # float64, yet the network's type decides
        )
        assert seen == {np.dtype(np.float32)}, "float64 crept in"
        for value in (
            point.r,
            point.gain,
            point.x,
            point.W,
            point.residual,
            point.spectral_abscissa,
        ):
            assert value.dtype == np.float32
        assert_solved(point, 1e-5, activation)

    def test_float32_of_a_hard_network(self):
        W, x = network(9, 2.0, n=100, dtype=np.float32)
        point = fp.solve(W, x)
        assert point.r.dtype == np.float32
        assert_solved(point, 1e-5)

    def test_mixed_precision_is_float64(self):
        W, x = network(10, 0.5, n=5, dtype=np.float32)
        assert (
            fp.solve(W, x.astype(float)).r.dtype
            == fp.solve(W.astype(float), x).r.dtype
            == np.float64
        )

    @pytest.mark.parametrize(
        ("dtype", "tol"), [(np.float32, 1e-8), (np.float32, 1e-7), (np.float64, 1e-16)]
    )
    def test_a_tol_that_rounding_forbids(self, dtype, tol):
        W, x = network(11, 0.5, n=5, dtype=dtype)
        with pytest.raises(
            ValueError, match=f"^tol={tol:g} is finer than .* can certify; use at least"
        ):
            fp.solve(W, x, tol=tol)

    @given(
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        n=st.integers(1, 5),
        dtype=st.sampled_from([np.float32, np.float64]),
        activation=st.sampled_from(["tanh", "relu", "softplus", "linear"]),
        scale=st.floats(0, 0.9),
        seed=st.integers(0, 2**31),
    )
    @settings(max_examples=60)
    def test_any_contraction_is_solved_whatever_its_shape(
        self, shape, n, dtype, activation, scale, seed
    ):
        """‖W‖₂ ≤ 0.9 and slopes ≤ 1: Banach's theorem says that there is one fixed point."""
        rng = np.random.default_rng(seed)
        W = rng.standard_normal((n, n))
        W = (scale * W / np.linalg.norm(W, 2)).astype(dtype)
        x = rng.standard_normal((*shape, n)).astype(dtype)
        point = fp.solve(W, x, activation)
        assert point.r.shape == x.shape
        assert point.r.dtype == dtype
        assert np.shape(point.converged) == shape
        assert_solved(point, 1e-5 if dtype == np.float32 else 1e-8, activation)
        assert np.all(point.stable)


class TestArguments:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        "layout",
        {
            "Fortran": np.asfortranarray,
            "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
            "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
            "moved axes": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0),
        }.values(),
    )
    def test_any_memory_order_read_only(self, layout, method):
        W, x = network(12, 0.9, n=6, m=12)
        x = x.reshape(2, 2, 3, 6)
        r0 = 0.1 * x
        expected = fp.solve(W, x, r0=r0, method=method).r
        given = [layout(a) for a in (W, x, r0)]
        before = [a.copy() for a in given]
        for a in given:
            a.flags.writeable = False
        point = fp.solve(given[0], given[1], r0=given[2], method=method)
        np.testing.assert_allclose(point.r, expected, atol=1e-12)
        assert_solved(point)
        for a, b in zip(given, before, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_the_result_shares_no_memory_with_the_arguments(self):
        W, x, r0 = np.zeros((2, 2)), np.ones((3, 2)), np.ones((3, 2))
        for f in ("linear", lambda z: z):
            # r0 is the fixed point already: nothing need be written.
            point = fp.solve(W, x, f, r0=r0)
            for result in (point.r, point.gain, point.x, point.W):
                for argument in (W, x, r0):
                    assert not np.shares_memory(result, argument)
            assert not np.shares_memory(point.r, point.x)

    def test_weights_trained_in_place_do_not_change_the_verdict(self):
        W = np.array([[0.5]])
        point = fp.solve(W, [1.0], "linear")
        W += 5
        assert point.stable
        assert point.spectral_abscissa == 0.5

    def test_r0_broadcasts(self):
        W = 2.0 * np.eye(2)
        point = fp.solve(W, np.zeros((2, 3, 2)), r0=[[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        np.testing.assert_array_equal(np.sign(point.r[1]), [[1, 1], [1, -1], [-1, -1]])

    def test_starting_at_the_fixed_point_takes_one_step(self):
        W, x = network(13, 0.7, n=8)
        point = fp.solve(W, x)
        again = fp.solve(W, x, r0=fp.solve(W, x, tol=1e-12).r)
        assert (again.steps == 1).all()
        np.testing.assert_allclose(again.r, point.r, atol=1e-7)

    def test_users_errors_come_through(self):
        def broken(z):
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            fp.solve(np.eye(2), np.ones(2), broken)
        with pytest.raises(ValueError, match="activation 'sum' must be elementwise"):
            fp.solve(np.eye(2), np.ones(2), anp.sum)

    def test_a_gain_that_is_not_finite_is_not_certified(self):
        def steep(z):
            return anp.where(z > 0, 1.0, 0.5)

        f = fp.Activation("steep", steep, lambda z: np.where(z > 1, np.nan, 0.0))
        with pytest.raises(
            fp.ConvergenceError, match=r"1 of 2 samples.*At 1 of the samples a gain"
        ):
            fp.solve([[0.0]], [[2.0], [-1.0]], f)
        point = fp.solve([[0.0]], [[2.0], [-1.0]], f, on_failure="ignore")
        np.testing.assert_array_equal(point.converged, [False, True])
        np.testing.assert_array_equal(point.stable, [False, True])
        assert np.isnan(point.spectral_abscissa[0])

    @pytest.mark.parametrize("activation", NAMED)
    @pytest.mark.parametrize("method", METHODS)
    def test_huge_weights_raise_nothing_but_convergence_errors(self, activation, method):
        W = np.array([[1e300, -1e308], [1e308, 1e300]])
        point = fp.solve(
            W, [[1.0, -1e300], [-1e308, 1e308]], activation, method=method, on_failure="ignore"
        )
        assert point.r.shape == (2, 2)
        try:
            fp.solve(W, [[1.0, -1e300]], activation, method=method)
        except fp.ConvergenceError as failure:
            assert "1 of 1 samples" in str(failure)

    @pytest.mark.parametrize("method", METHODS)
    def test_relu_at_its_kink(self, method):
        """x = 0: r = 0 is where the slope jumps."""
        point = fp.solve(
            [[-1.0, 0.3], [0.4, -2.0]], np.zeros((1, 2)), "relu", r0=[[0.5, 0.5]], method=method
        )
        assert_solved(point, activation="relu")
        np.testing.assert_allclose(point.r, 0, atol=1e-8)

    def test_points_compare_by_identity(self):
        a = fp.solve(np.eye(2) / 2, np.ones(2))
        assert a == a
        assert a != fp.solve(np.eye(2) / 2, np.ones(2))


ARRAYS = ("r", "gain", "x", "recurrent", "W", "residual", "converged", "steps")


class TestFixedPoint:
    def batch(self):
        """Three samples of r = relu(r² + x), of which the second has no fixed point."""
        return fp.solve([[1.0]], [[0.1], [1.0], [0.2]], "powerlaw", on_failure="ignore")

    @pytest.mark.parametrize(
        "samples", [[True, False, True], [0, 2], slice(None, None, 2), np.array([[2, 0], [0, 0]])]
    )
    def test_samples_can_be_chosen(self, samples):
        point = self.batch()
        some = point[samples]
        assert some.converged.all() and some.W is point.W
        for name in ARRAYS:
            if name != "W":
                expected = getattr(point, name)[samples]
                np.testing.assert_array_equal(getattr(some, name), expected)
        np.testing.assert_array_equal(some.spectral_abscissa, point.spectral_abscissa[samples])

    def test_the_abscissa_is_unknown_where_gains_times_weights_overflow(self):
        gain = np.array([[1e200], [1.0], [np.inf]])
        point = replace(self.batch(), W=np.array([[1e200]]), gain=gain)
        np.testing.assert_array_equal(point.spectral_abscissa, [np.nan, 1e200, np.nan])

    def test_on_the_edge_is_not_stable(self):
        one = np.ones((3, 1))
        assert not replace(self.batch(), W=one[:1], gain=one).stable.any()
        assert replace(self.batch(), W=one[:1], gain=0.999 * one).stable.tolist() == [1, 0, 1]

    def test_what_did_not_converge_can_be_left_out(self):
        point = self.batch()
        some = point[point.converged]
        error = np.ones_like(some.r)
        with pytest.raises(fp.ConvergenceError, match="1 of 3 samples"):
            fp.gradient(point.W, point, np.ones_like(point.r), 1.0)
        expected = fp.gradient(point.W, fp.solve(point.W, some.x, "powerlaw"), error, 1.0)
        np.testing.assert_allclose(fp.gradient(point.W, some, error, 1.0), expected, rtol=1e-6)

    def test_one_sample_of_a_batch_is_as_if_solved_alone(self):
        W, x = network(23, 0.5, n=4, m=6)
        deep = fp.solve(W, x.reshape(2, 3, 4))
        one, row = deep[1, 2], deep[1]
        assert one.r.shape == (4,) and one.converged.shape == () and one.stable
        assert row.r.shape == (3, 4) and row.stable.shape == (3,)
        np.testing.assert_array_equal(one.r, deep.r[1, 2])
        np.testing.assert_array_equal(row.recurrent, deep.recurrent[1])

    def test_no_samples_at_all(self):
        none = self.batch()[[False, False, False]]
        assert none.r.shape == (0, 1) and none.residual.shape == none.spectral_abscissa.shape == (
            0,
        )

    def test_samples_that_are_not_there(self):
        point = self.batch()
        for samples in (3, [True, False], (0, 0), "r", [0.5]):
            with pytest.raises(
                IndexError, match=r"no such samples in a FixedPoint of shape \(3,\)"
            ):
                point[samples]
        with pytest.raises(IndexError, match="of a single sample"):
            point[0][0]

    def test_nothing_can_be_written_into_it(self):
        point = self.batch()
        for result in (point, point[1:], point[0], fp.solve([[0.5]], [1.0])):
            for name in (*ARRAYS, "spectral_abscissa"):
                value = getattr(result, name)
                with pytest.raises((ValueError, TypeError)):  # a scalar cannot be assigned into
                    value[...] = 0
                with pytest.raises(AttributeError):
                    setattr(result, name, value)
            mine = result.r.copy()
            mine += 1

    def test_one_made_by_hand_copies_its_arrays(self):
        x, W, yes = np.ones((1, 1)), np.zeros((1, 1)), np.array([True])
        point = fp.FixedPoint(x, x, x, x, W, np.zeros(1), yes, np.ones(1, int))
        W += 1
        x += 1  # which stayed writeable
        assert point.r == 1 and point.W == 0

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
    def test_a_copy_is_read_only_and_the_same(self, copied):
        with one_blas_thread():
            large = fp.solve(np.zeros((64, 64)), np.ones((2, 64)), "linear")
        for point in (self.batch(), self.batch()[0], large):
            again = copied(point)
            for name in ARRAYS:
                value = getattr(again, name)
                np.testing.assert_array_equal(value, getattr(point, name))
                with pytest.raises((ValueError, TypeError)):
                    value[...] = 0
            assert repr(again) == repr(point)

    def test_it_is_one_line_in_print(self):
        point = self.batch()
        assert repr(point) == (
            f"FixedPoint(1 neuron, 3 samples, 2 converged, largest residual {point.residual[1]:.3g})"
        )
        assert repr(point[0]).startswith("FixedPoint(1 neuron, 1 sample, 1 converged")
        assert repr(fp.solve(np.eye(2), np.ones((0, 2)))) == (
            "FixedPoint(2 neurons, 0 samples, 0 converged, largest residual 0)"
        )


def test_rates_that_autograd_may_differentiate_belong_to_the_caller():
    r = fp.fixed_point(np.zeros((1, 1)), np.ones(1))
    r += 1


class TestMethods:
    @pytest.mark.parametrize("activation", ["tanh", "relu", "softplus", "powerlaw"])
    @pytest.mark.parametrize("method", METHODS)
    def test_each_method_alone_solves_a_moderate_network(self, method, activation):
        W, x = network(14, 0.4, n=60)
        W, x = (0.05 * W, 0.3 * x) if activation == "powerlaw" else (W, x)
        point = fp.solve(W, x, activation, method=method)
        assert_solved(point, activation=activation)
        reference = fp.solve(W, x, activation, tol=1e-12).r
        np.testing.assert_allclose(point.r, reference, atol=1e-7)

    def test_newton_takes_far_fewer_steps_than_relaxation(self):
        W, x = network(15, 0.95, n=60)
        steps = {
            m: fp.solve(W, x, method=m, tol=1e-12).steps.max() for m in ("relaxation", "newton")
        }
        assert steps["newton"] < steps["relaxation"] / 4

    @pytest.mark.parametrize("scale", [0.5, 3.0])
    def test_a_linear_network_is_solved_by_one_factorization(self, scale, monkeypatch):
        """Stable or not, and however many samples."""
        calls = []
        solve = np.linalg.solve

        def counted(K, b):
            calls.append(K.shape)
            return solve(K, b)

        monkeypatch.setattr(np.linalg, "solve", counted)
        W, x = network(16, scale, n=50, m=64)
        point = fp.solve(W, x, "linear")
        assert calls == [(1, 50, 50)]
        assert_solved(point, activation="linear")
        np.testing.assert_allclose(point.r, solve(np.eye(50) - W, x.T).T, rtol=1e-9, atol=1e-9)
        assert (point.stable == (scale < 1)).all()
        assert (point.steps == 0).all()

    def test_a_users_function_called_linear_is_not_taken_for_linear(self):
        def linear(z):
            return anp.tanh(3 * z)

        point = fp.solve([[0.9]], [[0.1]], linear)
        assert point.converged.all()
        assert point.stable.all()

    def test_a_singular_newton_step_fails_only_its_sample(self):
        """N = 1, r = x + r − relu-like bend: the Jacobian of sample 0 is singular at its start."""
        f = fp.Activation(
            "bend", lambda z: np.where(z > 0, z, 0.5 * z), lambda z: np.where(z > 0, 1.0, 0.5)
        )
        point = fp.solve([[1.0]], [[1.0], [-1.0]], f, method="newton", on_failure="ignore")
        np.testing.assert_array_equal(point.converged, [False, True])
        assert point.r[1, 0] == pytest.approx(-1.0)

    def test_per_sample_matrices_come_in_chunks(self, monkeypatch):
        W, x = network(17, 0.9, n=20, m=11)
        whole = fp.solve(W, x, method="newton")
        monkeypatch.setattr("fpnotes._linear.CHUNK", 3 * 400)
        parts = fp.solve(W, x, method="newton")
        np.testing.assert_allclose(parts.r, whole.r, atol=1e-12)
        np.testing.assert_array_equal(parts.steps, whole.steps)


@pytest.mark.parametrize("method", ["auto", "newton"])
@pytest.mark.parametrize("seed", range(3))
def test_an_unstable_linear_network_is_solved_in_one_step(method, seed):
    """The dynamics leave this fixed point; a linear system need not follow them."""
    rng = np.random.default_rng(seed)
    W, x = 3 * rng.standard_normal((20, 20)) / np.sqrt(20), rng.standard_normal((4, 20))
    point = fp.solve(W, x, "linear", method=method)
    assert point.spectral_abscissa.min() > 1
    np.testing.assert_allclose(point.r, np.linalg.solve(np.eye(20) - W, x.T).T, rtol=1e-8)
    assert point.steps.max() <= 3


class TestScales:
    @given(
        seed=st.integers(0, 2**32 - 1),
        n=st.integers(1, 6),
        power=st.integers(-990, 990),
        dtype=st.sampled_from([np.float32, np.float64]),
    )
    @pytest.mark.parametrize("method", ["auto", "newton"])
    def test_a_linear_network_knows_no_unit(self, method, seed, n, power, dtype):
        """A power of 2 changes no digit of the rates, from 1e-298 to 1e298."""
        unit = dtype(2.0 ** (power // 9 if dtype == np.float32 else power))
        rng = np.random.default_rng(seed)
        W = (0.7 * rng.standard_normal((n, n)) / np.sqrt(n)).astype(dtype)
        x = rng.standard_normal((3, n)).astype(dtype)
        one = fp.solve(W, x, "linear", method=method, on_failure="ignore")
        other = fp.solve(W, unit * x, "linear", method=method, on_failure="ignore")
        np.testing.assert_array_equal(other.r, unit * one.r)
        assert (other.converged == one.converged).all() or unit < 1

    @given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), exponent=st.floats(-300, 300))
    @pytest.mark.parametrize("activation", ["relu", "linear"])
    @pytest.mark.parametrize("method", METHODS)
    def test_converged_means_a_small_residual_at_every_scale(
        self, method, activation, seed, n, exponent
    ):
        """Rates that scale with the inputs, of any size: solved to tol, or said not to be."""
        rng = np.random.default_rng(seed)
        W = rng.standard_normal((n, n))
        W *= 0.8 / np.linalg.norm(W, 2)
        x = 10.0**exponent * rng.standard_normal((4, n))
        point = fp.solve(W, x, activation, method=method, on_failure="ignore")
        assert np.isfinite(point.r).all()
        off, size = residual(point, activation), np.abs(point.r).max(axis=1)
        good = point.converged
        assert (off[good] <= 1e-8 * np.maximum(1, size[good])).all()
        np.testing.assert_array_equal(point.residual[good], off[good])
        if exponent < 100 or method != "anderson":  # which squares residuals
            assert good.all()

    @pytest.mark.parametrize("activation", ["linear", "relu", "softplus", "powerlaw"])
    @pytest.mark.parametrize("method", METHODS)
    def test_rates_beyond_the_largest_float_have_not_converged(self, method, activation):
        largest = np.finfo(float).max
        point = fp.solve(
            [[0.5]], [[largest], [1e-3]], activation, method=method, on_failure="ignore"
        )
        np.testing.assert_array_equal(point.converged, [False, True])
        assert not point.stable[0]
        with pytest.raises(fp.ConvergenceError, match="^1 of 2 samples did not converge"):
            fp.solve([[0.5]], [[largest], [1e-3]], activation, method=method)

    def test_denormal_inputs(self):
        tiny = np.finfo(float).smallest_subnormal
        point = fp.solve([[0.5]], [[tiny], [4 * tiny]], "linear")
        np.testing.assert_array_equal(point.r, [[2 * tiny], [8 * tiny]])

    @pytest.mark.parametrize("method", METHODS)
    def test_the_same_call_gives_the_same_numbers(self, method):
        W, x = network(20, 0.9, n=40)
        points = [fp.solve(W, x, method=method) for _ in range(2)]
        for name in ("r", "gain", "residual", "steps", "spectral_abscissa"):
            np.testing.assert_array_equal(*(getattr(point, name) for point in points))


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda z: z[..., :1], ValueError, r"returned shape \(3, 1\)"),
        (lambda z: None, ValueError, r"returned shape \(\)"),
        (lambda z: 1j * z, TypeError, "must return real numbers, not dtype complex128"),
        (lambda z: z.astype(str), TypeError, "must return real numbers"),
        (lambda z: np.nan * z, fp.ConvergenceError, "3 of 3 samples did not converge"),
        (lambda z: np.inf + z, fp.ConvergenceError, "3 of 3 samples did not converge"),
    ],
)
@pytest.mark.parametrize("part", ["f", "gain"])
@pytest.mark.parametrize("method", METHODS)
def test_whatever_a_curve_returns_is_checked(method, part, returned, error, message):
    good = {"f": np.tanh, "gain": lambda z: 1 - np.tanh(z) ** 2}
    curve = fp.Activation("mine", **{**good, part: returned})
    with pytest.raises(error, match=message):
        fp.solve(0.1 * np.eye(2), np.ones((3, 2)), curve, method=method)


def test_a_curve_may_keep_or_overwrite_its_arrays():
    """One that returns the same array every time, one that works in place, and one that returns lists."""
    W, x = np.array([[0.25, 0.1], [-0.2, 0.3]]), np.array([[1.0, 0.5], [-0.3, 2.0]])
    kept = np.empty_like(x)

    def keeps(z):
        np.tanh(z, out=kept[: len(z)])
        return kept[: len(z)]

    def overwrites(z):
        return np.tanh(z, out=z)

    def gain(z):
        return 1 - np.tanh(z) ** 2

    expected = fp.solve(W, x)
    for f in (keeps, overwrites, lambda z: np.tanh(z).tolist()):
        point = fp.solve(W, x, fp.Activation("mine", f, gain))
        assert_solved(point)
        np.testing.assert_allclose(point.r, expected.r, atol=1e-7)
        np.testing.assert_allclose(point.gain, gain(point.r @ W.T + x), rtol=1e-12)


INTEGRATING = ["linear", "relu", "softplus", fp.powerlaw(1), lambda z: anp.maximum(z, 0.0)]


def integrator(seed, n, dtype):
    """Return W with an eigenvalue of 1 along v > 0, smaller ones elsewhere, and v."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.1, 1, n)
    v /= np.linalg.norm(v)
    P = np.eye(n) - np.outer(v, v)
    W = 0.3 * P @ rng.standard_normal((n, n)) @ P / np.sqrt(n) + np.outer(v, v)
    return W.astype(dtype), v.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
class TestRunningAway:
    """An iterate that grows for ever must not make its own tolerance."""

    @pytest.mark.parametrize("activation", INTEGRATING)
    def test_a_network_that_integrates_its_input_is_refused(self, activation, method, dtype):
        half = np.full((2, 2), 0.5, dtype)
        for W, x in (
            (np.ones((1, 1), dtype), np.ones(1, dtype)),
            (half, np.ones(2, dtype)),
            integrator(0, 3, dtype),
            integrator(1, 12, dtype),
        ):
            point = fp.solve(W, x, activation, method=method, on_failure="ignore")
            assert not point.converged and not point.stable

    def test_one_that_leaks_is_solved(self, method, dtype):
        for w in (1 - 1e-6, 1 - 1e-9):
            W = np.array([[w]], dtype)
            if W == 1:  # single precision cannot tell
                continue
            expected = 1 / (1 - W[0, 0].astype(float))
            for activation in ("linear", "relu", lambda z: anp.maximum(z, 0.0)):
                point = fp.solve(
                    W, np.ones(1, dtype), activation, method=method, on_failure="ignore"
                )
                # Relaxation needs about 1/(1 − w) steps, and has 1000.
                assert point.converged == (method != "relaxation")
                if point.converged:
                    assert point.r[0] == pytest.approx(expected, rel=1e-6)

    def test_a_saturated_neuron_gets_no_tolerance_from_its_input(self, method, dtype):
        point = fp.solve(np.array([[2.0]], dtype), np.array([1e6], dtype), method=method)
        assert point.residual <= (1e-8 if dtype == np.float64 else 1e-5)

    def test_rates_without_input_may_sustain_themselves_or_vanish(self, method, dtype):
        x = np.zeros(1, dtype)
        active = fp.solve(np.array([[2.0]], dtype), x, r0=[1.0], method=method)
        assert active.r[0] == pytest.approx(0.95750402, rel=1e-5)
        for w in (0.5, 0.9, -3.0):
            for activation in ("tanh", "relu", lambda z: anp.maximum(z, 0.0)):
                W = np.array([[w]], dtype)
                assert fp.solve(W, x, activation, r0=[1.0], method=method).r == 0

    @pytest.mark.parametrize("x", [1.0, 5e-6, 5e-9, 1e-12])
    def test_no_rate_is_right_because_it_is_small(self, x, method, dtype):
        for activation in ("linear", "relu", fp.powerlaw(1), lambda z: anp.maximum(z, 0.0)):
            W, inputs = np.array([[0.5]], dtype), np.array([x], dtype)
            r = fp.solve(W, inputs, activation, method=method).r[0]
            assert r == pytest.approx(2 * x, rel=1e-7 if dtype == np.float64 else 1e-4)

    @given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), power=st.integers(-60, 60))
    @settings(max_examples=20)
    def test_relu_knows_no_unit(self, seed, n, power, method, dtype):
        rng = np.random.default_rng(seed)
        W = (rng.standard_normal((n, n)) / np.sqrt(n)).astype(dtype)
        x, r0 = rng.standard_normal((2, 2, n)).astype(dtype)
        unit = dtype(2.0**power)
        one = fp.solve(W, x, "relu", r0=r0, method=method, max_steps=100, on_failure="ignore")
        other = fp.solve(
            W, unit * x, "relu", r0=unit * r0, method=method, max_steps=100, on_failure="ignore"
        )
        np.testing.assert_array_equal(other.r, unit * one.r)
        np.testing.assert_array_equal(other.converged, one.converged)

    def test_newton_steps_past_a_singular_matrix(self, method, dtype):
        if method == "newton":
            point = fp.solve([[2.0]], [0.0], lambda z: 1.0 * z, r0=[1.0], method=method)
            assert point.r == 0


def test_a_residual_of_nothing_has_no_sign():
    point = fp.solve(np.zeros((2, 2)), np.array([[-1.0, -2.0], [1.0, 2.0]]), "relu")
    assert not np.signbit(point.residual).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", NAMED)
def test_numpys_error_settings_change_nothing(activation, method):
    W, x = network(24, 0.3, n=6, m=4)
    W = 0.2 * np.abs(W)
    x[0] = -1000  # where exponentials underflow
    expected = fp.solve(W, x, activation, method=method, on_failure="ignore")
    with np.errstate(all="raise"):
        point = fp.solve(W, x, activation, method=method, on_failure="ignore")
    np.testing.assert_array_equal(point.r, expected.r)
    np.testing.assert_array_equal(point.converged, expected.converged)


def test_a_method_has_a_thousand_steps_unless_told():
    """r ← r + 1 never arrives; the evaluation before the first step is counted too."""
    for told, steps in (({}, 1000), ({"max_steps": 7}, 7)):
        point = fp.solve(
            np.eye(1), [1.0], "linear", method="relaxation", on_failure="ignore", **told
        )
        assert point.steps == steps + 1


def test_auto_relaxes_for_80_steps_and_then_accelerates():
    """As the book's page on speed says: it evaluates f where relaxation does, so far and not farther."""

    def evaluations(method):
        seen = []

        def watched(z):
            seen.append(z.item())
            return np.tanh(z)

        curve = fp.Activation("watched", watched, lambda z: 1 - np.tanh(z) ** 2)
        assert fp.solve(np.array([[0.95]]), [0.02], curve, method=method).converged
        return np.array(seen)

    auto, relaxed = evaluations("auto"), evaluations("relaxation")
    assert 82 < len(auto) < len(relaxed)
    # One before the first step, 80 after it; then Anderson's second is the first with a memory.
    same = auto == relaxed[: len(auto)]
    assert same[:81].all() and not same[81]


def test_a_method_that_is_named_is_the_only_one_used():
    """A chaotic network, which continuation solves: the local methods use up their steps and say so."""
    W, x = network(3, 2.5, n=80, m=12)
    assert fp.solve(W, x).converged.all()
    for method in ("relaxation", "anderson"):
        point = fp.solve(W, x, method=method, max_steps=150, on_failure="ignore")
        assert not point.converged.all()
        assert (point.steps[~point.converged] == 151).all()
        assert (point.steps <= 151).all()


class TestWhatAFailureSays:
    @pytest.mark.parametrize(
        ("W", "x", "activation"),
        [
            ([[1 - 1e-15]], [1.0], "linear"),  # near a singularity
            (np.diag(np.full(59, 2.0), -1), np.eye(60)[0], "linear"),  # a chain that amplifies
            ([[0.5]], [1e20], anp.sin),  # an input that is known to no period
            (np.float32([[1 - 2**-24]]), np.float32([1]), "linear"),
        ],
    )
    def test_a_small_residual_that_certifies_nothing(self, W, x, activation):
        with pytest.raises(fp.ConvergenceError, match="lost in the roundings.*No other tol") as e:
            fp.solve(W, x, activation)
        assert "Try another" not in str(e.value)

    @pytest.mark.parametrize("w", [1.0, 1.5])
    def test_a_large_residual(self, w):
        with pytest.raises(fp.ConvergenceError, match="Try another r0") as e:
            fp.solve([[w]], [[1.0]], "relu")
        assert "roundings" not in str(e.value) and "not finite" not in str(e.value)

    @pytest.mark.parametrize(
        ("W", "activation"),
        [([[1.0]], "linear"), ([[0.5]], anp.log)],
    )
    def test_what_is_not_finite(self, W, activation):
        with pytest.raises(fp.ConvergenceError, match=r"At 1 of the samples r or f\(W r \+ x\)"):
            fp.solve(W, [[-1.0]], activation)


@pytest.mark.parametrize("n", [20, 64, 200])
@pytest.mark.parametrize("scale", [1e2, 1e8, 1e160])
@pytest.mark.parametrize("threads", ["one", "as many as there are"])
def test_a_linear_network_of_large_weights_is_solved(n, scale, threads):
    """Elimination alone leaves residuals of more than two roundings."""
    W, x = network(3, 0.5 * scale, n=n, m=40)
    with one_blas_thread() if threads == "one" else nullcontext():
        r = fp.solve(W, x, "linear").r
    expected = -np.linalg.solve(W / scale, x.T).T / scale  # to 1/scale
    assert (np.abs(r - expected) <= (1e-9 + 100 / scale) * np.abs(expected).max()).all()
