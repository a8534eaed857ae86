"""A chapter's figures, laid out once more in the shape of a slide.

While the book is built, each figure that a cell shows is kept under its picture's name (``use_style`` of
``fpnotes.chapters.figures`` sees to it). Here it gets the shape of its place on a slide, and Matplotlib lays
it out anew. It is shown at a size at which its smallest label can be read from the last row.
"""

import io
import pickle

import matplotlib.pyplot as plt
from matplotlib.gridspec import GridSpec

from fpnotes.chapters.figures import use_style

PIXELS = 118  # of a slide per inch of a figure: a label of 9 points is 14.75 pixels high
BESIDE, TALL, BELOW = (810, 500), (810, 575), (1190, 430)  # pixels, by where the caption stands
FLAT = 2.3  # times as wide as high: the caption is below
# Figures whose panels stand one above the other on a page, and side by side on a slide. Neither their
# captions nor their descriptions say which is where.
ACROSS = {
    "fig-beyond-memory",
    "fig-brains-scatter",
    "fig-linear-fifteen",
    "fig-mnist-euler",
    "fig-slices",
    "fig-unit-balls",
}


def redrawn(file, across=False):
    """Return a kept figure as SVG, its size on the slide in pixels, and what kind of slide it makes."""
    use_style()
    figure = pickle.loads(file.read_bytes())
    plt.close(figure)
    wide, high = figure.get_size_inches()
    kind, size = ("tall", TALL) if high >= wide else ("beside", BESIDE)
    if across or wide > FLAT * high:
        kind, size = "below", BELOW
    if across:
        lay_across(figure)
    figure.set_size_inches(*(side / PIXELS for side in size))
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :], size, kind


def lay_across(figure):
    """Put the panels of a column side by side, more than three of them in two rows, each with its labels."""
    axes = [ax for ax in figure.axes if ax.get_subplotspec()]
    rows = 1 if len(axes) < 4 else 2
    grid = GridSpec(rows, -(-len(axes) // rows), figure=figure)
    for ax, place in zip(axes, grid, strict=False):
        ax.set_subplotspec(place)
        ax.tick_params(labelbottom=True, labelleft=True)
        ax.set_xlabel(axes[-1].get_xlabel())
