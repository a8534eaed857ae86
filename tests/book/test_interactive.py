"""The slider's page, which needs no kernel, and its widgets, which need one."""

import io
import json
import sys

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.image import imread

from fpnotes.chapters.interactive import SCRIPT, explore


def draw(w, x=0.0):
    figure, ax = plt.subplots()
    ax.plot([0, w], [x, 1])
    return figure


def parse(shown):
    assert shown is not None
    return BeautifulSoup(str(shown.data), "html.parser")


def page(**options):
    return parse(
        explore(draw, alt=lambda **values: f"A line <{sorted(values.items())}>", **options)
    )


def data(figure):
    (script,) = figure.select("script[type='application/json']")
    return json.loads(script.text)


def test_a_frame_for_every_value_and_the_first_one_shown():
    figure = page(w=[-1, 0, 2.5])
    held = data(figure)
    assert [len(set(held[key])) for key in ("frames", "alts")] == [3, 3]
    assert held["values"] == [["−1", "0", "2.5"]]
    (image,) = figure.select("img")
    assert image["alt"] == held["alts"][0] == "A line <[('w', -1.0)]>"
    assert str(image["src"]).startswith("data:image/svg+xml,%3Csvg")


def test_two_parameters_give_every_pair_with_the_last_moving_fastest():
    figure = page(w=[0, 1], x=[0, 1, 2], labels={"w": "weight w"})
    assert data(figure)["alts"][4] == "A line <[('w', 1.0), ('x', 1.0)]>"
    assert [span.text for span in figure.find_all("span")] == ["weight w", "x"]
    assert [control["max"] for control in figure.find_all("input")] == ["1", "2"]


def test_without_scripts_the_controls_are_hidden_and_nothing_is_fetched():
    figure = page(w=[0, 1])
    assert len(figure.select(".explore-controls[hidden]")) == 1
    assert all(not script.has_attr("src") for script in figure.find_all("script"))
    assert len(SCRIPT) < 2048


def test_text_in_a_figure_cannot_end_the_script_element():
    def titled(w):
        figure = draw(w)
        figure.suptitle("x")
        return figure

    shown = explore(titled, alt=lambda w: "</script><b>bold</b>", w=[0, 1])
    assert parse(shown).find("b") is None


def test_no_figure_stays_open():
    before = plt.get_fignums()
    page(w=[0, 1])
    assert plt.get_fignums() == before


def test_under_a_kernel_of_jupyterlab_widgets_compute_afresh(monkeypatch):
    shown, drawn = [], []
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.md")
    monkeypatch.setattr("fpnotes.chapters.interactive.display", shown.append)
    assert explore(lambda w: drawn.append(w) or draw(w), alt=str, w=[0, 1, 20]) is None
    (box,) = [item for item in shown if isinstance(item, ipywidgets.VBox)]
    slider = box.children[1]
    assert slider.options == (("0", 0.0), ("1", 1.0), ("20", 20.0))  # the page's own grid
    slider.index = 2
    assert drawn == [0.0, 20.0]


def test_a_grid_may_name_a_value_twice_and_start_anywhere(monkeypatch):
    shown, drawn = [], []
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.md")
    monkeypatch.setattr("fpnotes.chapters.interactive.display", shown.append)
    explore(lambda w: drawn.append(w) or draw(w), alt=str, w=[3, 1.00001, 1.00002])
    (box,) = [item for item in shown if isinstance(item, ipywidgets.VBox)]
    box.children[1].index = 2
    assert drawn == [3.0, 1.00002]


def test_where_only_pixels_show_there_is_the_first_frame():
    shown = explore(draw, alt=lambda w: "A line.", w=[0, 1, 2])
    assert shown._repr_png_().startswith(b"\x89PNG") and shown._repr_html_() == shown.data


def test_a_kernel_without_widgets_says_what_to_install(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.md")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    message = r'needs ipywidgets, .* Run: pip install "fpnotes\[chapters\]"'
    with pytest.raises(ModuleNotFoundError, match=message):
        explore(draw, alt=str, w=[0, 1])


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ({}, "one or two parameters"),
        (dict.fromkeys("abc", [0, 1]), "one or two parameters"),
        ({"w": [1]}, "w must be a list of at least two values"),
        ({"w": np.ones((2, 2))}, "w must be a list of at least two values"),
        ({"w": [0, np.nan]}, "w must be finite"),
    ],
)
def test_wrong_grids_are_named(grids, message):
    with pytest.raises(ValueError, match=message):
        page(**grids)


def test_draw_must_return_a_figure():
    with pytest.raises(TypeError, match="draw must return a Matplotlib figure, not NoneType"):
        explore(lambda w: None, alt=str, w=[0, 1])


def test_letters_keep_off_the_edge_that_a_phone_cuts():
    def draw(x):
        fig, ax = plt.subplots(figsize=(5.2, 3), layout="constrained")
        ax.set(xlim=(0, x), ylabel="rate")
        return fig

    image = imread(io.BytesIO(explore(draw, alt=lambda x: "a panel", x=[1, 2])._repr_png_()))
    ink = np.any(image[..., :3] < 0.7, axis=(0, 2))
    assert min(ink.argmax(), ink[::-1].argmax()) > 0.015 * len(ink)
