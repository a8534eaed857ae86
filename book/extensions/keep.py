"""Keep a formula on one line with what touches it: a comma, a bracket, an ending.

For a browser a typeset formula is a picture, before and after which a line may break. So a line of a
narrow page would begin with a comma, and another end with an opening bracket.
"""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

BEFORE = re.compile(r"[^\s\-–—/]+\Z")
AFTER = re.compile(r"[^\s\-–—/]*[\-–—/]?")


class KeepFormulas(SphinxPostTransform):
    """Put each formula, with what touches it, into an inline element of class "keep"."""

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs):
        """Change the page's tree."""
        for formula in list(self.document.findall(nodes.math)):
            keep(formula)


def keep(formula):
    """Wrap a formula and what touches it, if anything does."""
    parent, place = formula.parent, formula.parent.index(formula)
    around = parent[max(place - 1, 0) : place], parent[place + 1 : place + 2]
    texts = ["".join(n for n in beside if isinstance(n, nodes.Text)) for beside in around]
    before, after = BEFORE.search(texts[0]), AFTER.match(texts[1])
    start = before.start() if before else len(texts[0])
    end = after.end() if after else 0
    if start == len(texts[0]) and not end:
        return
    whole = nodes.inline(classes=["keep"])
    pieces = [nodes.Text(texts[0][:start]), whole, nodes.Text(texts[1][end:])]
    first, last = place - bool(texts[0]), place + 1 + bool(texts[1])
    parent[first:last] = [piece for piece in pieces if piece]
    whole += [nodes.Text(texts[0][start:]), formula, nodes.Text(texts[1][:end])]


def setup(app):
    """Announce the transform to Sphinx."""
    app.add_post_transform(KeepFormulas)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
