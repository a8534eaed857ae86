"""The page of equations is made from the chapters and the tests, and follows when they change."""

from io import StringIO

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

CHAPTER = """\
# Stability

$$ r = W r $$ (eq-one)

```{prf:theorem} A claim
:label: thm-two
It holds.
```
"""
TESTS = '''
import pytest

@pytest.mark.checks("eq-one")
def test_one():
    """The point $r$ is fixed."""
'''


@pytest.fixture
def build(tmp_path):
    """A book of one chapter and the page; returns a function that builds it."""
    (tmp_path / "book").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "index.md").write_text("# Book\n\n```{toctree}\nbook/one\nbook/equations\n```\n")
    (tmp_path / "book" / "one.md").write_text(CHAPTER)
    (tmp_path / "book" / "equations.md").write_text("# Equations\n\n```{equation-checks}\n```\n")
    (tmp_path / "tests" / "test_one.py").write_text(TESTS)
    settings = {
        "extensions": ["myst_parser", "sphinx_proof", "equations"],
        "myst_enable_extensions": ["amsmath", "dollarmath"],
        "nitpicky": True,
        "numfig": True,
    }

    def make():
        warnings, output = StringIO(), tmp_path / "html"
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                tmp_path, None, output, tmp_path / "trees", "html", settings, None, warnings
            )
            app.build()
        page = BeautifulSoup((output / "book" / "equations.html").read_text(), "html.parser")
        return page, warnings.getvalue()

    return make


def test_each_statement_has_a_row_that_links_to_it_and_names_its_tests(build):
    page, warnings = build()
    assert warnings == ""
    one, two = page.select("tbody tr")
    assert (one["id"], two["id"]) == ("check-eq-one", "check-thm-two")
    (chapter,) = page.select("p.rubric a")
    assert (chapter["href"], chapter.get_text()) == ("one.html", "Stability")
    assert [a["href"] for a in one("a")] == ["one.html#equation-eq-one"]
    assert [a["href"] for a in two("a")] == ["one.html#thm-two"]
    assert [a.get_text() for a in two("a")] == ["Theorem 1"]
    assert one.select_one(".math") and "test_one.py::test_one" in one.get_text()
    assert "not checked" in two.get_text()


def test_a_mark_beside_an_equation_says_what_is_tested_and_leads_to_its_row(build, tmp_path):
    more = f"{CHAPTER}\n$$ x = y $$ (eq-untested)\n"
    (tmp_path / "book" / "one.md").write_text(more)
    build()
    chapter = BeautifulSoup((tmp_path / "html" / "book" / "one.html").read_text(), "html.parser")
    (mark,) = chapter.select("p.checked a")
    assert mark["href"] == "equations.html#check-eq-one"
    assert mark["title"] == "Tested: The point r is fixed."
    equation = mark.find_previous("div", class_="math")
    assert equation is not None and equation["id"] == "equation-eq-one"


def test_the_page_follows_the_tests(build, tmp_path):
    build()
    new = '@pytest.mark.checks("thm-two")\ndef test_two():\n    """The claim holds."""\n'
    (tmp_path / "tests" / "test_two.py").write_text("import pytest\n" + new)
    page, warnings = build()
    assert warnings == ""
    assert "The claim holds. (test_two.py::test_two)" in page.select("tbody tr")[1].get_text()


@pytest.mark.parametrize(
    "unseen", ["\\begin{align}\nx\n\\end{align}", "```{prf:lemma} Unnamed\nIt holds.\n```"]
)
def test_a_number_that_nothing_can_check_is_a_warning(build, tmp_path, unseen):
    (tmp_path / "book" / "one.md").write_text(f"{CHAPTER}\n{unseen}\n")
    _, warnings = build()
    assert "one.md: WARNING: a numbered" in warnings


CLAIMS = """
## What we now know

- It holds, as said. {claim}`thm-two, clm-own`
"""


def test_a_claim_shows_on_what_it_rests(build, tmp_path):
    (tmp_path / "book" / "one.md").write_text(CHAPTER + CLAIMS)
    new = '@pytest.mark.checks("clm-own")\ndef test_own():\n    """It holds in all cases."""\n'
    (tmp_path / "tests" / "test_two.py").write_text("import pytest\n" + new)
    page, warnings = build()
    assert warnings == ""
    row = page.select_one("#check-clm-own")
    assert row is not None
    statement, tests = row("td")
    assert statement.get_text(strip=True) == "It holds, as said."
    assert tests.get_text(strip=True) == "It holds in all cases. (test_two.py::test_own)"
    chapter = BeautifulSoup((tmp_path / "html" / "book" / "one.html").read_text(), "html.parser")
    theorem, own = chapter.select(".claim a")
    assert theorem["href"] == "#thm-two"
    assert own["href"] == "equations.html#check-clm-own"
    assert own["title"] == "Tested: It holds in all cases."


def test_a_point_of_a_summary_without_a_label_is_a_warning(build, tmp_path):
    bare = CLAIMS.replace("{claim}`thm-two, clm-own`", "")
    (tmp_path / "book" / "one.md").write_text(CHAPTER + bare)
    _, warnings = build()
    assert "one.md:12: WARNING: a point of the summary names no label: It holds" in warnings


def test_equations_of_the_notation_have_its_letter(build, tmp_path):
    (tmp_path / "book" / "notation.md").write_text("# Notation\n\n$$ a = b $$ (eq-same)\n")
    (tmp_path / "book" / "one.md").write_text(CHAPTER + "\nBy {eq}`eq-same` and {eq}`eq-one`.\n")
    toc = "# Book\n\n```{toctree}\nbook/notation\nbook/equations\n```\n\n"
    numbered = "```{toctree}\n:numbered:\nbook/one\n```\n"
    (tmp_path / "index.md").write_text(toc + numbered)
    build()
    pages = {
        name: BeautifulSoup(
            (tmp_path / "html" / "book" / f"{name}.html").read_text(), "html.parser"
        )
        for name in ("notation", "one")
    }
    assert [n.get_text()[:5] for n in pages["notation"].select(".eqno")] == ["(N.1)"]
    assert [n.get_text()[:5] for n in pages["one"].select(".eqno")] == ["(1.1)"]
    references = pages["one"].select("p > a.reference[href*=equation-eq]")
    assert [a.get_text() for a in references] == ["(N.1)", "(1.1)"]
