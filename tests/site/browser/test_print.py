"""The print edition: complete, numbered as the pages are, its contents and links leading where they say."""

import re
import unicodedata

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader
from toc import ROOT, pages

from tests.site.browser.browsing import HTML

NAMES = pages()
pytestmark = pytest.mark.xdist_group("print")  # one worker takes the text out of its pages


def squeeze(text):
    """Drop what typesetting changes: spaces, hyphens, ligatures."""
    return re.sub(r"[\s\u00ad\u200b-]+", "", unicodedata.normalize("NFKC", text))


@pytest.fixture(scope="module")
def printed():
    path = ROOT / "_build" / "learning-fixed-points.pdf"
    assert path.exists(), "run make pdf first"
    return PdfReader(path)


@pytest.fixture(scope="module")
def text(printed):
    return [squeeze(page.extract_text()) for page in printed.pages]


def article(name):
    page = (HTML / f"{name}.html").read_text("utf-8")
    found = BeautifulSoup(page, "html.parser").select_one("article.bd-article")
    assert found, name
    return found


def test_the_contents_say_where_each_chapter_begins(printed, text):
    lines = printed.pages[1].extract_text().splitlines()
    numbers = [int(m[1]) for line in lines if (m := re.search(r"(\d+)$", line.strip()))]
    begins = []
    for name in NAMES:
        where = printed.named_destinations["/" + name.replace("/", "-")]
        begins.append((printed.get_destination_page_number(where) or 0) + 1)
        (heading,) = article(name).select("h1")
        for mark in heading.select(".headerlink"):
            mark.decompose()
        assert squeeze(heading.get_text()) in text[begins[-1] - 1]
    assert begins == sorted(begins)
    assert [n for n in begins if n not in numbers] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_caption_and_number_is_there(name, text):
    whole = "".join(text)
    page = article(name)
    for number in page.select(".caption-number, .eqno, .section-number"):
        for link in number.select(".headerlink"):
            link.decompose()
        assert squeeze(number.get_text()) in whole
    for figure in page.select("figure:not(.explore) figcaption .caption-number"):
        assert squeeze(figure.get_text()) in whole


def test_every_link_inside_leads_to_a_page(printed):
    inside = 0
    for page in printed.pages:
        for annotation in page.get("/Annots", []):
            link = annotation.get_object()
            if link.get("/Subtype") != "/Link":
                continue
            action = link.get("/A")
            if action and "/URI" in action:
                assert re.match("https?://(?!127)", action["/URI"]), action["/URI"]
            elif "/Dest" in link:
                inside += 1
                assert str(link["/Dest"]) in printed.named_destinations, link["/Dest"]
    assert inside > 100
