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
    assert headings(tables.tidy(frame.to_html())) == [["", "rule", "rate", "loss"]]
    one, two = frame.set_index("rule"), frame.set_index(["rule", "rate"])
    assert len(headings(one.to_html())) == 2
    assert headings(tables.tidy(one.to_html())) == [["rule", "rate", "loss"]]
    assert headings(tables.tidy(two.to_html())) == [["rule", "rate", "loss"]]
    names = BeautifulSoup(tables.tidy(two.to_html()), "html.parser").select("th.name")
    assert [name.get_text() for name in names] == ["rule", "rate"]  # aligned as what they head


def test_the_name_of_all_columns_leads_to_them():
    frame = pd.DataFrame([[1, 2]], index=pd.Index(["a"], name=""), columns=[100, 300])
    frame.columns.name = "steps"
    assert headings(tables.tidy(frame.to_html())) == [["steps:", "100", "300"]]


def test_two_rows_of_columns_stay():
    columns = pd.MultiIndex.from_product([["one", "two"], ["x", "y"]])
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=columns, index=["a"])
    assert headings(tables.tidy(frame.to_html())) == headings(frame.to_html())


def test_a_number_is_not_broken_at_its_hyphen():
    cell = "1.6e-02 (1.5e-02 to 3e+01, at 2-3)"
    frame = pd.DataFrame({"loss": [cell, "7"]}, index=["1e-3", "b"])
    soup = BeautifulSoup(tables.tidy(frame.to_html()), "html.parser")
    assert [span.get_text() for span in soup.select("span.whole")] == ["1e-3", "1.6e-02", "1.5e-02"]
    assert [td.get_text() for td in soup.select("td")] == [cell, "7"]
    style = (HTML.parents[1] / "book" / "assets" / "style" / "book.css").read_text("utf-8")
    assert ".whole { white-space: nowrap; }" in style


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_row_of_headings_is_empty_beside_its_names(page):
    for table in read(page).select("table.dataframe"):
        levels = len(table.select("tbody tr:first-child > th"))
        for row in headings(table):
            assert any(row[levels:]), headings(table)


def test_each_cell_of_a_stacked_table_repeats_its_heading():
    """A phone shows the cells of a row one below the other, and their headings not at all."""
    page = read(HTML / "book" / "report.html")
    stacked = page.select("table.stacked")
    assert len(stacked) == len(page.select("article table"))
    for table in stacked:
        (names,) = headings(table)
        for row in table.select("tbody tr"):
            repeated = [cell.select_one(".heading") for cell in row.select("td")]
            assert repeated[0] is None
            assert [r.get_text() for r in repeated[1:] if r] == [f"{name}: " for name in names[1:]]


def test_a_table_of_few_or_short_columns_stays_a_table():
    assert not read(HTML / "book" / "teaching.html").select(
        "table.stacked td:nth-child(3):last-child"
    )
    for page in PAGES:
        assert not read(page).select("table.dataframe .heading")


def test_a_notebook_has_headings_once():
    text = (HTML.parent / "notebooks" / "linearize.ipynb").read_text("utf-8")
    assert "What it computes" in text and "What it computes: " not in text
