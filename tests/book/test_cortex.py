"""The statements of the chapter on cortical circuits, on random instances and in the tables of its runs."""

import math

import numpy as np
import pytest

from fpnotes import RateNetwork, gradient, linearized, powerlaw, solve, train
from fpnotes.chapters import cortex
from fpnotes.chapters.reproduce import results
from fpnotes.optimizers import Dale
from fpnotes.tasks import LinearRegression

SEEDS = range(3)


def pair(rng):
    """Return the positive weights and gains of two populations at a fixed point, E before I."""
    (w_EE, w_EI), (w_IE, w_II) = rng.lognormal(0, 0.7, (2, 2))
    return np.array([[w_EE, -w_EI], [w_IE, -w_II]]), rng.lognormal(0, 0.7, 2)


def stable(GW, slowness=1.0):
    """Whether a fixed point is stable when the second half of the neurons is so many times as slow."""
    pace = np.repeat([1, 1 / slowness], len(GW) // 2)
    return np.linalg.eigvals(pace[:, None] * (GW - np.eye(len(GW)))).real.max() < 0


@pytest.mark.checks("eq-cortex-response")
@pytest.mark.parametrize("seed", SEEDS)
def test_response_of_two_populations(seed):
    """In 100 random pairs the four numbers are (G⁻¹ − W)⁻¹; in a supralinear pair they are its slopes."""
    rng = np.random.default_rng(seed)

    def stated(W, g):
        (w_EE, w_EI), (w_IE, w_II) = np.abs(W)
        g_E, g_I = g
        D = (1 - g_E * w_EE) * (1 + g_I * w_II) + g_E * g_I * w_EI * w_IE
        return [
            [g_E * (1 + g_I * w_II) / D, -g_E * g_I * w_EI / D],
            [g_E * g_I * w_IE / D, g_I * (1 - g_E * w_EE) / D],
        ]

    for _ in range(100):
        W, g = pair(rng)
        inverse = np.linalg.inv(np.diag(1 / g) - W)
        np.testing.assert_allclose(stated(W, g), inverse, rtol=1e-6, atol=1e-9)
    W, x = 0.2 * pair(rng)[0], rng.uniform(0.5, 1.5, 2)
    curve, h = powerlaw(2, 0.3), 1e-5
    around = solve(W, x + h * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]), curve, tol=1e-13).r
    slopes = np.stack([around[0] - around[1], around[2] - around[3]], axis=1) / (2 * h)
    g = solve(W, x, curve, tol=1e-13).gain
    np.testing.assert_allclose(stated(W, g), slopes, rtol=1e-6)


@pytest.mark.checks("thm-cortex-paradox")
@pytest.mark.parametrize("slowness", [0.3, 1.0, 4.0])
def test_paradox(slowness):
    """In 2000 random pairs that are stable, I answers with the wrong sign if and only if g_E w_EE > 1."""
    rng = np.random.default_rng(0)
    paradoxical = 0
    for _ in range(2000):
        W, g = pair(rng)
        GW = g[:, None] * W
        if not stable(GW, slowness):
            continue
        A = np.linalg.solve(np.eye(2) - GW, np.diag(g))
        assert (A[1, 1] < 0) == (g[0] * W[0, 0] > 1)
        assert A[0, 1] < 0 < A[0, 0] and A[1, 0] > 0
        paradoxical += A[1, 1] < 0
    assert 100 < paradoxical < 1900


@pytest.mark.checks("eq-cortex-slow")
def test_slow_inhibition():
    """In 2000 random pairs that need inhibition, the two inequalities together are stability, at any τ_I."""
    rng = np.random.default_rng(1)
    seen = {True: 0, False: 0}
    for _ in range(2000):
        W, g = pair(rng)
        GW, slowness = g[:, None] * W, rng.lognormal(0, 1)
        if GW[0, 0] <= 1:
            continue
        bound = (1 - GW[1, 1]) / (GW[0, 0] - 1)
        expected = np.linalg.det(np.eye(2) - GW) > 0 and slowness < bound
        assert stable(GW, slowness) == expected
        seen[bool(expected)] += 1
    assert min(seen.values()) > 100


