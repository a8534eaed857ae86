"""What the built book leaves out, and what it keeps."""

from types import SimpleNamespace

import lean
import pytest

PAGE = """<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>
<script src="../_static/kept.js"></script><div role="list" class="citation-list"></div>
<p>Solution to<a href="#ex"> Exercise 1</a></p>
<div class="proof dropdown admonition" id="proof">
<p>Proof. (1) Let it be.</p></div>"""


@pytest.fixture
def out(tmp_path):
    """A built book of one page, with something to drop beside something to keep."""
    for path in (
        "scripts/bootstrap.js.map",
        "scripts/fontawesome.js",
        "mathjax/tex-svg.js",
        "mathjax/sre/mathmaps/fr.json",
        "locales/fr/x.mo",
        "mathjax/tex-chtml.js",
        "mathjax/sre/mathmaps/en.json",
        "mathjax/output/chtml/fonts/woff-v2/a.woff",
    ):
        (tmp_path / "_static" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "_static" / path).touch()
    (tmp_path / "_static/scripts/bootstrap.js").write_text(
        "go();\n//# sourceMappingURL=bootstrap.js.map"
    )
    (tmp_path / "page.html").write_text(PAGE)
    return tmp_path


def test_what_no_page_uses_goes_and_the_rest_stays(out):
    lean.make_lean(SimpleNamespace(outdir=out, builder=SimpleNamespace(format="html")), None)
    static = out / "_static"
    assert {p.relative_to(static).as_posix() for p in static.rglob("*") if p.is_file()} == {
        "scripts/bootstrap.js",
        "mathjax/tex-chtml.js",
        "mathjax/sre/mathmaps/en.json",
        "mathjax/output/chtml/fonts/woff-v2/a.woff",
    }
    assert (static / "scripts/bootstrap.js").read_text().strip() == "go();"
    page = (out / "page.html").read_text()
    assert "fontawesome" not in page and "kept.js" in page
    assert '<div class="citation-list">' in page
    assert 'Solution to <a href="#ex">Exercise 1</a>' in page
    assert '<p class="admonition-title">Proof</p>\n<p>(1) Let it be.</p>' in page


@pytest.mark.parametrize(("kind", "error"), [("latex", None), ("html", ValueError())])
def test_other_builds_and_failed_ones_are_left_alone(out, kind, error):
    lean.make_lean(SimpleNamespace(outdir=out, builder=SimpleNamespace(format=kind)), error)
    assert (out / "page.html").read_text() == PAGE
