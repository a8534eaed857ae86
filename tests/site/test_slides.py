"""Slides: each deck holds what its chapter marks, and needs nothing from another host."""

import hashlib
import importlib.util
import pickle
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from bs4 import BeautifulSoup
from IPython.core.formatters import SVGFormatter
from matplotlib.figure import Figure
from redraw import ACROSS, redrawn

from fpnotes.chapters.figures import _keep_figures, use_style

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
spec = importlib.util.spec_from_file_location("slides_build", ROOT / "slides" / "build.py")
assert spec and spec.loader
slides = importlib.util.module_from_spec(spec)
spec.loader.exec_module(slides)

PAGE = r"""
<article><section><h1><span class="section-number">1. </span>Title<a class="headerlink">#</a></h1>
<div class="note admonition"><p class="admonition-title">After this</p><ul><li>an aim</li></ul></div>
<ol><li>a claim</li></ol>
<p>Some prose. <strong>Which question?</strong> More <strong>words</strong> in bold.</p>
<section><h2><span class="section-number">1.1. </span>Part<a class="headerlink">#</a></h2>
<p>Before. If <em>c</em> is more than the number of all grains of sand, then, by Mr. A. Bee, we get:</p>
<div class="math" id="equation-eq-a"><span class="eqno">(1.1)</span>\[a < b ,\]</div>
<p class="checked">checked</p>
<p>whose limit is</p>
<div class="math">\[continued .\]</div>
<p>Later.</p>
<div class="math">\[unnumbered\]</div>
<p><strong>It prints little.</strong> Here it is:</p>
<div class="cell"><div class="cell_input"><pre>code</pre></div>
<div class="cell_output"><pre>printed</pre></div></div>
<p class="checked">checked</p>
<p>Elsewhere <span class="keep">not.</span>
If <em>so</em>, in <a href="#x"><span class="std std-doc">Why?</span></a> and a &lt; b:
<strong>it agrees.</strong> Beyond.</p>
<ul><li><p><strong>A pole.</strong> It is where <a href="#x">this</a> &lt; that. Further on.</p></li></ul>
<div class="proof theorem admonition" id="thm-a"><p class="admonition-title">Theorem 1.1</p>
<section><p>A <a href="other.html#x">claim</a>.</p></section></div>
<div class="proof admonition"><p>Its proof. <strong>Not on a slide.</strong></p></div>
<figure id="fig-a"><img src="../plot.png" alt="What it shows"><figcaption>Caption</figcaption></figure>
<figure class="explore"><img src="../plot.png" alt="A slider"><input type="range"></figure>
</section>
<section><h2>Exercises</h2>
<div class="exercise admonition" id="ex-a"><p class="admonition-title">Exercise 1.1</p>
<section><p>Do it.</p></section></div>
<div class="solution admonition"><p>Its solution. <strong>Nor this.</strong></p></div></section>
<section><h2><span class="section-number">1.3. </span>What we now know</h2><ul><li>a fact</li></ul>
<div><table><tr><td>a claim, judged</td></tr></table></div></section>
<section><h2><span class="section-number">1.4. </span>Sources</h2><p><strong>Nobody.</strong></p></section>
</section></article>
"""


def without_notes(deck):
    """What can be seen of a deck."""
    for tag in deck.select("aside.notes"):
        tag.decompose()
    return deck


