"""Make the print edition from the built pages: one document, printed by headless Chromium.

``python book/editions/pdf.py`` writes ``_build/learning-fixed-points.pdf``. Numbers of sections, figures,
equations and theorems are those of the pages; answers that fold there stand open here, and code that
folds there is left out; a link from page to page is one inside the document. Its letters come with
Matplotlib, so that they do not depend on the machine.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import yaml
from bs4 import BeautifulSoup
from chromium import launched
from matplotlib import get_data_path
from pypdf import PdfReader
from toc import ROOT, pages, parts

BUILD = ROOT / "_build"
HTML = BUILD / "html"
OUT = BUILD / "learning-fixed-points.pdf"
# Of a page, what only a reader at a screen can use; the code that a page folds away is in the notebooks.
SCREEN_ONLY = ".headerlink, script:not([type^='math/']), details.hide"
# Of each font: its name in print.css, the file, and what it is for.
FONTS = [
    ("Book", "STIXGeneral", ""),
    ("Book", "STIXGeneralItalic", "font-style: italic"),
    ("Book", "STIXGeneralBol", "font-weight: bold"),
    ("Book", "STIXGeneralBolIta", "font-style: italic; font-weight: bold"),
    ("Heads", "DejaVuSans", ""),
    ("Heads", "DejaVuSans-Oblique", "font-style: italic"),
    ("Heads", "DejaVuSans-Bold", "font-weight: bold"),
    ("Heads", "DejaVuSans-BoldOblique", "font-style: italic; font-weight: bold"),
    ("Code", "DejaVuSansMono", ""),
    ("Code", "DejaVuSansMono-Oblique", "font-style: italic"),
    ("Code", "DejaVuSansMono-Bold", "font-weight: bold"),
    ("Code", "DejaVuSansMono-BoldOblique", "font-style: italic; font-weight: bold"),
]
# To a program that reads the book aloud, a formula is its source, and not a hundred thousand glyphs.
NAME_FORMULAS = """for (const item of MathJax.startup.document.math) {
  item.typesetRoot.setAttribute("role", "math");
  item.typesetRoot.setAttribute("aria-label", item.math.trim());
  item.typesetRoot.querySelector("mjx-assistive-mml")?.remove();
  item.typesetRoot.querySelector("mjx-math")?.setAttribute("aria-hidden", "true");
}"""
MISSING = """Promise.allSettled([...document.images].map(i => i.decode())).then(
  () => [...document.images].filter(i => !i.naturalWidth).map(i => i.src))"""
PRINTS = 4  # at most: two or three suffice
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


def title_of(article):
    """Return a page's title, with its number."""
    return " ".join(only(article, "h1").get_text().split())


def place(name):
    """Return where a page is, seen from the document."""
    return f"html/{name}.html"


def anchor(page, fragment):
    """Return the id, in the whole document, of an id on a page; or of the page itself."""
    return f"{page.replace('/', '-')}--{fragment}" if fragment else page.replace("/", "-")


def fonts():
    """Return the style sheet's lines that name the fonts."""
    folder = Path(get_data_path(), "fonts", "ttf")
    return "\n".join(
        f"@font-face {{ font-family: {name}; src: url({(folder / file).as_uri()}.ttf); {use} }}"
        for name, file, use in FONTS
    )


def quoted(text):
    """Return a text as a style sheet writes it."""
    return json.dumps(text, ensure_ascii=False)


def running_heads(titles):
    """Return the style sheet's lines that put each chapter's title at the head of its pages."""
    return "\n".join(
        f"#{page} {{ page: {page} }} @page {page} {{ @top-left {{ content: {quoted(title)} }} }}"
        for page, title in titles.items()
    )


def git(*arguments):
    """Return what git says, nothing where this is no clone."""
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return answer.stdout.strip()


