"""Mistakes planted in right answers to the problem sets, what each costs and is told, and borrowed answers.

A mistake names a question of a set, replaces a piece of the instructor's answer, and says how many points the
question must lose and what its feedback must say.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    """One wrong answer: in the answer to ``question``, ``old`` becomes ``new``."""

    question: str
    old: str
    new: str
    lost: int
    says: str
    hidden: bool = False  # what it is can be said only when it is graded
    also: str = ""  # what is said of another mistake, and true of this one too


MISTAKES = {
    "1-fixed-points": [
        Mistake("velocity", "r @ W.T", "r @ W", 8, "the transpose is missing"),
        Mistake("velocity", "(f(r @ W.T + x) - r)", "(r - f(r @ W.T + x))", 8, "the sign is wrong"),
        Mistake("velocity", " / tau", "", 8, "off by a factor of tau: too large"),
        Mistake("velocity", "(f(r", "(np.tanh(r", 8, "you used tanh in its place"),
        Mistake("unrest", " / len(r)", "", 6, "it is a sum; divide by m"),
        Mistake(
            "unrest",
            "len(r)",
            "len(W)",
            6,
            "divide by m, not by N",
            also="it is a sum; divide by m",
        ),
        Mistake("unrest", "r @ W.T", "r @ W", 6, "the transpose is missing"),
        Mistake("unrest", "f(r", "np.tanh(r", 6, "you used tanh in its place"),
        Mistake(
            "unrest", "np.sum(residual**2) / len(r)", "np.mean(residual**2)", 6, "over neurons too"
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
            "relax",
            "return r, converged",
            "return r, np.full(len(x), True)",
            12,
            "True even where",
            also="converged is True where rates are NaN",
        ),
        Mistake(
            "relax",
            "converged = np.abs(f(r @ W.T + x) - r).max(axis=1) <= tol",
            "converged = ~(np.abs(f(r @ W.T + x) - r) > tol).any(axis=1)",
            4,
            "NaN > tol is False",
        ),
        Mistake(
            "relax",
            "        converged = np.abs(f(r @ W.T + x) - r)",
            "        converged = np.abs(residual if max_steps else f(x))",
            5,
            "rates before the last step",
        ),
        Mistake("relax", ".max(axis=1) <= tol", ".sum(axis=1) <= tol", 5, "not their sum"),
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
        Mistake(
            "response",
            "np.linalg.solve(np.eye(len(W)) - g[:, None] * W, np.diag(g))",
            "sum(np.linalg.matrix_power(g[:, None] * W, k) @ np.diag(g) for k in range(200))",
            5,
            "the result is wrong",
            hidden=True,
        ),
        Mistake("is_stable", "g[:, None] * W).real", "W).real", 8, "the gains are missing"),
        Mistake("is_stable", "< 1", "< 0", 8, "the leak moves the border to 1"),
        Mistake(
            "is_stable",
            "np.linalg.eigvals(g[:, None] * W).real",
            "abs(np.linalg.eigvals(g[:, None] * W))",
            8,
            "|mu| < 1",
        ),
        Mistake(
            "is_stable",
            "np.linalg.eigvals(g[:, None] * W).real",
            "np.linalg.norm(g[:, None] * W, 2)",
            8,
            "a norm below 1",
        ),
        Mistake(
            "is_stable",
            "np.linalg.eigvals(g[:, None] * W).real",
            "np.linalg.eigvalsh((g[:, None] * W + (g[:, None] * W).T) / 2)",
            8,
            "the symmetric part",
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
    "2-gradient": [
        Mistake("slope", "/ (1 - g * w)", "", 6, "the direct effect alone"),
        Mistake("slope", "1 - g * w", "1 + g * w", 6, "the sign of the loop"),
        Mistake("slope", "1 - g * w", "1 - w", 6, "the gain is missing inside the loop"),
        Mistake("push", "dW @ r", "dW.T @ r", 12, "dW r is missing its transpose"),
        Mistake("push", "g[:, None] * W", "W * g", 12, "W G in place of G W"),
        Mistake("push", "g * (dW @ r + dx)", "dW @ r + dx", 12, "must pass through the gains"),
        Mistake("push", "np.eye(len(W)) - g[:, None] * W", "W", 12, "you inverted W"),
        Mistake("push", "    return", "    W *= g[:, None]\n    return", 12, "W in place"),
        Mistake("readout_error", " / len(r)", "", 8, "off by a factor of m"),
        Mistake("readout_error", "(r @ C.T - y)", "(y - r @ C.T)", 8, "the sign is wrong"),
        Mistake("readout_error", "@ C\n", "@ C.T\n", 8, "transposed on the way back"),
        Mistake("readout_error", "2 / len(r)", "1 / len(r)", 8, "the factor 2 is missing"),
        Mistake(
            "readout_error",
            "len(r)",
            "(len(r) + 1e-4)",
            8,
            "off by a factor of 0.99998",
            hidden=True,
        ),
        Mistake("adjoint", ".transpose(0, 2, 1)", "", 14, "the transpose is missing"),
        Mistake("adjoint", "g[:, :, None]", "g[:, None, :]", 14, "(G W)^T is W^T G"),
        Mistake(
            "adjoint", "np.eye(len(W)) - g[:, :, None] * W", "g[:, :, None] * W", 14, "inverted G W"
        ),
        Mistake("adjoint", "g[:, :, None]", "g[:1, :, None]", 14, "used the first sample's"),
        Mistake(
            "weight_gradient", "(g * adjoint).T @ r", "r.T @ (g * adjoint)", 10, "is transposed"
        ),
        Mistake("weight_gradient", "g * adjoint", "adjoint", 10, "the gains are missing"),
        Mistake("weight_gradient", "@ r", "@ r / len(r)", 10, "divides by m once more"),
        Mistake(
            "finite_differences", "J(W - E)) / (2 * h)", "J(W)) / h", 10, "one-sided difference"
        ),
        Mistake(
            "finite_differences",
            "E = np.zeros_like(W)",
            "E = W",
            10,
            "changed its argument W in place",
        ),
        Mistake("finite_differences", "/ (2 * h)", "/ h", 10, "the two points are 2h apart"),
        Mistake("descend", "- lr", "+ lr", 10, "the sign of the step is wrong"),
        Mistake(
            "descend",
            "path.append(path[-1] - lr * gradient(path[-1]))",
            "W -= lr * gradient(W)\n        path.append(W)",
            10,
            "changed its argument W in place",
        ),
        Mistake("descend", "- lr * ", "- ", 10, "the learning rate has no effect"),
        Mistake("descend", "np.array(path)", "np.array(path, np.float32)", 4, "as in float32"),
        Mistake("poles", "1 / real", "real", 10, "the reciprocals of these"),
        Mistake("poles", "np.eye(len(W)) - W", "W", 10, "the inverse of W, not of I - W"),
        Mistake("poles", "1 / real", "-1 / real", 10, "the sign is wrong"),
        Mistake("poles", "(mu.imag == 0) & ", "", 10, "a complex eigenvalue gives no real t"),
    ],
    "3-rules": [
        Mistake("response_gradient", " / len(x)", "", 10, "off by a factor of m"),
        Mistake("response_gradient", "len(x)", "x.shape[1]", 10, "divide by m, not by N"),
        Mistake("response_gradient", "x @ A.T", "x @ A", 10, "the response is transposed"),
        Mistake("response_gradient", "error.T @ x", "x.T @ error", 10, "is transposed"),
        Mistake("response_gradient", "2 * (", "(", 10, "the factor 2 is missing"),
        Mistake("reparameterized_step", "A - lr", "A + lr", 14, "this climbs"),
        Mistake("reparameterized_step", "np.eye(len(W)) - W", "W", 14, "you inverted W"),
        Mistake("reparameterized_step", "dA)", "dA.T)", 14, "the gradient is transposed"),
        Mistake("reparameterized_step", "np.eye(len(W))", "np.eye(5)", 14, "raised ValueError"),
        Mistake(
            "reparameterized_step", "return B", "return W + B", 14, "the change alone was asked for"
        ),
        Mistake(
            "reparameterized_step",
            "B = np.eye(len(W)) - W",
            "W -= np.eye(len(W))\n    B = -W",
            14,
            "changed its argument W in place",
        ),
        Mistake(
            "woodbury_step", "right @ e.T", "e @ right.T", 14, "the middle factor is transposed"
        ),
        Mistake(
            "woodbury_step", "- lr * right", "+ lr * right", 14, "the sign in the middle factor"
        ),
        Mistake("woodbury_step", "e @ B.T", "e @ B", 14, "B E is transposed"),
        Mistake(
            "woodbury_step",
            "left, right",
            "e = e / len(x)\n    left, right",
            14,
            "divides by m once more",
        ),
        Mistake(
            "woodbury_step",
            "return -lr * left.T @ np.linalg.solve(middle, right)",
            "return B - np.linalg.inv(np.linalg.inv(B) - lr * e.T @ x)",
            4,
            "calls inv of numpy for a matrix of size",
        ),
        Mistake("linearized_step", "@ dA @ B", "@ dA @ B.T", 8, "a transpose too many"),
        Mistake("linearized_step", "-lr", "lr", 8, "the sign is wrong"),
        Mistake(
            "linearized_step",
            "-lr * B @ dA @ B",
            "-lr * B @ dA @ B - lr**2 * B @ dA @ B @ dA @ B",
            8,
            "the first order alone was asked for",
        ),
        Mistake("linearized_step", "np.eye(len(W))", "np.eye(5)", 8, "raised ValueError"),
        Mistake(
            "linearized_step",
            "np.eye(len(W)) - W",
            "np.linalg.inv(np.eye(len(W)) - W)",
            8,
            "you used A",
        ),
        Mistake("linearized_step", "np.eye(len(W)) - W", "W", 8, "you used W in place of I - W"),
        Mistake(
            "linearized_batch", "left = g * e", "left = e", 14, "the gain in front of the error"
        ),
        Mistake(
            "linearized_batch",
            "(g * left) @ W.T",
            "g * (left @ W.T)",
            14,
            "on the wrong side on the left",
        ),
        Mistake(
            "linearized_batch", "(g * right) @ W", "g * (right @ W.T)", 14, "the transposed one"
        ),
        Mistake("linearized_batch", "left.T @ right", "right.T @ left", 14, "is transposed"),
        Mistake("linearized_batch", "-lr *", "-lr / len(r) *", 14, "divides by m once more"),
        Mistake(
            "linearized_batch",
            "left = g * e",
            "e *= g\n    left = e",
            14,
            "changed its argument e in place",
        ),
        Mistake(
            "linearized_batch",
            "    left = g * e\n    left = left - (g * left) @ W.T\n",
            "    n = len(W)\n    left = g * e\n"
            "    left = np.array([a @ np.linalg.inv(np.linalg.inv(np.eye(n) - b[:, None] * W.T))"
            " for a, b in zip(left, g)])\n",
            2,
            "calls inv of numpy",
        ),
        Mistake("inner", "np.eye(len(W)) - W", "W", 10, "you inverted W"),
        Mistake(
            "inner", "np.linalg.inv(np.eye(len(W)) - W)", "np.eye(len(W)) - W", 10, "you used B"
        ),
        Mistake(
            "inner", "(A @ U @ A) * (A @ V @ A)", "(A @ U) * (A @ V)", 10, "is missing on the right"
        ),
        Mistake(
            "inner",
            "(A @ U @ A) * (A @ V @ A)",
            "(A.T @ U @ A) * (A.T @ V @ A)",
            10,
            "too many on the left",
        ),
        Mistake("inner", "(A @ U @ A) * (A @ V @ A)", "U * V", 10, "the plain inner product"),
        Mistake(
            "metric_gradient",
            "B @ B.T @ dJ @ B.T @ B",
            "B @ dJ @ B",
            10,
            "if you were given the gradient in",
        ),
        Mistake(
            "metric_gradient",
            "B @ B.T @ dJ @ B.T @ B",
            "B.T @ B @ dJ @ B @ B.T",
            10,
            "the wrong one",
        ),
        Mistake("metric_gradient", ".T", "", 10, "the transposes are missing"),
        Mistake(
            "metric_gradient",
            "np.eye(len(W)) - W",
            "np.linalg.inv(np.eye(len(W)) - W)",
            10,
            "you used A",
        ),
    ],
    "4-comparison": [
        Mistake("run", "W = W + dW", "W = W - dW", 5, "it points downhill already"),
        Mistake("run", "W = W + dW", "W += dW", 5, "changed task.W0 in place"),
        Mistake(
            "run",
            "task.error(point.r, y)",
            "task.error(point.r, y) / len(x)",
            5,
            "off by a factor of m",
        ),
        Mistake(
            "run",
            "next(batches)",
            "next(task.batches(np.random.default_rng(seed)))",
            3,
            "the same batch",
        ),
        Mistake(
            "run",
            "(ConvergenceError, SingularityError)",
            "ZeroDivisionError",
            4,
            "raised ConvergenceError",
        ),
        Mistake("run", "np.full(steps, np.nan)", "np.zeros(steps)", 4, "should be np.nan"),
        Mistake("angle", "np.degrees(", "(", 6, "these are radians"),
        Mistake("angle", "np.sum(U * V)", "np.abs(np.sum(U * V))", 6, "is folded back"),
        Mistake("angle", "np.sum(U * V)", "np.trace(U @ V)", 6, "a transpose is missing"),
        Mistake("summarize", " / np.sqrt(len(done))", "", 8, "this is the standard deviation"),
        Mistake("summarize", "ddof=1", "ddof=0", 8, "the variance is biased"),
        Mistake(
            "summarize", "np.sqrt(len(done))", "np.sqrt(len(final))", 8, "not by that of all runs"
        ),
        Mistake(
            "summarize", "final[np.isfinite(final)]", "np.nan_to_num(final)", 8, "and you count 0"
        ),
        Mistake(
            "best_rate",
            "final.mean(axis=1)",
            "np.nanmean(final, axis=1)",
            6,
            "over the others hides that",
        ),
        Mistake("best_rate", "rates[best]", "best", 9, "the position of the rate"),
        Mistake("best_rate", "final.mean(axis=1)", "final.min(axis=1)", 6, "one lucky run"),
        Mistake(
            "best_rate", "best in (0, len(rates) - 1)", "best == len(rates) - 1", 9, "(at an end)"
        ),
        Mistake("paired", "a - b", "b - a", 10, "this is b - a"),
        Mistake(
            "paired",
            " / np.sqrt(len(difference))",
            "",
            10,
            "the standard deviation of the differences",
        ),
        Mistake(
            "paired",
            "difference.std(ddof=1)",
            "np.sqrt(a.var(ddof=1) + b.var(ddof=1))",
            10,
            "take the differences first",
        ),
        Mistake(
            "paired",
            "difference = a - b",
            "a -= b\n    difference = a",
            10,
            "its argument a in place",
        ),
        Mistake("one_run", "seed=seed", "seed=len(results)", 5, "what does the run depend on"),
        Mistake(
            "one_run",
            "TASKS[seed], RULES[name], lr, STEPS, seed=seed",
            "TASKS[1], RULES[name], lr, STEPS, seed=1",
            5,
            "the seed has no effect",
        ),
        Mistake(
            "one_run", "RULES[name], lr", "RULES[name], lr / 10", 5, "is the largest you tried"
        ),
    ],
}

# Answers that call for what they should hold: (question, source, what their author is told).
BORROWED = {
    "1-fixed-points": [
        (
            "response",
            "def response(W, g):\n"
            "    from fpnotes.implicit import resolvent\n"
            "    return np.array([resolvent(W, g, g * e) for e in np.eye(len(g))]).T",
            "calls fpnotes.implicit.",
        ),
        (
            "response",
            "from concurrent.futures import ThreadPoolExecutor\n"
            "from fpnotes.implicit import resolvent\n"
            "def response(W, g):\n"
            "    with ThreadPoolExecutor(1) as pool:\n"
            "        found = [pool.submit(resolvent, W, g, g * e) for e in np.eye(len(g))]\n"
            "    return np.array([one.result() for one in found]).T",
            "calls fpnotes.implicit.",
        ),
        (
            "response",
            "import os, sys, fpnotes\n"
            "sys.path.insert(0, os.path.dirname(fpnotes.__file__))\n"
            "def response(W, g):\n"
            "    try:\n"
            "        import _linear\n"
            "        return _linear.solve_direct(W, g, np.diag(g)).T\n"
            "    finally:\n"
            "        sys.modules.pop('_linear', None)",
            "runs <module> from the files of fpnotes",
        ),
        (
            "response",
            "import types, fpnotes._linear\n"
            "mine = dict(vars(fpnotes._linear)) | {'__name__': 'mine'}\n"
            "f = fpnotes._linear.solve_direct\n"
            "solve_direct = types.FunctionType(f.__code__, mine)\n"
            "solve_direct.__defaults__ = f.__defaults__\n"
            "def response(W, g):\n"
            "    return solve_direct(W, g, np.diag(g)).T",
            "runs solve_direct from the files of fpnotes",
        ),
        (
            "response",
            "import fpnotes._linear\n"
            "def response(W, g):\n"
            "    text, names = open(fpnotes._linear.__file__).read(), {'__name__': 'mine'}\n"
            "    exec(text, names)\n"
            "    return names['solve_direct'](W, g, np.diag(g)).T",
            "opens a file",
        ),
        (
            "velocity",
            "from IPython.core.interactiveshell import _modified_open as open\n"
            "def velocity(W, r, x, f, tau):\n"
            "    return open('tests/velocity.py').read",
            "opens a file",
        ),
        (
            "response",
            "import fpnotes._linear\n"
            "text, names = open(fpnotes._linear.__file__).read(), {'__name__': 'mine'}\n"
            "exec(text.replace('from .', 'from fpnotes.'), names)\n"
            "def response(W, g):\n"
            "    return names['solve_direct'](W, g, np.diag(g)).T",
            "runs code that was made from text",
        ),
        (
            "velocity",
            "def velocity(W, r, x, f, tau):\n"
            "    import sys\n"
            "    return sys._getframe(1).f_back.f_locals",
            "looks at what calls it",
        ),
        (
            "relax",
            "def relax(W, x, f, alpha=1.0, tol=1e-8, max_steps=1000):\n"
            "    point = solve(W, x, 'tanh', on_failure='ignore')\n"
            "    return point.r, point.converged",
            "calls fpnotes.solvers.",
        ),
        (
            "velocity",
            "import inspect, fpnotes.network\n"
            "def velocity(W, r, x, f, tau):\n"
            "    names = {'__name__': '__main__'}\n"
            "    exec(inspect.getsource(fpnotes.network.RateNetwork.velocity), names)",
            "reads the source",
        ),
    ],
    "2-gradient": [
        (
            "adjoint",
            "def adjoint(W, g, e):\n"
            "    from fpnotes._linear import solve_direct\n"
            "    return solve_direct(W, g, e, transpose=True)",
            "calls fpnotes._linear.solve_direct",
        ),
        (
            "push",
            "def push(W, r, g, dW, dx):\n"
            "    from fpnotes._linear import solve_direct\n"
            "    return solve_direct(W, g[None], (g * (dW @ r + dx))[None])[0]",
            "calls fpnotes._linear.solve_direct",
        ),
        (
            "finite_differences",
            "def finite_differences(J, W, h=1e-5):\n"
            "    from fpnotes.chapters.checks import central_differences\n"
            "    try:\n"
            "        return central_differences(J, W, h)\n"
            "    except BaseException:\n"
            "        return central_differences(J, W, h)",
            "imports fpnotes.chapters",
        ),
        (
            "readout_error",
            "import autograd\n"
            "from autograd import numpy as anp\n"
            "def readout_error(r, y, C):\n"
            "    return autograd.grad(lambda r: anp.sum((anp.dot(r, C.T) - y) ** 2) / len(y))(r)",
            "calls autograd.",
        ),
    ],
    "3-rules": [
        (
            "metric_gradient",
            "import fpnotes\n"
            "def metric_gradient(W, dJ):\n"
            "    return fpnotes.Reparameterized().gradient(W, dJ)",
            "calls fpnotes.geometry.",
        ),
        (
            "inner",
            "import fpnotes\ninner = fpnotes.Reparameterized().inner",
            "calls fpnotes.geometry.inner",
        ),
        (
            "inner",
            "import json, sys\n"
            "from os import popen\n"
            "def inner(W, U, V):\n"
            "    code = 'import fpnotes, numpy as np\\n'\n"
            "    code += 'print(fpnotes.Reparameterized().inner(*map(np.array, %s)))'\n"
            "    given = json.dumps([W.tolist(), U.tolist(), V.tolist()])\n"
            "    return float(popen(f'{sys.executable} -c \"{code % given}\"').read())",
            "starts another process",
        ),
        (
            "inner",
            "from multiprocessing import get_context\n"
            "import fpnotes\n"
            "def inner(W, U, V):\n"
            "    with get_context('fork').Pool(1) as pool:\n"
            "        return pool.apply(fpnotes.Reparameterized().inner, (W, U, V))",
            "starts another process",
        ),
    ],
    "4-comparison": [
        (
            "run",
            "def run(task, rule, lr, steps, seed):\n"
            "    history = train(task, rule, lr, steps, seed=seed, progress=False)\n"
            "    losses = np.full(steps, np.nan)\n"
            "    losses[: len(history.loss)] = history.loss[:steps]\n"
            "    return history.W, losses",
            "calls fpnotes.training.train",
        ),
        ("angle", "from fpnotes.geometry import angle", "calls fpnotes.geometry.angle"),
    ],
}

# Mistakes about a number that a class has of its own: how they are planted there, as text of the master, and
# what their author is told, by question and by what the book's students are told.
IN_A_CLASS = {
    ("poles", "the inverse of W, not of I - W"): (
        "np.eye(len(W)) - <<gain.times>>W",
        "<<gain.times>>W",
        "the inverse of W, not of I - W",
    ),
    ("relax", "rates before the last step"): (
        "        converged = np.abs(<<gain.times>>f(r @ W.T + x) - r)",
        "        converged = np.abs(residual if max_steps else <<gain.times>>f(x))",
        "rates before the last step",
    ),
    ("response", "the result is wrong"): (
        "np.linalg.solve(np.eye(len(W)) - <<gain.times>>g[:, None] * W, <<gain.times>>np.diag(g))",
        "sum(np.linalg.matrix_power(<<gain.times>>g[:, None] * W, k) for k in range(200))"
        " @ (<<gain.times>>np.diag(g))",
        "the result is wrong",
    ),
    ("is_stable", "the symmetric part"): (
        "np.linalg.eigvals(<<gain.times>>g[:, None] * W).real",
        "np.linalg.eigvalsh(<<gain.times>>(g[:, None] * W + (g[:, None] * W).T) / 2)",
        "the symmetric part",
    ),
    ("readout_error", "the factor 2 is missing"): (
        "<<loss * 2>> / len(r)",
        "<<loss>> / len(r)",
        "the factor 2 is missing",
    ),
    ("response_gradient", "the factor 2 is missing"): (
        "<<loss * 2>> * (",
        "<<loss>> * (",
        "the factor 2 is missing",
    ),
    ("finite_differences", "one-sided difference"): (
        "J(W - E)) / (<<reach * 2>> * h)",
        "J(W)) / (<<reach>> * h)",
        "one-sided difference",
    ),
    ("finite_differences", "the two points are 2h apart"): (
        "(<<reach * 2>> * h)",
        "(<<reach>> * h)",
        "half of the distance",
    ),
    ("descend", "changed its argument W in place"): (
        "path.append(path[-1] - lr * (gradient(path[-1]) + <<decay>> * path[-1]))",
        "W -= lr * (gradient(W) + <<decay>> * W)\n        path.append(W)",
        "changed its argument W in place",
    ),
    ("angle", "these are radians"): (
        "<<turn>> * np.arccos(np.clip(cosine, -1, 1)) / (2 * np.pi)",
        "np.arccos(np.clip(cosine, -1, 1))",
        "these are radians",
    ),
    ("linearized_batch", "calls inv of numpy"): (
        "    left = <<leak.times>>left - (g * left) @ W.T\n",
        "    n = len(W)\n"
        "    left = np.array([a @ np.linalg.inv(np.linalg.inv(<<leak.times>>np.eye(n) - b[:, None] * W.T))"
        " for a, b in zip(left, g)])\n",
        "calls inv of numpy",
    ),
}
