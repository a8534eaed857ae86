"""One drawing of a network: what neurons send forward, and what their errors send backward.

Both directions are drawn by one function, so that every connection keeps its place and its name.
"""

from typing import TYPE_CHECKING

import numpy as np

from fpnotes._extras import needs

with needs("figures", "fpnotes.chapters.diagrams"):
    from matplotlib.patches import Circle, FancyBboxPatch

    from fpnotes.chapters.figures import ACCENT, CYCLE, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SENDERS = {"j": (1.9, 3.3), "k": (1.9, 0.95)}  # the middles of two neurons
LEFT, MIDDLE, RIGHT = (5.2, 2.1), (6.85, 2.1), (8.4, 2.1)  # places in the third, neuron i
FONT = 12.5  # at least 9 px where a phone shows a figure of 5.2 inches


def draw_network(ax: "Axes", *, errors: bool = False) -> None:
    """Draw neurons j and k that send to neuron i, and i that sends back to j.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Wide: about 5.2 by 2.2 inches.
    errors : bool
        Draw what flows backward in place of what flows forward: the error that a neuron is given, e, its
        full responsibility, λ, and what it passes on, gλ, against the direction of every connection.
    """
    color = CYCLE[1] if errors else ACCENT

    def arrow(start, stop, bend=0.0, color=color):
        if errors and color != INK:
            start, stop, bend = stop, start, -bend
        style = f"arc3,rad={bend}"
        look = {"arrowstyle": "-|>", "color": color, "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", stop, start, arrowprops=look | {"connectionstyle": style})

    def write(place, text, **options):
        x, y = place
        ax.text(x, y, text, **{"fontsize": FONT, "ha": "center", "va": "center"} | options)

    for name, (x, y) in SENDERS.items():
        ax.add_patch(Circle((x, y), 0.56, facecolor="white", edgecolor=INK, lw=1.3))
        write((x, y), rf"$\lambda_{name}$" if errors else f"$r_{name}$")
        write((x, y - 0.85), f"neuron ${name}$", fontsize=10.5, color=MUTED)
        # What comes from outside comes in either drawing.
        arrow((0.75, y), (x - 0.56, y), color=INK)
        write((0.45, y), f"$e_{name}$" if errors else f"$x_{name}$")
    box = FancyBboxPatch((4.6, 1.5), 4.4, 1.2, boxstyle="round,pad=0,rounding_size=0.5")
    box.set(facecolor="white", edgecolor=INK, linewidth=1.3)
    ax.add_patch(box)
    write((6.85, 1.2), "neuron $i$", fontsize=10.5, color=MUTED, va="top")

    arrow((2.46, 3.3), (4.62, 2.35))
    arrow((2.46, 0.95), (4.62, 1.85))
    write((3.75, 3.15), "$W_{ij}$", color=color)
    write((3.75, 1.0), "$W_{ik}$", color=color)
    arrow((8.4, 2.7), (2.4, 3.62), bend=0.22)
    write((5.4, 4.25), "$W_{ji}$", color=color)
    for start, stop in ((5.75, 6.4), (7.3, 7.95)):
        arrow((start, 2.1), (stop, 2.1))
    frame = FancyBboxPatch((6.4, 1.65), 0.9, 0.9, boxstyle="square,pad=0")
    frame.set(facecolor="white", edgecolor=MUTED, linewidth=1)
    ax.add_patch(frame)
    if errors:
        write(LEFT, r"$g_i\lambda_i$")
        write(MIDDLE, r"$\times g_i$")
        write(RIGHT, r"$\lambda_i$")
        arrow((10.0, 2.1), (9.0, 2.1), color=INK)
        write((10.3, 2.1), "$e_i$")
        arrow((5.2, 0.75), (5.2, 1.5))
        write((5.2, 0.4), r"$\partial J/\partial x_i$", color=color)
    else:
        write(LEFT, "$z_i$")
        t = np.linspace(-1, 1, 41)
        ax.plot(6.85 + 0.36 * t, 2.1 + 0.32 * np.tanh(2.5 * t), color=MUTED, lw=1.4)
        write((6.6, 2.3), "$f$", fontsize=11.5)
        write(RIGHT, "$r_i$")
        arrow((9.0, 2.1), (10.3, 2.1))
        arrow((5.2, 0.75), (5.2, 1.5), color=INK)
        write((5.2, 0.42), "$x_i$")
    ax.set(xlim=(0.1, 10.6), ylim=(-0.1, 4.7), aspect="equal")
    ax.axis("off")
