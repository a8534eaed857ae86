"""What can be wrong with a built page: each check takes a page and finds the faults in it."""

import re
from functools import cache
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from editions import EDITIONS

PUBLISHED = [address for address, *_ in EDITIONS.values()]  # beside the pages: test_editions.py
CODE = "code, pre, script, style, textarea, noscript, .math"  # text that may look like markup
RAW = {
    "a role": r"\{[a-z][\w:+-]*\}`",
    "a directive": r"(?:`{3,}|~{3,}|:{3,})(?:\{[\w:-]+\})?|\{(?:code-cell|prf:\w+)\}",
    "an option": r"(?:^|\s):(?:label|name|class|tags|alt|align|width|nonumber|figwidth):(?:\s|$)",
    "a target": r"\([\w-]+\)=(?:\s|$)|\((?:eq|thm|fig|tab|sec|ex)-[\w-]+\)",
    "a link": r"\]\([#.\w/]",
    "math": r"\$[^$]+\$|\\[([]|\\(?:begin|frac|mathbf|partial|Delta|lambda|eta)\b",
    "an unresolved reference": r"\[\]|\?{2,}|\(\?\)|\[\?\]|reference target not found",
}


@cache
def read(page):
    """Return a page as a tree."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page):
    """Return the ids that a link to the page can name."""
    return {str(tag.get("id") or tag.get("name")) for tag in read(page).select("[id], a[name]")}


def links(tag):
    """Return the addresses that a tag names."""
    found = [str(tag[name]) for name in ("href", "src", "data", "poster") if name in tag.attrs]
    found += [part.split()[0] for part in str(tag.get("srcset", "")).split(",") if part.strip()]
    if tag.get("http-equiv", "").lower() == "refresh":
        found.append(tag["content"].split("url=")[-1])
    return found


def broken_links(soup, page, root):
    """Find links to files that are not in the book, and to places that are not on a page."""
    for address in [address for tag in soup.find_all(True) for address in links(tag)]:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or address == "#":
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
        if parts.path.startswith("/") or not target.is_relative_to(root.resolve()):
            yield f"{address}: leads out of the book"
        elif target in [(root / path).resolve() for path in PUBLISHED]:
            continue
        elif not target.is_file():
            yield f"{address}: no such file"
        elif parts.fragment and target.suffix == ".html":
            if unquote(parts.fragment) not in anchors(target):
                yield f"{address}: no such place on that page"


def unresolved_references(soup):
    """Find what Sphinx leaves where it could not resolve a reference."""
    for tag in soup.select(".problematic, .system-message, .xref"):
        # The documentation of other libraries is not part of the book: their names need no link.
        foreign = "py" in tag["class"] and not tag.get_text().startswith("fpnotes")
        if not foreign and not tag.find_parent("a"):
            yield f"unresolved: {tag.get_text()}"


def raw_markup(soup):
    """Find Markdown and TeX that was not turned into anything, outside code and formulas."""
    copy = BeautifulSoup(str(soup.select_one("article") or soup), "html.parser")
    for tag in copy.select(CODE):
        tag.replace_with("\N{OBJECT REPLACEMENT CHARACTER}")
    for kind, pattern in RAW.items():
        for match in re.finditer(pattern, copy.get_text(), re.MULTILINE):
            yield f"{kind} as text: {match.string[max(0, match.start() - 20) : match.end() + 20]!r}"


def undescribed_images(soup):
    """Find images without a description, or with a file name in its place."""
    for image in soup.find_all("img"):
        text = str(image.get("alt", "")).strip()
        if not text or re.search(r"^\S*/\S*$|\.(png|svg|jpe?g|gif|webp)$", text):
            yield f"{image.get('src')}: alt text {text!r}"


def misplaced_headings(soup):
    """Find a page whose headings do not start with its one title or skip a level."""
    levels = [int(tag.name[1]) for tag in soup.select("article :is(h1, h2, h3, h4, h5, h6)")]
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"one h1, and first; the levels are {levels}"
    for one, following in zip(levels, levels[1:], strict=False):
        if following > one + 1:
            yield f"h{following} follows h{one}"


def faults(soup, page, root):
    """Return all that is wrong with a page."""
    found = [*broken_links(soup, page, root), *unresolved_references(soup), *raw_markup(soup)]
    found += undescribed_images(soup)
    if soup.find("article"):  # a page that only sends its reader on has none
        found += misplaced_headings(soup)
    return found
