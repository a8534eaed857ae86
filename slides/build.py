"""Make slides of the chapters: ``python slides/build.py [chapter ...]`` after ``make book``.

What a lecturer would put on the board is marked in a chapter already: its questions (sentences in bold),
its numbered equations, its definitions and theorems, its figures with their captions, its exercises. Here
they are taken from the built page, where numbers and references are resolved, and become one notebook per
chapter, which nbconvert turns into a reveal.js page. The chapter's text around them becomes the speaker's
notes, and a figure is laid out anew. ``dist/slides`` needs nothing from another host, and can be copied to
any machine; its index lists the decks.
"""

import base64
import re
import shutil
import sys
from html import escape
from pathlib import Path

import nbformat
import yaml
from bs4 import BeautifulSoup
from nbconvert import SlidesExporter
from passages import Choice, flow, is_formula, own
from redraw import ACROSS, redrawn

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
FIGURES = ROOT / "_build" / "figures"
REVEAL = ROOT / "_build" / "reveal" / "sphinx_revealjs" / "_static" / "revealjs"
OUT = ROOT / "dist" / "slides"
KNOWN = ":scope > ul, :scope > p, :scope > div:has(> table)"
SKIP = {"Sources"}
ROOM, LINE = 15, 90  # lines on a slide, letters on a line


def chapters(html=HTML):
    """Return the built pages of the numbered chapters."""
    pages = sorted((html / "book").glob("*.html"))
    return [page for page in pages if read(page).select_one("article h1 .section-number")]


def read(page):
    """Return a page as a tree."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def shown(html, page):
    """Return HTML with its pictures inside it, those that cells drew laid out anew."""
    tree = BeautifulSoup(html, "html.parser")
    for image in tree.select("img"):
        source, size = str(image["src"]), {}
        if not source.startswith("data:"):
            file = (page.parent / source).resolve()
            kept = FIGURES / f"{file.stem}.pickle"
            kind = {".svg": "svg+xml"}.get(file.suffix, file.suffix[1:])
            data = file.read_bytes()
            if kept.exists():
                figure = image.find_parent("figure") or image
                text, (width, height), place = redrawn(kept, "across" in figure.get("class", []))
                data, size = text.encode(), {"width": width, "height": height}
                figure["class"] = [place]
            elif re.fullmatch("[0-9a-f]{64}", file.stem):
                raise FileNotFoundError(
                    f"{kept} is missing, which `make book` keeps when it runs {page.stem}: "
                    "remove _build/.jupyter_cache and make the book again"
                )
            source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        image.attrs = {"src": source, "alt": image.get("alt", ""), **size}
    return str(tree)


def lines(html):
    """Return about how many lines of a slide a piece of HTML takes."""
    tree = BeautifulSoup(html, "html.parser")
    if figure := tree.find("figure"):
        # Beside its caption, it leaves room for a short sentence.
        return ROOM - 3 if "beside" in figure.get("class", []) else ROOM
    size = 0
    for part in tree.select("p, pre, div.math, tr, li:not(:has(> p))"):
        text = part.get_text()
        formula = 2.7 if is_formula(part) else 0.6
        size += formula + text.count("\\\\") + (0 if is_formula(part) else -(-len(text) // LINE))
    return size


def slides(page):
    """Return the slides of a chapter, each its pieces of HTML and the speaker's notes."""
    article = read(page).select_one("article")
    for tag in article.select(".headerlink"):
        tag.decompose()
    for figure in article.select("figure[id]"):
        if figure["id"] in ACROSS:
            figure["class"] = ["across"]
    top = article.select_one("section")
    name = top.find("h1").decode_contents()
    aims = top.select_one(":scope > div.admonition")
    before = [x for x in top.find_all(recursive=False) if x.name not in ("h1", "section")]
    opening = Choice([x for x in before if x is not aims])
    first = next((k for k, x in enumerate(opening.blocks) if opening.chosen.get(k)), None)
    asked = []
    if first is not None:
        asked = [opening.html(first)]
        if first and opening.blocks[first - 1].name in ("ol", "ul"):
            asked.insert(0, str(own(opening.blocks[first - 1])))
        del opening.chosen[first]
    made = [([f"<h1>{name}</h1>", *asked], notes(opening.blocks))]
    if aims:
        goals = [str(own(item)) for item in aims.select("ul, ol")]
        needed = aims.find_all("p", recursive=False)[1:]
        made.append((["<h2>After this chapter you can …</h2>", *goals], notes(needed)))
        if not asked:
            made = [(made[0][0] + made[1][0], made[0][1] + made[1][1])]
    made += packed(re.sub("<[^>]*section-number.*?</span>", "", name), chosen(opening, page))
    for section in top.select(":scope > section"):
        heading = section.find("h2").decode_contents()
        words = re.sub(r"^[\d.\s]+", "", section.find("h2").get_text())
        if words in SKIP:
            continue
        if words == "What we now know":
            made += packed(heading, summary(section))
            continue
        for exercise in section.select("div.exercise"):
            number = exercise.select_one(".admonition-title").get_text(" ", strip=True)
            body = "".join(str(own(x)) for x in exercise.select(":scope > section > *"))
            made.append(([f"<h2>{number}</h2>", shown(body, page)], solution(exercise)))
        made += packed(heading, chosen(Choice(section.find_all(recursive=False)), page))
    return made


