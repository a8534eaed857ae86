"""The drawing of a network: forward and backward share every connection, and point opposite ways."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.text import Annotation

from fpnotes.chapters import figures
from fpnotes.chapters.diagrams import draw_network

BETWEEN = {r"$W_{ij}$", r"$W_{ik}$", r"$W_{ji}$"}
SMALLEST = 9 * 72 / 96  # points: 9 px


@pytest.fixture
def drawn():
    """Both drawings, as a chapter has them."""
    with plt.rc_context():
        figures.use_style()
        fig, axes = plt.subplots(2, 1, figsize=(5.2, 4.8))
        draw_network(axes[0])
        draw_network(axes[1], errors=True)
        fig.canvas.draw()
        yield axes
        plt.close(fig)


def labels(ax):
    return {text.get_text() for text in ax.texts if text.get_text()}


def arrows(ax, color):
    """Return (start, stop) of each arrow of a color."""
    found = [text for text in ax.texts if isinstance(text, Annotation)]
    return [
        (arrow.xyann, arrow.xy)
        for arrow in found
        if arrow.arrow_patch and to_hex(arrow.arrow_patch.get_edgecolor()) == color
    ]


def test_what_the_text_names_is_labeled(drawn):
    forward, backward = map(labels, drawn)
    assert BETWEEN | {"$r_i$", "$r_j$", "$x_i$", "$x_j$", "$z_i$", "$f$"} <= forward
    assert (
        BETWEEN | {r"$\lambda_i$", r"$\lambda_j$", "$e_i$", "$e_j$", r"$g_i\lambda_i$"} <= backward
    )


def test_errors_go_against_every_arrow_of_the_rates(drawn):
    rates, errors = arrows(drawn[0], figures.ACCENT), arrows(drawn[1], figures.CYCLE[1])
    # The way out of the picture has no counterpart; the way in from x has: the derivative in x.
    inside = [(start, stop) for start, stop in rates if stop[0] < 10]
    turned = {(stop, start) for start, stop in errors}
    assert len(inside) == 5 and set(inside) <= turned
    assert turned - set(inside) == {((5.2, 0.75), (5.2, 1.5))}


def test_what_comes_from_outside_comes_in_either_drawing(drawn):
    for ax in drawn:
        entering = arrows(ax, figures.INK)
        assert len(entering) == 3
        for start, stop in entering:
            # From outside of it to the edge of a neuron.
            middles = np.array([(1.9, 3.3), (1.9, 0.95), (6.85, 2.1), (5.2, 2.1)])
            away = [np.linalg.norm(middles - place, axis=1).min() for place in (start, stop)]
            assert away[0] > away[1]


def test_a_phone_shows_every_label_with_at_least_nine_pixels(drawn):
    phone, wide = 342, 5.2 * 96  # px: the text column of a screen of 390, and the figure
    for ax in drawn:
        sizes = [text.get_fontsize() for text in ax.texts if text.get_text()]
        assert min(sizes) * phone / wide >= SMALLEST
