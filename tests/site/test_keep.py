"""Formulas stay on one line with what touches them."""

import keep
import pytest
from docutils import nodes


def paragraph(*parts):
    """Return a paragraph in which "$A$" is a formula."""
    return nodes.paragraph(
        "", "", *[nodes.math("", p[1:-1]) if p[0] == "$" else nodes.Text(p) for p in parts]
    )


def kept(parent):
    """Return the texts of the elements that no line breaks."""
    return [node.astext() for node in parent.findall(nodes.inline) if node["classes"] == ["keep"]]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["moves with ", "$W$", ", so the"], ["W,"]),
        (["cure. (", "$h$", " wins"], ["(h"]),
        (["(", "$a$", ", ", "$b$", "’s)."], ["(a,", "b’s)."]),
        (["$N$", "-dimensional, and non-", "$M$", "."], ["N-", "M."]),
        (["$a$", "/", "$b$", "!"], ["a/", "b!"]),
        (["for ", "$x$", " and\n", "$y$"], []),
        (["$y$"], []),
    ],
)
def test_what_touches_a_formula_stays_with_it(parts, expected):
    parent = paragraph(*parts)
    text = parent.astext()
    for formula in list(parent.findall(nodes.math)):
        keep.keep(formula)
    assert kept(parent) == expected
    assert parent.astext() == text


def test_an_element_beside_a_formula_is_left_alone():
    parent = nodes.paragraph("", "", nodes.emphasis("", "so"), nodes.math("", "x"))
    before = parent.pformat()
    keep.keep(parent[1])
    assert parent.pformat() == before