def chosen(choice, page):
    """Yield what must stand together on a slide, and what the chapter says since the piece before it."""
    pieces, start = list(choice.pieces()), 0
    for n, piece in enumerate(pieces):
        html = "".join(
            f'<div class="statement">{choice.html(k)}</div>'
            if choice.blocks[k].select_one(".admonition-title")
            else choice.html(k)
            for k in piece
        )
        end = piece[-1] + 1 if n + 1 < len(pieces) else len(choice.blocks)
        yield shown(html, page), notes(choice.blocks[start:end])
        start = end


def notes(blocks):
    """Return the text among some blocks of a page, for the speaker."""
    said = [x for x in blocks if x.name in ("p", "ol", "ul") or is_formula(x)]
    return "".join(str(own(x)) for x in said)


def solution(exercise):
    """Return the text of an exercise's solution, for the speaker."""
    found = exercise.find_next_sibling("div", class_=["exercise", "solution"])
    if found is None or "exercise" in found["class"]:
        return ""
    return notes(list(flow(found.find_all(recursive=False))))


def packed(heading, pieces):
    """Return slides under one heading, each with as many of the pieces (HTML, notes) as there is room for."""
    made, room = [], 0
    for html, said in pieces:
        size = lines(html)
        if not made or room + size > ROOM:
            made.append(([f"<h2>{heading}</h2>"], ""))
            room = 0
        made[-1] = ([*made[-1][0], html], made[-1][1] + said)
        room += size
    return made


def summary(section):
    """Yield each point of what we now know, without notes."""
    for part in section.select(KNOWN):
        points = part.find_all("li", recursive=False) if part.name == "ul" else []
        for point in points:
            yield f"<ul>{own(point)}</ul>", ""
        if not points:
            yield str(own(part)), ""


def title(page):
    """Return a chapter's title, with its number."""
    heading = read(page).select_one("article h1")
    for tag in heading.select(".headerlink"):
        tag.decompose()
    return heading.get_text().strip()


def notebook(page):
    """Return a chapter's slides as a notebook."""
    made = nbformat.v4.new_notebook(metadata={"title": title(page)})
    for pieces, said in slides(page):
        if said:
            pieces.append(f'<aside class="notes">{said}</aside>')
        metadata = {"raw_mimetype": "text/html", "slideshow": {"slide_type": "slide"}}
        made.cells.append(nbformat.v4.new_raw_cell("\n".join(pieces), metadata=metadata))
    return made


def build(names=(), html=HTML, out=OUT):
    """Write the slides of the chapters, all or those named, into a folder, and a list of its decks."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.html") if not names else []:  # a chapter may have gone
        old.unlink()
    exporter = SlidesExporter(
        template_name="template",
        extra_template_basedirs=[str(Path(__file__).resolve().parent)],
        reveal_url_prefix="reveal",
        reveal_theme="white",
    )
    pages = chapters(html)
    for page in pages:
        if not names or page.stem in names:
            text, _ = exporter.from_notebook_node(notebook(page))
            text = text.replace(" slides</title>", " · Slides</title>", 1)
            (out / f"{page.stem}.html").write_text(text, encoding="utf-8")
            yield out / f"{page.stem}.html"
    there = [page for page in pages if (out / f"{page.stem}.html").exists()]
    (out / "index.html").write_text(index(there), encoding="utf-8")


def index(pages):
    """Return a page that lists decks in the book's order, part by part."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    part = {
        Path(chapter["file"]).stem: part.get("caption", "")
        for part in contents["parts"]
        for chapter in part["chapters"]
    }
    made, last = [], ""
    for page in sorted(pages, key=lambda page: [*part, page.stem].index(page.stem)):
        now = part.get(page.stem, "")
        if now != last:
            made.append(f"<h2>{escape(now)}</h2>")
            last = now
        made.append(f'<p><a href="{page.stem}.html">{escape(title(page))}</a></p>')
    template = (Path(__file__).parent / "index.html").read_text(encoding="utf-8")
    return template.replace("<!-- decks -->", "\n".join(made))


if __name__ == "__main__":
    for made in build(sys.argv[1:]):
        print(made.relative_to(ROOT))
    for folder in ("dist", "plugin/notes"):
        shutil.copytree(REVEAL / folder, OUT / "reveal" / folder, dirs_exist_ok=True)
    shutil.copytree(HTML / "_static" / "mathjax", OUT / "mathjax", dirs_exist_ok=True)
