"""Leave out of the built book what no page of it uses.

The theme and MathJax come with all they can do: icons drawn by a script besides the same icons as a
font, source maps, other renderers and input languages, speech in a dozen languages. Most of it is
never fetched; the icons' script would be, by every page, and weighs more than all else.
"""

import re
import shutil
from pathlib import Path

# Below _static: what goes, and what stays all the same.
UNUSED = [
    "locales",
    "*webpack-macros.html",
    "scripts/fontawesome*",
    "scripts/*.map",
    "styles/*.map",
    "vendor/fontawesome/webfonts/*.ttf",
    "mathjax/*",
    "mathjax/output/*",
    "mathjax/output/chtml/fonts/*.js",
    "mathjax/input/*",
    "mathjax/sre/mathmaps/*",
]
USED = [
    "mathjax/tex-chtml.js",  # the formulas, and their menu
    "mathjax/output/chtml/fonts/woff-v2",
    "mathjax/input/tex/extensions",  # fetched when a formula asks for one
    "mathjax/a11y",  # the menu's accessible explorer, with speech in English and Braille
    "mathjax/sre/mathmaps/base.json",
    "mathjax/sre/mathmaps/en.json",
    "mathjax/sre/mathmaps/nemeth.json",
]
ICONS_SCRIPT = re.compile(r"<script[^>]*scripts/fontawesome\.js[^>]*></script>")
# Docutils calls the bibliography a list, but its entries are no list items.
FALSE_LIST = re.compile(r' role="list"(?= class="citation-list")')
# A link to an exercise begins with the space before it, which would be underlined.
SPACE_IN_LINK = re.compile(r"(>Solution to)(<a [^>]*>) ")
# A folded proof gets a title by which it unfolds, and loses the id that all proofs of a page share.
FOLDED_PROOF = re.compile(r'(<div class="proof dropdown admonition") id="proof"(>\s*)<p>Proof\. ?')
SOURCE_MAP = re.compile(r"^(//#|/\*#) sourceMappingURL=.*$", re.MULTILINE)


def trim(static):
    """Delete the unused files in the folder of static files."""
    used = [static / path for path in USED]
    for pattern in UNUSED:
        for path in static.glob(pattern):
            if any(keep.is_relative_to(path) or path.is_relative_to(keep) for keep in used):
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def change(files, *changes):
    """Replace what each pattern matches in the files; a change is a pattern and what stands there instead."""
    for path in files:
        before = text = path.read_text(encoding="utf-8")
        for pattern, instead in changes:
            text = pattern.sub(instead, text)
        if text != before:
            path.write_text(text, encoding="utf-8")


def make_lean(app, exception):
    """After a build of web pages."""
    if exception is None and app.builder.format == "html":
        out = Path(app.outdir)
        trim(out / "_static")
        pages = out.glob("**/*.html")
        change(
            pages,
            (ICONS_SCRIPT, ""),
            (FALSE_LIST, ""),
            (SPACE_IN_LINK, r"\1 \2"),
            (FOLDED_PROOF, r'\1\2<p class="admonition-title">Proof</p>\n<p>'),
        )
        sources = [*out.glob("_static/scripts/*.js"), *out.glob("_static/styles/*.css")]
        change(sources, (SOURCE_MAP, ""))


def setup(app):
    """Run after every other extension has copied its files."""
    app.connect("build-finished", make_lean, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