def imprint(config):
    """Return the page that says which book this is, how to cite it, and what is allowed."""
    code = (ROOT / "fpnotes" / "__init__.py").read_text("utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', code, re.MULTILINE)[0]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    (paper,) = cited["references"]
    writers = " and ".join(
        f"{who['given-names']} {who['family-names']}" for who in paper["authors"]
    )
    date, commit = git("log", "-1", "--format=%cs"), git("log", "-1", "--format=%H")
    year = date[:4] or config["copyright"]
    source = config["repository"]["url"]
    lines = [
        f"<b>{config['title']}</b>, version {version}",
        f"Set from commit <code>{commit[:12]}</code> of {date}." if commit else "",
        f"The pages of this book run, and their figures move: <a href='{source}'>{source}</a>.",
        "<b>To cite this book:</b>",
        f"{cited['authors'][0]['name']}, <i>{cited['title']}</i>, version {version}, {year}. {source}",
        "<b>To cite the paper that it teaches:</b>",
        f"{writers}, “{paper['title']}”, <i>{paper['journal']}</i> {paper['volume']}({paper['issue']}), "
        f"{paper['start']}–{paper['end']}, {paper['year']}. {paper['identifiers'][0]['value']}",
        "<b>Licenses:</b>",
        f"© {config['copyright']} {config['author']}. {config['html']['extra_footer']} The handwritten "
        "digits that come with the package are CC BY-SA 3.0.",
    ]
    text = "".join(f"<p>{line}</p>" for line in lines if line)
    return BeautifulSoup(f"<section class='imprint'>{text}</section>", "html.parser")


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
    title = document.new_tag("title")
    title.string = config["title"]
    cover = BeautifulSoup(
        f"<section class='cover'><img src='../book/assets/cover.png' alt='{config['title']}'>"
        f"<p>{config['author']}</p></section>",
        "html.parser",
    )
    nav.insert_before(cover)
    nav.insert_before(imprint(config))
    titles = {}
    for caption, part in parts():
        if caption:
            heading = document.new_tag("h3")
            heading.string = caption
            nav.append(heading)
        for name in part:
            article = page_of(soups[name], name, names)
            line = document.new_tag("p")
            link = document.new_tag("a", href="#" + anchor(name, ""))
            link.string = titles[anchor(name, "")] = title_of(article)
            line.extend([link, document.new_tag("span")])
            nav.append(line)
            body.append(article)
    style = document.new_tag("style")
    rules = Path(__file__).with_name("print.css").read_text("utf-8")
    style.string = "\n".join([fonts(), rules, running_heads(titles)])
    head.extend([title, style])
    return str(document)


def starts(pdf):
    """Return the page on which each anchor of the document stands, counted from 1."""
    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): (reader.get_destination_page_number(where) or 0) + 1
        for name, where in reader.named_destinations.items()
    }


def print_once(browser, source, numbers):
    """Load the document, put numbers of pages into its contents, and print it."""
    page = browser.new_page()
    page.set_default_timeout(600_000)  # thousands of formulas
    page.goto(source.as_uri())
    page.wait_for_function("window.MathJax?.startup?.promise")
    page.evaluate("MathJax.startup.promise")
    page.evaluate(NAME_FORMULAS)
    page.emulate_media(media="print")
    page.evaluate("document.fonts.ready.then(() => true)")
    if missing := page.evaluate(MISSING):
        sys.exit("These pictures are not there: " + ", ".join(missing))
    page.evaluate(NUMBER, numbers)
    page.add_script_tag(path=Path(__file__).with_name("paginate.js"))
    print(f"{page.evaluate('paginate()')} changes, so that no page is left too empty")
    page.pdf(path=OUT, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    page.close()


def main():
    """Print until the contents name the pages on which the chapters then begin.

    Each print has the document loaded afresh: printed a second time, it may break its pages elsewhere.
    """
    source = BUILD / "print.html"
    source.write_text(assemble(), "utf-8")
    with launched() as browser:
        numbers = {}
        for _ in range(PRINTS):
            print_once(browser, source, numbers)
            if numbers == (numbers := starts(OUT)):
                break
        else:
            sys.exit(f"In {PRINTS} prints the contents have not come to name the pages they make.")
    print(f"{OUT.relative_to(ROOT)}: {len(PdfReader(OUT).pages)} pages")


if __name__ == "__main__":
    main()
