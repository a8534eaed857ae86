"""Draw the book's cover, logo and icon: ``python book/assets/make_assets.py``.

The cover is the figure of the book's first page, drawn by that page's own code.
"""

from pathlib import Path

import jupytext
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from PIL import Image

HERE = Path(__file__).parent
NAVY, GOLD = "#0b2347", "#ffd84d"


def cover(path):
    """Draw the map of the first page, 1200 × 630 at double resolution, with the title beside it."""
    page = {}
    for cell in jupytext.read(HERE.parent / "intro.md").cells:
        if cell.cell_type == "code":
            exec(cell.source, page)
    plt.close("all")
    fig = plt.figure(figsize=(12, 6.3), layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    height, left = 0.78, -2.25
    right = left + 2 * height * 12 / 6.3
    t1, t2 = np.linspace(left, right, 1200), np.linspace(-height, height, 630)
    page["landscape"](ax, t1, t2, size=2.1)
    ax.set_aspect("auto")
    veil = LinearSegmentedColormap.from_list("veil", [(0, NAVY), (1, (0.043, 0.137, 0.278, 0))])
    shade = np.clip((np.linspace(0, 1, 600) - 0.4) / 0.2, 0, 1)[None]
    ax.imshow(shade, cmap=veil, extent=ax.get_xlim() + ax.get_ylim(), zorder=9, aspect="auto")
    fig.text(
        0.05, 0.63, "Learning\nFixed Points", size=50, weight="bold", color="white", va="center"
    )
    fig.text(0.052, 0.335, "An executable book on training\nrecurrent neural networks at rest",
             size=19, color="#cfd9e6", va="center", linespacing=1.5)  # fmt: skip
    fig.text(0.052, 0.16, "fpnotes", size=19, color=GOLD, va="center", family="monospace")
    fig.savefig(path, dpi=200)
    plt.close(fig)
    # A palette instead of full color keeps the file small.
    Image.open(path).convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def mark(turns, ratio, stroke, dot, size=64, margin=12):
    """Return the mark: the cobweb of r ← −ratio · r, winding to its fixed point on the diagonal."""
    r = (-ratio) ** np.arange(turns + 1)
    corners = np.repeat(r, 2)
    scale = (size - 2 * margin) / (1 + ratio)

    def place(a, b):
        """Return a point as SVG writes it: it counts downward."""
        return f"{margin + scale * (a + ratio):.1f},{size - margin - scale * (b + ratio):.1f}"

    line = " ".join(map(place, corners[:-1], corners[1:]))
    x, y = place(0, 0).split(",")
    return (
        f'<path d="M{place(-ratio, -ratio)}L{place(1, 1)}" stroke="{GOLD}" opacity="0.55" '
        f'stroke-width="{stroke / 2}" stroke-linecap="round"/>'
        f'<polyline points="{line}" fill="none" stroke="#fff" stroke-width="{stroke}" '
        f'stroke-linejoin="round" stroke-linecap="round"/>'
        f'<circle cx="{x}" cy="{y}" r="{dot}" fill="{GOLD}"/>'
    )


def lettering(text, x, y, size):
    """Return a line of text as outlines, which need no font where they are shown."""
    outline = TextPath((0, 0), text, size=size, prop=FontProperties(weight="bold"))
    path = ""
    for points, code in outline.iter_segments():
        at = [f"{x + a:.1f} {y - b:.1f}" for a, b in points.reshape(-1, 2)]
        path += "Z" if code == Outline.CLOSEPOLY else " MLQC"[code] + " ".join(at)
    return f'<path d="{path}" fill="#fff"/>'


def svg(width, label, content):
    """Return a picture 64 high on a dark tile, which shows on light and on dark pages."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 64" role="img" '
        f'aria-label="{label}"><rect width="{width}" height="64" rx="14" fill="{NAVY}"/>'
        f"{content}</svg>\n"
    )


def favicon():
    """Return the icon, bold enough for 16 pixels."""
    return svg(64, "A cobweb diagram", mark(turns=2, ratio=0.72, stroke=6, dot=8))


def logo():
    """Return the mark with the book's title beside it."""
    title = lettering("Learning", 68, 28, 20) + lettering("Fixed Points", 68, 50, 20)
    return svg(216, "Learning Fixed Points", mark(turns=6, ratio=0.78, stroke=2.6, dot=3.6) + title)


MARKS = {"logo.svg": logo, "favicon.svg": favicon}

if __name__ == "__main__":
    for name, draw in MARKS.items():
        (HERE / name).write_text(draw())
    cover(HERE / "cover.png")
