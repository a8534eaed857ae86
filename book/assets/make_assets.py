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
from PIL import Image

HERE = Path(__file__).parent
NAVY, GOLD = "#0b2347", "#ffd84d"
MARKS = {
    "logo.svg": {"turns": 6, "ratio": 0.78, "stroke": 2.6, "dot": 3.6},
    "favicon.svg": {"turns": 2, "ratio": 0.72, "stroke": 6, "dot": 8},  # legible at 16 pixels
}


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


def logo(path, turns, ratio, stroke, dot, size=64, margin=12):
    """Write the mark: the cobweb of r ← −ratio · r, winding to its fixed point on the diagonal."""
    r = (-ratio) ** np.arange(turns + 1)
    corners = np.repeat(r, 2)
    scale = (size - 2 * margin) / (1 + ratio)

    def place(a, b):
        """Return a point as SVG writes it: it counts downward."""
        return f"{margin + scale * (a + ratio):.1f},{size - margin - scale * (b + ratio):.1f}"

    line = " ".join(map(place, corners[:-1], corners[1:]))
    x, y = place(0, 0).split(",")
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="A cobweb diagram that winds to its fixed point">'
        f'<rect width="{size}" height="{size}" rx="14" fill="{NAVY}"/>'
        f'<path d="M{place(-ratio, -ratio)}L{place(1, 1)}" stroke="{GOLD}" opacity="0.55" '
        f'stroke-width="{stroke / 2}" stroke-linecap="round"/>'
        f'<polyline points="{line}" fill="none" stroke="#fff" stroke-width="{stroke}" '
        f'stroke-linejoin="round" stroke-linecap="round"/>'
        f'<circle cx="{x}" cy="{y}" r="{dot}" fill="{GOLD}"/></svg>\n'
    )


if __name__ == "__main__":
    for name, options in MARKS.items():
        logo(HERE / name, **options)
    cover(HERE / "cover.png")
