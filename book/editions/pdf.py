"""Make the print edition from the built pages: one document, printed by headless Chromium.

``python book/editions/pdf.py`` writes ``_build/learning-fixed-points.pdf``. Numbers of sections, figures,
equations and theorems are those of the pages; what folds there stands open here; a link from page to
page is one inside the document.
"""

import sys
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import yaml
from bs4 import BeautifulSoup
from chromium import launched
from pypdf import PdfReader
from toc import ROOT, pages, parts

BUILD = ROOT / "_build"
HTML = BUILD / "html"
OUT = BUILD / "learning-fixed-points.pdf"
# Of a page, what only a reader at a screen can use.
SCREEN_ONLY = ".headerlink, script:not([type^='math/'])"
MISSING = """Promise.allSettled([...document.images].map(i => i.decode())).then(
  () => [...document.images].filter(i => !i.naturalWidth).map(i => i.src))"""
NUMBER = """pages => document.querySelectorAll("nav.contents p").forEach(line => {
  line.querySelector("span").textContent = pages[line.querySelector("a").hash.slice(1)];
})"""


def only(soup, selector):
    """Return the first element that a selector finds, which must be there."""
    element = soup.select_one(selector)
    if element is None:
        raise LookupError(f"a built page has no {selector}")
    return element


def page_of(soup, name, names):
    """Return a page's article with its own ids, links and files made those of the whole document."""
    article = only(soup, "article.bd-article")
    for element in article.select(SCREEN_ONLY):
        element.decompose()
    for details in article.select("details"):
        details["open"] = ""
    for element in article.find_all(True):
        if element.get("id"):
            element["id"] = anchor(name, element["id"])
        if element.get("src"):
            element["src"] = urljoin(place(name), element["src"])
        if element.name == "img":
            element["loading"] = "eager"
        if element.name == "a" and element.get("href"):
            path, fragment = urldefrag(urljoin(place(name), element["href"]))
            target = path.removeprefix("html/").removesuffix(".html")
            if not urlsplit(path).scheme:
                if target in names:
                    element["href"] = "#" + anchor(target, fragment)
                else:  # a file beside the pages
                    del element["href"]
    article["id"] = anchor(name, "")
    return article


def place(name):
    """Return where a page is, seen from the document."""
    return f"html/{name}.html"


def anchor(page, fragment):
    """Return the id, in the whole document, of an id on a page; or of the page itself."""
    return f"{page.replace('/', '-')}--{fragment}" if fragment else page.replace("/", "-")


def assemble():
    """Return the whole document; where its contents show page numbers, it has an empty span each."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    names = pages()
    soups = {
        name: BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser")
        for name in names
    }
    document = BeautifulSoup(
        "<!doctype html><html lang='en' data-theme='light' data-mode='light'><head></head>"
        "<body><nav class='contents'><h2>Contents</h2></nav></body></html>",
        "html.parser",
    )
    head, body, nav = (only(document, name) for name in ("head", "body", "nav"))
    root = soups[names[0]]
    math = [s for s in root.select("head script") if "mathjax" in str(s).lower()]
    for element in [*root.select("head link[rel=stylesheet], head meta[charset]"), *math]:
        for name in ("href", "src"):
            if element.get(name):
                element[name] = urljoin(place(names[0]), str(element[name]))
        head.append(element)
    style = document.new_tag("style")
    style.string = Path(__file__).with_name("print.css").read_text("utf-8")
    title = document.new_tag("title")
    title.string = config["title"]
    head.extend([title, style])

    cover = BeautifulSoup(
        f"<section class='cover'><img src='../book/assets/cover.png' alt='{config['title']}'>"
        f"<p>{config['author']}</p><p>{config['html']['extra_footer']} The pages of this book run, and "
        f"their figures move, at their source: <a href='{config['repository']['url']}'>"
        f"{config['repository']['url']}</a>.</p></section>",
        "html.parser",
    )
    nav.insert_before(cover)
    for caption, part in parts():
        if caption:
            heading = document.new_tag("h3")
            heading.string = caption
            nav.append(heading)
        for name in part:
            article = page_of(soups[name], name, names)
            line = document.new_tag("p")
            link = document.new_tag("a", href="#" + anchor(name, ""))
            link.string = only(article, "h1").get_text(" ", strip=True)
            line.extend([link, document.new_tag("span")])
            nav.append(line)
            body.append(article)
    return str(document)


def starts(pdf):
    """Return the page on which each anchor of the document stands, counted from 1."""
    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): (reader.get_destination_page_number(where) or 0) + 1
        for name, where in reader.named_destinations.items()
    }


def main():
    """Print twice: the first print tells on which page each chapter begins."""
    source = BUILD / "print.html"
    source.write_text(assemble(), "utf-8")
    with launched() as browser:
        page = browser.new_page()
        page.set_default_timeout(600_000)  # thousands of formulas
        page.goto(source.as_uri())
        page.wait_for_function("window.MathJax?.startup?.promise")
        page.evaluate("MathJax.startup.promise")
        if missing := page.evaluate(MISSING):
            sys.exit("These pictures are not there: " + ", ".join(missing))
        for first in (True, False):
            page.pdf(
                path=OUT,
                prefer_css_page_size=True,
                print_background=True,
                outline=True,
                tagged=True,
            )
            if first:
                page.evaluate(NUMBER, starts(OUT))
    print(f"{OUT.relative_to(ROOT)}: {len(PdfReader(OUT).pages)} pages")


if __name__ == "__main__":
    main()
