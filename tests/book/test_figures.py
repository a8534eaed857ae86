"""The house style and the shared plots: they draw what they are given, and warn of nothing."""

import subprocess
import sys
from itertools import combinations

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.contour import QuadContourSet

import fpnotes as fp
from fpnotes.activations import as_activation
from fpnotes.chapters import figures


@pytest.fixture
def ax():
    with plt.rc_context():
        figures.use_style()
        fig, ax = plt.subplots()
        yield ax
        fig.canvas.draw()  # a figure may fail, or warn, only when it is drawn
        plt.close(fig)


def test_style_twice_is_style_once():
    with plt.rc_context():
        figures.use_style()
        once = dict(plt.rcParams)
        figures.use_style()
        assert dict(plt.rcParams) == once
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == list(figures.CYCLE)


def test_works_without_ipython():
    """In a plain interpreter, with IPython made impossible to import."""
    code = (
        "import sys; sys.modules['IPython'] = sys.modules['matplotlib_inline'] = None\n"
        "import matplotlib; matplotlib.use('agg')\n"
        "from fpnotes.chapters import figures; figures.use_style(); print('styled')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "styled\n", done.stderr


def test_inside_a_notebook_figures_are_lines_and_pixels(monkeypatch):
    class Shell:
        kernel = object()

    formats = []
    monkeypatch.setattr("builtins.get_ipython", Shell, raising=False)
    monkeypatch.setattr(
        "matplotlib_inline.backend_inline.set_matplotlib_formats", lambda *f: formats.extend(f)
    )
    with plt.rc_context():
        figures.use_style()
    assert formats == ["svg", "retina"]


def test_every_rule_has_its_own_line():
    styles = list(figures.RULES.values())
    for field in ("label", "color", "linestyle"):
        assert len({getattr(style, field) for style in styles}) == len(styles)
    assert set(figures.RULES["gradient"].line) == {"color", "linestyle", "label"}


def linear_rgb(color):
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(color):
    return linear_rgb(color) @ [0.2126, 0.7152, 0.0722]


def test_colors_differ_in_lightness_from_the_page():
    """WCAG asks a contrast of 3:1 of graphics: curves must be seen on white."""
    rules = [style.color for style in figures.RULES.values()]
    for color in (*figures.CYCLE, *rules, figures.INK, figures.MUTED, figures.ACCENT, figures.WARN):
        assert 1.05 / (luminance(color) + 0.05) >= 3, color


# What is left of linear RGB without one kind of cone: Machado, Oliveira and Fernandes 2009, severity 1.
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(rgb):
    """Return CIELAB coordinates of linear sRGB: a distance of 2 is just seen, one of 20 is plain."""
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    t = xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_rules_are_told_apart_by_every_eye(sight):
    """Colours of any two rules differ plainly, whichever cones a reader has."""
    seen = [lab(np.array(SIGHT[sight]) @ linear_rgb(s.color)) for s in figures.RULES.values()]
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(one - other) > 20


def test_rules_are_told_apart_in_grey():
    """Two rules of one lightness, which grey shows alike, are not both solid, or both broken lines."""
    for one, other in combinations(figures.RULES.values(), 2):
        lightness = [lab(np.full(3, luminance(style.color)))[0] for style in (one, other)]
        solid = [style.linestyle == "-" for style in (one, other)]
        assert abs(lightness[0] - lightness[1]) > 10 or solid[0] != solid[1]


class TestEigenvaluePlane:
    def test_draws_each_eigenvalue_once_and_those_beyond_1_as_crosses(self, ax):
        values = np.array([0.5 + 0.5j, 0.5 - 0.5j, -2, 1.5, 1.0])
        figures.eigenvalue_plane(ax, values, radius=1.2)
        left, right = (c.get_offsets() for c in ax.collections)
        np.testing.assert_array_equal(left, [[0.5, 0.5], [0.5, -0.5], [-2, 0]])
        np.testing.assert_array_equal(right, [[1.5, 0], [1, 0]])
        assert ax.patches[0].radius == 1.2

    @pytest.mark.parametrize("values", [[0.2, 0.3], [2.0], [0.1 + 1j]])
    def test_all_on_one_side_and_plain_lists(self, ax, values):
        figures.eigenvalue_plane(ax, values)
        assert sum(len(c.get_offsets()) for c in ax.collections) == len(values)
        assert not ax.patches


class TestPhasePlane:
    @pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
    def test_nullclines_pass_through_the_fixed_point(self, ax, activation):
        network = fp.RateNetwork(np.array([[0.3, -0.8], [0.6, 0.2]]), as_activation(activation))
        figures.phase_plane(ax, network, [0.4, 0.1])
        point = fp.solve(network.W, [0.4, 0.1], activation)
        assert ax.get_xlim() == ax.get_ylim() == (-1.2, 1.2)
        nullclines = [c for c in ax.collections if isinstance(c, QuadContourSet)]
        assert len(nullclines) == 2
        for curve in nullclines:
            vertices = np.concatenate([p.vertices for p in curve.get_paths()])
            gap = np.linalg.norm(vertices - point.r, axis=1).min()
            assert gap < 2.4 / 240, "further off than the grid is wide"

    def test_legend_names_both(self, ax):
        figures.phase_plane(ax, fp.RateNetwork(np.eye(2) / 2), np.zeros(2), lim=(-2, 2), grid=41)
        labels = ax.get_legend_handles_labels()[1]
        assert labels == [r"$\dot r_1 = 0$", r"$\dot r_2 = 0$"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros(3)}, r"^x must be one input to 2 neurons, of shape \(2,\), not \(3,\)"),
        ({"x": np.zeros((41, 2))}, "^x must be one input to 2 neurons"),  # it would broadcast
        ({"x": [0, np.nan]}, "^x must be finite"),
        ({"grid": 1}, "^grid must be at least 2"),
        ({"grid": 41.0}, "^grid must be a whole number"),
    ],
)
def test_wrong_arguments_of_a_phase_plane_are_named(change, message, ax):
    given = {"x": np.zeros(2), "grid": 41, **change}
    with pytest.raises((ValueError, TypeError), match=message):
        figures.phase_plane(ax, fp.RateNetwork(np.eye(2) / 2), **given)


def test_a_phase_plane_wants_two_neurons():
    with pytest.raises(ValueError, match="network must have 2 neurons"):
        figures.phase_plane(None, fp.RateNetwork(np.eye(3)), np.zeros(3))
