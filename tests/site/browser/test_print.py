"""The print edition: complete, numbered as the pages are, its contents and links leading where they say."""

import re
import unicodedata
from itertools import pairwise

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader
from toc import ROOT, pages

from tests.site.browser.browsing import HTML

NAMES = pages()
PDF = ROOT / "_build" / "learning-fixed-points.pdf"
TOP, BOTTOM = (
    (841.9 - 24 / 25.4 * 72),
    22 / 25.4 * 72,
)  # of the text on a page, in points: print.css
pytestmark = pytest.mark.xdist_group("print")  # one worker takes the text out of its pages


def squeeze(text):
    """Drop what typesetting changes: spaces, hyphens, ligatures."""
    return re.sub(r"[\s\u00ad\u200b-]+", "", unicodedata.normalize("NFKC", text))


@pytest.fixture(scope="module")
def printed():
    assert PDF.exists(), "run make pdf first"
    return PdfReader(PDF)


def apply(matrix, x, y):
    """Return how high a point stands that a matrix of the PDF moves."""
    return matrix[1] * x + matrix[3] * y + matrix[5]


@pytest.fixture(scope="module")
def look(printed):
    """Of each page: its text, and how far down its text, pictures and drawings reach."""
    found = []
    for page in printed.pages:
        heights, path = [], []

        def see(operator, operands, cm, tm, page=page, heights=heights, path=path):
            if operator in {b"Tj", b"TJ"}:
                heights.append(apply(cm, tm[4], tm[5]))
            elif operator in {b"m", b"l", b"c"}:
                path.append(apply(cm, *map(float, operands[-2:])))
            elif operator in {b"f", b"f*", b"S", b"B", b"n"}:
                heights.extend(path if operator != b"n" else [])  # n only clips
                path.clear()
            elif operator == b"Do":
                picture = page["/Resources"]["/XObject"][operands[0]]
                if picture["/Subtype"] == "/Image":
                    heights.append(min(apply(cm, x, y) for x in (0, 1) for y in (0, 1)))

        text = page.extract_text(visitor_operand_before=see)
        # What stands in the margin is the running head, or is not shown.
        found.append((text, min((y for y in heights if BOTTOM <= y <= TOP), default=TOP)))
    return found


@pytest.fixture(scope="module")
def text(look):
    return [squeeze(text) for text, _ in look]


@pytest.fixture(scope="module")
def begins(printed):
    """On which page each chapter begins, counted from 0."""
    places = (printed.named_destinations["/" + name.replace("/", "-")] for name in NAMES)
    return [printed.get_destination_page_number(place) or 0 for place in places]


def article(name):
    page = (HTML / f"{name}.html").read_text("utf-8")
    found = BeautifulSoup(page, "html.parser").select_one("article.bd-article")
    assert found, name
    return found


def title(name):
    (heading,) = article(name).select("h1")
    for mark in heading.select(".headerlink"):
        mark.decompose()
    return squeeze(heading.get_text())


def test_the_contents_say_where_each_chapter_begins(look, text, begins):
    assert begins == sorted(begins)
    lines = [line for page, _ in look[2 : begins[0]] for line in page.splitlines()]
    numbers = {squeeze(m[1]): int(m[2]) for line in lines if (m := re.match(r"(.+) (\d+)$", line))}
    for name, begin in zip(NAMES, begins, strict=True):
        assert numbers[title(name)] == begin + 1
        assert text[begin].count(title(name)) >= 2  # at the head of the page, and as its heading


def test_each_page_has_its_chapter_and_its_number_at_its_head(look, begins):
    for name, (begin, end) in zip(NAMES, pairwise([*begins, len(look)]), strict=True):
        for number in range(begin, end):
            head = squeeze(look[number][0].splitlines()[0])
            assert head == f"{title(name)}{number + 1}"


def test_no_page_inside_a_chapter_is_more_than_40_percent_blank(look, begins):
    ends = {begin - 1 for begin in [*begins, len(look)]}
    blank = {
        number + 1: (lowest - BOTTOM) / (TOP - BOTTOM)
        for number, (_, lowest) in enumerate(look)
        if number >= begins[0] and number not in ends
    }
    assert {number: f"{share:.0%}" for number, share in blank.items() if share > 0.4} == {}


def test_the_imprint_says_which_book_this_is_and_how_to_cite_it(text):
    version = re.findall(
        r'^__version__ = "(.+)"$', (ROOT / "fpnotes/__init__.py").read_text(), re.M
    )
    for words in (
        f"version {version[0]}",
        *("To cite this book", "Vicky Zhu and Robert Rosenbaum", "arXiv:2307.06732"),
        *("CC BY 4.0", "BSD-3-Clause", "CC BY-SA 3.0"),
    ):
        assert squeeze(words) in text[1]
    assert not (ROOT / ".git").exists() or re.search(r"Setfromcommit[0-9a-f]{12}of\d{8}", text[1])


def test_its_letters_are_its_own(printed):
    """Those of Matplotlib, MathJax and the theme, whatever the machine has; each is in the file."""
    fonts = {}
    for page in printed.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            font = font.get_object()
            if font["/Subtype"] == "/Type3":  # glyphs that are drawings
                continue
            (face,) = font["/DescendantFonts"]
            descriptor = face.get_object()["/FontDescriptor"]
            fonts[str(font["/BaseFont"]).split("+")[-1]] = "/FontFile2" in descriptor
    assert all(fonts.values())
    kinds = {re.split(r"[-_]", name.lstrip("/"))[0] for name in fonts}
    assert {"STIXGeneral", "DejaVuSans", "DejaVuSansMono"} <= kinds
    assert kinds <= {"STIXGeneral", "DejaVuSans", "DejaVuSansMono", "FontAwesome6Free", "MJXTEX"}


def test_code_that_a_page_folds_away_is_not_printed():
    document = BeautifulSoup((ROOT / "_build/print.html").read_text("utf-8"), "html.parser")
    assert sum(len(article(name).select("details.hide")) for name in NAMES) > 100
    assert document.select("details") == []
    assert len(document.select(".cell_input")) > 100


def test_it_can_be_sent_by_mail():
    assert PDF.stat().st_size < 25e6


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
