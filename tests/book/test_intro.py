"""What the first page shows, the pictures that are made from it, and the package's reference."""

import importlib.util
import re
from pathlib import Path

import jupytext
import numpy as np
import pytest
from PIL import Image

from fpnotes import gradient, linearized, reparameterized, solve
from fpnotes.chapters.opening import RATES, Map
from fpnotes.chapters.reproduce import results
from fpnotes.geometry import Euclidean, Reparameterized

BOOK = Path(__file__).parents[2] / "book"


@pytest.fixture(scope="module")
def page():
    """Return what the page's code defines, up to the map."""
    cells = [c for c in jupytext.read(BOOK / "intro.md").cells if c.cell_type == "code"]
    names = {}
    last = next(i for i, cell in enumerate(cells) if "plane = Map" in cell.source)
    for cell in cells[: last + 1]:
        there = "from fpnotes.chapters.text import glue"
        exec(cell.source.replace(there, "glue = lambda *_, **__: 0"), names)
    return names


@pytest.fixture(scope="module")
def plane():
    """The map that the page shows."""
    return Map(seed=0)


def test_the_star_answers_every_input(plane):
    assert plane.loss(plane.best) < 1e-20
    point = solve(plane.best, plane.x, "linear")
    np.testing.assert_allclose(point.r, plane.y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_error_is_infinite_on_a_wall(seed, plane):
    """Near a singularity on a random line of the map the error grows as one over distance squared."""
    angle = np.random.default_rng(seed).uniform(0, np.pi)
    line = np.cos(angle) * plane.U + np.sin(angle) * plane.V
    # det(I - W_best - t line) = 0 where 1/t is an eigenvalue of the matrix below.
    eye = np.eye(len(plane.best))
    inverse = np.linalg.eigvals(np.linalg.solve(eye - plane.best, line))
    real = inverse[np.abs(inverse.imag) < 1e-12].real
    assert len(real), "20 is even, so a line may miss every wall; these five do not"
    for t in 1 / real:
        near, nearer = (plane.loss(plane.best + t * (1 + h) * line) for h in (1e-6, 1e-7))
        assert nearer / near == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("start", [(0.1, 0.2), (-0.3, 0.1), (0.7, -0.6)])
@pytest.mark.parametrize(
    ("name", "rule", "metric"),
    [
        ("gradient", gradient, Euclidean()),
        ("reparameterized", reparameterized, Reparameterized()),
        ("linearized", linearized, Reparameterized()),
    ],
)
def test_a_step_is_the_rule_projected_on_the_map(name, rule, metric, start, plane):
    """What the projection leaves out is orthogonal to the map, in the rule's own metric."""
    W = plane.weights(*start)
    point = solve(W, plane.x, "linear")
    dW = rule(W, point, 2 * (point.r - plane.y) / len(plane.x), 0.3)
    a, b = (plane.step(name, np.array([start]), 0.3) - start)[0]
    left_out = dW - a * plane.U - b * plane.V
    for direction in (plane.U, plane.V):
        cosine = metric.inner(W, left_out, direction) / (
            metric.norm(W, dW) * metric.norm(W, direction)
        )
        assert abs(cosine) < 1e-9


def test_a_step_of_gradient_descent_is_downhill_by_the_slope_of_the_error(plane):
    at, h = np.array([-0.15, 0.25]), 1e-6
    slopes = [
        (plane.loss(plane.weights(*(at + d))) - plane.loss(plane.weights(*(at - d)))) / (2 * h)
        for d in h * np.eye(2)
    ]
    U, V = plane.U, plane.V
    lengths = np.array([[(D * E).sum() for D in (U, V)] for E in (U, V)])
    moved = at - plane.step("gradient", at[None], 1.0)[0]
    np.testing.assert_allclose(lengths @ moved, slopes, rtol=1e-5)


def test_the_linearized_rule_comes_to_rest_at_the_star_or_in_a_valley(plane):
    """Where it rests the map's slope is 0, and the error is higher all around."""
    rest = plane.path("linearized", 3.0, 500)
    assert (np.linalg.norm(rest[-1] - rest[-101], axis=-1) < 1e-6).all()
    here = plane.loss(plane.weights(*rest[-1].T))
    for turn in np.linspace(0, 2 * np.pi, 8, endpoint=False):
        around = rest[-1] + 1e-4 * np.array([np.cos(turn), np.sin(turn)])
        assert (plane.loss(plane.weights(*around.T)) > here).all()
    other = plane.path("reparameterized", 3.0, 500)[-1]
    assert np.linalg.norm(other - rest[-1], axis=-1).max() < 0.02


def test_which_starts_lie_beyond_a_ridge(page, plane):
    """Those from which the determinant changes its sign on the straight way to the star."""
    share = np.linspace(0, 1, 2001)[:, None, None]
    W = plane.best + share[..., None] * (plane.weights(*plane.starts.T) - plane.best)
    sign = np.linalg.slogdet(np.eye(len(plane.best)) - W)[0]
    np.testing.assert_array_equal((np.diff(sign, axis=0) != 0).any(axis=0), page["behind"])


@pytest.mark.slow
def test_the_table_of_the_opening_experiment_can_be_made_again():
    """A start arrives when the table says, within 2 % of its steps where these are many."""
    table = results("opening").set_index(["seed", "rule", "lr", "start"]).sort_index().steps
    for rule, lr in (("gradient", 0.03), ("reparameterized", 3.0), ("linearized", 3.0)):
        for seed in (0, 2):
            now, then = Map(seed).arrivals(rule, lr), table.loc[seed, rule, lr].to_numpy()
            assert ((now > 0) == (then > 0)).all()
            np.testing.assert_allclose(now, then, rtol=0.02, atol=2)


def test_the_table_holds_every_rule_rate_and_map():
    table = results("opening")
    expected = sum(map(len, RATES.values())) * 5 * 16
    assert len(table) == len(table.drop_duplicates(["seed", "rule", "lr", "start"])) == expected


def test_the_two_rules_of_the_paper_run_on_top_of_one_another(page):
    one, other = (page["paths"][rule] for rule in ("reparameterized", "linearized"))
    # Each point of one path is nearer to the other path than a line is wide: 0.005 of the map's side.
    for a, b in zip(one.swapaxes(0, 1), other.swapaxes(0, 1), strict=True):
        distances = np.linalg.norm(a[::40, None] - b, axis=-1).min(axis=1)
        assert distances.max() < 0.01


def test_the_reference_documents_every_public_module():
    modules = {path.stem for path in (BOOK.parent / "fpnotes").glob("[!_]*.py")}
    documented = re.findall(r"automodule:: fpnotes\.(\w+)", (BOOK / "api.md").read_text())
    assert sorted(documented) == sorted(modules)


def test_the_cover_is_small_and_of_double_resolution():
    cover = BOOK / "assets" / "cover.png"
    with Image.open(cover) as image:
        assert image.size == (2400, 1260)
    assert cover.stat().st_size < 300_000


def test_logo_and_icon_are_what_the_script_draws():
    spec = importlib.util.spec_from_file_location("assets", BOOK / "assets" / "make_assets.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, draw in script.MARKS.items():
        assert draw() == (BOOK / "assets" / name).read_text()
