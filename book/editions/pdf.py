"""Make the print edition from the built pages: one document, printed by headless Chromium.

``python book/editions/pdf.py`` writes ``_build/learning-fixed-points.pdf``. Numbers of sections, figures,
equations and theorems are those of the pages; what folds there stands open here; a link from page to
page is one inside the document.
"""

import os
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "_build"
OUT = BUILD / "learning-fixed-points.pdf"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Of a page, what only a reader at a screen can use.
SCREEN_ONLY = ".headerlink, .copybtn, .checked-mark, script:not([type^='math/']), .prev-next-area"


def contents(toc):
    """Return the book's parts in order, each a caption and the names of its pages."""
    return [(None, [toc["root"]])] + [
        (part.get("caption"), [chapter["file"] for chapter in part["chapters"]])
        for part in toc["parts"]
    ]


def only(soup, selector):
    """Return the first element that a selector finds, which must be there."""
    element = soup.select_one(selector)
    if element is None:
        raise LookupError(f"a built page has no {selector}")
    return element


def page_of(soup, name, pages):
    """Return a page's article with its own ids, links and files made those of the whole document."""
    article = only(soup, "article.bd-article")
    for element in article.select(SCREEN_ONLY):
        element.decompose()
    for details in article.select("details"):
        details["open"] = ""
    here = f"/html/{name}.html"
    for element in article.find_all(True):
        if element.get("id"):
            element["id"] = anchor(name, element["id"])
        if element.get("src"):
            element["src"] = urljoin(here, element["src"])
        if element.name == "img":
            element["loading"] = "eager"
        if element.name == "a" and element.get("href"):
            path, fragment = urldefrag(urljoin(here, element["href"]))
            target = path.removeprefix("/html/").removesuffix(".html")
            if not urlsplit(path).scheme:
                if target in pages:
                    element["href"] = "#" + anchor(target, fragment)
                else:  # a file beside the pages
                    del element["href"]
    article["id"] = anchor(name, "")
    return article


def anchor(page, fragment):
    """Return the id, in the whole document, of an id on a page; or of the page itself."""
    return f"{page.replace('/', '-')}--{fragment}" if fragment else page.replace("/", "-")


def assemble(page_numbers):
    """Return the whole document; its table of contents shows the page numbers that are known."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    parts = contents(toc)
    pages = {name for _, names in parts for name in names}
    soups = {
        name: BeautifulSoup((BUILD / "html" / f"{name}.html").read_text("utf-8"), "html.parser")
        for name in pages
    }
    document = BeautifulSoup(
        "<!doctype html><html lang='en' data-theme='light' data-mode='light'><head></head>"
        "<body><nav class='contents'><h2>Contents</h2></nav></body></html>",
        "html.parser",
    )
    head, body, nav = (only(document, name) for name in ("head", "body", "nav"))
    root = soups[toc["root"]]
    here = f"/html/{toc['root']}.html"
    math = [s for s in root.select("head script") if "mathjax" in str(s).lower()]
    for element in [*root.select("head link[rel=stylesheet], head meta[charset]"), *math]:
        for name in ("href", "src"):
            if element.get(name):
                element[name] = urljoin(here, str(element[name]))
        head.append(element)
    style = document.new_tag("style")
    style.string = Path(__file__).with_name("print.css").read_text("utf-8")
    title = document.new_tag("title")
    title.string = config["title"]
    head.extend([title, style])

    cover = BeautifulSoup(
        f"<section class='cover'><img src='/cover.png' alt='{config['title']}'>"
        f"<p>{config['author']}</p><p>{config['html']['extra_footer']} The pages of this book run, and "
        f"their figures move, at their source: <a href='{config['repository']['url']}'>"
        f"{config['repository']['url']}</a>.</p></section>",
        "html.parser",
    )
    nav.insert_before(cover)
    for caption, names in parts:
        if caption:
            heading = document.new_tag("h3")
            heading.string = caption
            nav.append(heading)
        for name in names:
            heading = only(soups[name], "article.bd-article h1")
            for mark in heading.select(".headerlink"):
                mark.decompose()
            line = document.new_tag("p")
            link = document.new_tag("a", href="#" + anchor(name, ""))
            link.string = heading.get_text(" ", strip=True)
            number = document.new_tag("span")
            number.string = str(page_numbers.get(anchor(name, ""), ""))
            line.extend([link, number])
            nav.append(line)
            body.append(page_of(soups[name], name, pages))
    return str(document)


class Files(SimpleHTTPRequestHandler):
    """Serves the build and the cover."""

    def translate_path(self, path):
        """Find the cover among the sources."""
        if path == "/cover.png":
            return str(ROOT / "book" / "assets" / "cover.png")
        return super().translate_path(path)

    def log_message(self, format, *args):
        """Say nothing."""


def starts(pdf):
    """Return the page on which each anchor of the document stands, counted from 1."""
    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): (reader.get_destination_page_number(where) or 0) + 1
        for name, where in reader.named_destinations.items()
    }


def main():
    """Print twice: the first print tells on which page each chapter begins."""
    if not CHROMIUM:
        sys.exit(
            "There is no Chromium here. Install it (on Debian: apt-get install chromium), or name "
            "one: CHROMIUM=/path/to/chromium make pdf"
        )
    source = BUILD / "print.html"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=BUILD))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(600_000)  # thousands of formulas
        numbers = {}
        for _ in range(2):
            source.write_text(assemble(numbers), "utf-8")
            page.goto(f"http://127.0.0.1:{server.server_port}/{source.name}")
            page.wait_for_function("window.MathJax?.startup?.promise")
            page.evaluate("MathJax.startup.promise")
            missing = page.evaluate(
                """Promise.allSettled([...document.images].map(i => i.decode())).then(
                  () => [...document.images].filter(i => !i.naturalWidth).map(i => i.src))"""
            )
            if missing:
                sys.exit("These pictures are not there: " + ", ".join(missing))
            page.pdf(
                path=OUT,
                prefer_css_page_size=True,
                print_background=True,
                outline=True,
                tagged=True,
            )
            numbers = starts(OUT)
        browser.close()
    server.shutdown()
    print(f"{OUT.relative_to(ROOT)}: {len(PdfReader(OUT).pages)} pages")


if __name__ == "__main__":
    main()
