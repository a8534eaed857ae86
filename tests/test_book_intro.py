"""What the first page shows, the pictures that are made from it, and the package's reference."""

import importlib.util
import re
from pathlib import Path

import jupytext
import numpy as np
import pytest
from PIL import Image

from fpnotes import gradient, solve

BOOK = Path(__file__).parents[1] / "book"


@pytest.fixture(scope="module")
def page():
    """Return what the page's code defines, up to the figure."""
    cells = [c for c in jupytext.read(BOOK / "intro.md").cells if c.cell_type == "code"]
    names = {}
    exec(cells[0].source.replace("from myst_nb import glue", "glue = lambda *_, **__: 0"), names)
    return names


def test_the_star_answers_every_input(page):
    assert page["loss"](page["W_best"]) < 1e-20
    point = solve(page["W_best"], page["x"], "linear")
    np.testing.assert_allclose(point.r, page["y"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_error_is_infinite_on_a_wall(page, seed):
    """Near a singularity on a random line of the map the error grows as one over distance squared."""
    angle = np.random.default_rng(seed).uniform(0, np.pi)
    line = np.cos(angle) * page["U"] + np.sin(angle) * page["V"]
    # det(I - W_best - t line) = 0 where 1/t is an eigenvalue of the matrix below.
    eye = np.eye(page["N"])
    inverse = np.linalg.eigvals(np.linalg.solve(eye - page["W_best"], line))
    real = inverse[np.abs(inverse.imag) < 1e-12].real
    assert len(real), "20 is even, so a line may miss every wall; these five do not"
    for t in 1 / real:
        near, nearer = (page["loss"](page["W_best"] + t * (1 + h) * line) for h in (1e-6, 1e-7))
        assert nearer / near == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("start", [(0.1, 0.2), (-0.3, 0.1), (0.7, -0.6)])
def test_a_step_is_the_gradient_rule_on_the_map(page, start):
    start, lr = np.array([start]), 1e-3
    first, second = page["descend"](start, lr, 1)
    W = page["weights"](*start[0])
    point = solve(W, page["x"], "linear")
    dW = gradient(W, point, 2 * (point.r - page["y"]) / page["m"], lr)
    expected = [(dW * page[direction]).sum() for direction in "UV"]
    np.testing.assert_allclose((second - first)[0], expected, rtol=1e-8)


def test_a_step_is_downhill_by_the_slope_of_the_error(page):
    at, h = np.array([[-0.15, 0.25]]), 1e-6
    first, second = page["descend"](at, 1.0, 1)
    slopes = [
        (page["loss"](page["weights"](*(at[0] + d))) - page["loss"](page["weights"](*(at[0] - d))))
        / (2 * h)
        for d in h * np.eye(2)
    ]
    np.testing.assert_allclose((first - second)[0], slopes, rtol=1e-5)


def test_the_paths_that_stay_on_the_map_have_come_to_rest(page):
    stayed = ~page["off_map"]
    moved = np.linalg.norm(page["paths"][-1] - page["paths"][-101], axis=-1)
    assert (moved[stayed] < 1e-4).all()


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
