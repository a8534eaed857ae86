"""The fixed point in PyTorch, beside the package's own."""

import doctest
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import fpnotes as fp
from fpnotes.frameworks import _inputs
from fpnotes.frameworks import torch as module
from fpnotes.frameworks.torch import fixed_point
from tests.frameworks import cases

# Of each argument that is wrong, the error and some of its words.
WRONG = {
    "W": [
        (np.eye(2), TypeError, "W must be a tensor, not ndarray"),
        (
            torch.eye(2, dtype=torch.bfloat16),
            TypeError,
            "W must be float32 or float64, not torch.bfloat16",
        ),
        (
            torch.ones(2, 3),
            ValueError,
            r"W must be a square \(N, N\) matrix, not of shape \(2, 3\)",
        ),
        (torch.eye(2) * torch.nan, ValueError, "W must be finite, but 4 of its 4 entries"),
    ],
    "x": [
        (torch.ones(5, 3), ValueError, r"x must have shape \(..., 2\), one row per sample"),
        (torch.tensor(1.0), ValueError, r"it has shape \(\)"),
        (
            torch.ones(5, 2, device="meta"),
            ValueError,
            "x must be on the device of W, cpu, not on meta",
        ),
    ],
    "r0": [
        (
            torch.ones(3, 2),
            ValueError,
            r"r0 of shape \(3, 2\) must broadcast to the shape of x, \(5, 2\)",
        )
    ],
    "activation": [
        (
            "tan",
            ValueError,
            "activation must be one of linear, tanh, relu, softplus, powerlaw, not 'tan'",
        ),
        (fp.tanh, TypeError, "a name or an elementwise function of tensors, not Activation"),
        (
            torch.sum,
            ValueError,
            r"elementwise: given net input of shape \(5, 2\) it returned shape \(\)",
        ),
        (
            torch.Tensor.double,
            TypeError,
            "return the dtype it is given, torch.float32, not torch.float64",
        ),
        (math.tanh, ValueError, "raised by activation.* of tensors that PyTorch can differentiate"),
        (lambda z: torch.tanh(z.detach()), RuntimeError, "raised by activation"),
    ],
    "rule": [
        ("reparameterized", ValueError, "its update is not η times one"),
        ("natural", ValueError, "rule must be one of gradient, linearized"),
    ],
    "tol": [(1e-9, ValueError, "finer than float32 arithmetic can certify")],
    "max_steps": [(0, ValueError, "max_steps must be at least 1")],
}


