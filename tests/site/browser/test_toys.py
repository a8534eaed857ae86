"""The figures that compute in the page: their steps are those of the package, and they can be used."""

import numpy as np
import pytest

from fpnotes.geometry import Reparameterized
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.solvers import solve
from tests.site.browser.browsing import PHONE, compressed, visit

INTRO, GEOMETRY = "book/intro.html", "book/geometry.html"
PLANE = np.array([[[1, 0], [0, 0]], [[0, 1], [1, 0]]]) / np.array([1, np.sqrt(2)])[:, None, None]


@pytest.fixture(scope="module")
def intro(browser, site):
    look = visit(browser, site, INTRO)
    yield look.page
    look.page.context.close()


def test_a_step_of_one_neuron_is_that_of_the_package(intro):
    rng = np.random.default_rng(0)
    for _ in range(50):
        w, lr = rng.uniform(-4, 4), 10 ** rng.uniform(-3, 0)
        W = np.array([[w]])
        point = solve(W, np.ones((1, 1)), "linear")
        error = 2 * (point.r - 2)
        for rule in (gradient, reparameterized, linearized):
            expected = w + rule(W, point, error, lr).item()
            name = rule.__name__
            shown = intro.evaluate("([r, w, lr]) => toys.neuron[r](w, lr)", [name, w, lr])
            assert shown == pytest.approx(expected, rel=1e-9), (name, w, lr)
        assert intro.evaluate("w => toys.loss(w)", w) == pytest.approx((1 / (1 - w) - 2) ** 2)


def test_a_step_in_the_plane_is_that_of_the_package(intro):
    """The gradient rule's step and the metric are the package's; the response metric's step follows."""
    rng = np.random.default_rng(1)
    target = np.linalg.inv(np.eye(2) - np.tensordot([-0.8, 0.5], PLANE, 1))
    metric = Reparameterized()
    for _ in range(50):
        place, lr = rng.uniform(-1.4, 1.4, 2), 10 ** rng.uniform(-3, 0)
        W = np.tensordot(place, PLANE, 1)
        point = solve(W, np.eye(2), "linear")
        full = gradient(W, point, 2 * (point.r - target.T), lr)
        slope = (PLANE * full).sum(axis=(1, 2))
        M = metric.inner(W, PLANE[:, None], PLANE)
        arguments = [place.tolist(), lr]
        shown = intro.evaluate("([w, lr]) => toys.plane.gradient(w, lr)", arguments)
        np.testing.assert_allclose(shown, place + slope, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(
            intro.evaluate("w => toys.plane.metric(w)", place.tolist()), M, rtol=1e-9
        )
        shown = intro.evaluate("([w, lr]) => toys.plane.linearized(w, lr)", arguments)
        step = np.linalg.solve(M, slope)
        scale = np.abs(step).max() * np.linalg.cond(M) * 1e-13
        np.testing.assert_allclose(shown, place + step, rtol=1e-9, atol=1e-12 + scale)


def test_the_neuron_steps_runs_and_goes_back_by_mouse_and_keyboard(intro):
    toy = intro.locator(".toy[data-toy=neuron]")
    lines = toy.locator("li")
    assert "0 steps, w = 0.00, loss 1.00" in lines.first.inner_text()
    toy.get_by_text("Step", exact=True).click()
    assert "1 step, w = 0.600" in lines.first.inner_text()
    toy.get_by_text("Back to the start").click()
    handle = toy.get_by_role("slider", name="start").first
    handle.focus()
    intro.keyboard.press("ArrowRight")
    assert "0 steps, w = 0.0500" in lines.first.inner_text()
    box = toy.locator("svg").first.bounding_box()
    at = handle.bounding_box()
    intro.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    intro.mouse.down()
    intro.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    intro.mouse.up()
    assert "w = −" in lines.first.inner_text()
    rate = toy.get_by_role("slider", name="learning rate")
    before = rate.get_attribute("aria-valuetext")
    rate.press("ArrowLeft")
    assert rate.get_attribute("aria-valuetext") != before


def test_with_reduced_motion_a_run_is_one_jump(browser, site):
    look = visit(browser, site, INTRO, reduced_motion="reduce", viewport=PHONE)
    toy = look.page.locator(".toy[data-toy=neuron]")
    toy.get_by_text("Run", exact=True).click()
    assert "40 steps" in toy.locator("li").first.inner_text()
    look.page.context.close()


def test_without_scripts_a_still_figure_stands_there(browser, site):
    look = visit(browser, site, INTRO, java_script_enabled=False)
    assert not look.page.locator(".toy").first.is_visible()
    assert look.page.locator("#fig-toy").is_visible()
    look.page.context.close()


def test_the_plane_follows_the_place(browser, site):
    look = visit(browser, site, GEOMETRY)
    toy = look.page.locator(".toy[data-toy=plane]")
    before = [line.inner_text() for line in toy.locator("li").all()]
    toy.get_by_role("slider", name="the weights s and c").press("ArrowUp")
    after = [line.inner_text() for line in toy.locator("li").all()]
    assert len(before) == 2 and all(a != b for a, b in zip(after, before, strict=True))
    look.page.context.close()


def test_both_weigh_less_than_10_kb():
    assert compressed("_static/toys.js") < 10_000