@pytest.mark.checks("thm-cortex-many")
@pytest.mark.parametrize("seed", SEEDS)
def test_many_neurons(seed):
    """The determinants agree with a silent E among the neurons; a negative one comes with a wrong answer."""
    rng = np.random.default_rng(seed)
    n, found = 4, {True: 0, False: 0}
    signs = np.r_[np.ones(n), -np.ones(n)]
    for _ in range(600):
        W = signs * rng.exponential(size=(2 * n, 2 * n)) * rng.uniform(0.2, 0.9)
        g = rng.lognormal(0, 0.4, 2 * n)
        g[0] = 0
        GW = g[:, None] * W
        if not stable(GW):
            continue
        A = np.linalg.solve(np.eye(2 * n) - GW, np.diag(g))[n:, n:]
        E = GW[:n, :n]
        stated = np.linalg.det(np.eye(n) - E) / np.linalg.det(np.eye(2 * n) - GW) * g[n:].prod()
        assert np.linalg.det(A) == pytest.approx(stated, rel=1e-6, abs=1e-12)
        mu = np.linalg.eigvals(E)
        beyond = int(((np.abs(mu.imag) < 1e-9) & (mu.real > 1)).sum())
        answers = np.linalg.eigvals(A)
        if beyond % 2:
            assert ((np.abs(answers.imag) < 1e-9) & (answers.real < 0)).any()
        found[bool(beyond % 2)] += 1
    assert min(found.values()) > 20


@pytest.mark.checks("thm-cortex-many")
def test_an_eigenvalue_of_exactly_1_is_excluded():
    """Of the eigenvalues 2 and 1 one is greater than 1, and the inhibitory neuron does not answer."""
    W = np.array([[1.5, 0.5, -3.0], [0.5, 1.5, -2.0], [2.0, 3.0, -1.0]])
    assert np.linalg.eigvals(W).real.max() < 1
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(W[:2, :2]).real), [1, 2])
    assert np.linalg.inv(np.eye(3) - W)[2, 2] == pytest.approx(0, abs=1e-12)


@pytest.mark.checks("eq-dale")
@pytest.mark.parametrize("seed", SEEDS)
def test_dale(seed):
    """The package lands on the stated weights: none nearer to the proposal obeys, by exhaustion on a grid."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], 4)
    W, D = signs * rng.exponential(size=(4, 4)), 2 * rng.standard_normal((4, 4))
    landed = W + Dale(lambda W, point, error, lr: D, signs)(W, None, None, 1.0)
    np.testing.assert_allclose(
        landed, signs * np.maximum(0, signs * (W + D)), rtol=1e-12, atol=1e-12
    )
    grid = np.linspace(0, 10, 2001)
    for i, j in np.ndindex(4, 4):
        nearest = np.abs(signs[j] * grid - (W + D)[i, j]).min()
        assert abs(landed[i, j] - (W + D)[i, j]) <= nearest + 1e-12


@pytest.mark.checks("thm-clipped")
@pytest.mark.parametrize("density", [0.3, 0.6])
def test_clipped(density):
    """In 300 networks ΔW₁'s clipped step changes J as stated; of ΔW₃'s some climb, in truth too."""
    rng = np.random.default_rng(7)
    climbs = confirmed = 0
    for _ in range(300):
        signs = rng.choice([-1.0, 1.0], 6)
        W = signs * rng.exponential(size=(6, 6)) * (rng.random((6, 6)) < density)
        W *= 0.7 / max(np.abs(np.linalg.eigvals(W)).max(), 0.1)
        x, target = rng.standard_normal((2, 4, 6))
        task = LinearRegression(W, x, target)
        point = solve(W, x, "linear")
        error = task.error(point.r, target)
        slope, lr = -gradient(W, point, error, 1.0), 1e-9
        step = Dale(gradient, signs)(W, point, error, lr)
        kept = (W != 0) | (signs * slope <= 0)
        np.testing.assert_allclose(np.sum(step * slope), -lr * np.sum(slope[kept] ** 2), rtol=1e-6)
        assert np.sum(linearized(W, point, error, lr) * slope) <= 0
        clipped = Dale(linearized, signs)(W, point, error, lr)
        if np.sum(clipped * slope) > 1e-3 * np.linalg.norm(clipped) * np.linalg.norm(slope):
            climbs += 1
            probe = W + clipped * 1e-6 / np.linalg.norm(clipped)
            confirmed += task.loss(solve(probe, x, "linear").r, target) > task.loss(point.r, target)
    assert climbs > 0 and confirmed == climbs


@pytest.mark.checks("eq-cortex-target")
@pytest.mark.parametrize("seed", SEEDS)
def test_target(seed):
    """The package's targets are the formula's, at one size a Naka–Rushton curve, at one contrast a ratio."""
    rng = np.random.default_rng(seed)
    c, d = rng.uniform(0.05, 1, 50), rng.uniform(0.5, 20, 50)
    L3, L8 = (np.array([math.erf(v / w) ** 2 for v in d]) for w in (3, 8))
    stated = 5 * c**2 * L3 / (0.25 + 2.5 * c**2 * L8)
    np.testing.assert_allclose(cortex.target(c, d), stated, rtol=1e-12)
    top, half = 2 * L3 / L8, 0.25 / (2.5 * L8)  # of R c²/(c₅₀² + c²), with c₅₀² = half
    np.testing.assert_allclose(stated, top * c**2 / (half + c**2), rtol=1e-12)
    drive = c**2 / 0.25  # of k L₃/(1 + k' L₈)
    np.testing.assert_allclose(stated, 5 * drive * L3 / (1 + 2.5 * drive * L8), rtol=1e-12)


@pytest.mark.checks("eq-cortex-loss")
def test_loss():
    """The package's loss is the sum over recorded neurons alone, and its slope is that of Task.error."""
    task = cortex.student(0)
    rng = np.random.default_rng(0)
    r = rng.uniform(0, 5, task.x.shape)
    total = weight = 0.0
    for j, (c, d, i) in enumerate(
        (c, d, i) for c in cortex.CONTRASTS for d in cortex.SIZES for i in cortex.CENTERS
    ):
        wanted = cortex.target(c, d)
        total, weight = total + (r[j, i] - wanted) ** 2 / wanted, weight + wanted
    assert task.loss(r, task.y) == pytest.approx(total / weight)
    seen = task.y > 0
    assert seen.sum(axis=1).tolist() == [1] * len(r)
    error = np.where(seen, 2 * (r - task.y) / np.where(seen, task.y, 1) / weight, 0)
    np.testing.assert_allclose(task.error(r, task.y), error, rtol=1e-12)