@pytest.fixture
def whole(tmp_path):
    """The deck of a small page, with the speaker's notes."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "tiny.html").write_text(PAGE)
    (tmp_path / "book" / "prose.html").write_text("<article><h1>No number</h1></article>")
    (tmp_path / "plot.png").write_bytes(b"picture")
    (made,) = slides.build(html=tmp_path, out=tmp_path / "out")
    return BeautifulSoup(made.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def deck(whole):
    """The deck as those see it to whom it is shown."""
    return without_notes(whole)


def test_marked_parts_are_on_slides_and_nothing_else(deck):
    """Questions, numbered equations, statements, figures, exercises, aims; no prose, proof or solution."""
    text = deck.select_one(".slides").get_text(" ")
    for part in (
        "Title",
        "an aim",
        "Which question?",
        r"\[a < b ,\]",
        "(1.1)",
        "Theorem 1.1",
        "a claim",
    ):
        assert part in text
    for part in ("Caption", "Exercise 1.1", "Do it.", "a fact", "a claim, judged"):
        assert part in text
    for part in (
        "prose",
        "words",
        "unnumbered",
        "Later",
        "Before",
        "code",
        "checked",
        "proof",
        "Not on",
        "solution",
        "Nor this",
        "Nobody",
        "Further",
        "Elsewhere",
        "Beyond",
        "#",
    ):
        assert part not in text


def test_a_paragraph_that_opens_in_bold_says_what_it_means(deck):
    """With such words comes the sentence after them; before the question stand the claims it asks about."""
    said = [part.get_text() for part in deck.select(".slides p, .slides ol")]
    assert "A pole. It is where this < that." in said
    assert said.index("a claim") + 1 == said.index("Which question?")


def test_a_sentence_that_ends_in_bold_keeps_its_condition(deck):
    """What stands before the bold words in their sentence is on the slide, and no other sentence."""
    said = [part.get_text() for part in deck.select(".slides p.key")]
    assert "If so, in Why? and a < b:\nit agrees." in said


def test_a_formula_stands_in_its_sentence(deck):
    """Before it and after it is all that belongs to its sentence, on the same slide."""
    (slide,) = [tag for tag in deck.select(".slides > section") if tag.select_one(".eqno")]
    said = re.sub(r"\s+", " ", slide.get_text(" ")).strip()
    start = "If c is more than the number of all grains of sand, then, by Mr. A. Bee, we get:"
    assert start + r" (1.1) \[a < b ,\] whose limit is \[continued .\]" in said


def test_what_a_colon_announces_comes_along(deck):
    """A sentence that ends with a colon is followed by what it speaks of, here what a cell prints."""
    (printed,) = deck.select(".slides pre")
    assert printed.get_text() == "printed"
    assert printed.find_previous("p").get_text().endswith("Here it is:")


def test_notes_hold_the_text_around_a_slide(whole):
    """All paragraphs of a section are in the notes of its slides, once; a solution is in its exercise's."""
    notes = [tag.get_text(" ") for tag in whole.select(".slides aside.notes")]
    text = " ".join(notes)
    for part in ("Before.", "Later.", "Elsewhere", "Beyond.", "Further on.", "Some prose."):
        assert text.count(part) == 1, part
    for part in ("checked", "Its proof", "Caption", "an aim"):
        assert part not in text
    (solved,) = [note for note in notes if "Its solution." in note]
    assert "Exercise" not in solved


def test_the_index_lists_decks_by_their_titles(whole, tmp_path):
    """A deck has its chapter's title, number included, and so has its entry in the index."""
    assert whole.title and whole.title.get_text() == "1. Title · Slides"
    index = BeautifulSoup((tmp_path / "out" / "index.html").read_text(), "html.parser")
    assert [(a["href"], a.get_text()) for a in index.select("a")] == [("tiny.html", "1. Title")]


def test_a_shown_figure_is_kept_under_its_pictures_name(tmp_path):
    """What a cell shows is drawn as before, and can be found by the name that the page gives the picture."""
    formatter = SVGFormatter()
    formatter.for_type(Figure, lambda figure: "<svg>\r\nfigure\r\n</svg>\n")
    _keep_figures(formatter, tmp_path / "new")
    assert formatter(Figure((2, 1))) == "<svg>\r\nfigure\r\n</svg>\n"
    name = hashlib.sha256(b"<svg>\nfigure\n</svg>").hexdigest()
    (kept,) = (tmp_path / "new").iterdir()
    assert kept.name == f"{name}.pickle"
    assert pickle.loads(kept.read_bytes()).get_size_inches().tolist() == [2, 1]


