"""Mistakes planted in right answers to the problem sets, and what each must cost and be told.

A mistake names a question of a set, replaces a piece of the instructor's answer, and says how many points the
question must lose and what its feedback must say. ``broken`` are answers that do not even run.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    """One wrong answer: in the answer to ``question``, ``old`` becomes ``new``."""

    question: str
    old: str
    new: str
    lost: int
    says: str


MISTAKES = {
    "1-fixed-points": [
        Mistake("velocity", "r @ W.T", "r @ W", 6, "the transpose is missing"),
        Mistake("velocity", "(f(r @ W.T + x) - r)", "(r - f(r @ W.T + x))", 6, "the sign is wrong"),
        Mistake("velocity", " / tau", "", 6, "off by a factor of tau: too large"),
        Mistake("unrest", " / len(r)", "", 6, "it is a sum; divide by m"),
        Mistake("unrest", "r @ W.T", "r @ W", 6, "the transpose is missing"),
        Mistake(
            "unrest", "np.sum(residual**2) / len(r)", "np.mean(residual**2)", 4, "over neurons too"
        ),
        Mistake(
            "relax",
            "r = np.zeros_like(x)",
            "r = x\n    r *= 0",
            20,
            "changed its argument x in place",
        ),
        Mistake("relax", "alpha * residual", "residual", 6, "alpha has no effect"),
        Mistake(
            "relax", ".max(axis=1) <= tol\n", ".max(axis=1) <= tol / alpha\n", 5, "only the step"
        ),
        Mistake(
            "relax", "return r, converged", "return r, np.full(len(x), True)", 12, "True even where"
        ),
        Mistake("relax", "break", "pass", 3, "goes on after all samples have converged"),
        Mistake("jacobian", "g[:, None] * W", "W * g", 10, "the gains stand on the wrong side"),
        Mistake("jacobian", "g[:, None] * W", "(g[:, None] * W).T", 10, "is transposed"),
        Mistake("jacobian", " - np.eye(len(W))", "", 10, "the leak is missing"),
        Mistake(
            "response", "np.eye(len(W)) - g[:, None] * W", "W", 10, "you inverted W, not I - G W"
        ),
        Mistake("response", "g[:, None] * W", "W * g", 10, "the wrong side inside the inverse"),
        Mistake("response", "np.diag(g))", "np.eye(len(W)))", 10, "the right factor G is missing"),
        Mistake(
            "response", "np.eye(len(W)) - g[:, None] * W", "np.eye(len(W)) - W", 10, "belong inside"
        ),
        Mistake(
            "response",
            "    return",
            "    W *= 2\n    W /= 2\n    W += 0.1\n    return",
            10,
            "W in place",
        ),
        Mistake("is_stable", "g[:, None] * W).real", "W).real", 8, "the gains are missing"),
        Mistake("is_stable", "< 1", "< 0", 8, "the leak moves the border to 1"),
        Mistake(
            "is_stable",
            "np.linalg.eigvals(g[:, None] * W).real",
            "abs(np.linalg.eigvals(g[:, None] * W))",
            5,
            "|mu| < 1",
        ),
        Mistake(
            "crossings",
            "if rightmost > 0 else np.inf), (1 / largest if largest > 0",
            "if rightmost > 0 else np.inf), (1 / rightmost if rightmost > 0",
            10,
            "makes no singularity",
        ),
        Mistake(
            "crossings",
            "rightmost = mu.real.max()",
            "rightmost = np.abs(mu).max()",
            10,
            "the real part",
        ),
        Mistake("largest_alpha", "2 * (1", "(1", 8, "a factor 2 is missing"),
        Mistake(
            "largest_alpha",
            "2 * (1 - mu.real) / np.abs(1 - mu) ** 2",
            "2 / (1 - mu.real)",
            8,
            "the limit for real eigenvalues",
        ),
        Mistake("largest_alpha", "g[:, None] * W", "W", 8, "the gains are missing"),
    ],
}