# ---- What is measured in a circuit ----


@pytest.fixture(scope="module")
def circuit():
    """Return strong local weights under Dale's law, a few stimuli and the fixed points there."""
    W = 3 * cortex.student(1).W0
    x = np.array([cortex.stimulus(c, d, 5) for c, d in ((0.25, 4), (0.3, 8), (0.25, 16))])
    point = solve(W, x, cortex.CURVE, tol=1e-11)
    assert point.stable.all()
    return W, x, point


def test_the_answer_to_inhibition_is_the_slope_of_the_mean_rates(circuit):
    W, x, point = circuit
    h = 1e-5
    up, down = (solve(W, x + s * h * cortex.KIND, cortex.CURVE, tol=1e-12).r for s in (1, -1))
    slopes = (up - down) / (2 * h)
    E = cortex.KIND == 0
    expected = np.stack([slopes[:, E].mean(axis=1), slopes[:, ~E].mean(axis=1)], axis=1)
    np.testing.assert_allclose(cortex.answer(W, point.gain), expected, rtol=1e-5)


def test_growth_is_that_of_a_small_push_with_slow_inhibition(circuit):
    """With one time constant it is μ_max − 1; with slow inhibition a push falls at the rate it says."""
    from scipy.integrate import solve_ivp

    W, x, point = circuit
    np.testing.assert_allclose(
        cortex.growth(W, point.gain, 1.0), point.spectral_abscissa - 1, atol=1e-10
    )
    tau = np.where(cortex.KIND == 1, 3.0, 1.0)
    jacobian = (point.gain[0][:, None] * W - np.eye(30)) / tau[:, None]
    push = np.random.default_rng(0).standard_normal(30)
    path = solve_ivp(
        lambda t, u: jacobian @ u, (0, 80), push, rtol=1e-9, atol=1e-30, t_eval=[60, 80]
    )
    rate = np.log(np.linalg.norm(path.y[:, 1]) / np.linalg.norm(path.y[:, 0])) / 20
    assert rate == pytest.approx(cortex.growth(W, point.gain[0], 3.0), rel=0.05)


def test_excitatory_neurons_alone_are_those_with_inhibition_held(circuit):
    """The abscissa is that of a network of the excitatory neurons with what they receive from the others."""
    W, x, point = circuit
    E = cortex.KIND == 0
    held = x[:, E] + point.r[:, ~E] @ W[np.ix_(E, ~E)].T
    network = RateNetwork(W[np.ix_(E, E)], cortex.CURVE)
    np.testing.assert_allclose(
        cortex.alone(W, point.gain), network.spectral_abscissa(point.r[:, E], held), rtol=1e-8
    )


