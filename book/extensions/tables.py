"""Tables as a reader needs them: one row of headings, and on a phone no column out of sight.

pandas writes the names of an index into a row of their own, below those of the columns, in which all other
cells are empty; they move up. A table of sentences in many columns is a list of cells on a phone, each
under its heading: the headings are in the page, and the style sheet shows them there alone. A number such
as 1e-06 is not broken at its hyphen.
"""

import re

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

COLUMNS, SENTENCE = 4, 40  # a table of so many columns, with a cell of so many letters, is stacked
POWER = re.compile(r"([\d.]+e-\d+)")


def tidy(html):
    """Return the HTML of a cell's output with its tables as a reader needs them."""
    soup = BeautifulSoup(html, "html.parser")
    merge(soup)
    keep_whole(soup)
    return str(soup)


def keep_whole(soup):
    """Wrap each number with a negative exponent that stands among words, for the style sheet to keep."""
    for cell in soup.select("table.dataframe :is(td, th)"):
        for text in cell.find_all(string=POWER):
            parts = POWER.split(text)
            for i, number in enumerate(parts[1::2]):
                parts[2 * i + 1] = soup.new_tag("span", attrs={"class": "whole"}, string=number)
            text.replace_with(*parts)


def merge(soup):
    """Move a row of names up into the row above it."""
    for table in soup.select("table.dataframe"):
        rows = table.select("thead > tr")
        cells = [row.find_all(["th", "td"]) for row in rows[-2:]]
        if len(cells) < 2 or len(cells[0]) != len(cells[1]):
            continue
        above, names = cells
        levels = len(table.select("tbody tr:first-child > th"))
        if any(cell.get_text(strip=True) for cell in names[levels:]):
            continue
        for cell, name in zip(above[:levels], names, strict=False):
            # What stands there already is what all columns are called: "steps: 100 300".
            of_columns = cell.get_text(strip=True)
            cell["class"] = "name"
            cell.string = name.get_text(strip=True) or (of_columns and f"{of_columns}:")
        rows[-1].decompose()


class TidyTables(SphinxPostTransform):
    """Do so in every output of a cell."""

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs):
        """Change the page's tree."""
        for raw in list(self.document.findall(nodes.raw)):
            text = raw.astext()
            if 'class="dataframe"' in text:
                raw.replace_self(nodes.raw("", tidy(text), format=raw["format"]))


class StackCells(SphinxPostTransform):
    """Repeat the headings of a table of sentences in its cells, for the style sheet to show on a phone."""

    default_priority = 701
    formats = ("html",)

    def run(self, **kwargs):
        """Change the page's tree."""
        for table in self.document.findall(nodes.table):
            heads, rows = (
                [cells(row) for part in table.findall(kind) for row in part.findall(nodes.row)]
                for kind in (nodes.thead, nodes.tbody)
            )
            if len(heads) != 1 or len(heads[0]) < COLUMNS or "stacked" in table["classes"]:
                continue
            if all(len(cell.astext()) < SENTENCE for row in rows for cell in row):
                continue
            table["classes"].append("stacked")
            for row in rows:
                for head, cell in zip(heads[0][1:], row[1:], strict=True):
                    for name, text in zip(first(head), first(cell), strict=False):
                        name = [*name.deepcopy().children, nodes.Text(": ")]
                        text.insert(0, nodes.inline("", "", *name, classes=["heading"]))


def cells(row):
    """Return the cells of a row."""
    return list(row.findall(nodes.entry))


def first(cell):
    """Return the first paragraph of a cell, in a list that is empty if the cell is."""
    return list(cell.findall(nodes.paragraph))[:1]


def setup(app):
    """Announce the transforms to Sphinx."""
    app.add_post_transform(TidyTables)
    app.add_post_transform(StackCells)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
