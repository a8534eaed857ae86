"""The notation page: its rules of matrix calculus on random instances, and that it lists every symbol."""

import re
from pathlib import Path

import numpy as np
import pytest
from autograd import grad
from autograd import numpy as anp
from ledger import MARKDOWN, labels
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from fpnotes import RateNetwork, linear, softplus, tanh

seeds = pytest.mark.parametrize("seed", range(4))
H = 1e-5  # half width of the central differences, whose error is of order H²


def slope(function, at, direction):
    """Return the derivative of a function along a direction, by central differences."""
    return (function(at + H * direction) - function(at - H * direction)) / (2 * H)


def matrices(seed, count, n=5):
    """Return random square matrices without structure."""
    return np.random.default_rng(seed).normal(size=(count, n, n))


def invertible(seed, n=5):
    """Return a matrix far from singular, and a direction."""
    B, dB = matrices(seed, 2, n)
    return 2 * np.eye(n) + 0.4 * B, dB


@seeds
@pytest.mark.checks("eq-rows")
def test_rows(seed):
    """A row of R Wᵀ + X is W r + x for that sample alone; so is what the package calls the drive."""
    rng = np.random.default_rng(seed)
    W, R, X = rng.normal(size=(5, 5)), rng.normal(size=(7, 5)), rng.normal(size=(7, 5))
    z = np.array(
        [
            [sum(W[i, k] * r[k] for k in range(5)) + x[i] for i in range(5)]
            for r, x in zip(R, X, strict=True)
        ]
    )
    np.testing.assert_allclose(R @ W.T + X, z, rtol=1e-12)
    np.testing.assert_allclose(RateNetwork(W, linear).drive(R, X), z, rtol=1e-12)


@seeds
@pytest.mark.checks("eq-product")
def test_product(seed):
    """d(UV) = dU V + U dV along a common direction of both, against central differences."""
    U, V, dU, dV = matrices(seed, 4)
    found = ((U + H * dU) @ (V + H * dV) - (U - H * dU) @ (V - H * dV)) / (2 * H)
    np.testing.assert_allclose(found, dU @ V + U @ dV, rtol=1e-7, atol=1e-8)


@seeds
@pytest.mark.checks("eq-inverse")
def test_inverse(seed):
    """dA = −A dB A for A = B⁻¹, against central differences."""
    B, dB = invertible(seed)
    A = np.linalg.inv(B)
    np.testing.assert_allclose(slope(np.linalg.inv, B, dB), -A @ dB @ A, rtol=1e-6, atol=1e-8)


@seeds
@pytest.mark.parametrize("curve", [tanh, softplus])
@pytest.mark.checks("eq-elementwise")
def test_elementwise(curve, seed):
    """d f(z) = G dz with the package's gains, against central differences."""
    z, dz = np.random.default_rng(seed).normal(size=(2, 6))
    G = np.diag(curve.gain(z))
    np.testing.assert_allclose(slope(curve, z, dz), G @ dz, rtol=1e-7, atol=1e-9)


@seeds
@pytest.mark.checks("eq-determinant")
def test_determinant(seed):
    """d det B = det B tr(B⁻¹dB), against central differences."""
    B, dB = invertible(seed)
    expected = np.linalg.det(B) * np.trace(np.linalg.solve(B, dB))
    np.testing.assert_allclose(slope(np.linalg.det, B, dB), expected, rtol=1e-6)


@seeds
@pytest.mark.checks("eq-inner")
def test_inner_product(seed):
    """The sum of products of entries is tr(UᵀV), and gives the Frobenius norm."""
    U, V = matrices(seed, 2)
    entries = sum(U[i, j] * V[i, j] for i in range(5) for j in range(5))
    assert entries == pytest.approx(np.trace(U.T @ V), rel=1e-12)
    assert np.trace(U.T @ U) == pytest.approx(np.linalg.norm(U) ** 2, rel=1e-12)


@seeds
@pytest.mark.checks("eq-move")
def test_factors_move(seed):
    """⟨U, KVM⟩ = ⟨KᵀUMᵀ, V⟩, also for factors that are not square."""
    rng = np.random.default_rng(seed)
    U, K, V, M = (rng.normal(size=shape) for shape in ((3, 6), (3, 4), (4, 5), (5, 6)))
    moved = np.trace((K.T @ U @ M.T).T @ V)
    assert (U * (K @ V @ M)).sum() == pytest.approx(moved, rel=1e-10)
    assert np.trace(U.T @ K @ V @ M) == pytest.approx(moved, rel=1e-10)


@seeds
@pytest.mark.checks("eq-differential")
def test_gradient_gives_the_differential(seed):
    """The inner product of autograd's gradient with dW is the derivative along dW."""
    W, dW, C = matrices(seed, 3)

    def J(W):
        return anp.sum(anp.sin(W) * (C @ W))

    assert slope(J, W, dW) == pytest.approx((grad(J)(W) * dW).sum(), rel=1e-7)