def test_a_silent_neuron_neither_answers_nor_learns_under_the_gradient():
    """Silent: a row and a column of (I − GW)⁻¹G are 0, and so is its row of ΔW₁; of ΔW₃ it is not."""
    rng = np.random.default_rng(0)
    W = cortex.SIGNS * np.abs(rng.standard_normal((30, 30))) / 30
    x = rng.uniform(0.5, 1, (4, 30))
    x[:, 3] = -5
    point = solve(W, x, cortex.CURVE, tol=1e-10)
    assert (point.r[:, 3] == 0).all() and (point.gain[:, 3] == 0).all()
    A = np.linalg.solve(np.eye(30) - point.gain[0][:, None] * W, np.diag(point.gain[0]))
    assert (A[3] == 0).all() and np.abs(A[:, 3]).max() < 1e-15
    error = rng.standard_normal((4, 30))
    assert (gradient(W, point, error, 1.0)[3] == 0).all()
    assert np.abs(linearized(W, point, error, 1.0)[3]).max() > 1e-3


def test_the_agreement_of_the_gradient_with_itself_is_what_clipping_leaves():
    task = cortex.student(0)
    point = solve(task.W0, task.x, cortex.CURVE, tol=1e-8)
    rules = {rule.__name__: rule for rule in cortex.RATES}
    slope, cosine = cortex.agreement(rules["gradient+dale"], task, task.W0, point)
    error = task.error(point.r, task.y)
    assert slope == pytest.approx(np.linalg.norm(gradient(task.W0, point, error, 1.0)))
    assert cosine == pytest.approx(1)  # no weight is at 0 yet
    assert cortex.agreement(rules["gradient+adam+dale"], task, task.W0, point)[1] == cosine
    assert cortex.agreement(rules["linearized+dale"], task, task.W0, point)[1] < 0.99


def test_the_best_rate_is_one_at_which_all_draws_stay_stable():
    def run(rule, lr, loss, worst=0.5, diverged=False):
        return {"rule": rule, "lr": lr, "loss": loss, "worst_abscissa": worst, "diverged": diverged}

    runs = [
        *(run("a", 0.1, loss) for loss in (3, 1, 2)),
        *(run("a", 0.3, loss) for loss in (1, 1.5, 9)),  # of a smaller median
        *(run("a", 1, 0.1, worst) for worst in (0.5, 1.0, 0.5)),
        *(run("b", 0.1, 0.1, diverged=bad) for bad in (False, False, True)),
    ]
    assert cortex.best(runs) == {"a": 0.3}


# ---- The tables ----


def test_a_run_gives_its_row_again():
    """A short run of the rule without weight transport ends as the table says."""
    rule = next(rule for rule in cortex.RATES if rule.__name__ == "without_transport+dale")
    history = train(cortex.student(3), rule, 0.001, cortex.STEPS, progress=False, tol=1e-6)
    runs = results("cortex-runs")
    row = runs[(runs.rule == "without_transport") & (runs.lr == 0.001) & (runs.seed == 3)].iloc[0]
    assert row.planned == cortex.STEPS and history.loss[-1] == pytest.approx(row.loss, rel=1e-3)
    assert (cortex.SIGNS * history.W >= 0).all()


def test_the_table_holds_every_run_and_the_probes_of_the_start():
    runs, probes = results("cortex-runs"), results("cortex-probes")
    short = runs[runs.planned == cortex.STEPS]
    expected = sorted(
        (rule.__name__.removesuffix("+dale"), lr, seed)
        for rule, lrs in cortex.RATES.items()
        for lr in lrs
        for seed in cortex.SEEDS
    )
    assert sorted(zip(short.rule, short.lr, short.seed, strict=True)) == expected
    again = list(cortex.probe(cortex.student(0).W0))
    stored = probes[(probes.rule == "start") & (probes.seed == 0)]
    for name in ("rate", "error", "abscissa", "alone", "answer_E", "answer_I"):
        np.testing.assert_allclose(stored[name], [row[name] for row in again], rtol=1e-3)


def test_the_command_writes_its_tables_and_repeats_no_run(tmp_path, monkeypatch):
    """With two rates and few steps: three tables, the long runs at the best rate, and none twice."""
    rule = Dale(linearized, cortex.SIGNS)
    monkeypatch.setattr(cortex, "RATES", {rule: [0.003, 0.004]})
    monkeypatch.setattr(cortex, "STEPS", 20)
    monkeypatch.setattr(cortex, "LONG", 30)
    monkeypatch.setattr(cortex, "SEEDS", range(1))
    cortex.main(["--out", str(tmp_path), "--workers", "1"])
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(files) == 3
    tables = {path.name: path.read_text() for path in tmp_path.glob("*.csv")}
    assert sorted(tables) == ["cortex-curves.csv", "cortex-probes.csv", "cortex-runs.csv"]
    cortex.main(["--out", str(tmp_path), "--workers", "1"])
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert tables["cortex-runs.csv"] == (tmp_path / "cortex-runs.csv").read_text()
