"""What each page says of itself to search engines and other sites, and the page for lost readers."""

import tomllib
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import head
import pytest
import toc
import yaml
from docutils import nodes

from tests.site.pages import links, read

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
BASE, TITLE = CONFIG["html"]["baseurl"], CONFIG["title"]


def content(soup, selector):
    """Return the content of the one element that a selector finds."""
    (tag,) = soup.select(selector)
    return str(tag.get("content") or tag.get("href") or tag.text)


@pytest.mark.parametrize("name", toc.pages())
def test_a_page_describes_itself(name):
    soup, address = read(HTML / f"{name}.html"), f"{BASE}{name}.html"
    description = content(soup, "meta[name=description]")
    assert head.LEAST <= len(description) <= head.MOST + 2
    assert not set(description) & set("\\${}" + head.FORMULA), description
    assert description == content(soup, "meta[property='og:description']")
    assert (
        content(soup, "link[rel=canonical]") == content(soup, "meta[property='og:url']") == address
    )
    assert content(soup, "meta[name=viewport]") == "width=device-width, initial-scale=1.0"
    title = content(soup, "meta[property='og:title']")
    assert content(soup, "title") == (TITLE if title == TITLE else f"{title} — {TITLE}")
    cover = content(soup, "meta[property='og:image']")
    assert (HTML / cover.removeprefix(BASE)).is_file()


def test_no_two_pages_have_one_title_or_one_description():
    soups = [read(HTML / f"{name}.html") for name in toc.pages()]
    for selector in ("title", "meta[name=description]"):
        assert len({content(soup, selector) for soup in soups}) == len(soups)


def test_the_address_is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Documentation"] == BASE


def test_the_map_of_the_site_has_every_page():
    tree = ElementTree.parse(HTML / "sitemap.xml").getroot()
    assert {str(place.text) for place in tree.iter() if place.tag.endswith("loc")} == {
        f"{BASE}{name}.html" for name in toc.pages()
    }


def test_the_first_address_leads_to_the_first_page_and_has_its_card():
    soup = read(HTML / "index.html")
    assert content(soup, "meta[http-equiv=Refresh]") == f"0; url={toc.pages()[0]}.html"
    assert content(soup, "title") == content(soup, "meta[property='og:title']") == TITLE
    assert content(soup, "meta[property='og:url']") == BASE


def test_the_page_for_lost_readers_stands_on_its_own():
    """At any depth of a wrong address: it fetches nothing, and its links are whole addresses of pages."""
    soup = read(HTML / "404.html")
    found = [address for tag in soup.find_all(True) for address in links(tag)]
    assert len(found) == 3
    for address in found:
        assert address.startswith(BASE) and urlsplit(urljoin(f"{BASE}a/b/c", address)).netloc
        assert (HTML / (address.removeprefix(BASE) or "index.html")).is_file()


def section(*paragraphs):
    """Return a document of one section; $x$ stands for a formula."""
    whole = nodes.section("", nodes.title("", "Title"))
    for text in paragraphs:
        parts = text.split("$")
        inline = [nodes.math("", p) if k % 2 else nodes.Text(p) for k, p in enumerate(parts)]
        whole += nodes.paragraph("", "", *inline)
    document = nodes.document(None, None)
    document += nodes.note("", nodes.paragraph("", "", nodes.Text("After this chapter you can.")))
    document += whole
    return document


SENTENCE = "The network comes to rest at a point that its weights decide."
OTHER = "Where that is, and how it moves with the weights, is the question."


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        ([f"{SENTENCE}\n{OTHER}"], f"{SENTENCE} {OTHER}"),
        (
            [f"{SENTENCE} Its steps are $\\Delta W_2$ or $A^{{-1}} - W$."],
            f"{SENTENCE} Its steps are ΔW₂ or A⁻¹ − W.",
        ),
        (
            ["At rest $r = \\frac{1}{2}x$ holds.", SENTENCE, OTHER, "No more."],
            f"{SENTENCE} {OTHER}",
        ),
        ([f"{SENTENCE} {OTHER} So $\\frac{{1}}{{2}}$ it is. No more."], f"{SENTENCE} {OTHER}"),
        ([" ".join([SENTENCE] * 5)], " ".join([SENTENCE] * 3)),
        ([SENTENCE[:-1] + ":", OTHER], f"{SENTENCE} {OTHER}"),
    ],
)
def test_a_description_is_whole_sentences_without_formulas(paragraphs, expected):
    assert head.describe(section(*paragraphs)) == expected


def test_a_long_sentence_is_cut_between_words():
    text = head.describe(section("A start. So " + "word " * 100 + "end. And more."))
    assert len(text) <= head.MOST + 2 and text.endswith("word …")
