"""The built book: every link leads somewhere, every reference is resolved, each image described."""

from pathlib import Path

import pytest
import toc
from bs4 import BeautifulSoup

from tests.site.pages import faults, read

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = [p for p in sorted(HTML.glob("**/*.html")) if "_static" not in p.parts]
MISSING = HTML / "index.html"  # stands for all pages when there is none


@pytest.mark.parametrize("page", PAGES or [MISSING], ids=lambda p: p.relative_to(HTML).as_posix())
def test_page(page):
    assert page.exists(), "there is no built book in _build/html: run `make book`"
    found = faults(read(page), page, HTML)
    assert not found, "\n".join(found)


def test_the_first_page_lists_every_other():
    listed = {str(a["href"]) for a in read(HTML / "book/intro.html").select("article table a")}
    assert listed == {f"{Path(name).name}.html" for name in toc.pages()[1:]}


GOOD = """
<article><h1 id="top">Title</h1><h2>Part</h2>
<p>It costs $5. <a href="other.html?v=1#place">other</a> <a href="#top">up</a> <a href="#">menu</a>
<a href="https://example.org/x#y">out</a> <code>{eq}`eq-a` $x$ ::: ???</code>
<span class="math">\\(\\frac{a}{b}\\)</span> <code class="xref py">numpy.ndarray</code>
<a href="#top"><span class="xref">resolved</span></a></p>
<img src="plot.png" alt="The loss falls with/without noise."></article>
"""


def look(folder, html):
    """Return the faults of a page that is built from some HTML."""
    (folder / "plot.png").touch()
    (folder / "other.html").write_text('<p id="place">Here.</p>')
    (folder / "page.html").write_text(html)
    return faults(BeautifulSoup(html, "html.parser"), folder / "page.html", folder)


def test_a_good_page_has_no_faults(tmp_path):
    assert look(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ('<a href="gone.html">x</a>', "gone.html: no such file"),
        ('<a href="other.html#gone">x</a>', "other.html#gone: no such place"),
        ('<a href="#gone">x</a>', "#gone: no such place"),
        ('<a href="/page.html">x</a>', "/page.html: leads out of the book"),
        ('<a href="../page.html">x</a>', "../page.html: leads out of the book"),
        ('<script src="gone.js"></script>', "gone.js: no such file"),
        ('<img src="plot.png" srcset="gone.png 2x" alt="A plot.">', "gone.png: no such file"),
        ('<meta http-equiv="Refresh" content="0; url=gone.html">', "gone.html: no such file"),
        ('<code class="xref std std-ref">fig-x</code>', "unresolved: fig-x"),
        ('<code class="xref py py-func">fpnotes.solve</code>', "unresolved: fpnotes.solve"),
        ('<span class="problematic">:eq:</span>', "unresolved: :eq:"),
        ("see equation ???", "an unresolved reference as text"),
        ("see (?)", "an unresolved reference as text"),
        ("as shown in []", "an unresolved reference as text"),
        ("{eq}`eq-a`", "a role as text"),
        ("```{note}", "a directive as text"),
        (":::{note}", "a directive as text"),
        (":label: eq-a", "an option as text"),
        ("(sec-a)= ", "a target as text"),
        ("x = 1 (eq-a)", "a target as text"),
        ("[figure](#fig-x)", "a link as text"),
        ("the matrix $W$", "math as text"),
        ("the matrix \\(W\\)", "math as text"),
        ('<img src="plot.png">', "plot.png: alt text ''"),
        ('<img src="plot.png" alt=" ">', "plot.png: alt text ''"),
        ('<img src="plot.png" alt="../_images/plot">', "plot.png: alt text '../_images/plot'"),
        ('<img src="plot.png" alt="plot.png">', "plot.png: alt text 'plot.png'"),
        ("<h1>Second</h1>", "one h1, and first"),
        ("<h4>Deep</h4>", "h4 follows h2"),
    ],
)
def test_each_fault_is_found(tmp_path, planted, fault):
    found = look(tmp_path, GOOD.replace("</article>", f"<p>{planted}</p></article>"))
    assert len(found) == 1 and fault in found[0], found
