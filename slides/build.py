"""Make slides of the chapters: ``python slides/build.py [chapter ...]`` after ``make book``.

What a lecturer would put on the board is marked in a chapter already: its questions (sentences in bold),
its numbered equations, its definitions and theorems, its figures with their captions, its exercises. Here
they are taken from the built page, where numbers and references are resolved, and become one notebook per
chapter, which nbconvert turns into a reveal.js page. ``dist/slides`` needs nothing from another host, and
can be copied to any machine.
"""

import base64
import copy
import re
import shutil
import sys
from html import escape
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup, NavigableString
from nbconvert import SlidesExporter

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
REVEAL = ROOT / "_build" / "reveal" / "sphinx_revealjs" / "_static" / "revealjs"
OUT = ROOT / "dist" / "slides"
STATEMENT = "div.theorem, div.definition, div.lemma, div.proposition, div.corollary"
MARKED = f"div.math[id^=equation-], {STATEMENT}, figure:not(.explore), p:has(> strong)"
KNOWN = ":scope > ul, :scope > p, :scope > div:has(> table)"
SKIP = {"Sources"}
ROOM = 12  # lines on a slide


def chapters(html=HTML):
    """Return the built pages of the numbered chapters."""
    pages = sorted((html / "book").glob("*.html"))
    return [page for page in pages if read(page).select_one("article h1 .section-number")]


