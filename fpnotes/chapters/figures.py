"""The house style of the book's figures, and the plots that more than one chapter draws."""

import hashlib
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpnotes._extras import needs
from fpnotes._inputs import check_count, check_real_array
from fpnotes._types import ArrayLike
from fpnotes.network import RateNetwork

with needs("figures", "fpnotes.chapters.figures"):
    import matplotlib.pyplot as plt
    from cycler import cycler
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#22272e"
MUTED = "#6b7480"
ACCENT = "#0a4a8f"
WARN = "#b3261e"
# For curves that are not rules: legible to colour-blind readers, and of different lightness in grey.
CYCLE = ("#0a4a8f", "#d55e00", "#2b95cc", "#7a4f9e", "#5d6b1e", "#22272e")
WIDTH = 6.9  # inches: the width of the text column


@dataclass(frozen=True)
class LineStyle:
    """How one learning rule is drawn through the whole book."""

    label: str
    color: str
    linestyle: str

    @property
    def line(self) -> dict[str, str]:
        """Keyword arguments for ``ax.plot``."""
        return {"color": self.color, "linestyle": self.linestyle, "label": self.label}


RULES = {
    "gradient": LineStyle(r"$\Delta W_1$, gradient", "#d55e00", "-"),
    "reparameterized": LineStyle(r"$\Delta W_2$, reparameterized", "#0a4a8f", "--"),
    "linearized": LineStyle(r"$\Delta W_3$, linearized", "#2b95cc", "-."),
    "linearized_without_gains": LineStyle(r"$\Delta W_4$, without gains", "#5c0f2e", ":"),
}


def use_style() -> None:
    """Set the house style for every figure of a notebook: call once, in its first cell."""
    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.2),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.labelsize": 10,
            "axes.labelcolor": INK,
            "axes.edgecolor": MUTED,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=CYCLE),
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "image.cmap": "cividis",
            "mathtext.fontset": "dejavusans",  # the size of the text beside it
            "svg.hashsalt": "fpnotes",
        }
    )
    try:
        shell = get_ipython()  # type: ignore[name-defined]
    except NameError:
        return
    if hasattr(shell, "kernel"):
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        # Pages show drawings in lines. Notebooks show pixels where drawings might hold scripts.
        set_matplotlib_formats("svg", "retina")
        if folder := os.environ.get("FPNOTES_FIGURES"):
            _keep_figures(shell.display_formatter.formatters["image/svg+xml"], Path(folder))


def _keep_figures(formatter, folder):
    """Keep each figure that a cell shows in a folder, named for its picture: slides lay it out once more."""
    draw = formatter.lookup_by_type(Figure)

    def drawn(figure):
        picture = draw(figure)
        if picture:
            # A page names its pictures in the same way.
            name = hashlib.sha256("\n".join(picture.splitlines()).encode()).hexdigest()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.pickle").write_bytes(pickle.dumps(figure))
        return picture

    formatter.for_type(Figure, drawn)


def eigenvalue_plane(ax: "Axes", eigenvalues: ArrayLike, radius: float | None = None) -> None:
    """Draw eigenvalues μ of GW in the complex plane, and the line they must stay left of.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    eigenvalues : (N,) complex array
    radius : float, optional
        Radius of a circle to draw about 0, such as the circular law's.
    """
    real, imag = np.real(eigenvalues), np.imag(eigenvalues)
    beyond = real >= 1
    for chosen, color, marker in ((~beyond, ACCENT, "o"), (beyond, WARN, "X")):
        ax.scatter(
            real[chosen],
            imag[chosen],
            s=14 if marker == "o" else 40,
            c=color,
            marker=marker,
            linewidths=0,
            alpha=0.8,
            zorder=3,
        )
    if radius is not None:
        ax.add_patch(Circle((0, 0), radius, fill=False, color=MUTED, linewidth=1))
    ax.axvline(1, color=WARN, linewidth=1.2, linestyle=":")
    ax.axhline(0, color=MUTED, linewidth=0.5, zorder=0)
    ax.set(xlabel=r"Re $\mu$", ylabel=r"Im $\mu$", aspect="equal")


def phase_plane(
    ax: "Axes",
    network: RateNetwork,
    x: ArrayLike,
    lim: tuple[float, float] = (-1.2, 1.2),
    grid: int = 121,
) -> None:
    """Draw the flow and the two nullclines of a network of two neurons.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    network : RateNetwork
        With N = 2.
    x : (2,) array_like
        Constant input.
    lim : (float, float)
        Range of both rates.
    grid : int
        Points per side at which the flow is evaluated.

    Raises
    ------
    ValueError, TypeError
        When the network has other than 2 neurons, or x or grid is not as above.
    """
    if network.n != 2:
        raise ValueError(f"network must have 2 neurons for a phase plane, not {network.n}")
    x = check_real_array("x", x)
    if x.shape != (2,):
        raise ValueError(f"x must be one input to 2 neurons, of shape (2,), not {x.shape}")
    grid = check_count("grid", grid, least=2)
    axis = np.linspace(lim[0], lim[1], grid)
    r = np.stack(np.meshgrid(axis, axis), axis=-1)
    flow = network.velocity(r, np.broadcast_to(x.astype(float), r.shape))
    # One width for all: a width that varies would draw each line as hundreds of pieces.
    style = {"color": "#b9c0c9", "density": 0.8, "linewidth": 0.9, "arrowsize": 0.7}
    ax.streamplot(axis, axis, flow[..., 0], flow[..., 1], **style)
    for i, color in enumerate(CYCLE[:2]):
        ax.contour(axis, axis, flow[..., i], levels=[0], colors=color, linewidths=1.8)
        ax.plot([], [], color=color, label=rf"$\dot r_{i + 1} = 0$")
    ax.set(xlabel=r"$r_1$", ylabel=r"$r_2$", xlim=lim, ylim=lim, aspect="equal")
