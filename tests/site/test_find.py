"""What the search knows: everything that has a number, beside words."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import find
import pytest

from tests.site.pages import anchors, read

HTML = Path(__file__).parents[2] / "_build" / "html"
KINDS = r"Equation|Theorem|Lemma|Corollary|Proposition|Definition|Exercise|Figure"


@pytest.fixture(scope="module")
def index():
    """The index that the search loads."""
    text = (HTML / "searchindex.js").read_text("utf-8")
    return json.loads(re.sub(r"^Search\.setIndex\(|\)\s*;?\s*$", "", text))


def test_each_number_in_the_index_leads_to_its_place(index):
    found = {t: p for t, p in index["alltitles"].items() if re.fullmatch(rf"({KINDS}) \S+", t)}
    assert {title.split()[0] for title in found} >= {"Equation", "Theorem", "Exercise", "Figure"}
    for title, places in found.items():
        ((page, name),) = places
        assert name in anchors(HTML / f"{index['docnames'][page]}.html"), title


def test_each_numbered_formula_is_in_the_index(index):
    shown = set()
    for page in HTML.glob("book/*.html"):
        for number in read(page).select("div.math[id] .eqno"):
            shown.update(
                "Equation " + found for found in re.findall(r"\((.+)\)", number.get_text())
            )
    assert len(shown) > 100 and shown <= index["alltitles"].keys()


def test_a_new_number_takes_the_place_of_the_old():
    env = SimpleNamespace(found_docs=["a"], toc_fignumbers={"a": {"displaymath": {"eq-x": (5, 3)}}})
    index = SimpleNamespace(_all_titles={"a": [("A", None), ("Equation 5.2", "eq-x")]})
    app = SimpleNamespace(env=env, builder=SimpleNamespace(indexer=index))
    for _ in range(2):
        assert find.add_titles(app) == []
    assert index._all_titles == {"a": [("A", None), ("Equation 5.3", "eq-x")]}
