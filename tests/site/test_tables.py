"""Tables that pandas makes have headings where there is something to head."""

from pathlib import Path

import pandas as pd
import pytest
import tables
from bs4 import BeautifulSoup

from tests.site.pages import read

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = [p for p in sorted(HTML.glob("book/*.html")) if "dataframe" in p.read_text("utf-8")]


def headings(html):
    """Return the texts of the rows of a table's head."""
    rows = BeautifulSoup(str(html), "html.parser").select("thead tr")
    return [[cell.get_text(strip=True) for cell in row.select("th")] for row in rows]


def test_the_names_of_an_index_join_the_row_above():
    frame = pd.DataFrame({"rule": ["a", "b"], "rate": [1, 2], "loss": [3, 4]})
    assert headings(tables.merge(frame.to_html())) == [["", "rule", "rate", "loss"]]
    one, two = frame.set_index("rule"), frame.set_index(["rule", "rate"])
    assert len(headings(one.to_html())) == 2
    assert headings(tables.merge(one.to_html())) == [["rule", "rate", "loss"]]
    assert headings(tables.merge(two.to_html())) == [["rule", "rate", "loss"]]
    names = BeautifulSoup(tables.merge(two.to_html()), "html.parser").select("th.name")
    assert [name.get_text() for name in names] == ["rule", "rate"]  # aligned as what they head


def test_the_name_of_all_columns_leads_to_them():
    frame = pd.DataFrame([[1, 2]], index=pd.Index(["a"], name=""), columns=[100, 300])
    frame.columns.name = "steps"
    assert headings(tables.merge(frame.to_html())) == [["steps:", "100", "300"]]


def test_two_rows_of_columns_stay():
    columns = pd.MultiIndex.from_product([["one", "two"], ["x", "y"]])
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=columns, index=["a"])
    assert headings(tables.merge(frame.to_html())) == headings(frame.to_html())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_row_of_headings_is_empty_beside_its_names(page):
    for table in read(page).select("table.dataframe"):
        levels = len(table.select("tbody tr:first-child > th"))
        for row in headings(table):
            assert any(row[levels:]), headings(table)
