"""The book's other editions: each page links to them, and what is published has them there."""

import re
from pathlib import Path

import lite
import pdf
import pytest
import website
import yaml
from editions import EDITIONS
from toc import ROOT, pages

from tests.site.pages import read

HTML = ROOT / "_build" / "html"


def targets(links, page):
    """Return what some links lead to, seen from the top of the book."""
    return [(page.parent / str(a["href"])).resolve().relative_to(HTML.resolve()) for a in links]


@pytest.mark.parametrize("name", pages())
def test_a_page_links_to_every_edition(name):
    page = HTML / f"{name}.html"
    for edition, (address, text, *_) in EDITIONS.items():
        links = read(page).select(f".dropdown-download-buttons a.btn-edition-{edition}-button")
        assert set(targets(links, page)) == {Path(address)}
        assert {link.get_text(strip=True) for link in links} == {text}


def test_the_first_page_says_what_they_are():
    page = HTML / "book" / "intro.html"
    links = read(page).select("article dd a[href^='../']")
    assert {Path(address) for address, *_ in EDITIONS.values()} <= set(targets(links, page))


def test_what_is_published_has_them_where_the_links_lead(tmp_path):
    build, site = tmp_path / "_build", tmp_path / "site"
    for path in ("html/index.html", "html/book/intro.html", "lite/index.html", "lite/a/b.js"):
        (build / path).parent.mkdir(parents=True, exist_ok=True)
        (build / path).write_text(path)
    with pytest.raises(SystemExit, match="learning-fixed-points.pdf has not been built"):
        website.assemble(build, site)
    (build / "learning-fixed-points.pdf").write_text("pdf")
    (site / "old.html").write_text("of an earlier build")
    website.assemble(build, site)
    there = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert there == {
        *("index.html", "book/intro.html", "lite/index.html", "lite/a/b.js"),
        "learning-fixed-points.pdf",
    }
    assert all((site / address).is_file() for address, *_ in EDITIONS.values())


def test_the_workflow_makes_and_publishes_all_of_it():
    made = {path.relative_to(website.BUILD).parts[0] for path in (pdf.OUT, lite.SITE)}
    assert made == {address.split("/")[0] for address, *_ in EDITIONS.values()}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    rule = re.search(r"^site: (.*?) ##.*\n\t(.*)$", makefile, re.MULTILINE)
    assert rule and set(rule[1].split()) == {"pdf", "lite"}
    assert rule[2].endswith("book/editions/website.py")
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text("utf-8"))
    steps = workflow["jobs"]["build"]["steps"]
    (upload,) = (i for i, s in enumerate(steps) if "upload-pages-artifact" in s.get("uses", ""))
    assert any("site" in str(step.get("run")).split() for step in steps[:upload])
    assert ROOT / steps[upload]["with"]["path"] == website.SITE
