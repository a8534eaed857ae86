"""The two metrics: their defining properties, and what happens near a singularity."""

from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from hypothesis import given
from hypothesis import strategies as st

from fpnotes.geometry import Euclidean, Reparameterized, _Metric, angle, riemann_tensor
from fpnotes.network import SingularityError, distance_to_singularity

SEEDS = range(4)
METRICS = {
    "euclidean": lambda rng, n: Euclidean(),
    "response": lambda rng, n: Reparameterized(),
    "response with gains": lambda rng, n: Reparameterized(rng.uniform(0.3, 3, n)),
}


def instance(kind, seed, n=5):
    rng = np.random.default_rng(seed)
    W, U, V = (scale * rng.standard_normal((n, n)) / np.sqrt(n) for scale in (0.4, 1, 1))
    return METRICS[kind](rng, n), W, U, V


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", METRICS)
def test_inner_is_symmetric_bilinear_and_positive(kind, seed):
    metric, W, U, V = instance(kind, seed)
    assert metric.inner(W, U, V) == pytest.approx(metric.inner(W, V, U), rel=1e-12)
    assert metric.inner(W, U + 3 * V, V) == pytest.approx(
        metric.inner(W, U, V) + 3 * metric.inner(W, V, V), rel=1e-10
    )
    assert metric.norm(W, U) > 0
    assert metric.norm(W, -2 * U) == pytest.approx(2 * metric.norm(W, U), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gains", [False, True])
def test_inner_is_the_pullback_through_the_response(gains, seed):
    rng = np.random.default_rng(seed)
    W, U, V = (s * rng.standard_normal((5, 5)) for s in (0.2, 1, 1))
    g = rng.uniform(0.3, 3, 5) if gains else np.ones(5)
    metric = Reparameterized(g if gains else None)
    A = np.linalg.inv(np.diag(1 / g) - W)
    assert np.allclose(metric.A(W), A, rtol=1e-10)
    assert metric.inner(W, U, V) == pytest.approx(np.sum((A @ U @ A) * (A @ V @ A)), rel=1e-9)
    assert np.allclose(metric.weights(A), W, atol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", METRICS)
def test_the_gradient_represents_the_derivative(kind, seed):
    metric, W, U, V = instance(kind, seed)
    assert metric.inner(W, metric.gradient(W, U), V) == pytest.approx(np.sum(U * V), rel=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", METRICS)
def test_exp_travels_the_length_of_its_vector_and_log_undoes_it(kind, seed):
    metric, W, _, V = instance(kind, seed)
    V = 0.1 * V
    W1 = metric.exp(W, V)
    assert metric.distance(W, W1) == pytest.approx(metric.norm(W, V), rel=1e-9)
    assert np.allclose(metric.log(W, W1), V, atol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", METRICS)
def test_a_geodesic_has_constant_speed_and_joins_its_ends(kind, seed):
    metric, W0, _, V = instance(kind, seed)
    W1 = W0 + 0.1 * V
    path = [metric.geodesic(W0, W1, t) for t in np.linspace(0, 1, 6)]
    assert np.allclose(path[0], W0) and np.allclose(path[-1], W1)
    steps = [metric.distance(a, b) for a, b in zip(path[:-1], path[1:], strict=True)]
    assert np.allclose(steps, metric.distance(W0, W1) / 5, rtol=1e-8)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
@pytest.mark.parametrize("kind", METRICS)
def test_the_triangle_inequality(kind, seed, n):
    rng = np.random.default_rng(seed)
    metric = METRICS[kind](rng, n)
    W = [rng.standard_normal((n, n)) for _ in range(3)]
    ab, bc, ac = (metric.distance(W[i], W[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
    assert ac <= (ab + bc) * (1 + 1e-9)


@pytest.mark.parametrize("kind", METRICS)
def test_the_metric_is_flat(kind):
    """The Riemann tensor vanishes, to rounding in the metric's own scale."""
    metric, W, _, _ = instance(kind, seed=0, n=2)
    for at in (W, -W):
        assert np.abs(riemann_tensor(metric, at)).max() < 1e-10


def test_the_riemann_tensor_of_a_round_sphere_is_not_zero():
    class Sphere:
        """The unit sphere in stereographic coordinates, whose sectional curvature is 1."""

        def inner(self, W, U, V):
            return 4 * anp.sum(U * V, axis=(-2, -1)) / (1 + anp.sum(W**2)) ** 2

    W = np.array([[0.3, -0.2], [0.1, 0.4]])
    g = 4 / (1 + np.sum(W**2)) ** 2
    R = riemann_tensor(Sphere(), W)
    # R_0101 = K (g_00 g_11 − g_01²), with the first index lowered.
    assert g * R[0, 1, 0, 1] / g**2 == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", METRICS)
def test_the_unit_ball_is_a_closed_curve_of_vectors_of_its_radius(kind, seed):
    metric, W, U, V = instance(kind, seed)
    curve = metric.unit_ball(W, U, V, radius=0.3, points=41)
    assert np.allclose(curve[0], curve[-1])
    assert np.allclose([metric.norm(W, a * U + b * V) for a, b in curve], 0.3)
    assert np.ptp(np.unwrap(np.arctan2(*curve.T))) == pytest.approx(2 * np.pi)


def test_parallel_directions_span_no_plane():
    U = np.ones((2, 2))
    with pytest.raises(ValueError, match="must not be parallel"):
        Euclidean().unit_ball(np.zeros((2, 2)), U, -2 * U)


@pytest.mark.parametrize("seed", SEEDS)
def test_lengths_blow_up_as_the_inverse_square_of_the_distance_to_a_singularity(seed):
    """Toward a simple singularity the norm of the approach direction grows as distance⁻²."""
    rng = np.random.default_rng(seed)
    W = 0.5 * rng.standard_normal((5, 5)) / np.sqrt(5)
    # The nearest singular W: B minus its smallest singular triple.
    u, s, vh = np.linalg.svd(np.eye(5) - W)
    direction = np.outer(u[:, -1], vh[-1])
    distances = np.array([1e-3, 1e-4])
    near = [W + (s[-1] - d) * direction for d in distances]
    assert np.allclose([distance_to_singularity(P) for P in near], distances, rtol=1e-6)
    norms = [Reparameterized().norm(P, direction) for P in near]
    assert np.log(norms[1] / norms[0]) / np.log(10) == pytest.approx(2, abs=1e-3)


def test_at_a_singularity_every_method_says_so():
    metric, W, V = Reparameterized(), np.eye(2), np.ones((2, 2))
    calls = (
        lambda: metric.A(W),
        lambda: metric.norm(W, V),
        lambda: metric.distance(W, 0 * W),
        lambda: metric.log(0 * W, W),
        lambda: metric.exp(0 * W, -np.eye(2)),
    )
    for call in calls:
        with pytest.raises(SingularityError, match="singular"):
            call()


@pytest.mark.parametrize("gain", [[1.0, 0.0], [[1.0]], [np.nan, 1], 2.0])
def test_gains_must_be_a_finite_vector_without_zeros(gain):
    with pytest.raises(ValueError, match="gain must"):
        Reparameterized(gain)


def test_lengths_can_be_differentiated():
    metric, W, U, V = instance("response", 1, n=3)
    slope = grad(lambda W: metric.inner(W, U, V))(W)
    h = 1e-6
    quotient = (metric.inner(W + h * U, U, V) - metric.inner(W - h * U, U, V)) / (2 * h)
    assert np.sum(slope * U) == pytest.approx(quotient, rel=1e-7)


@given(degrees=st.floats(0, 180))
def test_angle_in_a_plane(degrees):
    U, V = np.eye(2), np.array([[0.0, -1.0], [1.0, 0.0]])
    turned = np.cos(np.radians(degrees)) * U + np.sin(np.radians(degrees)) * V
    assert angle(3 * U, turned) == pytest.approx(degrees, abs=1e-12)


@pytest.mark.parametrize(
    ("V", "message"),
    [(np.zeros((2, 2)), "must not be zero"), (np.ones(2), "one shape"), ([[1, 1j]], "real")],
)
def test_angle_names_what_is_wrong(V, message):
    with pytest.raises((ValueError, TypeError), match=message):
        angle(np.eye(2), V)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 5),
    powers=st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)),
)
def test_an_angle_knows_no_size(seed, n, powers):
    U, V = np.random.default_rng(seed).standard_normal((2, n, n))
    assert angle(U * 2.0 ** powers[0], V * 2.0 ** powers[1]) == angle(U, V)


def test_an_angle_between_denormals():
    tiny = np.finfo(float).smallest_subnormal
    assert angle([[tiny, 0]], [[tiny, tiny]]) == pytest.approx(45)
    assert angle([[3.0, 0]], [[0, tiny]]) == pytest.approx(90)
    for U, V in (([[0.0]], [[tiny]]), ([[tiny]], [[0.0]])):
        with pytest.raises(ValueError, match="must not be zero"):
            angle(U, V)
    with pytest.raises(ValueError, match="one shape"):
        angle(np.ones((2, 2)), np.ones((3, 3)))


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), power=st.integers(-1000, 950))
@pytest.mark.parametrize("kind", METRICS)
def test_a_length_is_in_the_unit_of_its_vector(kind, seed, n, power):
    """Whatever that is: no length of a vector that is not 0 is 0, and none overflows on the way."""
    metric, W, U, V = instance(kind, seed, n)
    unit = 2.0**power
    assert metric.norm(W, unit * V) == unit * metric.norm(W, V)
    assert metric.norm(W, 0 * V) == 0
    stack = np.stack([unit * U, V])
    np.testing.assert_array_equal(metric.norm(W, stack), [metric.norm(W, v) for v in stack])


@pytest.mark.parametrize("power", [-900, -30, 40, 900])
@pytest.mark.parametrize("kind", METRICS)
def test_distances_and_unit_balls_in_other_units(kind, power):
    metric, W, U, V = instance(kind, 2)
    unit = 2.0**power
    curve = metric.unit_ball(W, unit * U, V / unit, points=9)
    np.testing.assert_array_equal(curve * [unit, 1 / unit], metric.unit_ball(W, U, V, points=9))
    if kind == "euclidean":
        assert metric.distance(unit * U, unit * V) == unit * metric.distance(U, V)
    elif power > 0:  # of strong weights the response is −W⁻¹, whatever the gains
        expected = np.linalg.norm(np.linalg.inv(U) - np.linalg.inv(V)) / unit
        assert metric.distance(unit * U, unit * V) == pytest.approx(expected, rel=1e-8)


def test_float32_stays_float32():
    V = np.ones((2, 3, 3), np.float32)
    assert Euclidean().norm(V[0], V).dtype == np.float32
    assert Euclidean().distance(V[0], 2 * V[1]) == pytest.approx(3)


def test_the_unit_ball_ends_where_it_began_and_has_201_points_by_default():
    curve = Euclidean().unit_ball(np.zeros((2, 2)), np.eye(2), np.ones((2, 2)))
    assert curve.shape == (201, 2)
    np.testing.assert_allclose(curve[0], curve[-1], atol=1e-15)


def test_metrics_cannot_be_changed_and_compare_by_what_they_measure():
    assert Euclidean() == Euclidean()
    assert hash(Euclidean()) == hash(Euclidean())
    metric: Any = Reparameterized(np.array([1.0, 2.0]))
    with pytest.raises(AttributeError):
        metric.gain = np.ones(3)
    with pytest.raises(AttributeError):
        Euclidean().__setattr__("scale", 2)


def test_a_metric_must_say_how_to_measure_and_where_its_geodesics_go():
    for missing in ("inner", "exp", "log"):
        methods = {name: lambda *_: 0 for name in ("inner", "exp", "log") if name != missing}
        with pytest.raises(TypeError, match=f"abstract.*{missing}"):
            type("Half", (_Metric,), methods)()


@pytest.mark.parametrize("setting", ["ignore", "warn", "raise"])
@pytest.mark.parametrize("unit", [2.0**-900, 1.0, 2.0**150])
@pytest.mark.parametrize("kind", METRICS)
def test_no_setting_of_numpy_changes_a_result(kind, unit, setting):
    """An underflow on the way to a result is none of the caller's business."""
    metric, W, U, V = instance(kind, 3)
    U, V = unit * U, V * np.logspace(-300, 0, 25).reshape(5, 5)

    def results():
        W1 = W + V
        values = [
            metric.inner(W, U, V),
            metric.norm(W, U),
            metric.distance(W, W1),
            metric.gradient(W, V),
            metric.exp(W, V),
            metric.log(W, W1),
            metric.geodesic(W, W1, 0.5),
            metric.unit_ball(W, U, V, points=5),
            angle(U, V),
            riemann_tensor(metric, W[:2, :2]) if kind != "response with gains" else 0,
        ]
        if kind != "euclidean":
            values += [metric.A(W), metric.B(W), metric.push(W, V), metric.weights(metric.A(W))]
        return values

    usual = results()
    with np.errstate(all=setting):
        for value, expected in zip(results(), usual, strict=True):
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("kind", METRICS)
def test_results_are_arrays_of_their_own(kind):
    """Changing one in place changes nothing of the caller's, nor the metric."""
    metric, W, U, V = instance(kind, 4)
    given = [W, U, V]
    before = [a.copy() for a in given]
    for array in given:
        array.flags.writeable = False
    for value in (
        metric.gradient(W, V),
        metric.exp(W, V),
        metric.log(W, U),
        metric.geodesic(W, U, 0.0),
        metric.unit_ball(W, U, V),
    ):
        assert not any(np.shares_memory(value, array) for array in given)
        value += 1
    for array, expected in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, expected)
    gain = np.array([1.0, 2.0])
    metric = Reparameterized(gain)
    gain[0] = 0
    np.testing.assert_array_equal(metric.B(np.zeros((2, 2))), np.diag([1, 0.5]))
