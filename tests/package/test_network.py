"""The network's equations, its stability, its distance to a singularity, and its simulation."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import fpnotes as fp
from fpnotes.activations import NAMED


def rate_network(*args: Any):
    """Return a network of lists, names and functions, which its fields' types do not foresee."""
    return fp.RateNetwork(*args)


def random_network(rng, n=6, scale=0.8, activation="tanh", tau=1.0):
    return rate_network(scale * rng.standard_normal((n, n)) / np.sqrt(n), activation, tau)


@pytest.mark.parametrize("activation", NAMED)
def test_jacobian_is_the_derivative_of_the_velocity(activation):
    rng = np.random.default_rng(1)
    network = random_network(rng, activation=activation, tau=2.5)
    r, x = rng.standard_normal((2, 3, 6))
    h, eye = 1e-6, np.eye(6)
    columns = [
        (network.velocity(r + h * e, x) - network.velocity(r - h * e, x)) / (2 * h) for e in eye
    ]
    np.testing.assert_allclose(network.jacobian(r, x), np.stack(columns, -1), rtol=1e-6, atol=1e-8)


def test_drive_and_gain_are_those_of_the_equation():
    rng = np.random.default_rng(2)
    network = random_network(rng)
    r, x = rng.standard_normal((2, 4, 6))
    z = np.array([network.W @ r_j + x_j for r_j, x_j in zip(r, x, strict=True)])
    np.testing.assert_allclose(network.drive(r, x), z, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(network.gain(r, x), 1 / np.cosh(z) ** 2, rtol=1e-9)


def test_spectral_abscissa_is_the_largest_real_part_for_each_sample():
    rng = np.random.default_rng(3)
    W, gain = rng.standard_normal((5, 5)), rng.uniform(0, 1, (2, 3, 5))
    expected = [[np.linalg.eigvals(np.diag(g) @ W).real.max() for g in row] for row in gain]
    np.testing.assert_allclose(fp.spectral_abscissa(W, gain), expected, rtol=1e-10)
    assert fp.spectral_abscissa([[0, 3], [-3, 0]]) == pytest.approx(0, abs=1e-14)
    assert fp.spectral_abscissa(W, gain[:0]).shape == (0, 3)
    assert fp.spectral_abscissa(W.astype(np.float32), gain.astype(np.float32)).dtype == np.float32


def test_spectral_abscissa_is_the_same_in_chunks(monkeypatch):
    rng = np.random.default_rng(4)
    W, gain = rng.standard_normal((5, 5)), rng.uniform(0, 1, (7, 5))
    whole = fp.spectral_abscissa(W, gain)
    monkeypatch.setattr("fpnotes._linear.CHUNK", 60)  # two matrices of 25 entries at a time
    np.testing.assert_array_equal(fp.spectral_abscissa(W, gain), whole)


def test_distance_is_the_same_in_chunks(monkeypatch):
    rng = np.random.default_rng(4)
    W, gain = rng.standard_normal((5, 5)), rng.uniform(0, 1, (2, 7, 5))
    whole = fp.distance_to_singularity(W, gain)
    each = [[fp.distance_to_singularity(W, g) for g in row] for row in gain]
    monkeypatch.setattr("fpnotes._linear.CHUNK", 60)  # two matrices of 25 entries at a time
    np.testing.assert_array_equal(fp.distance_to_singularity(W, gain), whole)
    np.testing.assert_array_equal(whole, each)
    assert fp.distance_to_singularity(W, gain[:0]).shape == (0, 7)


@pytest.mark.parametrize("function", [fp.spectral_abscissa, fp.distance_to_singularity])
def test_memory_does_not_grow_with_the_batch(function, monkeypatch):
    monkeypatch.setattr("fpnotes._linear.CHUNK", 20_000)
    W, peaks = np.random.default_rng(0).standard_normal((40, 40)) / 10, []
    for m in (100, 1000):
        gain = np.random.default_rng(1).uniform(size=(m, 40))
        tracemalloc.start()
        function(W, gain)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


SETTINGS = ["ignore", "warn", "raise"]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
def test_no_setting_of_numpy_changes_a_result(setting, unit):
    """An underflow on the way to a result is none of the caller's business."""
    rng = np.random.default_rng(8)
    network = random_network(rng, n=3)
    r, x = unit * rng.standard_normal((2, 4, 3))
    gain = rng.uniform(0, 1, (4, 3)) * np.array([1e-308, 1.0, 1e-200])

    def results():
        return [
            network.drive(r, x),
            network.velocity(r, x),
            network.gain(r, x),
            network.jacobian(r, x),
            network.stable(r, x),
            fp.spectral_abscissa(network.W, gain),
            fp.distance_to_singularity(network.W, gain),
            fp.distance_to_singularity(network.W, 0 * gain),
            fp.distance_to_singularity(np.eye(3)),
            network.simulate(x, 0.1, r)[1],
        ]

    usual = results()
    with np.errstate(all=setting):
        for value, expected in zip(results(), usual, strict=True):
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("seed", range(8))
def test_a_push_decays_in_simulation_exactly_where_the_network_is_stable(seed):
    """With x = 0, r = 0 is fixed for tanh; scales on both sides of 1 give both verdicts."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, n=8, scale=0.6 if seed % 2 else 1.8, tau=0.5)
    rest = np.zeros(8)
    abscissa = network.spectral_abscissa(rest, rest)
    # Long enough for the slowest or the growing mode to change by e^6 against any transient growth.
    duration = network.tau * 6 / abs(1 - abscissa)
    push = 1e-6 * rng.standard_normal(8)
    _, r = network.simulate(rest, duration, push, atol=1e-13, rtol=1e-8)
    decayed = np.linalg.norm(r[-1]) < 0.1 * np.linalg.norm(push)
    assert network.stable(rest, rest) == decayed
    if not network.stable(rest, rest):
        assert np.linalg.norm(r[-1]) > 10 * np.linalg.norm(push)


def test_both_verdicts_occur_above():
    """The test above would prove nothing if every one of its networks were stable."""
    verdicts = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        network = random_network(rng, n=8, scale=0.6 if seed % 2 else 1.8, tau=0.5)
        verdicts.add(bool(network.stable(np.zeros(8), np.zeros(8))))
    assert verdicts == {True, False}


@pytest.mark.parametrize("seed", range(4))
def test_distance_is_reached_by_one_change_and_by_no_smaller_one(seed):
    rng = np.random.default_rng(seed)
    n = 6
    W, gain = rng.standard_normal((n, n)) / np.sqrt(n), rng.uniform(0.1, 1, n)
    distance = fp.distance_to_singularity(W, gain)
    assert distance > 0
    # The rank-one change from the leading singular pair of A = (I − GW)⁻¹G.
    A = np.linalg.solve(np.eye(n) - gain[:, None] * W, np.diag(gain))
    u, s, vh = np.linalg.svd(A)
    change = np.outer(vh[0], u[:, 0]) / s[0]
    assert np.linalg.norm(change) == pytest.approx(distance, rel=1e-10)
    smallest = np.linalg.svd(np.eye(n) - gain[:, None] * (W + change))[1][-1]
    assert smallest < 1e-13
    # Smaller ones never do: the closed segment W + tΔW, t < 1, keeps the sign of the determinant.
    sign = np.sign(np.linalg.det(np.eye(n) - gain[:, None] * W))
    changes = rng.standard_normal((500, n, n))
    changes *= 0.999 * distance / np.linalg.norm(changes, axis=(1, 2), keepdims=True)
    changes = np.concatenate([changes, 0.999 * change[None]])
    determinants = np.linalg.det(np.eye(n) - gain[:, None] * (W + changes))
    assert (np.sign(determinants) == sign).all()
    assert (fp.distance_to_singularity(W + changes[-1], gain) / distance) == pytest.approx(
        1e-3, rel=1e-6
    )


def test_distance_of_one_neuron_is_its_formula():
    for w, g in [(0.5, 1.0), (-2.0, 0.3), (1.5, 1.0)]:
        assert fp.distance_to_singularity([[w]], [g]) == pytest.approx(abs(1 / g - w), rel=1e-14)


def test_distance_is_0_at_a_singularity_and_infinite_without_gain():
    assert fp.distance_to_singularity(np.diag([1.0, 0.5])) == 0
    rotation = np.array([[0.2, 0.4], [0.4, 0.8]])  # eigenvalues 0 and 1
    assert fp.distance_to_singularity(rotation) < 1e-15
    assert fp.distance_to_singularity(rotation, np.zeros(2)) == np.inf
    batch = fp.distance_to_singularity(rotation, [[1, 1], [0, 0], [0.5, 0.5]])
    assert batch[0] < 1e-15
    assert batch[1] == np.inf
    assert 0 < batch[2] < np.inf


def test_linear_simulation_is_the_matrix_exponential():
    rng = np.random.default_rng(5)
    network = random_network(rng, n=4, activation="linear", tau=0.7)
    x, r0 = rng.standard_normal((2, 3, 4))
    t, r = network.simulate(x, 4.0, r0, samples=9, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(t, np.linspace(0, 4, 9))
    assert r.shape == (9, 3, 4)
    M = (network.W - np.eye(4)) / network.tau
    rest = np.linalg.solve(np.eye(4) - network.W, x.T).T
    for time, rates in zip(t, r, strict=True):
        exact = rest + (r0 - rest) @ scipy.linalg.expm(M * time).T
        np.testing.assert_allclose(rates, exact, rtol=1e-8, atol=1e-8)


def test_simulation_broadcasts_the_start():
    rng = np.random.default_rng(6)
    network = random_network(rng, n=3)
    x, r0 = rng.standard_normal((2, 1, 3)), rng.standard_normal((4, 3))
    _, r = network.simulate(x, 1.0, r0, samples=5)
    assert r.shape == (5, 2, 4, 3)
    np.testing.assert_array_equal(r[0], np.broadcast_to(r0, (2, 4, 3)))
    _, alone = network.simulate(x[1, 0], 1.0, r0[2], samples=5)
    np.testing.assert_allclose(r[:, 1, 2], alone, atol=1e-5)  # the integrator's rtol is 1e-6
    _, rest = network.simulate(x[0, 0], 1.0)
    np.testing.assert_array_equal(rest[0], np.zeros(3))


def test_simulation_of_no_samples():
    _, r = random_network(np.random.default_rng(0), n=3).simulate(np.zeros((0, 3)), 1.0, samples=4)
    assert r.shape == (4, 0, 3)


def test_rates_that_run_to_infinity_raise():
    network = rate_network([[2.0]], "powerlaw")
    with pytest.raises(RuntimeError, match="the simulation stopped at t = "):
        network.simulate([1.0], 100.0)


def test_arguments_are_copied_and_never_modified():
    W = np.asfortranarray(np.random.default_rng(7).standard_normal((4, 4)))[:3, :3]
    before = W.copy()
    W.flags.writeable = False
    network = fp.RateNetwork(W)
    x = np.ones((2, 6))[:, ::2]
    x.flags.writeable = False
    network.simulate(x, 0.5)
    network.velocity(x, x)
    network.jacobian(x, x)
    np.testing.assert_array_equal(W, before)
    assert not np.shares_memory(network.W, W)


def test_float32_stays_float32():
    network = fp.RateNetwork(np.eye(2, dtype=np.float32) / 2)
    r = np.ones((3, 2), np.float32)
    for value in (
        network.drive(r, r),
        network.velocity(r, r),
        network.gain(r, r),
        network.jacobian(r, r),
        network.spectral_abscissa(r, r),
        network.distance_to_singularity(r, r),
    ):
        assert value.dtype == np.float32


def test_networks_compare_by_identity():
    a, b = fp.RateNetwork(np.eye(2)), fp.RateNetwork(np.eye(2))
    assert a == a
    assert a != b
    assert len({a, b}) == 2


def test_a_users_function_of_wrong_shape_is_named():
    network = rate_network(np.eye(2), np.sum)
    with pytest.raises(ValueError, match="activation 'sum' must be elementwise"):
        network.velocity(np.ones(2), np.ones(2))


def test_a_curve_that_gives_nan_is_named_as_the_end_of_a_simulation():
    nowhere = fp.Activation("nowhere", lambda z: np.nan * z, np.ones_like)
    with pytest.raises(RuntimeError, match="^the simulation stopped at t = 0"):
        fp.RateNetwork(np.array([[0.5]]), nowhere).simulate([1.0], 2.0)