def read(page):
    """Return a page as a tree."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def own(part, page):
    """Return a copy of a part of a page that stands by itself: images inside, links and ids gone."""
    part = copy.copy(part)
    for tag in part.select(".headerlink, .checked, .claim, script, button, .terms"):
        tag.decompose()
    for link in part.select("a"):
        link.unwrap()
    for tag in (part, *part.select("[id]")):
        tag.attrs.pop("id", None)
    for tag in part.select("section"):  # to reveal.js a section is a slide
        tag.name = "div"
    for image in part.select("img"):
        source = str(image["src"])
        if not source.startswith("data:"):
            file = (page.parent / source).resolve()
            kind = {".svg": "svg+xml"}.get(file.suffix, file.suffix[1:])
            data = base64.b64encode(file.read_bytes()).decode()
            source = f"data:image/{kind};base64,{data}"
        image.attrs = {"src": source, "alt": image.get("alt", "")}
    return part


def lines(part):
    """Return about how many lines of a slide a part takes."""
    if part.name == "figure":
        return ROOM - 2  # beside one short formula or sentence
    formulas = len(part.select("div.math")) + ("math" in part.get("class", []))
    return 1 + len(part.get_text()) // 90 + 2 * formulas + part.get_text().count("\\\\")


def slides(page):
    """Return the slides of a chapter, each a list of pieces of HTML."""
    article = read(page).select_one("article")
    for tag in article.select(".headerlink"):
        tag.decompose()
    top = article.select_one("section")
    title = top.find("h1").decode_contents()
    opening = top.select_one(":scope > p:has(> strong)")
    before = opening.find_previous_sibling() if opening else None
    asked = [str(own(before, page))] if before and before.name in ("ol", "ul") else []
    made = [[f"<h1>{title}</h1>", *asked, *([key(opening, page)] if opening else [])]]
    aims = top.select_one(":scope > div.admonition")
    if aims:
        items = [str(own(item, page)) for item in aims.select("ul, ol")]
        made.append(["<h2>After this chapter you can …</h2>", *items])
    for section in top.select(":scope > section"):
        heading = section.find("h2").decode_contents()
        words = re.sub(r"^[\d.\s]+", "", section.find("h2").get_text())
        if words in SKIP:
            continue
        if words == "What we now know":
            made += packed(heading, summary(section, page))
            continue
        for exercise in section.select("div.exercise"):
            name = exercise.select_one(".admonition-title").get_text(" ", strip=True)
            body = "".join(str(own(x, page)) for x in exercise.select(":scope > section > *"))
            made.append([f"<h2>{name}</h2>", body])
        found = []
        for part in section.select(MARKED):
            if part.find_parent(class_=["exercise", "solution", "proof"]) or part.find_parent(
                "figure"
            ):
                continue
            text = key(part, page) if part.name == "p" else str(own(part, page))
            if part.select_one(".admonition-title"):
                text = f'<div class="statement">{text}</div>'
            found += [(text, lines(part))] if text else []
        made += packed(heading, found)
    return made


def packed(heading, pieces):
    """Return slides under one heading, each with as many of the pieces (HTML, lines) as there is room for."""
    made, room, slide = [], 0, []
    for text, size in pieces:
        if slide and room + size > ROOM:
            made.append([f"<h2>{heading}</h2>", *slide])
            room, slide = 0, []
        slide, room = [*slide, text], room + size
    return [*made, [f"<h2>{heading}</h2>", *slide]] if slide else made


def summary(section, page):
    """Yield (HTML, lines) for each point of what we now know."""
    for part in section.select(KNOWN):
        points = part.find_all("li", recursive=False) if part.name == "ul" else []
        for point in points:
            yield f"<ul>{own(point, page)}</ul>", lines(point)
        if not points:
            yield str(own(part, page)), lines(part)


def key(paragraph, page):
    """Return the sentences that a paragraph says in bold; bold words within a sentence are no slide.

    Where only the end of a sentence is bold, its start comes along, which may hold the condition. A paragraph
    that opens with a bold sentence, other than a question, is known by it and says what it means in the next.
    """
    made = []
    for part in paragraph.select(":scope > strong"):
        end = part.get_text().strip()[-1:]
        more = next_sentence(part, page) if end in ".!" and not list(part.previous_siblings) else ""
        if more:
            made.append(f"<p><strong>{own(part, page).decode_contents()}</strong>{more}</p>")
        elif end in tuple(".?!"):
            start = "" if end == "?" else sentence_start(part, page)
            made.append(f'<p class="key">{start}{own(part, page).decode_contents()}</p>')
    return "".join(made)


def sentence_start(part, page):
    """Return what stands before a part of a paragraph in the same sentence, or nothing."""
    text = ""
    for piece in part.previous_siblings:
        if not isinstance(piece, NavigableString):
            standing = own(piece, page)
            if ends_sentence(standing):
                break
            text = (standing.decode_contents() if piece.name == "a" else str(standing)) + text
        elif ends := list(re.finditer(r"[.?!](?=\s)", piece)):
            return (escape(piece[ends[-1].end() :]) + text).lstrip()
        else:
            text = escape(piece) + text
    return text.lstrip()


def ends_sentence(piece):
    """Return whether bold words, or a formula that its stop stays with, end a sentence; a title does not."""
    return piece.name in ("strong", "span") and piece.get_text().strip()[-1:] in tuple(".?!")


def next_sentence(part, page):
    """Return the sentence that follows a part of a paragraph, or nothing if none ends there."""
    text = ""
    for piece in part.next_siblings:
        if not isinstance(piece, NavigableString):
            standing = own(piece, page)
            text += standing.decode_contents() if piece.name == "a" else str(standing)
            if ends_sentence(standing):
                return text
        elif end := re.search(r"[.?!:](?=\s|$)", piece):
            return text + escape(piece[: end.end()])
        else:
            text += escape(piece)
    return ""


def notebook(page):
    """Return a chapter's slides as a notebook."""
    made = nbformat.v4.new_notebook(metadata={"title": page.stem})
    for pieces in slides(page):
        metadata = {"raw_mimetype": "text/html", "slideshow": {"slide_type": "slide"}}
        made.cells.append(nbformat.v4.new_raw_cell("\n".join(pieces), metadata=metadata))
    return made


def build(names=(), html=HTML, out=OUT):
    """Write the slides of the chapters, all or those named, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.html") if not names else []:  # a chapter may have gone
        old.unlink()
    exporter = SlidesExporter(
        template_name="template",
        extra_template_basedirs=[str(Path(__file__).resolve().parent)],
        reveal_url_prefix="reveal",
        reveal_theme="white",
    )
    for page in chapters(html):
        if not names or page.stem in names:
            text, _ = exporter.from_notebook_node(notebook(page))
            (out / f"{page.stem}.html").write_text(text, encoding="utf-8")
            yield out / f"{page.stem}.html"


if __name__ == "__main__":
    for made in build(sys.argv[1:]):
        print(made.relative_to(ROOT))
    for folder in ("dist", "plugin/notes"):
        shutil.copytree(REVEAL / folder, OUT / "reveal" / folder, dirs_exist_ok=True)
    shutil.copytree(HTML / "_static" / "mathjax", OUT / "mathjax", dirs_exist_ok=True)
