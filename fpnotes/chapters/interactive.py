"""A slider that works in a page with no kernel, and computes afresh with one.

Without a kernel nobody can compute, so every frame is drawn when the book is built, and a native range
input chooses among them. In JupyterLab the same call shows widgets, with the same values, that call
``draw`` anew.
"""

import html
import io
import itertools
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fpnotes._extras import needs
from fpnotes._inputs import check_real_array
from fpnotes._types import ArrayLike

with needs("chapters", "fpnotes.chapters.interactive"):
    import matplotlib.pyplot as plt
    from IPython.display import HTML, display
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

# Moves one slider's picture, its text for those who cannot see it, and the value beside it.
SCRIPT = """\
(figure => {
  const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const image = figure.querySelector("img");
  const inputs = [...figure.querySelectorAll("input")];
  const show = () => {
    const frame = inputs.reduce((k, input) => k * (+input.max + 1) + +input.value, 0);
    image.src = "data:image/svg+xml," + encodeURIComponent(data.frames[frame]);
    image.alt = data.alts[frame];
    inputs.forEach((input, i) => {
      const value = data.values[i][input.value];
      input.nextElementSibling.value = value;
      input.setAttribute("aria-valuetext", value);
    });
  };
  inputs.forEach(input => input.addEventListener("input", show));
  figure.querySelector(".explore-controls").hidden = false;
  show();
})(document.currentScript.parentElement);
"""


def live() -> bool:
    """Return whether somebody watches, as in JupyterLab, and not when a page is built.

    Jupyter's server tells a kernel which notebook it serves; a kernel that builds a page has none.
    """
    return "JPY_SESSION_NAME" in os.environ


def explore(
    draw: Callable[..., Figure],
    *,
    alt: Callable[..., str],
    labels: dict[str, str] | None = None,
    **grids: ArrayLike,
) -> Any:
    """Show a figure that follows one or two parameters.

    Parameters
    ----------
    draw : callable
        ``draw(**values)`` makes a Matplotlib figure for one value of each parameter and returns it.
    alt : callable
        ``alt(**values)`` returns a sentence that says what that figure shows, for readers who cannot see it.
    labels : dict, optional
        What to call a parameter in the page; by default its own name.
    **grids : (k,) array_like
        One or two parameters, each with the values it can take. The first of each is shown
        first, and in print.

    Returns
    -------
    Page or None
        The last expression of a cell. Under a live kernel the widgets are displayed instead: a slider for
        each grid, which stops at its values and redraws when it is released.

    Raises
    ------
    ValueError
        If there is not one parameter, or two, or a grid has fewer than two values.
    TypeError
        If draw does not return a figure.
    """
    if not 1 <= len(grids) <= 2:
        raise ValueError(f"explore takes one or two parameters with their grids, not {len(grids)}")
    values = {name: check_real_array(name, grid) for name, grid in grids.items()}
    for name, grid in values.items():
        if grid.ndim != 1 or len(grid) < 2:
            raise ValueError(f"{name} must be a list of at least two values, not {grid!r}")
    names = {name: (labels or {}).get(name, name) for name in values}
    if live():
        return _widgets(draw, values, names)
    return Page(draw, alt, values, names)


class Page(HTML):
    """A figure and its sliders as HTML that needs nothing else, or its first frame where only pixels show."""

    def __init__(
        self,
        draw: Callable[..., Figure],
        alt: Callable[..., str],
        values: dict[str, Any],
        names: dict[str, str],
    ):
        points = [
            dict(zip(values, map(float, point), strict=True))
            for point in itertools.product(*values.values())
        ]
        figures = (_figure(draw, **point) for point in points)
        first = next(figures)
        buffer = io.BytesIO()
        first.savefig(buffer, format="png", dpi=2 * first.dpi)
        self.png: bytes = buffer.getvalue()
        frames = [_svg(figure) for figure in itertools.chain([first], figures)]
        super().__init__(_page(frames, [alt(**point) for point in points], values, names))

    def _repr_png_(self):
        return self.png


def _figure(draw, **values):
    figure = draw(**values)
    if not isinstance(figure, Figure):
        raise TypeError(f"draw must return a Matplotlib figure, not {type(figure).__name__}")
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=0.1)  # inches: a phone shows figures a little wider than its screen
    plt.close(figure)
    return figure


def _shown(value):
    return f"{value:.4g}".replace("-", "−")


def _svg(figure):
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _page(frames, alts, values, names):
    """Return the frames and their sliders as HTML that needs nothing else."""
    data = {
        "frames": frames,
        "alts": alts,
        "values": [[_shown(value) for value in grid] for grid in values.values()],
    }
    controls = "".join(
        '<label style="display: flex; gap: 0.75em; align-items: center; padding: 0.4em 0">'
        f'<span style="min-width: 5em">{html.escape(names[name])}</span>'
        f'<input type="range" min="0" max="{len(grid) - 1}" value="0" '
        'style="flex: 1; min-width: 0">'
        f'<output style="min-width: 4em">{data["values"][i][0]}</output></label>'
        for i, (name, grid) in enumerate(values.items())
    )
    # A "</" would end the script element early.
    packed = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    return (
        '<figure class="explore" style="margin: 1em auto; width: fit-content; max-width: 100%">'
        f'<img src="data:image/svg+xml,{quote(frames[0])}" '
        f'alt="{html.escape(alts[0])}" style="max-width: 100%; height: auto">'
        f'<div class="explore-controls" hidden>{controls}</div>'
        f'<script type="application/json">{packed}</script><script>{SCRIPT}</script></figure>'
    )


def _widgets(draw, values, names):
    """Display sliders that compute each figure when it is asked for."""
    with needs("chapters", "explore under a live kernel"):
        import ipywidgets

    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(_shown(value), float(value)) for value in grid],
            value=float(grid[0]),
            description=names[name],
            continuous_update=False,
        )
        for name, grid in values.items()
    }
    picture = ipywidgets.interactive_output(lambda **now: display(_figure(draw, **now)), sliders)
    display(ipywidgets.VBox([picture, *sliders.values()]))