def test_a_figure_is_laid_out_anew(tmp_path):
    """From a kept figure comes a picture in the slide's shape; rows are columns, each with its label."""
    use_style()
    figure, axes = plt.subplots(3, 1, figsize=(5.2, 7), sharex=True)
    for ax in axes:
        ax.plot([1, 2])
    axes[-1].set_xlabel("step")
    (tmp_path / "kept.pickle").write_bytes(pickle.dumps(figure))
    plt.close(figure)
    text, (width, height), kind = redrawn(tmp_path / "kept.pickle", across=True)
    _, _, wide, high = map(float, re.findall(r'viewBox="(.*?)"', text)[0].split())
    assert kind == "below" and wide / high == pytest.approx(width / height, rel=0.01)
    assert text.count("<!-- step -->") == 3
    assert not plt.get_fignums()


def test_no_caption_says_where_a_panel_was():
    """Each figure whose panels are moved is in the book, and its words hold for either arrangement."""
    figures = [tag for page in slides.chapters() for tag in slides.read(page).select("figure[id]")]
    said = {
        tag["id"]: f"{tag.img['alt']} {tag.figcaption.get_text()}"
        for tag in figures
        if tag["id"] in ACROSS
    }
    assert set(said) == (ACROSS if figures else set())
    place = r"\b(Top|Bottom|Middle|Left|Right|Above|Below|Upper|Lower)\b|the other,|\((left|right|top)\)"
    assert not {name for name, text in said.items() if re.search(place, text)}


def test_a_figure_that_was_not_kept_is_missed(tmp_path):
    """Without the figure the build says what to do, and does not show the page's small picture."""
    (tmp_path / ("0" * 64 + ".svg")).write_text("<svg/>")
    with pytest.raises(FileNotFoundError, match="make the book again"):
        slides.shown(f'<img src="{"0" * 64}.svg">', tmp_path / "page.html")


def test_a_slide_stands_by_itself(deck):
    """The picture is inside, described; links, ids and sections of the page are gone."""
    (image,) = deck.select(".slides img")
    assert image["src"].startswith("data:image/png;base64,") and image["alt"] == "What it shows"
    assert not deck.select(".slides a, .slides [id]")
    assert not deck.select(".slides > section > section section")


@pytest.mark.parametrize("page", slides.chapters() or ["none"], ids=lambda page: Path(page).stem)
def test_deck_of_each_chapter(page, tmp_path, monkeypatch):
    """Every numbered equation of a chapter is on a slide, none is cut at a colon, all addresses are local."""
    assert page != "none", "there is no built book in _build/html: run `make book`"
    drawn = "<svg/>", (1, 1), "beside"  # test_slides in the browser looks at figures
    monkeypatch.setattr(slides, "redrawn", lambda file, across: drawn)
    (made,) = slides.build([page.stem], out=tmp_path)
    source = made.read_text(encoding="utf-8")
    deck = without_notes(BeautifulSoup(source, "html.parser"))
    chapter = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    for tag in chapter.select("div.solution, div.exercise, div.proof:not(.theorem)"):
        tag.decompose()
    numbers = {tag.get_text() for tag in chapter.select("div.math[id^=equation-] .eqno")}
    assert {re.sub("#|¶", "", number).strip() for number in numbers} <= {
        tag.get_text().strip() for tag in deck.select(".eqno")
    }
    assert len(deck.select(".slides > section")) > 5
    for slide in deck.select(".slides > section"):
        said = slide.get_text()
        assert not re.search(r"[:,;(]\s*(\\end\{\w+\}|\\\])*\s*$", said), said
    assert "What we now know" in [h2.find(string=True, recursive=False) for h2 in deck.select("h2")]
    for tag in deck.select("[src], link[href]"):
        assert not re.match(r"(https?:)?//", str(tag.get("src") or tag.get("href")))
    assert "import mermaid" not in source