def tensors(*arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", [*cases.ACTIVATIONS, cases.swish])
def test_rates_and_directions_are_those_of_the_package(activation, dtype):
    """A rule gives W its direction, and x the gradient."""
    W, x, error = cases.network(dtype)
    tol, close = cases.TOL[dtype], cases.CLOSE[dtype]
    r, directions, x_bar = cases.expected(W, x, error, activation, tol)
    for rule, direction in directions.items():
        weights, inputs = tensors(W, x)
        found = fixed_point(weights, inputs, activation, rule=rule, tol=tol)
        cases.assert_close(found.detach(), r, close)
        found.backward(torch.tensor(error))
        cases.assert_close(weights.grad, direction, close)
        cases.assert_close(inputs.grad, x_bar, close)


@pytest.mark.parametrize("activation", ["tanh", "softplus", cases.swish, torch.nn.ELU()])
def test_gradcheck(activation):
    W, x, _ = cases.network(n=4, m=3)
    assert torch.autograd.gradcheck(
        lambda W, x: fixed_point(W, x, activation, tol=1e-13), tensors(W, x)
    )


@pytest.mark.parametrize("rule", _inputs.RULES)
def test_what_the_curve_holds_is_learned_under_every_rule(rule):
    W, x, _ = cases.network(n=4, m=3)
    W, x = torch.tensor(W), torch.tensor(x)
    (slope,) = tensors(np.linspace(0.5, 1.5, 4))
    assert torch.autograd.gradcheck(
        lambda slope: fixed_point(W, x, lambda z: torch.tanh(slope * z), rule=rule, tol=1e-13),
        slope,
    )


def test_an_optimizer_takes_the_step_of_the_rule():
    W, x, error = cases.network()
    for rule in _inputs.RULES:
        (weights,) = tensors(W)
        optimizer = torch.optim.SGD([weights], lr=0.1)
        r = fixed_point(weights, torch.tensor(x), "tanh", rule=rule, tol=1e-12)
        (r * torch.tensor(error)).sum().backward()
        optimizer.step()
        point = fp.solve(W, x, tol=1e-12)
        dW = getattr(fp, rule)(W, point, error, 0.1)
        np.testing.assert_allclose(weights.detach(), W + dW, rtol=0, atol=1e-10)


def test_the_loop_of_the_guide_trains_as_the_package_does():
    page = (Path(__file__).parents[2] / "book/guide.md").read_text(encoding="utf-8")
    before, after = page.split("## In PyTorch, or JAX")
    cells = re.findall(r"^```{code-cell} ipython3\n(.*?)^```$", before, re.DOTALL | re.MULTILINE)
    (loop,) = re.findall(r"^```python\n(.*?)^```$", after, re.DOTALL | re.MULTILINE)
    known = {}
    for cell in cells[: next(i for i, cell in enumerate(cells) if "task = " in cell) + 1]:
        exec(cell, known)
    exec(loop, known)
    history = fp.train(known["task"], fp.linearized, 0.3, 60, seed=0, progress=False)
    assert "`fp.train(task, fp.linearized, 0.3, 60, seed=0)`" in after
    np.testing.assert_allclose(known["losses"], history.loss[:-1], rtol=1e-6)
    assert known["losses"][-1] < known["losses"][0] / 5


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
def test_x_may_have_any_shape(shape):
    W, _, _ = cases.network(n=4)
    x = np.random.default_rng(1).normal(size=(*shape, 4))
    weights, inputs = tensors(W, x)
    r = fixed_point(weights, inputs)
    assert r.shape == x.shape
    r.sum().backward()
    assert inputs.grad.shape == x.shape and weights.grad.isfinite().all()


def test_the_wider_dtype_is_returned():
    W, x, _ = cases.network("float32")
    assert fixed_point(*map(torch.tensor, (W, x))).dtype == torch.float32
    assert fixed_point(torch.tensor(W), torch.tensor(x).double()).dtype == torch.float64


def test_a_solve_that_did_not_converge_is_an_error_in_the_words_of_the_package():
    W, x = cases.UNSOLVABLE
    for activation in ("relu", torch.relu):
        with pytest.raises(fp.ConvergenceError, match="1 of 2 samples did not converge") as raised:
            fixed_point(torch.tensor(W), torch.tensor(x), activation)
        assert raised.value.point.converged.tolist() == [False, True]
        assert "on_failure" not in str(raised.value)
        np.testing.assert_array_equal(raised.value.point.x, x)


def test_a_singular_adjoint_is_refused_and_a_rule_that_needs_none_goes_on():
    W, x = cases.SINGULAR
    (weights,) = tensors(W)
    with pytest.raises(fp.ConvergenceError, match="to three digits for 3 of 3 samples"):
        fixed_point(weights, torch.tensor(x)).sum().backward()
    fixed_point(weights, torch.tensor(x), rule="linearized").sum().backward()
    assert weights.grad.tolist() == [[0]]


def test_no_adjoint_is_solved_that_nobody_needs(monkeypatch):
    solved = []
    monkeypatch.setattr(module, "_adjoint", lambda *args: solved.append(1) or args[2])
    W, x, _ = cases.network()
    for rule in _inputs.RULES:
        (weights,) = tensors(W)
        fixed_point(weights, torch.tensor(x), rule=rule).sum().backward()
        assert len(solved) == 1  # by the first, the gradient


def test_the_start_decides_which_fixed_point_is_found():
    W, x = torch.full((1, 1), 2.0), torch.zeros(2, 1)
    start = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    r = fixed_point(W, x, r0=start)
    assert r[0] > 0.9 and r[1] < -0.9 and not r.requires_grad


def test_r_is_differentiated_once():
    """Under every rule, and even where ∂J/∂r is a constant, which PyTorch's own check lets pass."""
    W, x, _ = cases.network()
    for rule in _inputs.RULES:
        variables = tensors(W, x)
        loss = fixed_point(*variables, rule=rule).sum()
        for slope in torch.autograd.grad(loss, variables, create_graph=True):
            with pytest.raises(RuntimeError, match="only once"):
                torch.autograd.grad(slope.sum(), variables, retain_graph=True)


def test_nothing_is_recorded_without_need():
    W, x, _ = cases.network()
    (weights,) = tensors(W)
    assert not fixed_point(torch.tensor(W), torch.tensor(x)).requires_grad
    with torch.no_grad():
        assert not fixed_point(weights, torch.tensor(x)).requires_grad


def test_autocast_takes_no_digits():
    W, x, error = cases.network("float32")
    r, directions, _ = cases.expected(W, x, error, "tanh", 1e-6)
    (weights,) = tensors(W)
    with torch.autocast("cpu", torch.bfloat16):
        found = fixed_point(weights, torch.tensor(x), tol=1e-6)
    found.backward(torch.tensor(error))
    cases.assert_close(found.detach(), r, 1e-5)
    cases.assert_close(weights.grad, directions["gradient"], 1e-5)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named(name):
    for value, kind, words in WRONG[name]:
        right = {"W": torch.zeros(2, 2), "x": torch.ones(5, 2)}
        with pytest.raises(kind, match=words):
            fixed_point(**{**right, name: value})


def test_the_example():
    assert doctest.testmod(module) == (0, 7)