@seeds
@pytest.mark.checks("eq-outer")
def test_outer_product(seed):
    """The inner product of abᵀ with dW is aᵀ dW b."""
    rng = np.random.default_rng(seed)
    a, b, dW = rng.normal(size=4), rng.normal(size=6), rng.normal(size=(4, 6))
    assert (np.outer(a, b) * dW).sum() == pytest.approx(a @ dW @ b, rel=1e-10)


@seeds
@pytest.mark.checks("eq-outer-sum")
def test_sum_of_outer_products(seed):
    """The gradient of Σ aᵀWb by autograd is the sum of outer products, in code a.T @ b."""
    rng = np.random.default_rng(seed)
    a, b, W = rng.normal(size=(7, 4)), rng.normal(size=(7, 6)), rng.normal(size=(4, 6))
    found = grad(lambda W: anp.sum(a * anp.dot(b, W.T)))(W)
    expected = sum(np.outer(one, other) for one, other in zip(a, b, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(a.T @ b, expected, rtol=1e-10)


def power_series(M, terms=80):
    """Return the sum of the first terms of the series of exp(M)."""
    term = total = np.eye(len(M))
    for k in range(1, terms):
        term = term @ M / k
        total = total + term
    return total


@seeds
@pytest.mark.parametrize("t", [-1.5, 0.3, 2.0])
@pytest.mark.checks("eq-exponential")
def test_exponential(t, seed):
    """The series is the exponential that SciPy computes otherwise, and takes u(0) to u(t) of du/dt = Mu."""
    (M,) = matrices(seed, 1)
    np.testing.assert_allclose(power_series(M * t), expm(M * t), rtol=1e-9, atol=1e-9)
    start = np.random.default_rng(seed).normal(size=5)
    run = solve_ivp(lambda _, u: M @ u, (0, t), start, rtol=1e-10, atol=1e-12)
    end = run.y[:, -1]
    np.testing.assert_allclose(power_series(M * t) @ start, end, rtol=1e-6, atol=1e-7)


@seeds
@pytest.mark.checks("eq-exponential-derivative")
def test_derivative_of_the_exponential(seed):
    """The central difference of the series in t is M times the series."""
    (M,) = matrices(seed, 1)
    found = slope(lambda t: power_series(M * t), 0.7, 1.0)
    np.testing.assert_allclose(found, M @ power_series(0.7 * M), rtol=1e-6, atol=1e-6)


@seeds
@pytest.mark.checks("eq-exponential-eigenvector")
def test_exponential_of_an_eigenvector(seed):
    """The series times an eigenvector is that vector times the exponential of a number, real or complex."""
    (M,) = matrices(seed, 1)
    values, vectors = np.linalg.eig(M)
    for mu, xi in zip(values, vectors.T, strict=True):
        np.testing.assert_allclose(power_series(M) @ xi, np.exp(mu) * xi, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.checks("eq-two-eigenvalues")
def test_eigenvalues_of_two_variables(seed):
    """Both eigenvalues are roots of μ² − μ tr M + det M, and tr M and det M tell node, saddle and spiral."""
    (M,) = matrices(seed, 1, n=2)
    trace, determinant = M[0, 0] + M[1, 1], M[0, 0] * M[1, 1] - M[0, 1] * M[1, 0]
    mu = np.linalg.eigvals(M)
    np.testing.assert_allclose(mu**2 - mu * trace + determinant, 0, atol=1e-12)
    real = np.isrealobj(mu)
    assert (determinant < 0) == (real and mu.min() < 0 < mu.max())
    assert (trace**2 < 4 * determinant) == (not real)
    if determinant > 0:
        assert (mu.real.max() < 0) == (trace < 0)


SHAPES = pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])


def thin(seed, shape, rank=2):
    """Return a random matrix of low rank."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))


def stretches(M):
    """Return σ, u and v, the vectors in rows, as the text finds them: from the eigenvectors of MᵀM."""
    squares, vectors = np.linalg.eigh(M.T @ M)
    found = squares > 1e-9 * squares.max()
    sigma, v = np.sqrt(squares[found]), vectors.T[found]
    return sigma, v @ M.T / sigma[:, None], v


@seeds
@SHAPES
@pytest.mark.checks("eq-svd")
def test_singular_value_decomposition(shape, seed):
    """Vectors found from MᵀM are orthonormal, their stretches add up to M, and the largest is the norm."""
    for M in (np.random.default_rng(seed).normal(size=shape), thin(seed, shape)):
        sigma, u, v = stretches(M)
        total = sum(s * np.outer(a, b) for s, a, b in zip(sigma, u, v, strict=True))
        np.testing.assert_allclose(total, M, rtol=1e-9, atol=1e-9)
        for vectors in (u, v):
            np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(sigma)), atol=1e-9)
        assert sigma.max() == pytest.approx(np.linalg.norm(M, 2), rel=1e-9)


@seeds
@SHAPES
@pytest.mark.checks("eq-pseudoinverse")
def test_pseudoinverse(shape, seed):
    """The sum is NumPy's pseudoinverse; M†b leaves the least of Ma − b, and no a as good is shorter."""
    rng = np.random.default_rng(seed)
    for M in (rng.normal(size=shape), thin(seed, shape)):
        sigma, u, v = stretches(M)
        inverse = sum(np.outer(b, a) / s for s, a, b in zip(sigma, u, v, strict=True))
        np.testing.assert_allclose(inverse, np.linalg.pinv(M), rtol=1e-8, atol=1e-8)
        b = rng.normal(size=shape[0])
        a = inverse @ b
        np.testing.assert_allclose(M.T @ (M @ a - b), 0, atol=1e-8)  # the least residual
        idle = np.eye(shape[1]) - v.T @ v  # projects on what M takes to 0
        np.testing.assert_allclose(M @ idle, 0, atol=1e-8)
        np.testing.assert_allclose(idle @ a, 0, atol=1e-8)


BOOK = Path(__file__).parents[2] / "book"
# What sets a formula, relates its parts or brackets them, and stands for nothing by itself.
LAYOUT = set(
    "frac dfrac tfrac left right big bigl bigr Bigl Bigr quad qquad times cdot cdots infty to in le ge neq "
    "approx simeq mapsto implies Longrightarrow longrightarrow xrightarrow lVert rVert langle rangle".split()
)
SYMBOL = re.compile(
    r"\\(?:text|begin|end)\{[^}]*\}"  # words and environments: no symbols
    r"|\\(?P<named>(?:operatorname\*?|mathrm|mathbb|mathbf|mathsf|mathcal)\s*(?:\{[^}]*\}|\w))"
    r"|\\(?P<accented>(?:hat|bar|tilde)\s*(?:\{\w\}|\\[A-Za-z]+|\w))"
    r"|\\overline\{[^}]*\}(?P<mean>)"
    r"|\\(?P<command>[A-Za-z]+|\#)"
    r"|(?P<letter>[A-Za-z])"
)


def symbols(formula):
    """Return the symbols of some LaTeX: letters, with their accents, and operators."""
    found = set()
    for match in SYMBOL.finditer(formula):
        kind = match.lastgroup
        text = re.sub(r"operatorname\*?|mathrm|[\s{}]", "", match[kind]) if kind else ""
        if kind and text not in LAYOUT:
            found.add(text or kind)
    return found


def listed():
    """Return what the page's tables declare: symbols of the whole book, and of each chapter."""
    everywhere, chapters, row = set(), {}, []
    for token in MARKDOWN.parse((BOOK / "notation.md").read_text()):
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(token)
        elif token.type == "tr_close" and len(row) == 3:
            chapter = re.fullmatch(r"\{doc\}`([\w-]+)`", row[0].content)
            cell = row[1] if chapter else row[0]
            found = [symbols(t.content) for t in cell.children if t.type == "math_inline"]
            place = chapters.setdefault(chapter[1], set()) if chapter else everywhere
            place.update(*found)
    return everywhere, chapters


def used():
    """Return {chapter: {symbol: labels of the numbered equations that it occurs in}}."""
    found = {}
    for label in labels(BOOK):
        if label.kind == "math":
            for symbol in symbols(label.statement):
                found.setdefault(label.chapter, {}).setdefault(symbol, []).append(label.name)
    return found


def test_every_symbol_of_a_numbered_equation_is_in_the_table():
    everywhere, chapters = listed()
    missing = [
        f"{chapter}: {symbol}, in {', '.join(names)}"
        for chapter, found in used().items()
        for symbol, names in sorted(found.items())
        if symbol not in everywhere | chapters.get(chapter, set())
    ]
    assert not missing, "\n".join(missing)


def test_no_chapter_declares_a_symbol_that_it_does_not_use():
    found = used()
    idle = [
        f"{chapter}: {symbol}"
        for chapter, declared in listed()[1].items()
        for symbol in sorted(declared)
        if symbol not in found.get(chapter, {})
    ]
    assert not idle, "\n".join(idle)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\mu_{\max} < 1", {"mu", "max"}),
        (r"\hat A\,\overline{x^2}", {"hatA", "mean"}),
        (r"\operatorname{Re}\,\mu + \mathrm{Re}\,z", {"Re", "mu", "z"}),
        (
            r"\frac{\text{true slope}}{2} \le \nabla_{\!A} J^{\mathsf T}",
            {"nabla", "A", "J", "mathsfT"},
        ),
        (r"\begin{aligned} \#\{i\} \end{aligned}", {"#", "i"}),
        (r"\operatorname*{arg\,min}_\gamma", {r"arg\,min", "gamma"}),
    ],
)
def test_symbols_are_found_in_a_formula(formula, expected):
    assert symbols(formula) == expected
