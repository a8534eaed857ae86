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

PIXELS = 125  # of a slide per inch of a figure: a label of 9 points is 15.6 pixels high
BESIDE, ABOVE = (
    (810, 500),
    (1190, 420),
)  # pixels: of a figure that is beside its caption, or above it
FLAT = 2.3  # times as wide as high: above its caption


def redrawn(file):
    """Return a kept figure as SVG, its size on the slide in pixels, and whether its caption is below it."""
    use_style()
    figure = pickle.loads(file.read_bytes())
    plt.close(figure)
    wide, high = figure.get_size_inches()
    rows, columns = shape(figure)
    turned = rows > max(2, columns)
    if turned:
        turn(figure, rows, columns)
    below = turned or wide / high > FLAT
    size = ABOVE if below else BESIDE
    figure.set_size_inches(*(side / PIXELS for side in size))
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :], size, below


def grids(figure):
    """Return the axes that stand in the figure's grid, without those of color bars."""
    return [ax for ax in figure.axes if ax.get_subplotspec() and not hasattr(ax, "_colorbar")]


def shape(figure):
    """Return how many rows and columns of axes a figure has."""
    for ax in grids(figure):
        return ax.get_subplotspec().get_gridspec().get_geometry()
    return 1, 1


def turn(figure, rows, columns):
    """Make the rows of a figure that is higher than wide its columns: what they share, each of them says."""
    old = grids(figure)[0].get_subplotspec().get_gridspec()
    new = GridSpec(columns, rows, figure=figure, width_ratios=old.get_height_ratios())
    axes = grids(figure)
    for ax in axes:
        spec = ax.get_subplotspec()
        rows_, columns_ = spec.rowspan, spec.colspan
        ax.set_subplotspec(new[columns_.start : columns_.stop, rows_.start : rows_.stop])
        ax.xaxis.set_tick_params(labelbottom=True)
        ax.yaxis.set_tick_params(labelleft=True)
    for ax in axes:
        lowest = [other for other in axes if other.get_shared_x_axes().joined(ax, other)]
        for other in lowest:
            if not ax.get_xlabel():
                ax.set_xlabel(other.get_xlabel())
